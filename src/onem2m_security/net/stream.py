"""TCP connections and ports: what TLS and plain HTTP (Ub) have in common.

A connection ends in bounded time, whatever its peer does. First our last words leave, and our direction is
closed; then what the peer still sends is read and thrown away until it closes too, since a socket closed with
unread octets resets the connection, and the reset destroys an alert or an answer that the peer has not read
yet. Time, octets and the number of such connections are bounded; beyond that the connection is cut off.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from typing import Any, Final, cast

from ..errors import ConfigurationError
from ..tasks import GRACE_SECONDS, Stopped, Tasks
from .address import Address
from .limits import HalfOpen, Limits
from .listening import Closable, listen
from .wheel import Wheel

DISCARDED_OCTETS: Final = 1 << 18
"""How much of what a peer sends after our end is read and thrown away."""


class StreamTransport(asyncio.Protocol, asyncio.Transport):
    """One TCP connection: the protocol of its socket, and the transport of the application on top.

    As it is, octets pass unchanged between the two; TLS overrides what makes the difference.
    """

    def __init__(self, limits: Limits, port: StreamPort | None = None) -> None:
        """A connection that is about to be made.

        Args:
            limits: Bounds on time.
            port: On the accepting side: where the peer came in.
        """
        asyncio.Transport.__init__(self)
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self._stream_port = port
        self._lower: asyncio.Transport | None = None
        self._upper: asyncio.Protocol | None = None
        self._writing_paused = False
        self._closing = False
        self._discarded_octets = 0
        self._patience: asyncio.TimerHandle | None = None
        self._address: Address | None = None
        self._gone = asyncio.Event()

    # --- the protocol of the socket -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        self._lower = cast("asyncio.Transport", transport)
        if self._stream_port is None or self._stream_port.entered(self):
            self.opened()

    def data_received(self, data: bytes) -> None:
        """Octets from the peer."""
        if not self._closing:
            self.received(data)
            return
        self._discarded_octets += len(data)
        if self._discarded_octets > DISCARDED_OCTETS:
            self.abort()

    def eof_received(self) -> bool:
        """The peer closed its direction."""
        self.ended_by_peer()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is down."""
        del exc
        self._closing = True
        self._be_patient(None)
        self.lost()
        if self._stream_port is not None:
            self._stream_port.left(self)
        self._leave_upper()
        self._gone.set()

    def pause_writing(self) -> None:
        """The peer reads slowly: tell the application. Whoever reads nothing at all is cut off in time."""
        self._writing_paused = True
        if not self._closing:
            self._be_patient(self.limits.idle_seconds)
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writing_paused = False
        if not self._closing:
            self._be_patient(None)
        if self._upper is not None:
            self._upper.resume_writing()

    # --- the transport of the application -------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        """What TCP knows."""
        return default if self._lower is None else self._lower.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data."""
        self.write_lower(bytes(data))

    def is_closing(self) -> bool:
        """Has it been closed, or is it about to be?"""
        return self._closing

    def close(self) -> None:
        """Send what is buffered, and close in bounded time."""
        self.shut()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        if self._lower is not None:
            self._lower.abort()

    def pause_reading(self) -> None:
        """Let the peer wait."""
        if self._lower is not None and not self._closing:
            self._lower.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
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
        """No application of ours closes one direction and goes on reading."""
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Put another protocol on top."""
        self._upper = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol on top."""
        return self._upper or self

    # --- what TLS does otherwise ----------------------------------------------------------------------------

    def opened(self) -> None:
        """TCP is up: bring up the application."""
        if self._upper is not None:
            self._upper.connection_made(self)

    def received(self, data: bytes) -> None:
        """Octets from the peer, before the end."""
        if self._upper is not None:
            self._upper.data_received(data)

    def ended_by_peer(self) -> None:
        """Nothing more will come from the peer."""
        self.shut()

    def lost(self) -> None:
        """Nothing carries the connection any more."""

    def drop(self) -> None:
        """Make room for another connection: this one has no session."""
        self.abort()

    def wind_up(self) -> None:
        """The port stops: finish what is under way, and close."""
        shutdown = getattr(self._upper, "shutdown", None)
        if shutdown is not None:
            shutdown()

    @property
    def has_last_words(self) -> bool:
        """Was something said that must reach the peer, or does nobody miss it?"""
        return True

    # --- the end --------------------------------------------------------------------------------------------

    def write_lower(self, data: bytes) -> None:
        """Give octets to TCP, until the end has begun."""
        if not self._closing and self._lower is not None and not self._lower.is_closing():
            self._lower.write(data)

    def shut(self) -> None:
        """Close TCP once what was written has left, and in ``close_seconds`` in any case."""
        if self._closing:
            return
        self._closing = True
        self.loop.call_soon(self._leave_upper)
        lower = self._lower
        if lower is None or lower.is_closing():
            return
        has_last_words = self.has_last_words
        if has_last_words or lower.get_write_buffer_size():
            self._be_patient(self.limits.close_seconds)
            if self._stream_port is not None:
                self._stream_port.ending(self)
        if has_last_words:
            self._half_close(lower)
        else:
            lower.close()

    def _leave_upper(self) -> None:
        """The application hears of the end at once: neither it nor its peer gets anything more."""
        upper, self._upper = self._upper, None
        if upper is not None:
            upper.connection_lost(None)

    def _half_close(self, lower: asyncio.Transport) -> None:
        try:
            lower.write_eof()
        except OSError:  # the peer is gone already
            lower.abort()
        else:
            lower.resume_reading()

    def _be_patient(self, seconds: float | None) -> None:
        """Cut the connection off after so many seconds, unless something else is said before."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None if seconds is None else self.loop.call_later(seconds, self.abort)

    async def wait_gone(self) -> None:
        """Wait until nothing is left of the connection; once it was closed that takes bounded time."""
        await self._gone.wait()

    @property
    def address(self) -> Address:
        """The peer's host and port."""
        if self._address is None:
            peer = self.get_extra_info("peername")
            if not peer:
                return Address("unknown", 0)
            self._address = Address(peer[0], peer[1])
        return self._address


