"""The HTTP binding (TS-0009) on the asking side: request primitives over connections that are used again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from ..errors import HandshakeError, MessageError, ResolverUnavailableError
from ..frameworks.steps import Established, Initiator
from ..onem2m.carried import CarriedRequest, CarriedResponse
from .address import Transport
from .carrying_client import CarryingClient
from .channel import Channel, open_channel
from .http_carried import read_response, write_request
from .http_pool import ChannelBackend, HttpAnswer, HttpPool
from .limits import Limits
from .link import Link


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


class HttpClient(CarryingClient):
    """Sends request primitives over TLS, over connections that one initiator makes and that are reused."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        super().__init__(str(initiator.local), link.limits or Limits())
        self._connections = HttpConnections(link, initiator)

    @property
    def name(self) -> str:
        """The peer, for people."""
        return self._connections.authority

    async def carry(self, request: CarriedRequest) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes."""
        return await carried_by(self._connections, request)

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        return self._connections.established

    async def close(self) -> None:
        """Close the kept connections."""
        await self._connections.close()


async def carried_by(
    pool: HttpPool, request: CarriedRequest, more: Iterable[tuple[str, str]] = ()
) -> CarriedResponse:
    """Send a request primitive, and return the response primitive.

    Args:
        pool: Over what.
        request: The request primitive.
        more: Further header fields.

    Raises:
        AnswerTimeoutError: There was no answer in time.
        ResolverUnavailableError: The peer cannot be reached, or its answer is no response primitive.
    """
    message = write_request(request)
    answer = await pool.exchange(message.method, message.target, [*message.headers, *more], message.body)
    if answer.body is None:
        raise ResolverUnavailableError(f"{pool.authority}: the answer is too long")
    try:
        return read_response(answer.fields, answer.body)
    except MessageError as error:
        raise ResolverUnavailableError(f"{pool.authority}: {error}") from None
