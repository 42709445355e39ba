"""A secured byte stream with its association: what Entity A and Entity B read from and write to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from ..association import Association
from ..frameworks.base import Established, Initiator
from .address import Address
from .limits import Limits
from .tcp import SecureTransport, open_transport

READ_LIMIT = 1 << 16


class Channel:
    """One secured connection; an asynchronous context manager that closes it.

    Attributes:
        established: What the handshake established; ``association`` is part of it.
    """

    def __init__(
        self, reader: asyncio.StreamReader, transport: SecureTransport, protocol: asyncio.StreamReaderProtocol
    ) -> None:
        self._reader = reader
        self._transport = transport
        self._writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        self.established = transport.handshake.result()

    @property
    def association(self) -> Association:
        """Who is at the other end, by which framework, until when."""
        return self.established.association

    @property
    def closing(self) -> bool:
        """Has either side closed the connection?"""
        return self._transport.is_closing() or self._reader.at_eof()

    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """At most ``limit`` octets of application data; empty at the end."""
        return await self._reader.read(limit)

    async def read_exactly(self, octets: int) -> bytes:
        """Exactly so many octets of application data."""
        return await self._reader.readexactly(octets)

    async def read_line(self) -> bytes:
        """Application data up to and with the next line feed; less at the end."""
        return await self._reader.readline()

    async def write(self, data: bytes) -> None:
        """Send application data; waits while the peer reads slowly."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Say close_notify and close."""
        self._transport.close()
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


ChannelHandler = Callable[[Channel], Awaitable[None]]


class _ChannelProtocol(asyncio.StreamReaderProtocol):
    """Feeds a channel's reader, and runs a handler for it on the accepting side."""

    def __init__(self, handler: ChannelHandler | None = None) -> None:
        self.reader = asyncio.StreamReader(limit=READ_LIMIT)
        super().__init__(self.reader)
        self.channel: Channel | None = None
        self._handler = handler
        self._running: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, SecureTransport)  # noqa: S101 - nothing else makes this protocol
        self.channel = Channel(self.reader, transport, self)
        if self._handler is not None:
            self._running = asyncio.get_running_loop().create_task(self._run(self._handler, self.channel))

    @staticmethod
    async def _run(handler: ChannelHandler, channel: Channel) -> None:
        try:
            await handler(channel)
        finally:
            await channel.close()


def channel_protocol(handler: ChannelHandler) -> Callable[[Established], asyncio.Protocol]:
    """A protocol factory for a listener: each client gets a channel, and the handler runs for it."""
    return lambda _: _ChannelProtocol(handler)


async def open_channel(initiator: Initiator, address: Address, *, limits: Limits | None = None) -> Channel:
    """Connect and complete the handshake as an initiator.

    Raises:
        HandshakeError: The peer cannot be reached, or the handshake failed.
    """
    transport = await open_transport(initiator, address, lambda _: _ChannelProtocol(), limits=limits)
    protocol = transport.get_protocol()
    assert isinstance(protocol, _ChannelProtocol)  # noqa: S101 - made two lines above
    assert protocol.channel is not None  # noqa: S101 - connection_made came with the handshake
    return protocol.channel