class StreamPort(Stopped):
    """A TCP port.

    Attributes:
        half_open: The connections that have no session: not yet, or not any more.
        tasks: What runs for the peers.
        wheel: The deadlines of handshakes and sessions.
    """

    def __init__(self, limits: Limits) -> None:
        """A port with these bounds on number and time."""
        self.half_open = HalfOpen(limits)
        self.tasks = Tasks()
        self.wheel = Wheel()
        self._limits = limits
        self._connections: set[StreamTransport] = set()
        self._server: Closable | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @abc.abstractmethod
    def accept(self) -> StreamTransport:
        """A transport for the next peer."""

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        try:
            self._server, bound = await listen(self.accept, address, self._limits.backlog)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {address}: {error.strerror or error}") from error
        return bound

    def entered(self, connection: StreamTransport) -> bool:
        """A peer connected; whether there is a place for it. Those that have no session make room."""
        if len(self._connections) >= self._limits.connections and not self.half_open.make_room():
            connection.abort()
            return False
        self._connections.add(connection)
        self._empty.clear()
        self.half_open.enter(connection, connection.address.host, connection.drop)
        return True

    def ending(self, connection: StreamTransport) -> None:
        """The end of a connection has begun."""
        self.half_open.enter(connection, connection.address.host, connection.drop)

    def left(self, connection: StreamTransport) -> None:
        """A peer is gone."""
        self.half_open.leave(connection)
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    @property
    def connections(self) -> int:
        """Peers connected now."""
        return len(self._connections)

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Accept nobody more, let what is under way finish within the grace period (seconds), then end it."""
        if self._server is None:
            return
        self._server.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        for connection in list(self._connections):
            connection.wind_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._empty.wait()
        for connection in list(self._connections):
            connection.abort()
        await self.tasks.stop(deadline - loop.time())
