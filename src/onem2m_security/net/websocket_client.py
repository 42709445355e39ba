"""The WebSocket binding (TS-0020) on the asking side: many requests at once on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

from wsproto.frame_protocol import CloseReason

from ..errors import HandshakeError, MessageError, ResolverUnavailableError
from ..frameworks.steps import Established, Initiator
from ..onem2m.primitives import RefusedError, Response, Rsc
from ..tasks import Tasks
from ..telemetry import LOG
from .channel import open_channel
from .json_primitives import (
    is_request,
    read_answer,
    read_primitive,
    request_id_of,
    write_request,
    write_response,
)
from .limits import Limits
from .link import Link
from .request_client import Asked, RequestClient
from .websocket import MAX_UNDER_WAY, WebSocket

_NOT_OFFERED: Final = RefusedError(Rsc.OPERATION_NOT_ALLOWED, "nothing is offered here").response
"""To a server that asks us something: an entity need not be capable of requests (TS-0020 clause 6.1)."""


class WebSocketClient(RequestClient):
    """Sends request primitives over one TLS connection, opened when needed and then kept (TS-0020 5.2)."""

    def __init__(self, link: Link, initiator: Initiator) -> None:
        self._link = link
        self._initiator = initiator
        self._limits = link.limits or Limits()
        self._newest: _Conversation | None = None
        self._opening = asyncio.Lock()
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)
        self._tasks = Tasks()

    async def send(self, asked: Asked) -> Response:
        """Send a request primitive and return the response primitive, whatever its status."""
        text = write_request(asked, str(self._initiator.local))
        conversation: _Conversation | None = None
        try:
            async with asyncio.timeout(self._limits.request_seconds), self._places:
                conversation = await self._open()
                return await conversation.ask(asked.request_id, text)
        except TimeoutError as failure:
            if conversation is not None:
                await conversation.give_up()
            seconds = self._limits.request_seconds
            raise self._unavailable(f"no answer within {seconds:g} s") from failure
        except MessageError as failure:
            raise self._unavailable(str(failure)) from None
        except (HandshakeError, OSError) as failure:
            raise self._unavailable(str(failure) or type(failure).__name__) from failure

    def _unavailable(self, reason: str) -> ResolverUnavailableError:
        return ResolverUnavailableError(f"{self._initiator.peer} at {self._link.address}: {reason}")

    async def _open(self) -> _Conversation:
        async with self._opening:
            if self._newest is None or not self._newest.is_open:
                socket = await self._connect()
                self._newest = _Conversation(socket)
                self._tasks.start(self._newest.read(), _failed)
            return self._newest

    async def _connect(self) -> WebSocket:
        channel = await open_channel(self._link, self._initiator)
        name = self._initiator.server_name
        host = self._link.address.host if name is None else str(name)
        try:
            return await WebSocket.opened(channel, host, self._limits)
        except BaseException:
            await channel.close()
            raise

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""
        if self._newest is None:
            raise HandshakeError("no connection was made yet")
        return self._newest.socket.channel.established

    async def close(self) -> None:
        """Close the kept connection."""
        if self._newest is not None:
            await self._newest.socket.close()
        await self._tasks.stop(self._limits.close_seconds)


class _Conversation:
    """Requests and answers on one connection.

    Attributes:
        socket: The connection.
        is_open: Whether answers are read from it.
    """

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.is_open = True
        self._awaited: dict[str, asyncio.Future[Response]] = {}

    async def ask(self, request_id: str, text: str) -> Response:
        """Send a request and wait for its answer.

        Raises:
            MessageError: What comes is no answer, or the connection was closed.
        """
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._awaited[request_id] = answer
        try:
            if not self.is_open:
                raise MessageError(self.socket.why)
            await self.socket.send(text)
            return await answer
        finally:
            del self._awaited[request_id]

    async def give_up(self) -> None:
        """No answer came in time: the peer may have lost the connection; the next request makes another."""
        self.is_open = False
        await self.socket.close(CloseReason.GOING_AWAY, "another request had no answer in time")

    async def read(self) -> None:
        """Give each answer to whoever waits for it, until either end closes."""
        try:
            async with aclosing(self.socket.messages()) as messages:
                async for text in messages:
                    await self._take(read_primitive(text))
        except MessageError as error:
            await self.socket.close(CloseReason.INVALID_FRAME_PAYLOAD_DATA, str(error))
        finally:
            self.is_open = False
            await self.socket.close(why="the connection was closed")
            for answer in self._awaited.values():
                _fail(answer, MessageError(self.socket.why))

    async def _take(self, primitive: Mapping[str, Any]) -> None:
        request_id = request_id_of(primitive)
        if is_request(primitive):
            await self.socket.send(write_response(_NOT_OFFERED, request_id))
            return
        answer = self._awaited.get(request_id)
        if answer is None or answer.done():  # it comes too late, or nobody has asked
            return
        try:
            answer.set_result(read_answer(primitive))
        except MessageError as error:
            _fail(answer, error)


def _fail(answer: asyncio.Future[Response], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _failed(error: BaseException) -> None:
    LOG.error("a WebSocket connection cannot be read", error=repr(error))
