"""HTTP/1.1 on the asking side: kept connections, over which requests go out as they come.

Answers come in the order of the requests. Those that change nothing share a connection, several of them under
way; any other has one for itself, so that nobody has to guess whether it was carried out when the connection
ends. What is safe is asked once more when a kept connection ends before it is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

from ..errors import AnswerTimeoutError, HandshakeError
from ..tasks import Tasks
from .http_bound import HeadBound
from .http_messages import SAFE, head
from .limits import Limits

MAX_CONNECTIONS: Final = 8
"""Of one client to its peer, in use or kept."""

MAX_UNDER_WAY: Final = 16
"""Requests on one connection that are not answered yet; our own servers take one more."""

_LENGTHS: Final = {b"content-length", b"transfer-encoding"}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a peer answered.

    Attributes:
        status: The HTTP status code.
        fields: The header fields in their order, as they came, by name in lower case.
        body: The octets; None when there were more than ``body_octets``.
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes | None = field(repr=False)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields as texts."""
        return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.fields)

    def last(self, name: str) -> str | None:
        """The last header field of this name, in lower case; None where there is none."""
        return next((value for known, value in reversed(self.headers) if known == name), None)


class HttpConnection(asyncio.Protocol):
    """One connection to a server; an answer is bounded as a request is at a server.

    Attributes:
        under_way: Requests that were not answered yet, and those that are about to be sent.
        is_over: Nothing more can be asked over it.
        was_used: Something was answered over it.
        used_at: When that was last, by the clock of the event loop.
        serves: Whether it may take a further request; whoever connects it may say.
    """

    def __init__(self, limits: Limits, freed: Callable[[], None], pipelined: int = MAX_UNDER_WAY) -> None:
        """A connection that is about to be made.

        Args:
            limits: Bounds on an answer.
            freed: Hears when there is room for a request.
            pipelined: How many requests that change nothing may be under way at once.
        """
        self.serves: Callable[[], bool] = lambda: True
        self._pipelined = pipelined
        self.under_way = 0
        self.is_over = self.was_used = self._is_alone = False
        self._loop = asyncio.get_running_loop()
        self.used_at = self._loop.time()
        self._freed = freed
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._due: deque[asyncio.Future[HttpAnswer]] = deque()
        self._body_most = limits.body_octets
        self._head = HeadBound(limits.head_octets)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    def takes(self, *, alone: bool) -> bool:
        """Whether there is room for one more request, which may have to be alone."""
        if self.is_over or self._is_alone or not self.serves():
            return False
        # Whether it is kept after an answer shows with the first (RFC 9112 clause 9.3.2).
        return self.under_way < (self._pipelined if self.was_used and not alone else 1)

    def reserve(self, *, alone: bool) -> None:
        """Keep room for a request."""
        self.under_way += 1
        self._is_alone = alone

    def release(self) -> None:
        """One request less is under way."""
        self.under_way -= 1
        self._is_alone = False
        self._freed()

    def ask(self, request: bytes) -> asyncio.Future[HttpAnswer]:
        """Send a request for which there is room; whoever waits no longer leaves a gap for its answer.

        The answer is a ConnectionResetError when a connection that had served ends before it: what is safe
        may be asked again. It is another ConnectionError when asking again is of no use.
        """
        answer: asyncio.Future[HttpAnswer] = self._loop.create_future()
        self._due.append(answer)
        if self._transport is None or self.is_over:
            self.end("it closed the connection")
        else:
            self._transport.write(request)
        return answer

    def end(self, why: str, kind: type[ConnectionError] | None = None) -> None:
        """Nothing more can come of it: those who wait get an error of this kind."""
        if not self.is_over and self._transport is not None:
            self._transport.close()
        self.is_over = True
        kind = kind or (ConnectionResetError if self.was_used else ConnectionAbortedError)
        while self._due:
            self._answered(kind(why))
        self._freed()

    def _answered(self, answer: HttpAnswer | ConnectionError) -> None:
        asked = self._due.popleft()
        self.release()
        if asked.done():  # nobody waits any more
            return
        if isinstance(answer, ConnectionError):
            asked.set_exception(answer)
        else:
            asked.set_result(answer)

    # --- what the transport tells ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Octets of the server, given to the parser as far as the bounds allow."""
        at = 0
        while at < len(data) and not self.is_over:
            octets = self._head.next_octets
            if not octets:
                self.end("the head of its answer is too long")
                return
            piece = data[at : at + octets]
            at += octets
            try:
                self._parser.feed_data(piece)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self.end("its answer is not HTTP")
                return
            if not self._head.fed(len(piece)):
                self.end("the head of its answer is too long")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; an answer without a length ends with it (RFC 9112 clause 6.3)."""
        del exc
        if self._due and self._head.in_body and _LENGTHS.isdisjoint(name for name, _ in self._headers):
            self._complete(bytes(self._body))
        self.end("it closed the connection")

    # --- what the parser finds ------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins, or one that is not the last word."""
        self._headers, self._body = [], bytearray()
        self._head.begins()
        if not self._due:
            self.end("it answered what nobody asked")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; trailers say nothing here."""
        if not self._head.in_body:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """A head is complete."""
        if self._parser.get_status_code() >= 200:
            self._head.head_ends()

    def on_body(self, body: bytes) -> None:
        """A part of a body: kept, until it is too long."""
        self._head.has_body(len(body))
        if self.is_over:
            return
        self._body += body
        if len(self._body) > self._body_most:
            self._complete(None)
            self.end("its answer before was too long")

    def on_message_complete(self) -> None:
        """An answer is complete, or what comes before it: that counts against the same bound."""
        if self.is_over or self._parser.get_status_code() < 200:
            return
        self._head.ends()
        self._complete(bytes(self._body))
        if not self._parser.should_keep_alive():
            self.end("it closed the connection")

    def _complete(self, body: bytes | None) -> None:
        self.was_used, self.used_at = True, self._loop.time()
        self._answered(HttpAnswer(self._parser.get_status_code(), tuple(self._headers), body))


Open = Callable[[HttpConnection], Awaitable[object]]
"""Connects to the server, and puts this on top."""


class HttpPool:
    """The kept connections to one server."""

    def __init__(
        self, connect: Open, limits: Limits, *, most: int = MAX_CONNECTIONS, pipelined: int = MAX_UNDER_WAY
    ) -> None:
        """No connection yet.

        Args:
            connect: Opens one; what it raises is raised to whoever asks.
            limits: Bounds on time and size.
            most: How many connections there are at most, in use or kept.
            pipelined: How many requests that change nothing share one; 1 for peers that may not like it.
        """
        self._connect = connect
        self._limits = limits
        self._most = most
        self._pipelined = pipelined
        self._kept_seconds = min(60.0, limits.idle_seconds / 2)
        # Those that wait for a place look at all connections whenever one is freed: let the others wait here.
        self._places = asyncio.Semaphore(most * pipelined)
        self._connections: dict[HttpConnection, asyncio.Task[object]] = {}
        self._freed = asyncio.Event()
        self._tasks = Tasks()

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status.

        Args:
            method: ``GET``, ``POST`` …
            target: The path component of the request-target.
            headers: Header fields; that of length is added.
            body: The octets; None for none.

        Raises:
            AnswerTimeoutError: There was no answer within ``request_seconds``.
            OSError: The connection ended before the answer.
            HandshakeError: No connection could be made.
            ValueError: A header field holds the end of a line.
        """
        fields = [*headers.items(), *(() if body is None else [("Content-Length", str(len(body)))])]
        request = head(f"{method} {target} HTTP/1.1", fields) + (body or b"")
        seconds, alone = self._limits.request_seconds, method not in SAFE
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline), self._places:
                try:
                    return await self._asked(request, deadline, alone=alone)
                except ConnectionResetError:
                    if alone:
                        raise
                    return await self._asked(request, deadline, alone=False)
        except HandshakeError:  # which may be one of time, before anything was asked
            raise
        except TimeoutError:
            raise AnswerTimeoutError(f"there was no answer within {seconds:g} s") from None

    async def _asked(self, request: bytes, deadline: float, *, alone: bool) -> HttpAnswer:
        connection = await self._place(alone=alone)
        try:
            await asyncio.shield(self._connections[connection])
        except BaseException:
            connection.release()
            raise
        try:
            return await connection.ask(request)
        except asyncio.CancelledError:
            if asyncio.get_running_loop().time() >= deadline:  # nor will what follows be answered
                connection.end("there was no answer in time")
            raise

    async def _place(self, *, alone: bool) -> HttpConnection:
        """A connection with room for a request, which is kept for it."""
        while True:
            if (connection := self._room(alone=alone)) is not None:
                connection.reserve(alone=alone)
                return connection
            self._freed.clear()
            await self._freed.wait()

    def _room(self, *, alone: bool) -> HttpConnection | None:
        long_ago = asyncio.get_running_loop().time() - self._kept_seconds
        for connection in list(self._connections):
            if connection.under_way == 0 and (connection.used_at < long_ago or not connection.serves()):
                connection.end("nobody used it")
            if connection.is_over:
                del self._connections[connection]
            elif connection.takes(alone=alone):
                return connection
        return None if len(self._connections) >= self._most else self._another()

    def _another(self) -> HttpConnection:
        made = HttpConnection(self._limits, self._freed.set, self._pipelined)
        self._connections[made] = self._tasks.start(
            self._opened(made), lambda error: made.end(str(error), ConnectionAbortedError)
        )
        return made

    async def open_another(self) -> None:
        """Open one more connection, for the next request; raises as whoever opens it does."""
        await asyncio.shield(self._connections[self._another()])

    async def _opened(self, connection: HttpConnection) -> object:
        return await self._connect(connection)

    async def close(self) -> None:
        """Close the connections; what was not answered yet is not."""
        await self._tasks.stop(0)
        for connection in list(self._connections):
            connection.end("it was closed", ConnectionAbortedError)
        self._connections.clear()
        await asyncio.sleep(0)
