"""Asking in the clear a peer that nobody else reaches: HTTP over TCP or a Unix socket, and CoAP over UDP."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any, Self, cast

from ..errors import ConfigurationError, HandshakeError
from ..frameworks.steps import Established
from .address import Address
from .coap_client import CoapSessions, MakeApplication
from .coap_layer import CoapApplication, CoapRemote
from .http_client import HttpPeer
from .http_pool import HttpConnection, HttpPool
from .limits import Limits
from .local_address import LocalAddress
from .udp import DatagramConnection


@dataclass(frozen=True, slots=True)
class PlainLink:
    """The way to one peer, in the clear.

    Attributes:
        address: Where it listens.
        limits: Bounds on time and size.
    """

    address: LocalAddress
    limits: Limits


def plain_peer(link: PlainLink, connections: int) -> HttpPeer:
    """A peer that is asked over so many connections in the clear, at most."""

    async def connect(connection: HttpConnection) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(link.address, Address):
            await loop.create_connection(lambda: connection, link.address.host, link.address.port)
        else:
            await loop.create_unix_connection(lambda: connection, os.fspath(link.address.path))

    # Who speaks HTTP here is not ours: many take one request of a connection after the other.
    pool = HttpPool(connect, link.limits, most=connections, pipelined=1)
    return HttpPeer(str(link.address) if isinstance(link.address, Address) else "localhost", pool)


class _PlainDatagrams(asyncio.DatagramProtocol):
    """A connected UDP socket, as the CoAP layer wants the connection below it."""

    def __init__(self, link: PlainLink) -> None:
        self.peer_address = str(link.address)
        self.max_payload = link.limits.datagram_octets
        self.application: CoapApplication | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        del addr
        if self.application is not None:
            self.application.datagram_received(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: who waits for an answer waits in vain."""
        del exc
        self.close()

    def send(self, data: bytes) -> None:
        """Send a datagram."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            if self.application is not None:
                self.application.ended()

    @property
    def closed(self) -> bool:
        """Is it over?"""
        return self._transport is None or self._transport.is_closing()


class PlainRemote(CoapRemote):
    """A peer of whom nothing is known but its address."""

    @classmethod
    def of(cls, connection: DatagramConnection) -> Self:
        """The peer of a socket."""
        return cls(connection, cast("Established", None), owner=connection.peer_address)

    @property
    def is_open(self) -> bool:
        """Can a request be sent to it?"""
        return self.connection is not None and not self.connection.closed

    @property
    def authenticated_claims(self) -> tuple[str, ...]:
        """Nobody is."""
        return ()


def plain_sessions(link: PlainLink) -> CoapSessions:
    """CoAP over UDP, from one socket.

    Raises:
        ConfigurationError: It does not go to a Unix socket.
    """
    address = link.address
    if not isinstance(address, Address):
        raise ConfigurationError(f"CoAP does not go to {address}")

    async def open_socket(make: MakeApplication) -> CoapRemote:
        try:
            _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _PlainDatagrams(link), remote_addr=(address.host, address.port)
            )
        except OSError as error:
            raise HandshakeError(f"{address} cannot be reached: {error.strerror or error}") from error
        protocol.application = make(cast("DatagramConnection", protocol))
        return protocol.application.remote

    return CoapSessions(link.limits, open_socket, remote_of=PlainRemote.of)
