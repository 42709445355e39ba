"""Asking in the clear a peer that nobody else reaches: HTTP over TCP or a Unix socket, and CoAP over UDP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, cast

import httpcore

from ..errors import ConfigurationError, HandshakeError
from ..frameworks.steps import Established
from .address import Address
from .coap_client import CoapSessions, MakeApplication
from .coap_layer import CoapApplication, CoapRemote
from .http_pool import HttpPool
from .limits import Limits
from .local_address import LocalAddress
from .udp import DatagramConnection


class _Stream(httpcore.AsyncNetworkStream):
    """A connection as httpcore wants it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._writer.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        """A kept connection that the peer has closed is readable, and gets no further request."""
        return self._reader.at_eof() or self._writer.is_closing() if info == "is_readable" else None


class PlainBackend(httpcore.AsyncNetworkBackend):
    """Opens connections in the clear to one address, whatever host httpcore names."""

    def __init__(self, address: LocalAddress) -> None:
        """Open them there."""
        self._address = address

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open one."""
        del host, port, local_address, socket_options
        try:
            async with asyncio.timeout(timeout):
                if isinstance(self._address, Address):
                    opened = asyncio.open_connection(self._address.host, self._address.port)
                else:
                    opened = asyncio.open_unix_connection(self._address.path)
                return _Stream(*await opened)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(f"{self._address}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class PlainLink:
    """The way to one peer, in the clear.

    Attributes:
        address: Where it listens.
        limits: Bounds on time and size.
    """

    address: LocalAddress
    limits: Limits


def plain_pool(link: PlainLink, connections: int) -> HttpPool:
    """A pool of so many connections in the clear, at most."""
    authority = str(link.address) if isinstance(link.address, Address) else "localhost"
    return HttpPool(authority, PlainBackend(link.address), link.limits, connections=connections)


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
