"""HTTP/1.1 on the accepting side: uvicorn's protocol class, with the bounds that it lacks.

uvicorn collects whatever a peer sends: a head and trailers of any length, chunk extensions, pipelined
requests, a body that nobody reads. The bounds hang on its callbacks and attributes, which are its own affair;
so ``check_bounds`` tries them with messages that must be refused before any port is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ..errors import ConfigurationError
from ..telemetry import LOG
from .address import Address
from .limits import Limits

MAX_PIPELINED: Final = 16
"""Requests of one connection that wait for the answer to an earlier one; whoever sends more is cut off."""

Upgraded = Callable[..., asyncio.Protocol]
"""What uvicorn calls for WebSocket, with ``config``, ``server_state`` and ``app_state``."""

_PIECE_OCTETS: Final = 1024
"""The parser does not tell where in its input a message ended: so it gets no more than this at once."""

_HEAD_TOO_LONG: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 on one connection, bounded in every part of a message and in time.

    Whatever is not body (request line, header, chunk sizes and extensions, trailers, blank lines before the
    head) counts against ``head_octets`` together. Beyond it an over-long head is answered with 431, and
    anything else by cutting the connection. A body is handed on up to the piece that exceeds
    ``body_octets``; the application is to refuse it, and its answer ends the connection. From its first octet
    on, the first one from the beginning of the connection, a request has ``handshake_seconds``.
    """

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], *, limits: Limits
    ) -> None:
        """Serve one connection.

        Args:
            config: uvicorn's, as ``http_config`` makes it.
            state: uvicorn's, shared by all connections of a port.
            app_state: What the application finds in the state of each request.
            limits: Bounds on sizes and time.
        """
        super().__init__(config, state, app_state)
        self.logger = LOG.logger.getChild("http")
        self.limits = limits
        self._in_body = self._is_handed_over = False
        self._message_begun = self._message_ended = False
        self._head_octets = 0
        self._body_octets = 0
        self._piece_body_octets = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is up, and a request is due."""
        super().connection_made(transport)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Octets of the peer, given to the parser as far as the bounds allow."""
        at = 0
        while at < len(data) and not self.transport.is_closing():
            octets = self._next_piece_octets()
            if not octets:
                self._refuse()
                return
            self._take(data[at : at + octets])
            at += octets
            if self._is_handed_over:
                if at < len(data):  # it may not speak before its opening handshake is answered (RFC 6455 4.1)
                    self._cut_off("WebSocket frames before the answer")
                return

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to WebSocket: alone, since an answer that is due would be lost in it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._cut_off("WebSocket before an answer")
            return
        super().handle_websocket_upgrade()
        self._is_handed_over = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def _next_piece_octets(self) -> int:
        """How much the parser may have now: never more of a head than is left to it."""
        left = self.limits.head_octets - self._head_octets
        if left <= 0:
            return _PIECE_OCTETS if self._in_body else 0
        return min(left, _PIECE_OCTETS)

    def _take(self, piece: bytes) -> None:
        self._start_deadline()
        self._message_ended, self._piece_body_octets = False, 0
        super().data_received(piece)
        head_octets = len(piece) - self._piece_body_octets
        if self._head_octets + head_octets > self.limits.head_octets and not self.transport.is_closing():
            self._refuse()
        elif not self._message_ended:
            self._head_octets += head_octets
        else:  # where in the piece it ended is not known: one that began after it is charged with all
            self._head_octets = head_octets if self._message_begun else 0

    def _refuse(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and not self._in_body:
            self.transport.write(_HEAD_TOO_LONG)
            self.transport.close()
        self._cut_off("head or trailers too long")

    def _cut_off(self, reason: str) -> None:
        if self.client is not None:
            LOG.info("HTTP message cut off", reason=reason, peer=str(Address(*self.client)))
        if not self.transport.is_closing():
            self.transport.abort()

    # --- what the parser finds ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._message_begun = True
        self._start_deadline()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._in_body = True
        super().on_headers_complete()
        if len(self.pipeline) > MAX_PIPELINED and not self.transport.is_closing():
            self._cut_off("too many requests at once")

    def on_body(self, body: bytes) -> None:
        """A part of a body: handed on, until it is too long and the application has seen that it is."""
        self._piece_body_octets += len(body)
        if self._is_body_too_long:
            return
        self._body_octets += len(body)
        super().on_body(body)
        if self._is_body_too_long and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif self._is_body_too_long:
            self.transport.close()

    def on_message_complete(self) -> None:
        """A request is complete, unless its body was too long: a part must not pass for the whole."""
        self._message_begun, self._message_ended, self._in_body = False, True, False
        if not self._is_body_too_long:
            self._body_octets = 0
            self._cancel_deadline()
            super().on_message_complete()

    @property
    def _is_body_too_long(self) -> bool:
        return self._body_octets > self.limits.body_octets

    # --- time -----------------------------------------------------------------------------------------------

    def _start_deadline(self) -> None:
        if self._deadline is None:
            seconds = self.limits.handshake_seconds
            self._deadline = self.loop.call_later(seconds, self._cut_off, "not complete in time")

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def http_config(app: ASGIApp, limits: Limits, upgraded: Upgraded | None = None) -> Config:
    """Configure uvicorn for an application on a port of ours.

    Args:
        app: Answers requests.
        limits: Bounds on sizes and time.
        upgraded: Makes what takes over a connection on which WebSocket is asked for; None for nothing.
    """
    config = Config(
        app,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        proxy_headers=False,
        timeout_keep_alive=max(1, int(limits.idle_seconds)),
    )
    config.load()
    config.ws_protocol_class = cast("type[asyncio.Protocol] | None", upgraded)
    return config


# --- are the bounds still held? -----------------------------------------------------------------------------


class _Memory(asyncio.Transport):
    """A connection without a peer: it only remembers that it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

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
        """Nothing comes for it."""


class _Takes(asyncio.Protocol):
    """In the place of WebSocket: keeps what it is given."""

    def __init__(self) -> None:
        self.given = b""

    def data_received(self, data: bytes) -> None:
        self.given += data


_TRIED: Final = Limits(head_octets=2048, body_octets=2048)
_ENDLESS_OCTETS: Final = 4 * _TRIED.head_octets
_CHUNKED: Final = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
_WHOLE: Final = b"POST / HTTP/1.1\r\nContent-Length: 2048\r\n\r\n" + bytes(2048)
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


def check_bounds(protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol) -> None:
    """Make sure, in a running event loop, that the bounds hold with the uvicorn that is installed.

    Raises:
        ConfigurationError: One of them does not, or refuses what it must not.
    """

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        """No request is answered: the tasks that would are cancelled before they begin."""

    config = http_config(nothing, _TRIED)
    try:
        for what, octets in _MUST_BE_CUT_OFF.items():
            is_over, _ = _try(protocol, config, octets)
            if not is_over:
                raise _moved(f"cut off {what}")
        _, long = _try(protocol, config, _WHOLE.replace(b"2048", b"8192", 1) + bytes(6144))
        if len(long.body) > _TRIED.body_octets + _PIECE_OCTETS or long.keep_alive:
            raise _moved("refuse a body that is too long")
        is_over, last = _try(protocol, config, _WHOLE * 4)
        if is_over or len(last.body) != 2048 or not last.keep_alive:
            raise _moved("take four short requests in turn")
        _try_to_hand_over(protocol, nothing)
    except (AttributeError, TypeError) as error:
        raise _moved(f"have the parts that bounds are built on ({error})") from error


def _try_to_hand_over(protocol: type[BoundedHttpProtocol], app: ASGIApp) -> None:
    taken: list[_Takes] = []

    def take(**_: object) -> _Takes:
        taken.append(_Takes())
        return taken[-1]

    config = http_config(app, _TRIED, take)
    is_over, _ = _try(protocol, config, _OPENING)
    if is_over or [one.given.partition(b"\r\n")[0] for one in taken] != [b"GET / HTTP/1.1"]:
        raise _moved("hand a connection over to WebSocket")
    is_over, _ = _try(protocol, config, b"GET / HTTP/1.1\r\n\r\n" + _OPENING)
    if not is_over or len(taken) != 1:
        raise _moved("keep WebSocket from an answer that is due")


def _try(
    protocol: type[BoundedHttpProtocol], config: Config, octets: bytes
) -> tuple[bool, RequestResponseCycle]:
    """Is a connection over, once these octets came? And the last request on it."""
    tried = protocol(config, ServerState(), {}, limits=_TRIED)
    tried.connection_made(_Memory())
    tried.data_received(octets)
    is_over = tried.transport.is_closing()
    for task in tried.tasks:
        task.cancel()
    tried.connection_lost(None)
    return is_over, tried.cycle


def _moved(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the installed uvicorn {uvicorn.__version__} does not {what}: "
        "install a version within the bounds of this package's dependencies"
    )
