"""A secured channel with its association: what Entity A and Entity B read from and write to.

Over TLS it is a stream of octets; over DTLS each write is one datagram and each read returns one.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from ..association import Association
from ..errors import ConfigurationError
from ..frameworks.steps import Established, Initiator
from .address import Transport
from .link import Link
from .tcp import ProtocolFactory, SecureTransport, open_transport
from .udp import DatagramApplication, DatagramConnection, MakeApplication
from .udp_client import open_datagram_connection

READ_LIMIT: Final = 1 << 16
_QUEUED_DATAGRAMS: Final = 256


class Channel(abc.ABC):
    """One secured connection; an asynchronous context manager that closes it.

    Attributes:
        established: What the handshake established.
        max_write: The most octets that one ``write`` takes.
    """

    established: Established
    max_write: int

    @property
    def association(self) -> Association:
        """Who is at the other end, by which framework, until when."""
        return self.established.association

    @abc.abstractmethod
    async def renewed(self) -> Established | None:
        """What the session means at this moment; None when what authenticated it is gone, and it is to end.

        A handler that answers requests asks this before each; sessions that are only read from and written to
        end by themselves.

        Raises:
            StoreError: It cannot be looked up.
            CertificateRejectedError: Nobody can say whether the peer's certificate is revoked.
        """

    @abc.abstractmethod
    async def turn(self) -> None:
        """Wait until the peer may ask for something, where so many requests a second are allowed to it."""

    @property
    @abc.abstractmethod
    def closing(self) -> bool:
        """Has either side closed the connection?"""

    @property
    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Over TLS: the channel as asyncio's own streams, for whoever knows no other.

        Raises:
            ConfigurationError: Over DTLS there are datagrams, and no stream.
        """
        raise ConfigurationError("over DTLS there are datagrams, and no stream")

    @abc.abstractmethod
    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """At most ``limit`` octets of application data, or one datagram; empty at the end."""

    @abc.abstractmethod
    async def write(self, data: bytes) -> None:
        """Send application data; waits while the peer reads slowly."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Say close_notify and close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


ChannelHandler = Callable[[Channel], Awaitable[None]]


class StreamChannel(Channel):
    """A channel over TLS."""

    max_write = READ_LIMIT

    def __init__(
        self, reader: asyncio.StreamReader, transport: SecureTransport, protocol: asyncio.StreamReaderProtocol
    ) -> None:
        self._reader = reader
        self._transport = transport
        self._writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
        self.established = transport.handshake.result()

    async def renewed(self) -> Established | None:
        """What the session means at this moment."""
        return await self._transport.renewed()

    async def turn(self) -> None:
        """Wait until the peer may ask for something."""
        await self._transport.turn()

    @property
    def closing(self) -> bool:
        """Has either side closed the connection?"""
        return self._transport.is_closing() or self._reader.at_eof() or self.association.seconds_left <= 0

    @property
    def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same as asyncio's own streams, for whoever knows no other."""
        return self._reader, self._writer

    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """At most ``limit`` octets of application data; empty at the end."""
        return await self._reader.read(limit)

    async def write(self, data: bytes) -> None:
        """Send application data; waits while the peer reads slowly."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Say close_notify and close."""
        self._transport.close()
        await asyncio.sleep(0)


class DatagramChannel(Channel):
    """A channel over DTLS."""

    def __init__(self, connection: DatagramConnection) -> None:
        self._connection = connection
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self.established = connection.handshake.result()
        self.max_write = connection.max_payload

    async def renewed(self) -> Established | None:
        """What the session means at this moment."""
        return await self._connection.renewed()

    async def turn(self) -> None:
        """Wait until the peer may ask for something."""
        await self._connection.turn()

    def datagram_received(self, data: bytes) -> None:
        """A datagram for the reader; when nobody reads, UDP may lose it."""
        if data and self._received.qsize() < _QUEUED_DATAGRAMS:
            self._received.put_nowait(data)

    def ended(self) -> None:
        """The reader hears of the end."""
        self._received.put_nowait(b"")

    @property
    def closing(self) -> bool:
        """Has either side closed the connection?"""
        return self._connection.closed or self.association.seconds_left <= 0

    async def read(self, limit: int = READ_LIMIT) -> bytes:
        """One datagram, cut at ``limit`` octets; empty at the end."""
        data = await self._received.get()
        if not data:
            self._received.put_nowait(data)
        return data[:limit]

    async def write(self, data: bytes) -> None:
        """Send one datagram.

        Raises:
            ConfigurationError: It is longer than ``max_write``.
        """
        self._connection.send(data)

    async def close(self) -> None:
        """Say close_notify and close."""
        self._connection.close()
        await asyncio.sleep(0)


class ChannelProtocol(asyncio.StreamReaderProtocol):
    """Feeds a stream channel's reader."""

    def __init__(self, transport: SecureTransport) -> None:
        reader = asyncio.StreamReader(limit=READ_LIMIT)
        super().__init__(reader)
        self.channel = StreamChannel(reader, transport, self)


async def run_handler(handler: ChannelHandler, channel: Channel) -> None:
    """Let a handler have a channel, and close it in the end."""
    try:
        await handler(channel)
    finally:
        await channel.close()


def channel_protocol(handler: ChannelHandler) -> ProtocolFactory:
    """For a TLS listener: each client gets a channel, and the handler runs for it."""

    def make(transport: SecureTransport) -> asyncio.Protocol:
        protocol = ChannelProtocol(transport)
        transport.run(run_handler(handler, protocol.channel))
        return protocol

    return make


def datagram_channels(handler: ChannelHandler) -> MakeApplication:
    """For a DTLS listener: each client gets a channel, and the handler runs for it."""

    def make(connection: DatagramConnection) -> DatagramApplication:
        channel = DatagramChannel(connection)
        connection.run(run_handler(handler, channel))
        return channel

    return make


async def open_channel(link: Link, initiator: Initiator) -> Channel:
    """Connect and complete the handshake as an initiator.

    Raises:
        HandshakeError: The peer cannot be reached, or the handshake failed.
    """
    if link.transport is Transport.DTLS:
        return await open_datagram_connection(link, initiator, DatagramChannel)
    return (await open_transport(link, initiator, ChannelProtocol)).channel
