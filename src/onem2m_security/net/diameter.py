"""Diameter over a secured connection: whole messages in and out (RFC 6733 clauses 2.1 and 13.1).

TLS from the first octet on, as for every other interface: a BSF gives keys to nobody that has not proven
itself. This module cuts the stream into messages, and knows nothing of what is in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..diameter.messages import HEADER_OCTETS, MESSAGE_MAX_OCTETS, DiameterMessage
from ..errors import (
    CertificateRejectedError,
    HandshakeError,
    MessageError,
    ResolverUnavailableError,
    StoreError,
)
from ..frameworks.steps import Authorities, Established, How, initiator_of
from ..tasks import Tasks
from ..telemetry import LOG
from .address import Transport
from .channel import Channel, open_channel
from .limits import Limits
from .link import Link
from .ports import Port, channel_port


class DiameterPeer(Protocol):
    """What answers the messages of one connection.

    Attributes:
        is_over: The connection is to be closed.
        established: What its session means at the moment of a message.
    """

    is_over: bool
    established: Established

    async def answer(self, octets: bytes) -> bytes | None:
        """The answer to a message, if there is one; MessageError closes the connection."""
        ...


def diameter_port(
    authorities: Authorities, make_peer: Callable[[Established], DiameterPeer], limits: Limits
) -> Port:
    """A TLS port on which Diameter is spoken; each connection has a peer of its own."""

    async def serve(channel: Channel) -> None:
        peer, messages = make_peer(channel.established), _Messages(channel)
        try:
            while not peer.is_over:
                message = await messages.next()
                await channel.turn()
                now = await channel.renewed()
                if now is None:
                    break
                peer.established = now
                answer = await peer.answer(message)
                if answer is not None:
                    await channel.write(answer)
        except (MessageError, StoreError, CertificateRejectedError) as error:
            LOG.info("Diameter connection closed", reason=str(error))
        except OSError:
            return  # the peer is gone

    return channel_port(Transport.TLS, authorities, serve, limits)


class _Messages:
    """Cuts what comes over a channel into messages."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._buffer = bytearray()

    async def next(self) -> bytes:
        """The next whole message.

        Raises:
            MessageError: What comes is no Diameter message.
            OSError: The peer closed the connection.
        """
        await self._fill(4)
        length = int.from_bytes(self._buffer[1:4])
        if self._buffer[0] != 1 or not HEADER_OCTETS <= length <= MESSAGE_MAX_OCTETS or length % 4:
            raise MessageError("this is no Diameter message of version 1")
        await self._fill(length)
        message = bytes(self._buffer[:length])
        del self._buffer[:length]
        return message

    async def _fill(self, octets: int) -> None:
        while len(self._buffer) < octets:
            received = await self._channel.read()
            if not received:
                raise ConnectionError("the peer closed the connection")
            self._buffer += received


class DiameterClient:
    """A client of one Diameter peer: one connection, made when it is needed, with many requests on it."""

    def __init__(self, link: Link, how: How, hello: Callable[[], DiameterMessage]) -> None:
        """Ask the peer behind this link.

        Args:
            link: Where the peer listens; always over TLS.
            how: How we prove ourselves, asked whenever a connection is opened.
            hello: Makes the Capabilities-Exchange-Request that opens a connection.
        """
        self._how = how
        self._link = replace(link, transport=Transport.TLS)
        self._hello = hello
        self._channel: Channel | None = None
        self._reading = Tasks()
        self._waiting: dict[int, asyncio.Future[DiameterMessage]] = {}
        self._opening = asyncio.Lock()

    async def request(self, message: DiameterMessage) -> DiameterMessage:
        """Send a request and return its answer, whatever its result.

        Raises:
            ResolverUnavailableError: The peer cannot be reached, or gave no answer.
        """
        try:
            async with asyncio.timeout((self._link.limits or Limits()).request_seconds):
                return await self._ask(await self._opened(), message)
        except TimeoutError:
            raise ResolverUnavailableError(f"{self._link.address} gave no answer in time") from None
        except (HandshakeError, MessageError, OSError) as error:
            raise ResolverUnavailableError(f"{self._link.address}: {error}") from error

    async def _opened(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.closing:
                await self.close()
                initiator = await initiator_of(self._how)
                channel = await open_channel(self._link, initiator)
                self._channel = channel
                self._reading.start(self._read_answers(channel), _reading_failed)
                try:
                    await self._ask(channel, self._hello())
                except BaseException:
                    await self.close()  # a connection that was not opened carries no request
                    raise
            return self._channel

    async def _ask(self, channel: Channel, message: DiameterMessage) -> DiameterMessage:
        future = asyncio.get_running_loop().create_future()
        self._waiting[message.hop_by_hop] = future
        try:
            await channel.write(message.octets())
            answer: DiameterMessage = await future
        finally:
            self._waiting.pop(message.hop_by_hop, None)
        return answer

    async def _read_answers(self, channel: Channel) -> None:
        failure: Exception = ConnectionError("the connection was closed")
        messages = _Messages(channel)
        try:
            while True:
                message = DiameterMessage.parse(await messages.next())
                future = self._waiting.get(message.hop_by_hop)
                if not message.is_request and future is not None and not future.done():
                    future.set_result(message)
        except (MessageError, OSError) as error:
            failure = error
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(failure)
            await channel.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._reading.stop(0)
        self._channel = None


def _reading_failed(error: BaseException) -> None:
    LOG.error("answers of a Diameter peer cannot be read", error=repr(error))
