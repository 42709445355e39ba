"""Are the bounds on HTTP held by the parser that is installed? It is tried before any port is opened.

They hang on what the parser calls and when, which is its own affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import httptools

from ..errors import ConfigurationError
from .http_messages import HttpRequest, HttpResponse
from .http_server import MAX_PIPELINED, HttpProtocol
from .limits import Limits

_TRIED: Final = Limits(head_octets=2048, body_octets=2048)
_ENDLESS_OCTETS: Final = 4 * _TRIED.head_octets
_CHUNKED: Final = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
_WHOLE: Final = b"POST / HTTP/1.1\r\nContent-Length: 2048\r\nX: %b\r\n\r\n" % (b"y" * 2002) + bytes(2048)
_OPENING: Final = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
_MUST_BE_CUT_OFF: Final = {
    "a head without end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (_ENDLESS_OCTETS // 6),
    "a header without end": b"GET / HTTP/1.1\r\nX: " + b"y" * _ENDLESS_OCTETS,
    "a request line without end": b"GET /" + b"y" * _ENDLESS_OCTETS,
    "blank lines without end": b"\r\n" * (_ENDLESS_OCTETS // 2),
    "trailers without end": _CHUNKED + b"0\r\n" + b"X: y\r\n" * (_ENDLESS_OCTETS // 6),
    "chunk extensions without end": _CHUNKED + b"1;x=y\r\nz\r\n" * (_ENDLESS_OCTETS // 8),
    "requests without end": b"GET / HTTP/1.1\r\n\r\n" * (2 * MAX_PIPELINED),
}
_MUST_BE_REFUSED: Final = {
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "a length beside chunks": _CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"0\r\n\r\n",
    "another transfer encoding": _CHUNKED.replace(b"chunked", b"chunked, gzip") + b"0\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nX y\r\n\r\n",
    "a space before a colon": b"GET / HTTP/1.1\r\nX : y\r\n\r\n",
}


class _Memory(asyncio.Transport):
    """A connection without a peer: it only remembers what was written, and that it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._ended = False
        self._protocol: asyncio.BaseProtocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def is_closing(self) -> bool:
        return self._ended

    def close(self) -> None:
        self._ended = True

    def abort(self) -> None:
        self._ended = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None  # noqa: S101 - it is set before anything comes
        return self._protocol


class _Takes(asyncio.Protocol):
    """In the place of WebSocket: keeps what it is given."""

    def __init__(self) -> None:
        self.given = b""

    def data_received(self, data: bytes) -> None:
        self.given += data


@dataclass(slots=True)
class _Tried:
    """What came of some octets on a connection of their own.

    Attributes:
        is_over: The connection is.
        written: What was said to the peer at once.
        requests: Those that would be answered.
        taken: What took the connection over.
    """

    is_over: bool = False
    written: bytes = field(default=b"", repr=False)
    requests: list[HttpRequest] = field(default_factory=list)
    taken: list[_Takes] = field(default_factory=list)


def check_bounds() -> None:
    """Make sure, in a running event loop, that the bounds hold with the httptools that is installed.

    Raises:
        ConfigurationError: One of them does not, or refuses what it must not.
    """
    for what, octets in _MUST_BE_CUT_OFF.items():
        if not _try(octets).is_over:
            raise _moved(f"cut off {what}")
    for what, octets in _MUST_BE_REFUSED.items():
        if not _try(octets).written.startswith(b"HTTP/1.1 400 "):
            raise _moved(f"refuse {what}")
    long = _try(_WHOLE.replace(b"2048", b"8192", 1) + bytes(6144))
    if [one.body for one in long.requests] != [None]:
        raise _moved("refuse a body that is too long")
    full = _try(_WHOLE * 4)
    if full.is_over or [one.body for one in full.requests] != [bytes(2048)] * 4:
        raise _moved("take four requests of the greatest length in turn")
    opened = _try(_OPENING)
    if opened.is_over or [one.given.partition(b"\r\n")[0] for one in opened.taken] != [b"GET / HTTP/1.1"]:
        raise _moved("hand a connection over to WebSocket")
    early = _try(b"GET / HTTP/1.1\r\n\r\n" + _OPENING)
    if not early.is_over or early.taken:
        raise _moved("keep WebSocket from an answer that is due")


def _try(octets: bytes) -> _Tried:
    tried, transport = _Tried(), _Memory()
    begun: list[Coroutine[Any, Any, None]] = []

    async def answer(request: HttpRequest) -> HttpResponse:
        tried.requests.append(request)
        return HttpResponse(200)

    def over() -> _Takes:
        tried.taken.append(_Takes())
        return tried.taken[-1]

    protocol = HttpProtocol(answer, _TRIED, begun.append, over)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    protocol.data_received(octets)
    tried.is_over, tried.written = transport.is_closing(), transport.written
    for work in begun:  # nothing that it does takes time
        if tried.is_over:
            work.close()
        else:
            _finish(work)
    protocol.connection_lost(None)
    return tried


def _finish(work: Coroutine[Any, Any, None]) -> None:
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()


def _moved(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the installed httptools {httptools.__version__} does not {what}: "
        "install a version within the bounds of this package's dependencies"
    )
