"""Ports and clients: what TLS with HTTP and WebSocket, and DTLS with CoAP, look like from above."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, Self

from ..errors import ConfigurationError, HandshakeError, PeerRefusedError
from ..extras import require
from ..frameworks.steps import Authorities, Established, How, Initiator, initiator_of
from ..onem2m.primitives import Response, Rsc
from ..tasks import GRACE_SECONDS, together
from .address import Address, Binding, Transport
from .binding import CarriedHandler, RequestHandler
from .channel import ChannelHandler, channel_protocol, datagram_channels
from .coap import CoapClient, CoapServer
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
        ConfigurationError: HTTP is served with the extra ``server`` only, by the uvicorn that it names.
    """
    open_sessions = OpenSessions(authorities, limits.quotas)
    handler = open_sessions.guard(handler)
    if transport is Transport.TLS:
        require("server")
        from .http import http_protocol  # noqa: PLC0415 - a device has no web server

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
        require("server")
        from .http import carried_http_protocol  # noqa: PLC0415 - a device has no web server

        return Listener(
            authorities, carried_http_protocol(handler, limits), limits, open_sessions=open_sessions
        )
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
        use, former = self._use(await initiator_of(self._how)), self._former()
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
