"""The HTTP binding (TS-0009) on the asking side: request primitives over connections that are used again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

import httpcore

from ..errors import HandshakeError, MessageError, ResolverUnavailableError
from ..frameworks.steps import Established, Initiator
from ..onem2m.carried import CarriedRequest, CarriedResponse
from .address import Transport
from .carrying_client import CarryingClient
from .channel import Channel, open_channel
from .http_carried import Headers, read_response, write_request
from .limits import Limits, at_most
from .link import Link

MAX_CONNECTIONS: Final = 8
"""Of one client to its peer, in use or kept; more would make httpcore's pool slower, not faster."""


def path_component(to: Iterable[str]) -> str:
    """The path component of a request-target or of a Content-Location."""
    return "/" + "/".join(quote(segment, safe="") for segment in to)


class _Stream(httpcore.AsyncNetworkStream):
    """A channel as httpcore wants it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                return await self._channel.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                await self._channel.write(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._channel.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        return self._channel.closing if info == "is_readable" else None


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens secured connections to one peer, whatever host httpcore names."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        self._link = link
        self._initiator = initiator
        self.established: Established | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del host, port, timeout, local_address, socket_options
        try:
            channel = await open_channel(self._link, self._initiator)
        except HandshakeError as error:
            raise httpcore.ConnectError(str(error)) from error
        self.established = channel.established
        return _Stream(channel)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a peer answered.

    Attributes:
        status: The HTTP status code.
        fields: The header fields, as they came.
        body: The octets; None when there were more than ``body_octets``.
    """

    status: int
    fields: Headers = field(repr=False)
    body: bytes | None = field(repr=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields, by name in lower case; of several with one name the last."""
        return _by_name(self.fields)


class HttpConnections:
    """HTTP over TLS, over connections that one initiator makes and that are reused.

    Attributes:
        authority: The host that requests name.
    """

    def __init__(self, link: Link, initiator: Initiator) -> None:
        self._limits = link.limits or Limits()
        self.authority = (initiator.server_name and str(initiator.server_name)) or link.address.host
        self._backend = _Backend(replace(link, transport=Transport.TLS), initiator)
        # The pool looks through all that wait for it at every step: let them wait here.
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=min(60.0, self._limits.idle_seconds / 2),
            network_backend=self._backend,
        )

    async def exchange(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status.

        Args:
            method: ``GET``, ``POST`` …
            target: The path component of the request-target.
            headers: Header fields; those of host and length are added.
            body: The octets; None for none.

        Raises:
            ResolverUnavailableError: The peer cannot be reached, or its answer is not HTTP.
        """
        sent = [(name.encode("ascii"), value.encode()) for name, value in headers]
        sent.insert(0, (b"Host", self.authority.encode("ascii")))
        if body is not None:
            sent.append((b"Content-Length", str(len(body)).encode()))
        host = self.authority.encode("ascii")
        url = httpcore.URL(scheme=b"http", host=host, port=None, target=target.encode("ascii"))
        seconds = self._limits.request_seconds
        timeouts = {"pool": seconds, "connect": seconds, "read": seconds, "write": seconds}
        try:
            async with (
                asyncio.timeout(seconds),
                self._places,
                self._pool.stream(
                    method, url, headers=sent, content=body, extensions={"timeout": timeouts}
                ) as answer,
            ):
                whole = await at_most(self._limits.body_octets, answer.aiter_stream())
                return HttpAnswer(answer.status, answer.headers, whole)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise ResolverUnavailableError(f"{self.authority}: {error or type(error).__name__}") from error

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        if self._backend.established is None:
            raise HandshakeError("no connection was made yet")
        return self._backend.established

    async def close(self) -> None:
        """Close the kept connections."""
        await self._pool.aclose()


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
        message = write_request(request)
        answer = await self._connections.exchange(
            message.method, message.target, message.headers, message.body
        )
        try:
            return carried_answer(answer)
        except MessageError as error:
            raise ResolverUnavailableError(f"{self.name}: {error}") from None

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        return self._connections.established

    async def close(self) -> None:
        """Close the kept connections."""
        await self._connections.close()


def carried_answer(answer: HttpAnswer) -> CarriedResponse:
    """The response primitive of an answer.

    Raises:
        MessageError: It is none, or longer than it may be.
    """
    if answer.body is None:
        raise MessageError("the answer is too long")
    return read_response(answer.fields, answer.body)


def _by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
