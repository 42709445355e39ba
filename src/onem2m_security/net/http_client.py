"""The HTTP binding (TS-0009) on the asking side: request primitives over connections that are used again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from ..errors import HandshakeError, MessageError, ResolverUnavailableError
from ..frameworks.steps import Established, Initiator
from ..onem2m.primitives import Operation, Response
from .address import Transport
from .binding import RELEASE_VERSION, read_response, write_content
from .channel import Channel, open_channel
from .http_pool import ChannelBackend, HttpAnswer, HttpPool
from .limits import Limits
from .link import Link
from .request_client import Asked, RequestClient

METHODS: Final = {
    Operation.CREATE: "POST",
    Operation.RETRIEVE: "GET",
    Operation.UPDATE: "PUT",
    Operation.DELETE: "DELETE",
    Operation.NOTIFY: "POST",
}


def path_component(to: Iterable[str]) -> str:
    """The path component of a request-target or of a Content-Location."""
    return "/" + "/".join(quote(segment, safe="") for segment in to)


class HttpConnections(HttpPool):
    """HTTP over TLS, over connections that one initiator makes."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        self._link = replace(link, transport=Transport.TLS)
        self._initiator = initiator
        self._established: Established | None = None
        authority = (initiator.server_name and str(initiator.server_name)) or link.address.host
        super().__init__(authority, ChannelBackend(self._open), link.limits or Limits())

    async def _open(self) -> Channel:
        channel = await open_channel(self._link, self._initiator)
        self._established = channel.established
        return channel

    async def exchange(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status; see ``HttpPool``.

        Raises:
            ResolverUnavailableError: The peer cannot be reached, or its answer is not HTTP.
        """
        try:
            return await super().exchange(method, target, headers, body)
        except HandshakeError as error:
            raise ResolverUnavailableError(f"{self.authority}: {error}") from error

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established.

        Raises:
            HandshakeError: No connection was made yet.
        """
        if self._established is None:
            raise HandshakeError("no connection was made yet")
        return self._established


class HttpClient(RequestClient):
    """Sends request primitives over TLS, over connections that one initiator makes and that are reused."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        self._limits = link.limits or Limits()
        self._originator = str(initiator.local)
        self._connections = HttpConnections(link, initiator)

    async def send(self, asked: Asked) -> Response:
        """Send a request primitive and return the response primitive, whatever its status."""
        headers = [
            ("X-M2M-Origin", self._originator),
            ("X-M2M-RI", asked.request_id),
            ("X-M2M-RVI", RELEASE_VERSION),
            ("Accept", "application/json"),
        ]
        body = None
        if asked.content is not None:
            type_part = "" if asked.resource_type is None else f";ty={asked.resource_type}"
            headers.append(("Content-Type", f"application/json{type_part}"))
            body = write_content(asked.content)
        method, target = METHODS[asked.operation], path_component(asked.to)
        answer = await self._connections.exchange(method, target, headers, body)
        try:
            return read_response(answer.headers.get("x-m2m-rsc"), answer.body, self._limits)
        except MessageError as error:
            raise ResolverUnavailableError(f"{self._connections.authority}: {error}") from None

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        return self._connections.established

    async def close(self) -> None:
        """Close the kept connections."""
        await self._connections.close()
