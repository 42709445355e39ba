"""A link that loses the last flight of a handshake: all from the server's ChangeCipherSpec on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from onem2m_security.net.address import Address, Transport

CHANGE_CIPHER_SPEC = 20
DATAGRAM_HEADER = 13


@dataclass
class Link:
    """Where clients reach the server.

    Attributes:
        address: The address to connect to.
        last_flights: How many last flights were lost.
    """

    server: Address
    address: Address = field(init=False)
    last_flights: int = 0


class _Stream:
    """One TCP connection through the link; it breaks where the last flight begins."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(
            self._link.server.host, self._link.server.port
        )
        there = asyncio.create_task(self._forward(reader, server_writer))
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    header = await server_reader.readexactly(5)
                    if header[0] == CHANGE_CIPHER_SPEC:
                        self._link.last_flights += 1
                        break
                    writer.write(header + await server_reader.readexactly(int.from_bytes(header[3:])))
        finally:
            there.cancel()
            writer.close()
            server_writer.close()

    @staticmethod
    async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)


class _FromServer(asyncio.DatagramProtocol):
    """What the server answers to one client."""

    def __init__(self, link: Link, client_side: asyncio.DatagramTransport, client: tuple[str, int]) -> None:
        self._link = link
        self._client_side = client_side
        self._client = client

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        del address
        kept = b""
        while len(data) >= DATAGRAM_HEADER:
            if data[0] == CHANGE_CIPHER_SPEC:
                self._link.last_flights += 1
                break
            length = DATAGRAM_HEADER + int.from_bytes(data[11:13])
            kept, data = kept + data[:length], data[length:]
        if kept:
            self._client_side.sendto(kept, self._client)


class _FromClients(asyncio.DatagramProtocol):
    """The client's side of the link over UDP; each client has a socket of its own towards the server."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._tasks: dict[tuple[str, int], asyncio.Task[asyncio.DatagramTransport]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if address not in self._tasks:
            self._tasks[address] = asyncio.create_task(self._open(address))
        self._tasks[address].add_done_callback(lambda opened: opened.result().sendto(data))

    async def _open(self, address: tuple[str, int]) -> asyncio.DatagramTransport:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _FromServer(self._link, self._transport, address),
            remote_addr=(self._link.server.host, self._link.server.port),
        )
        return transport

    def close(self) -> None:
        for task in self._tasks.values():
            if task.done():
                task.result().close()
        self._transport.close()


@contextlib.asynccontextmanager
async def lossy_link(server: Address, transport: Transport) -> AsyncIterator[Link]:
    """A link to this server."""
    link = Link(server)
    if transport is Transport.TLS:
        listening = await asyncio.start_server(
            lambda reader, writer: _Stream(link).connected(reader, writer), "127.0.0.1", 0
        )
        link.address = Address(*listening.sockets[0].getsockname()[:2])
        async with listening:
            yield link
    else:
        endpoint, clients = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _FromClients(link), local_addr=("127.0.0.1", 0)
        )
        link.address = Address(*endpoint.get_extra_info("sockname")[:2])
        try:
            yield link
        finally:
            clients.close()
