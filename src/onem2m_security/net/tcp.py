"""TLS over TCP: an asyncio shell around one sans-IO session.

``SecureTransport`` is the protocol of the TCP connection below and the transport of the application protocol
above, which sees the connection only once the handshake is over. On the accepting side the shell awaits the
resolver in the middle of the handshake, and what must be durable before the last flight leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from ..association import Association
from ..credentials import ResolvedKey
from ..errors import (
    ConfigurationError,
    HandshakeError,
    HandshakeTimeoutError,
    ResolverUnavailableError,
    SecurityFrameworkError,
)
from ..frameworks.base import Acceptor, Authorities, Established, Initiator
from ..identifiers import shown
from ..telemetry import HANDSHAKES, LOG
from ..tls.alerts import describe
from ..tls.session import DataReceived, Event, HandshakeCompleted, PskIdentityOffered, Session, SessionEnded
from ..tls.suites import Suite
from .address import Address
from .limits import HalfOpen, Limits

ProtocolFactory = Callable[[Established], asyncio.Protocol]


class SecureTransport(asyncio.Protocol, asyncio.Transport):
    """One secured TCP connection, at either end.

    Attributes:
        session: The sans-IO session.
        handshake: Done with what the handshake established, or with the error that ended it.
    """

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
        self.session = session
        self._loop = asyncio.get_running_loop()
        self.handshake: asyncio.Future[Established] = self._loop.create_future()
        self._make_upper = make_upper
        self._limits = limits
        self._initiator = initiator
        self._listener = listener
        self._resolved: ResolvedKey | None = None
        self._lower: asyncio.Transport | None = None
        self._upper: asyncio.Protocol | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._active = 0.0
        self._reading = True
        self._writing_paused = False
        self._closing = False

    # --- the protocol of the TCP connection -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up: the handshake begins."""
        self._lower = cast("asyncio.Transport", transport)
        self._timer = self._loop.call_later(self._limits.handshake_seconds, self._handshake_expired)
        if self._listener is not None:
            self._listener.entered(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Octets from the peer."""
        self._active = self._loop.time()
        self._handle(self.session.receive(data))

    def eof_received(self) -> bool:
        """The peer closed its direction."""
        self._handle(self.session.connection_lost())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down."""
        del exc
        self._handle(self.session.connection_lost())
        self._finish()

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
        if data and not self._closing:
            self._active = self._loop.time()
            self.session.send(bytes(data))
            self._flush()

    def is_closing(self) -> bool:
        """Has it been closed, or is it about to be?"""
        return self._closing

    def close(self) -> None:
        """Say close_notify, send what is buffered, and close."""
        if self._closing:
            return
        self._closing = True
        self.session.close()
        self._flush()
        if self._lower is not None:
            self._lower.close()

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
        if self._lower is not None:
            self._lower.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._reading = True
        if self._lower is not None and not self._closing:
            self._lower.resume_reading()

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

    # --- the handshake and what follows -------------------------------------------------------------------

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case PskIdentityOffered(identity, suite):
                    self._await(self._resolve(identity, suite))
                case HandshakeCompleted() if self._initiator is not None:
                    self._established(self._initiator.establish(self.session))
                case HandshakeCompleted():
                    self._await(self._commit())
                case DataReceived(data) if self._upper is not None:
                    self._upper.data_received(data)
                case SessionEnded(error):
                    self._ended(error)
                case _:
                    pass
        self._flush()

    def _await(self, step: Any) -> None:  # noqa: ANN401 - a coroutine
        """Do a step of the handshake that takes time; nothing is read meanwhile."""
        if self._lower is not None:
            self._lower.pause_reading()
        self._task = self._loop.create_task(step)
        self._task.add_done_callback(self._step_done)

    def _step_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            LOG.error("handshake step failed", error=repr(task.exception()), peer=self._peer)
            self._handle(self.session.abort("internal_error"))
        if self._lower is not None and self._reading and not self._closing:
            self._lower.resume_reading()

    async def _resolve(self, identity: bytes, suite: Suite) -> None:
        try:
            self._resolved = await self._acceptor.resolver.resolve(identity, suite)
        except SecurityFrameworkError as error:
            self._refuse("the key for an identity could not be found", error, identity=shown(identity))
            return
        if self._resolved is None:
            LOG.info("unknown identity", identity=shown(identity), peer=self._peer)
        events = self.session.answer(None if self._resolved is None else self._resolved.key)
        if events and isinstance(events[0], HandshakeCompleted):
            await self._commit()
        else:
            self._handle(events)

    async def _commit(self) -> None:
        """Make durable what the framework exports; only then may the last flight leave."""
        acceptor = self._acceptor
        try:
            established = acceptor.establish(self.session, self._resolved)
            await acceptor.established(established)
        except SecurityFrameworkError as error:
            self._refuse("the handshake could not be made durable", error)
            return
        events = self.session.release()
        self._flush()
        self._established(established)
        self._handle(events)

    def _refuse(self, what: str, error: SecurityFrameworkError, **details: str) -> None:
        unavailable = isinstance(error, ResolverUnavailableError)
        LOG.warning(what, error=str(error), unavailable=unavailable, peer=self._peer, **details)
        self._handle(self.session.abort("internal_error"))

    def _established(self, established: Established) -> None:
        self._handshake_over()
        self._log_result(established.association, None)
        if not self.handshake.done():
            self.handshake.set_result(established)
        self._active = self._loop.time()
        self._watch_idleness()
        self._upper = self._make_upper(established)
        self._upper.connection_made(self)
        if self._writing_paused:
            self._upper.pause_writing()

    def _ended(self, error: HandshakeError | None) -> None:
        if not self.handshake.done():
            failure = error or HandshakeError("the peer closed the connection during the handshake")
            self._log_result(None, failure)
            self.handshake.set_exception(failure)
            self.handshake.exception()  # whoever awaits it hears of it; nobody has to
        self._flush()
        self._closing = True
        if self._lower is not None:
            self._lower.close()

    def _handshake_expired(self) -> None:
        message = f"no complete handshake within {self._limits.handshake_seconds:g} s"
        if not self.handshake.done():
            self.handshake.set_exception(HandshakeTimeoutError(message, alert="internal_error"))
            self.handshake.exception()
            self._log_result(None, HandshakeError(message))
        if self._task is not None:
            self._task.cancel()
        self._handle(self.session.abort("internal_error"))

    def drop_half_open(self) -> None:
        """End an unfinished handshake, to make room for another."""
        self._handle(self.session.abort("internal_error"))
        self.abort()

    def _handshake_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.half_open.leave(self)

    def _watch_idleness(self) -> None:
        left = self._active + self._limits.idle_seconds - self._loop.time()
        if left <= 0:
            self.close()
        elif not self._closing:
            self._timer = self._loop.call_later(left, self._watch_idleness)

    def _finish(self) -> None:
        self._closing = True
        self._handshake_over()
        if self._task is not None:
            self._task.cancel()
        if self._listener is not None:
            self._listener.left(self)
        upper, self._upper = self._upper, None
        if upper is not None:
            upper.connection_lost(None)

    def _flush(self) -> None:
        data = self.session.data_to_send()
        if data and self._lower is not None and not self._lower.is_closing():
            self._lower.write(data)

    @property
    def _acceptor(self) -> Acceptor:
        assert self._listener is not None  # noqa: S101 - only a listener's sessions wait for an acceptor
        return self._listener.authorities.acceptor(self.session)

    @property
    def _peer(self) -> str:
        return address_of(self._lower)

    def _log_result(self, association: Association | None, failure: HandshakeError | None) -> None:
        local = self._initiator.local if self._initiator else self._acceptor.local
        if association is not None:
            framework = association.framework.value
            HANDSHAKES.labels(str(local), framework, "established").inc()
            LOG.info("associated", peer=str(association.peer), local=str(local), framework=framework)
        elif failure is not None:
            HANDSHAKES.labels(str(local), "", failure.alert or "failed").inc()
            LOG.info(
                "handshake failed", peer=self._peer, local=str(local), error=str(failure), alert=failure.alert
            )


def address_of(transport: asyncio.BaseTransport | None) -> str:
    """The peer's IP address and port, for a log line."""
    peer = None if transport is None else transport.get_extra_info("peername")
    return "unknown" if not peer else f"{peer[0]}:{peer[1]}"


class Listener:
    """A TCP port on which TLS clients are accepted.

    Attributes:
        authorities: Who is served here.
        half_open: The unfinished handshakes.
    """

    def __init__(self, authorities: Authorities, make_upper: ProtocolFactory, limits: Limits) -> None:
        self.authorities = authorities
        self.half_open = HalfOpen(limits)
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
        address = address_of(connection).rpartition(":")[0]
        self.half_open.enter(connection, address, connection.drop_half_open)

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
    initiator: Initiator,
    address: Address,
    make_upper: ProtocolFactory,
    *,
    limits: Limits | None = None,
) -> tuple[SecureTransport, Established]:
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
    try:
        return transport, await transport.handshake
    except HandshakeError as error:
        transport.abort()
        told = "" if error.alert is None or error.alert in str(error) else f" [{describe(error.alert)}]"
        raise type(error)(f"{initiator.peer} at {address}: {error}{told}", alert=error.alert) from None
    except asyncio.CancelledError:
        transport.abort()
        raise
