"""Ports and clients: what TLS with HTTP and WebSocket, and DTLS with CoAP, look like from above."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, Self

from ..errors import ConfigurationError, HandshakeError, PeerRefusedError, ResolverUnavailableError
from ..frameworks.steps import Authorities, Established, How, Initiator, Renewing, initiator_of
from ..onem2m.primitives import Response, Rsc
from ..tasks import GRACE_SECONDS, together
from .address import Address, Binding, Transport
from .binding import CarriedHandler, RequestHandler
from .channel import ChannelHandler, channel_protocol, datagram_channels
from .coap import CoapClient, CoapServer
from .http import carried_http_protocol, http_protocol
from .http_client import HttpClient
from .limits import Limits
from .link import Link
from .open_sessions import OpenSessions
from .plain import PlainHandler
from .request_client import Asked, RequestClient
from .tcp import Listener
from .udp import DatagramListener
from .websocket_client import WebSocketClient


class Port(Protocol):
    """A port that accepts clients until it is stopped."""

    open_sessions: OpenSessions

    @property
    def connections(self) -> int:
        """Clients connected now."""

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use."""

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Let what is under way finish within the grace period (seconds), and close."""

    async def __aenter__(self) -> Self:
        """The port, which is stopped in the end."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""


class _CoapPort(DatagramListener):
    """A DTLS port with a CoAP server on top."""

    def __init__(
        self, authorities: Authorities, server: CoapServer, limits: Limits, open_sessions: OpenSessions
    ) -> None:
        super().__init__(authorities, server.application, limits, open_sessions=open_sessions)
        self._server = server

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Stop the port, then the server."""
        await super().stop(grace=grace)
        await self._server.stop()


async def request_port(
    transport: Transport,
    authorities: Authorities,
    handler: RequestHandler,
    limits: Limits,
    well_known: Mapping[str, PlainHandler] | None = None,
) -> Port:
    """A port on which requests are answered: HTTP and WebSocket over TLS, or CoAP over DTLS.

    The handler gets what each session means at the moment of its request; so does, over HTTP, whoever answers
    the requests below a well-known URI, by its name.

    Raises:
        ConfigurationError: The bounds on HTTP do not hold with the httptools that is installed.
    """
    open_sessions = OpenSessions(authorities, limits.quotas)
    handler = open_sessions.guard(handler)
    if transport is Transport.TLS:
        plain = {name: open_sessions.guard(one) for name, one in (well_known or {}).items()}
        protocol = http_protocol(handler, limits, plain)
        return Listener(authorities, protocol, limits, open_sessions=open_sessions)
    return _CoapPort(authorities, await CoapServer.create(handler, limits), limits, open_sessions)


async def carrying_port(
    transport: Transport, authorities: Authorities, handler: CarriedHandler, limits: Limits
) -> Port:
    """A port whose handler carries requests on: HTTP over TLS, or CoAP over DTLS."""
    open_sessions = OpenSessions(authorities, limits.quotas)
    handler = open_sessions.guard(handler)
    if transport is Transport.TLS:
        protocol = carried_http_protocol(handler, limits)
        return Listener(authorities, protocol, limits, open_sessions=open_sessions)
    return _CoapPort(authorities, await CoapServer.carrying(handler, limits), limits, open_sessions)


def channel_port(
    transport: Transport, authorities: Authorities, handler: ChannelHandler, limits: Limits
) -> Port:
    """A port on which each client gets a channel, for which the handler runs."""
    if transport is Transport.TLS:
        return Listener(authorities, channel_protocol(handler), limits)
    return DatagramListener(authorities, datagram_channels(handler), limits)


PORT_ATTEMPTS: Final = 10
"""How often the system may choose a port number that is free for one transport and not for the other."""


async def start_together(
    make: Callable[[Transport], Awaitable[Port]], address: Address, transports: Sequence[Transport]
) -> tuple[list[Port], Address]:
    """Listen over these transports on the same port number; the ports, and the address in use.

    Raises:
        ConfigurationError: The address cannot be listened on; then no port is left open.
    """
    # The port that the system finds free for TCP may be taken for UDP: then it finds another.
    for _ in range(PORT_ATTEMPTS if address.port == 0 else 0):
        with contextlib.suppress(ConfigurationError):
            return await _start_together(make, address, transports)
    return await _start_together(make, address, transports)


async def _start_together(
    make: Callable[[Transport], Awaitable[Port]], address: Address, transports: Sequence[Transport]
) -> tuple[list[Port], Address]:
    started: list[Port] = []
    try:
        for transport in transports:
            port = await make(transport)
            started.append(port)
            address = await port.start(address)
    except ConfigurationError:
        await together(*(port.stop() for port in started))
        raise
    return started, address


@dataclass(slots=True, eq=False)
class _Use:
    """A client for one initiator, and the requests that it has under way."""

    initiator: Initiator
    client: RequestClient
    under_way: int = 0


class _LinkClient(RequestClient):
    """A client of the peer behind a link, whose new sessions prove us in the newest way.

    Sessions of a former way end with the requests that are under way on them.
    """

    def __init__(self, link: Link, how: How) -> None:
        self._link = link
        self._how = how
        self._newest: _Use | None = None
        self._open: set[_Use] = set()

    @property
    def established(self) -> Established:
        if self._newest is None:
            raise HandshakeError("no connection was made yet")
        return self._newest.client.established

    async def send(self, asked: Asked) -> Response:
        if isinstance(self._how, Renewing):
            return await self._renewing(asked, self._how)
        return await self._send(asked, await initiator_of(self._how))

    async def _renewing(self, asked: Asked, how: Renewing) -> Response:
        """The same, by another credential when the first one is refused: then nothing was asked yet."""
        initiator = await how()
        try:
            response = await self._send(asked, initiator)
        except ResolverUnavailableError as error:
            if (refused := _failed_handshake(error)) is None:
                raise
            if not await how.failed(initiator, refused):
                raise ResolverUnavailableError(str(how.explained(initiator, refused))) from error
            initiator = await how.renewed(initiator)
            response = await self._once_more(asked, how, initiator)
        await how.served(initiator)
        return response

    async def _once_more(self, asked: Asked, how: Renewing, initiator: Initiator) -> Response:
        """By a credential that was just made."""
        try:
            return await self._send(asked, initiator)
        except ResolverUnavailableError as error:
            if (refused := _failed_handshake(error)) is None:
                raise
            await how.failed(initiator, refused)
            raise ResolverUnavailableError(str(how.explained(initiator, refused))) from error

    async def _send(self, asked: Asked, initiator: Initiator) -> Response:
        use, former = self._use(initiator), self._former()
        use.under_way += 1
        try:
            for idle in former:
                await self._end(idle)
            return await use.client.send(asked)
        finally:
            use.under_way -= 1
            if use is not self._newest and not use.under_way:
                await self._end(use)

    def _use(self, initiator: Initiator) -> _Use:
        if self._newest is None or self._newest.initiator is not initiator:
            self._newest = _Use(initiator, _client(self._link, initiator))
            self._open.add(self._newest)
        return self._newest

    def _former(self) -> list[_Use]:
        return [use for use in self._open if use is not self._newest and not use.under_way]

    async def _end(self, use: _Use) -> None:
        self._open.discard(use)
        await use.client.close()

    async def close(self) -> None:
        for use in list(self._open):
            await self._end(use)


def _failed_handshake(error: BaseException) -> HandshakeError | None:
    """The handshake that failed, where that is why a peer cannot be asked."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HandshakeError):
        cause = cause.__cause__
    return cause


_CLIENTS: Final[Mapping[Binding, Callable[[Link, Initiator], RequestClient]]] = {
    Binding.HTTP: HttpClient,
    Binding.COAP: CoapClient,
    Binding.WEBSOCKET: WebSocketClient,
}


def _client(link: Link, initiator: Initiator) -> RequestClient:
    return _CLIENTS[link.carries_requests](link, initiator)


def request_client(link: Link, how: How) -> RequestClient:
    """A client of the peer behind this link, with the binding that the link names.

    Args:
        link: How to get there.
        how: How we prove ourselves, and to whom.
    """
    return _client(link, how) if isinstance(how, Initiator) else _LinkClient(link, how)


def expect(response: Response, *accepted: Rsc) -> Mapping[str, Any]:
    """The content of a response with an accepted status.

    Raises:
        PeerRefusedError: Any other status; the message carries the peer's own words.
    """
    if response.rsc not in accepted:
        told = (response.content or {}).get("m2m:dbg", "")
        raise PeerRefusedError(f"{response.rsc.name}: {str(told)[:200]}", rsc=int(response.rsc))
    return response.content or {}
