"""The transport of a TCP connection whose socket the poller watches.

It is what the event loop's own transport is to the protocol above, and calls as little of the system as it
can: the socket has no flags of its own, since each call says that it does not wait, and options are those of
the socket that listened. Nothing is asked of the poller before something happens that needs it: to stop
reading costs a call only if something comes meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from .poller import BROKEN, READABLE, WRITABLE, Poller

_READ_OCTETS: Final = 1 << 16
_HIGH_OCTETS: Final = 1 << 16
"""More than this waits to be sent: whoever writes is told to wait."""


class RawStream(asyncio.Transport):
    """A connected TCP socket."""

    __slots__ = (
        *("_socket", "_peer", "_poller", "_descriptor", "_loop", "_protocol"),
        *("_reads", "_has_eof", "_ends_writing", "_closing", "_lost"),
        *("_asked", "_buffer", "_high", "_low", "_is_full", "__weakref__"),
    )

    def __init__(self, connected: socket.socket, peer: Any, poller: Poller) -> None:  # noqa: ANN401 - as from accept
        """A connection that nobody watches yet."""
        super().__init__()
        self._socket, self._peer, self._poller = connected, peer, poller
        self._descriptor = connected.fileno()
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol | None = None
        self._reads, self._has_eof = True, False
        self._ends_writing = self._closing = self._lost = False
        self._asked: int | None = None
        self._buffer = bytearray()
        self._high, self._low, self._is_full = _HIGH_OCTETS, _HIGH_OCTETS // 4, False

    def begin(self, protocol: asyncio.Protocol) -> None:
        """Be this protocol's transport."""
        self._protocol = protocol
        protocol.connection_made(self)
        if not self._lost:
            self._asked = READABLE if self._reads else 0
            self._poller.watch(self._descriptor, self, self._asked)
            self._ask()

    # --- what the poller tells ------------------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """Octets came, or can be sent, or the connection is broken."""
        if self._lost:
            return
        if events & WRITABLE:
            self._flush()
        if events & BROKEN or (events & READABLE and self._reads):
            self._read()
        elif events & READABLE:
            self._ask()

    def failed(self, error: Exception) -> None:
        """The protocol made a mistake: the connection ends."""
        message = "a connection was not handled"
        self._loop.call_exception_handler({"message": message, "exception": error, "transport": self})
        self.abort()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_OCTETS, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not data:
            self._end_reading()
        elif self._protocol is not None and not self._closing:
            self._protocol.data_received(data)

    def _end_reading(self) -> None:
        """The peer sends nothing any more; the second time, it is because it hears nothing either."""
        if self._has_eof or self._closing or self._protocol is None:
            self._lose(None)
            return
        self._has_eof, self._reads = True, False
        if self._protocol.eof_received():
            self._ask()
        else:
            self.close()

    # --- the transport of a protocol ------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send at once what can be sent, and keep the rest."""
        if self._lost or self._ends_writing or self._closing or not data:
            return
        sent = 0
        if not self._buffer:
            sent = self._send(data)
        if sent < len(data) and not self._lost:
            self._buffer += memoryview(data)[sent:]
            self._ask()
            if len(self._buffer) > self._high and not self._is_full and self._protocol is not None:
                self._is_full = True
                self._protocol.pause_writing()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(error)
            return 0

    def _flush(self) -> None:
        del self._buffer[: self._send(self._buffer)]
        if self._is_full and len(self._buffer) <= self._low and self._protocol is not None:
            self._is_full = False
            self._protocol.resume_writing()
        if self._buffer or self._lost:
            return
        self._ask()
        if self._closing:
            self._lose(None)
        elif self._ends_writing:
            self._socket.shutdown(socket.SHUT_WR)

    def write_eof(self) -> None:
        """Close our direction once everything is sent.

        Raises:
            OSError: The peer is gone.
        """
        if not self._ends_writing:
            self._ends_writing = True
            if not self._buffer:
                self._socket.shutdown(socket.SHUT_WR)

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def close(self) -> None:
        """Close once everything is sent; nothing is read any more."""
        if self._closing:
            return
        self._closing, self._reads = True, False
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """Close at once."""
        self._closing, self._reads = True, False
        self._buffer.clear()
        self._lose(None)

    def is_closing(self) -> bool:
        """Is it closed, or about to be?"""
        return self._closing

    def pause_reading(self) -> None:
        """Read nothing until ``resume_reading``."""
        self._reads = False

    def resume_reading(self) -> None:
        """Go on reading."""
        if not self._reads and not self._closing and not self._has_eof:
            self._reads = True
            self._ask()

    def is_reading(self) -> bool:
        """Does it read?"""
        return self._reads

    def get_write_buffer_size(self) -> int:
        """Octets not yet sent."""
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is told to wait, and to go on."""
        self._high = _HIGH_OCTETS if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        assert self._protocol is not None  # noqa: S101 - from begin on
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        """``peername`` and ``sockname``."""
        if name == "peername":
            return self._peer
        return self._socket.getsockname() if name == "sockname" else default

    # --- inside ---------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Have the poller tell of what there is to be done, no more."""
        events = (READABLE if self._reads else 0) | (WRITABLE if self._buffer else 0)
        if self._asked is not None and not self._lost and events != self._asked:
            self._poller.change(self._descriptor, events)
            self._asked = events

    def _lose(self, error: OSError | None) -> None:
        """It is over: the protocol hears of it soon, in a turn of its own."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._reads = False
        if self._asked is not None:
            self._poller.forget(self._descriptor)
        self._loop.call_soon(self._gone, error)

    def _gone(self, error: OSError | None) -> None:
        protocol, self._protocol = self._protocol, None
        try:
            if protocol is not None:
                protocol.connection_lost(error)
        finally:
            self._socket.close()
