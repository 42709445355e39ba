"""The WebSocket binding (TS-0020) on the accepting side: requests in text frames, over a secured connection.

It comes in by the HTTP port: the opening handshake is an HTTP request, and bounded as such.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

from wsproto.frame_protocol import CloseReason

from ..errors import MessageError
from ..onem2m.primitives import RefusedError, Response, Rsc
from ..tasks import GRACE_SECONDS, Tasks
from ..telemetry import LOG
from .binding import RequestHandler
from .channel import Channel, ChannelProtocol, run_handler
from .json_primitives import is_request, read_primitive, read_request, request_id_of, write_response
from .limits import Limits
from .tcp import SecureTransport
from .websocket import MAX_UNDER_WAY, WebSocket

_FAILED: Final = Response(Rsc.INTERNAL_SERVER_ERROR, {"m2m:dbg": "the request could not be carried out"})


class UpgradedProtocol(ChannelProtocol):
    """What takes a connection over from HTTP; when the port stops, the answers under way still leave."""

    _is_over = False

    def data_received(self, data: bytes) -> None:
        """Octets of the peer, until the port stops."""
        if not self._is_over:
            super().data_received(data)

    def shutdown(self) -> None:
        """The port stops: nothing more is read."""
        self._is_over = True
        self.eof_received()


def upgraded(handler: RequestHandler, limits: Limits) -> Callable[[SecureTransport], asyncio.Protocol]:
    """Makes what is put on top of a connection whose client asks for WebSocket.

    Args:
        handler: Answers a request primitive that came over an established session.
        limits: Bounds on size and time.
    """

    async def serve(channel: Channel) -> None:
        socket = await WebSocket.accepted(channel, limits)
        if socket is not None:
            await _Requests(socket, handler).answered()

    def make(transport: SecureTransport) -> asyncio.Protocol:
        protocol = UpgradedProtocol(transport)
        transport.run(run_handler(serve, protocol.channel))
        return protocol

    return make


class _Requests:
    """The requests of one connection, several of which are answered at the same time."""

    def __init__(self, socket: WebSocket, handler: RequestHandler) -> None:
        self._socket = socket
        self._handler = handler
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)
        self._tasks = Tasks()
        self._established = socket.channel.established

    async def answered(self) -> None:
        """Answer until either end closes; what is under way then is finished."""
        async with aclosing(self._socket.messages()) as messages:
            try:
                async for text in messages:
                    await self._places.acquire()
                    self._tasks.start(self._take(text), self._failed).add_done_callback(self._is_done)
            finally:
                await self._tasks.stop(GRACE_SECONDS)
        await self._socket.close(CloseReason.GOING_AWAY)

    def _is_done(self, _: asyncio.Task[None]) -> None:
        self._places.release()

    def _failed(self, error: BaseException) -> None:
        LOG.error("request failed", error=repr(error), peer=self._established.holder)

    async def _take(self, text: str) -> None:
        try:
            primitive = read_primitive(text)
        except MessageError as error:
            await self._socket.close(CloseReason.INVALID_FRAME_PAYLOAD_DATA, str(error))
            return
        if is_request(primitive):
            response = await self._answer(primitive)
            await self._socket.send(write_response(response, request_id_of(primitive)))
        else:  # nobody is asked anything over this connection
            await self._socket.close(CloseReason.POLICY_VIOLATION, "it is no request")

    async def _answer(self, primitive: Mapping[str, Any]) -> Response:
        try:
            request = read_request(primitive, str(self._established.association.local))
            return await self._handler(request, self._established)
        except RefusedError as refused:
            return refused.response
        except Exception as error:  # noqa: BLE001 - whatever it is, the other requests must be answered
            self._failed(error)
            return _FAILED
