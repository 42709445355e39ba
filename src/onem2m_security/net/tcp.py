"""TLS over TCP.

``SecureTransport`` is the protocol of the TCP connection below and the transport of the application protocol
above, which sees the connection only once the handshake is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from ..errors import ConfigurationError, HandshakeError, HandshakeTimeoutError
from ..frameworks.base import Authorities, Established, Initiator
from ..tls.session import Session
from .address import Address
from .connection import SecureConnection, completed
from .limits import HalfOpen, Limits
from .open_sessions import OpenSessions

ProtocolFactory = Callable[[Established], asyncio.Protocol]


class SecureTransport(SecureConnection, asyncio.Protocol, asyncio.Transport):
    """One secured TCP connection, at either end."""

    def __init__(
        self,
        session: Session,
        make_upper: ProtocolFactory,
        limits: Limits,
        *,
        initiator: Initiator | None = None,
        listener: Listener | None = None,
    ) -> None:
        asyncio.Transport.__init__(self)
        SecureConnection.__init__(self, session, limits, initiator=initiator, port=listener)
        self._make_upper = make_upper
        self._listener = listener
        self._lower: asyncio.Transport | None = None
        self._upper: asyncio.Protocol | None = None
        self._reading = True
        self._held = False
        self._writing_paused = False
        self._closing = False

    # --- the protocol of the TCP connection -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up: the handshake begins."""
        self._lower = cast("asyncio.Transport", transport)
        if self._listener is not None:
            self._listener.entered(self)
        self.begin()

    def data_received(self, data: bytes) -> None:
        """Octets from the peer."""
        self.touch()
        self.handle(self.session.receive(data))

    def eof_received(self) -> bool:
        """The peer closed its direction."""
        self.handle(self.session.connection_lost())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down."""
        del exc
        self.handle(self.session.connection_lost())
        self._closing = True
        self.finish()
        if self._listener is not None:
            self._listener.left(self)
        upper, self._upper = self._upper, None
        if upper is not None:
            upper.connection_lost(None)

    def pause_writing(self) -> None:
        """The peer reads slowly: tell the application."""
        self._writing_paused = True
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writing_paused = False
        if self._upper is not None:
            self._upper.resume_writing()

    # --- the transport of the application ---------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        """``established``, ``association``, ``sslcontext`` (true: it is secured), or what TCP knows."""
        if name in {"established", "association", "sslcontext"}:
            if not self.handshake.done() or self.handshake.exception() is not None:
                return default
            established = self.handshake.result()
            return {"established": established, "association": established.association}.get(name, True)
        return default if self._lower is None else self._lower.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send application data."""
        if data and not self._closing and not self.has_ended():
            self.touch()
            self.session.send(bytes(data))
            self.flush()

    def is_closing(self) -> bool:
        """Has it been closed, or is it about to be?"""
        return self._closing

    def close(self) -> None:
        """Say close_notify, send what is buffered, and close."""
        if not self._closing:
            self.session.close()
            self.flush()
            self.shut()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        if self._lower is not None:
            self._lower.abort()

    def is_reading(self) -> bool:
        """Does application data flow in?"""
        return self._reading

    def pause_reading(self) -> None:
        """Let the peer wait."""
        self._reading = False
        self._apply_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._reading = True
        self._apply_reading()

    def get_write_buffer_size(self) -> int:
        """Octets not yet sent."""
        return 0 if self._lower is None else self._lower.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As for TCP."""
        if self._lower is not None:
            self._lower.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """TLS 1.2 has no half-closed state."""
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Put another protocol on top."""
        self._upper = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol on top."""
        return self._upper or self

    # --- what TCP supplies to the connection ----------------------------------------------------------------

    def flush(self) -> None:
        """Send what the session has to send."""
        data = self.session.data_to_send()
        if data and self._lower is not None and not self._lower.is_closing():
            self._lower.write(data)

    def hold_reading(self, *, hold: bool) -> None:
        """Stop or go on reading during a step of the handshake."""
        self._held = hold
        self._apply_reading()

    def _apply_reading(self) -> None:
        if self._lower is None or self._closing:
            return
        if self._reading and not self._held:
            self._lower.resume_reading()
        else:
            self._lower.pause_reading()

    def shut(self) -> None:
        """Close TCP once what was written has left."""
        self._closing = True
        if self._lower is not None:
            self._lower.close()

    def begin_application(self, established: Established) -> None:
        """Bring up the application's protocol."""
        self._upper = self._make_upper(established)
        self._upper.connection_made(self)
        if self._writing_paused:
            self._upper.pause_writing()

    def deliver(self, data: bytes) -> None:
        """Application data."""
        if self._upper is not None:
            self._upper.data_received(data)

    def drop_half_open(self) -> None:
        """End an unfinished handshake at once."""
        super().drop_half_open()
        self.abort()

    @property
    def peer_address(self) -> str:
        """The peer's address and port."""
        return str(address_of(self._lower))


