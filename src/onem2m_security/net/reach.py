"""Whether anybody answers where a peer should listen, before anything is spent on meeting it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Final

from ..errors import HandshakeError, HandshakeTimeoutError
from ..tls.endpoint import Endpoint
from ..tls.framing import DatagramFraming
from ..tls.session import Session
from .address import Transport
from .limits import Limits
from .link import Link

_AGAIN_SECONDS: Final = 1.0
"""When a ClientHello that nobody answered is sent again (RFC 6347 clause 4.2.4.1)."""


async def require_answer(link: Link) -> None:
    """Make sure that somebody listens there: by a TCP connection, or by a ClientHello of DTLS.

    Over DTLS a server answers it with a HelloVerifyRequest and keeps nothing (RFC 6347 clause 4.2.1). Nothing
    is shown of who we are, and nothing is proven: that comes with the handshake.

    Raises:
        HandshakeError: Nobody can be reached there.
    """
    address, limits = link.address, link.limits or Limits()
    try:
        async with asyncio.timeout(limits.handshake_seconds):
            await (_by_datagram(link, limits) if link.transport is Transport.DTLS else _by_stream(link))
    except TimeoutError:
        message = f"{address} gave no answer within {limits.handshake_seconds:g} s"
        raise HandshakeTimeoutError(message) from None
    except OSError as error:
        raise HandshakeError(f"{address} cannot be reached: {error.strerror or error}") from error


async def _by_stream(link: Link) -> None:
    _, writer = await asyncio.open_connection(link.address.host, link.address.port)
    writer.close()
    with contextlib.suppress(OSError):  # it was there, whatever becomes of the connection
        await writer.wait_closed()


@dataclass(frozen=True, slots=True)
class _Nobody:
    """Who asks whether somebody is there."""

    endpoint: Endpoint


_NOBODY: Final = _Nobody(Endpoint(server=False))


class _Listening(asyncio.DatagramProtocol):
    """Hears the first datagram, or that nobody is there."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        del data, addr
        if not self.answer.done():
            self.answer.set_result(None)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _by_datagram(link: Link, limits: Limits) -> None:
    address = link.address
    transport, listening = await asyncio.get_running_loop().create_datagram_endpoint(
        _Listening, remote_addr=(address.host, address.port)
    )
    hello = Session(_NOBODY, framing=DatagramFraming(limits.datagram_octets)).datagrams_to_send()
    try:
        while not listening.answer.done():
            for datagram in hello:
                transport.sendto(datagram)
            await asyncio.wait([listening.answer], timeout=_AGAIN_SECONDS)
        listening.answer.result()
    finally:
        listening.answer.cancel()
        transport.close()
