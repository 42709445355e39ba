"""HTTP/1.1 on the accepting side: httptools parses, and one protocol class answers, bounded in every part.

``http_trial`` tries the bounds before any port is opened, with messages that must be refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import httptools

from ..telemetry import LOG
from .address import Address
from .http_bound import HeadBound
from .http_messages import SAFE, Answer, HttpRequest, HttpResponse
from .limits import Limits

MAX_PIPELINED: Final = 16
"""Requests of one connection that wait for the answer to an earlier one; whoever sends more is cut off."""

_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpProtocol(asyncio.Protocol):
    """HTTP/1.1 on one connection, bounded in every part of a message and in time.

    Whatever is not body (request line, header, chunk sizes and extensions, trailers, blank lines before the
    head) counts against ``head_octets`` together. Beyond it an over-long head is answered with 431, and
    anything else by cutting the connection. A body is read up to the piece that exceeds ``body_octets``; then
    the request is answered as one that is too long, and the answer ends the connection. From its first octet
    on, the first one from the beginning of the connection, a request has ``handshake_seconds``.

    Requests are answered in their order; those that come together and change nothing, at the same time. What
    comes meanwhile waits, and the peer with it.
    """

    def __init__(
        self,
        answer: Answer,
        limits: Limits,
        run: Callable[[Coroutine[Any, Any, None]], object],
        over: Callable[[], asyncio.Protocol] | None = None,
    ) -> None:
        """Serve one connection.

        Args:
            answer: Answers a request.
            limits: Bounds on sizes and time.
            run: Begins what takes time; its owner ends it.
            over: Makes what takes over a connection on which WebSocket is asked for; None for nothing.
        """
        self._answer = answer
        self._limits = limits
        self._run = run
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[HttpRequest] = deque()
        self._is_answering = self._is_paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_last = self._is_handed_over = False
        self._last_words = b""
        # Of the request that comes:
        self._target, self._headers = b"", list[tuple[bytes, bytes]]()
        self._body = bytearray()
        self._head = HeadBound(limits.head_octets)
        self._is_to_go_on = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False

    # --- what the transport tells ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up, and a request is due."""
        self._transport = cast("asyncio.Transport", transport)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Octets of the peer, given to the parser as far as the bounds allow."""
        at = 0
        while at < len(data) and not self._transport.is_closing():
            if self._is_last:  # no further request is answered
                self._pause()
                return
            octets = self._head.next_octets
            if not octets:
                self._refuse()
                return
            self._take(data[at : at + octets])
            at += octets
            if self._is_handed_over:
                if at < len(data):  # it may not speak before its opening handshake is answered (RFC 6455 4.1)
                    self._cut_off("WebSocket frames before the answer")
                return
        if self._head.in_message:
            self._start_deadline()

    def pause_writing(self) -> None:
        """The peer reads slowly: nothing further is answered."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        del exc
        self._stop_timer()
        self._waiting.clear()
        self._writable.set()

    def shutdown(self) -> None:
        """The port stops: the answer that is under way is the last."""
        self._waiting.clear()
        self._end()

    # --- octets ---------------------------------------------------------------------------------------------

    def _take(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(after=piece[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._is_last:  # what follows the last request may be anything
                self._tell("refused", str(error))
                self._end(HttpResponse(400))
        if not self._head.fed(len(piece)) and not self._transport.is_closing():
            self._refuse()

    def _refuse(self) -> None:
        if not self._is_answering and not self._head.in_body:
            self._transport.write(HttpResponse(431).octets(is_last=True))
            self._transport.close()
        self._cut_off("head or trailers too long")

    def _cut_off(self, reason: str) -> None:
        self._tell("cut off", reason)
        if not self._transport.is_closing():
            self._transport.abort()

    def _tell(self, what: str, reason: str) -> None:
        peer = self._transport.get_extra_info("peername")
        if peer is not None:  # and not a trial
            LOG.info(f"HTTP message {what}", reason=reason, peer=str(Address(*peer[:2])))

    # --- what the parser finds ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head.begins()
        self._target, self._headers, self._body = b"", [], bytearray()

    def on_url(self, url: bytes) -> None:
        """A part of the request-target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; trailers say nothing here."""
        if not self._head.in_body:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._head.head_ends()
        self._is_to_go_on = (b"expect", b"100-continue") in self._headers
        self._go_on()

    def on_body(self, body: bytes) -> None:
        """A part of a body: kept, until it is too long."""
        self._head.has_body(len(body))
        self._is_to_go_on = False
        if not self._is_last:
            self._body += body
            if len(self._body) > self._limits.body_octets:  # a part must not pass for the whole
                self._accept(None, is_last=True)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._head.ends()
        if not self._is_last:
            self._stop_timer()
            if not self._parser.should_upgrade():
                is_last = self._parser.get_http_version() != "1.1" or not self._parser.should_keep_alive()
                self._accept(bytes(self._body), is_last=is_last)

    def _upgrade(self, after: bytes) -> None:
        """Hand the connection over to WebSocket; to nothing else: then the request is one like any other."""
        if self._over is None or not _is_websocket(self._headers):
            if not self._is_last:
                self._accept(bytes(self._body), is_last=True)
        elif self._is_answering:  # the answer that is due would be lost
            self._cut_off("WebSocket before an answer")
        elif after:
            self._cut_off("WebSocket frames before the answer")
        else:
            head = [b"%b %b HTTP/1.1\r\n" % (self._parser.get_method(), self._target)]
            head += (b"%b: %b\r\n" % header for header in self._headers)
            protocol = self._over()
            protocol.connection_made(self._transport)
            protocol.data_received(b"".join((*head, b"\r\n")))
            self._transport.set_protocol(protocol)
            self._is_handed_over = True
            self._stop_timer()

    # --- answers --------------------------------------------------------------------------------------------

    def _accept(self, body: bytes | None, *, is_last: bool) -> None:
        """Answer a request, in its turn."""
        try:
            url = httptools.parse_url(self._target)
        except httptools.HttpParserInvalidURLError:
            self._end(HttpResponse(400))
            return
        self._is_last = is_last
        method = self._parser.get_method().decode("ascii")
        self._waiting.append(
            HttpRequest(method, url.path or b"", url.query or b"", tuple(self._headers), body)
        )
        if not self._is_answering:
            self._is_answering = True
            self._run(self._answer_all())
        elif len(self._waiting) > MAX_PIPELINED:
            self._cut_off("too many requests at once")
        else:
            self._pause()

    async def _answer_all(self) -> None:
        """Answer what waits; then go on reading, or close."""
        while self._waiting:
            requests = self._next_ones()
            responses = (
                await asyncio.gather(*map(self._answered, requests))
                if len(requests) > 1
                else [await self._answered(requests[0])]
            )
            if self._transport.is_closing():
                return
            is_last = self._is_last and not self._waiting and not self._last_words
            try:
                octets = _joined(requests, responses, is_last=is_last)
            except ValueError as error:  # a status or a header field that HTTP does not have
                LOG.error("an answer cannot be written", error=repr(error))
                self._transport.abort()
                return
            self._transport.write(octets)
            if not is_last:
                await self._writable.wait()
        self._is_answering = False
        if self._is_last:
            self._close()
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        self._go_on()
        if not self._is_due and not self._transport.is_closing():
            self._timer = self._loop.call_later(self._limits.idle_seconds, self._transport.close)

    def _next_ones(self) -> list[HttpRequest]:
        """The next request, with those behind it if all of them change nothing (RFC 9112 clause 9.3.2)."""
        requests = [self._waiting.popleft()]
        while self._waiting and requests[-1].method in SAFE and self._waiting[0].method in SAFE:
            requests.append(self._waiting.popleft())
        return requests

    async def _answered(self, request: HttpRequest) -> HttpResponse:
        try:
            return await self._answer(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the peer is told, and nothing of it
            LOG.error("request failed", error=repr(error))
            self._is_last = True
            self._waiting.clear()
            return HttpResponse(500)

    def _end(self, response: HttpResponse | None = None) -> None:
        """Say this, if anything, when what waits is answered, and close."""
        self._is_last = True
        if response is not None:
            self._last_words = response.octets(is_last=True)
        if not self._is_answering:
            self._close()

    def _close(self) -> None:
        self._transport.write(self._last_words)
        self._transport.close()

    def _go_on(self) -> None:
        """Let whoever asks before it sends a body send it (RFC 9110 clause 10.1.1)."""
        if self._is_to_go_on and not self._is_answering and not self._is_last:
            self._is_to_go_on = False
            self._transport.write(_GO_ON)

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    # --- time -----------------------------------------------------------------------------------------------

    def _start_deadline(self) -> None:
        if not self._is_due:
            self._stop_timer()
            self._is_due = True
            seconds = self._limits.handshake_seconds
            self._timer = self._loop.call_later(seconds, self._cut_off, "not complete in time")

    def _stop_timer(self) -> None:
        self._is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _joined(requests: list[HttpRequest], responses: list[HttpResponse], *, is_last: bool) -> bytes:
    """The responses in their order; the connection may end with the last of them."""
    *before, last = zip(requests, responses, strict=True)
    answers = [response.octets(has_body=request.method != "HEAD") for request, response in before]
    answers.append(last[1].octets(is_last=is_last, has_body=last[0].method != "HEAD"))
    return b"".join(answers)


def _is_websocket(headers: list[tuple[bytes, bytes]]) -> bool:
    tokens = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    return b"upgrade" in tokens and b"websocket" in {
        value.lower() for name, value in headers if name == b"upgrade"
    }
