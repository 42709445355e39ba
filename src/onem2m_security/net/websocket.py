"""WebSocket (RFC 6455) on a secured channel, at either end: whole text messages, all of it bounded.

The subprotocol is the one of TS-0020 that says JSON, and no extension is ever agreed on, so nothing that
arrives is compressed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from io import StringIO
from typing import Final, Self

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError, RemoteProtocolError

from ..errors import MessageError
from .channel import Channel
from .limits import Limits

SUBPROTOCOL: Final = "oneM2M.json"
"""Primitives as JSON in text frames (TS-0020 table 6.2.2.9-1)."""

TARGET: Final = "/"
"""The request-target of every opening handshake (TS-0020 clause 6.2.2.1)."""

MAX_UNDER_WAY: Final = 16
"""Requests of one connection that may wait for their answer; further ones are not read before one has it."""

MAX_FRAGMENTS: Final = 128
"""Frames of one message."""


@dataclass(slots=True)
class _Parts:
    """The parts of a message that is not complete."""

    limits: Limits
    text: StringIO = field(default_factory=StringIO)
    frames: int = 0
    deadline: float | None = None
    """By when it must be complete, by the clock of the loop; None while there is none."""

    def add(self, event: TextMessage, now: float) -> str | None:
        """One more part; the whole message if it was the last.

        Raises:
            _Failed: It is too long, or in too many frames.
        """
        self.deadline = self.deadline or now + self.limits.handshake_seconds
        self.text.write(event.data)
        self.frames += event.frame_finished
        if self.text.tell() > self.limits.head_octets + self.limits.body_octets:
            raise _Failed(CloseReason.MESSAGE_TOO_BIG, "the message is too long")
        if not event.message_finished:
            if self.frames >= MAX_FRAGMENTS:
                raise _Failed(CloseReason.MESSAGE_TOO_BIG, "the message is in too many frames")
            return None
        whole = self.text.getvalue()
        self.text, self.frames, self.deadline = StringIO(), 0, None
        return whole


class _Failed(Exception):  # noqa: N818 - it never leaves this module
    """The connection is to be closed, and why."""

    def __init__(self, code: CloseReason, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class WebSocket:
    """One WebSocket connection.

    Attributes:
        channel: What carries it.
        why: Why it was closed, for people; empty while it is open.
    """

    def __init__(self, channel: Channel, connection: WSConnection, limits: Limits) -> None:
        """After the opening handshake; use ``accepted`` and ``opened``."""
        self.channel = channel
        self.why = ""
        self._connection = connection
        self._limits = limits
        self._parts = _Parts(limits)
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def accepted(cls, channel: Channel, limits: Limits) -> Self | None:
        """Read a client's opening handshake and answer it; None when the answer is a refusal."""
        connection = WSConnection(ConnectionType.SERVER)
        answer: Event
        try:
            request = await _handshake_event(channel, connection)
            answer = _answer_to(request)
        except RemoteProtocolError as error:
            answer = error.event_hint or RejectConnection()
        except (UnicodeError, MessageError):
            answer = RejectConnection()
        await channel.write(connection.send(answer))
        return cls(channel, connection, limits) if isinstance(answer, AcceptConnection) else None

    @classmethod
    async def opened(cls, channel: Channel, host: str, limits: Limits) -> Self:
        """Make the opening handshake as a client.

        Args:
            channel: To the server.
            host: The server's name, for the Host header.
            limits: Bounds on size and time.

        Raises:
            MessageError: The server does not speak the subprotocol, or refuses.
        """
        connection = WSConnection(ConnectionType.CLIENT)
        await channel.write(connection.send(Request(host=host, target=TARGET, subprotocols=[SUBPROTOCOL])))
        try:
            answer = await _handshake_event(channel, connection)
        except (ProtocolError, UnicodeError) as error:
            raise MessageError(f"the answer to the WebSocket handshake is none: {error}") from None
        if isinstance(answer, RejectConnection):
            raise MessageError(f"the WebSocket handshake was refused with status {answer.status_code}")
        if not isinstance(answer, AcceptConnection) or answer.subprotocol != SUBPROTOCOL:
            raise MessageError(f"the WebSocket server does not speak {SUBPROTOCOL}")
        return cls(channel, connection, limits)

    async def messages(self) -> AsyncGenerator[str, None]:
        """Whole messages as they come, until either end closes; then it is closed in any case."""
        try:
            while self._connection.state is ConnectionState.OPEN:
                for event in self._connection.events():
                    whole = await self._take(event)
                    if whole is not None:
                        yield whole
                    if self._connection.state is not ConnectionState.OPEN:
                        return
                async with asyncio.timeout_at(self._parts.deadline):
                    data = await self.channel.read()
                if not data:
                    break
                self._connection.receive_data(data)
        except _Failed as failed:
            await self.close(failed.code, str(failed))
        except TimeoutError:
            await self.close(CloseReason.POLICY_VIOLATION, "the message was not complete in time")

    async def _take(self, event: Event) -> str | None:
        match event:
            case TextMessage():
                return self._parts.add(event, self._loop.time())
            case Message():
                raise _Failed(CloseReason.UNSUPPORTED_DATA, f"{SUBPROTOCOL} has text frames only")
            case Ping():
                await self.channel.turn()
                await self._write(event.response())
            case Pong():
                await self.channel.turn()
            case CloseConnection(code=code, reason=reason):
                await self.close(code, reason or f"the peer closed it ({code})")
        return None

    async def send(self, text: str) -> None:
        """Send a message in one frame; nothing once it is closed. Waits while the peer reads slowly."""
        await self._write(TextMessage(data=text))

    async def _write(self, event: Event) -> None:
        if self._connection.state is ConnectionState.OPEN:
            await self.channel.write(self._connection.send(event))

    async def close(self, code: int = CloseReason.NORMAL_CLOSURE, why: str = "it was closed") -> None:
        """Say why with a Close frame, unless that was done, and close the channel.

        Args:
            code: The status code of RFC 6455 clause 7.4.1.
            why: The same for people; it is not sent.
        """
        self.why = self.why or why
        if self._connection.state in {ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING}:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.close_seconds):
                    await self.channel.write(self._connection.send(CloseConnection(code=code)))
        await self.channel.close()


async def _handshake_event(channel: Channel, connection: WSConnection) -> Event:
    """The other end's part of the opening handshake.

    Raises:
        MessageError: It closed the connection instead.
        ProtocolError: It is none.
    """
    while True:
        for event in connection.events():
            return event
        data = await channel.read()
        if not data:
            raise MessageError("the connection was closed during the WebSocket handshake")
        connection.receive_data(data)


def _answer_to(request: Event) -> AcceptConnection | RejectConnection:
    if not isinstance(request, Request) or SUBPROTOCOL not in request.subprotocols:
        return RejectConnection(status_code=400)
    if request.target != TARGET:
        return RejectConnection(status_code=404)
    return AcceptConnection(subprotocol=SUBPROTOCOL)