def address_of(transport: asyncio.BaseTransport | None) -> Address:
    """The peer of a transport."""
    peer = None if transport is None else transport.get_extra_info("peername")
    return Address(peer[0], peer[1]) if peer else Address("unknown", 0)


class Listener:
    """A TCP port on which TLS clients are accepted.

    Attributes:
        authorities: Who is served here.
        half_open: The unfinished handshakes.
        open_sessions: The established sessions.
    """

    def __init__(
        self,
        authorities: Authorities,
        make_upper: ProtocolFactory,
        limits: Limits,
        *,
        open_sessions: OpenSessions | None = None,
    ) -> None:
        self.authorities = authorities
        self.half_open = HalfOpen(limits)
        self.open_sessions = open_sessions or OpenSessions(authorities, limits.quotas)
        self._make_upper = make_upper
        self._limits = limits
        self._connections: set[SecureTransport] = set()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self, address: Address, *, backlog: int = 2048) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, address.host, address.port, backlog=backlog)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {address}: {error.strerror or error}") from error
        self.open_sessions.start()
        name = self._server.sockets[0].getsockname()
        return Address(name[0], name[1])

    def _accept(self) -> asyncio.Protocol:
        return SecureTransport(self.authorities.session(), self._make_upper, self._limits, listener=self)

    def entered(self, connection: SecureTransport) -> None:
        """A client connected."""
        if len(self._connections) >= self._limits.connections:
            connection.abort()
            return
        self._connections.add(connection)
        self._empty.clear()
        host = address_of(connection).host
        self.half_open.enter(connection, host, connection.drop_half_open)

    def left(self, connection: SecureTransport) -> None:
        """A client is gone."""
        self.half_open.leave(connection)
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._connections)

    async def stop(self, *, grace: float = 5.0) -> None:
        """Accept nobody more, let what is under way finish within the grace period (seconds), then close."""
        if self._server is None:
            return
        self._server.close()
        await self.open_sessions.stop()
        for connection in list(self._connections):
            shutdown = getattr(connection.get_protocol(), "shutdown", None)
            if shutdown is not None:
                shutdown()
            elif connection.handshake.done():
                connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._empty.wait()
        for connection in list(self._connections):
            connection.abort()


async def open_transport(
    initiator: Initiator, address: Address, make_upper: ProtocolFactory, *, limits: Limits | None = None
) -> SecureTransport:
    """Connect and complete the handshake as an initiator.

    Raises:
        HandshakeError: The peer cannot be reached, or the handshake failed.
    """
    limits = limits or Limits()
    loop = asyncio.get_running_loop()
    session = initiator.session(address.host)
    try:
        async with asyncio.timeout(limits.handshake_seconds):
            _, transport = await loop.create_connection(
                lambda: SecureTransport(session, make_upper, limits, initiator=initiator),
                address.host,
                address.port,
            )
    except TimeoutError:
        raise HandshakeTimeoutError(
            f"{address} did not answer within {limits.handshake_seconds:g} s"
        ) from None
    except OSError as error:
        raise HandshakeError(f"{address} cannot be reached: {error.strerror or error}") from error
    await completed(transport, initiator, address)
    return transport
