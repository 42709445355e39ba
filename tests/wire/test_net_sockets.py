"""Sockets of ports: whoever watches them, what happens to one concerns no other."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from pathlib import Path

import pytest

from logged import capture_logs
from maf_support import LOOPBACK, eventually
from onem2m_security.errors import ConfigurationError
from onem2m_security.net import listening, poller
from onem2m_security.net.address import Address
from onem2m_security.net.limits import Limits
from onem2m_security.net.stream import StreamPort, StreamTransport

pytestmark = pytest.mark.usefixtures("either_way")


class Echo(asyncio.Protocol):
    """Sends back what it gets; what it is told is kept."""

    def __init__(self):
        self.told = []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.told.append(data)
        if data == b"mistake":
            raise ZeroDivisionError
        self.transport.write(data)

    def connection_lost(self, exc):
        self.told.append(None)


class EchoPort(StreamPort):
    """A port without TLS."""

    def __init__(self, limits=None):
        super().__init__(limits or Limits())
        self.applications = []

    def accept(self):
        transport = StreamTransport(self._limits, self)
        self.applications.append(Echo())
        transport.set_protocol(self.applications[-1])
        return transport


@contextlib.asynccontextmanager
async def echoing(limits=None, address=LOOPBACK):
    async with EchoPort(limits) as port:
        yield port, await port.start(address)


async def connect(address):
    return await asyncio.open_connection(address.host, address.port)


async def says(reader, writer, data):
    writer.write(data)
    return await reader.readexactly(len(data))


async def test_what_is_sent_comes_back_however_much_it_is():
    data = bytes(at % 251 for at in range(5_000_000))
    async with echoing() as (_, address):
        reader, writer = await connect(address)
        sending = asyncio.create_task(says(reader, writer, data))
        assert await sending == data
        writer.close()


async def test_a_mistake_of_an_application_ends_its_connection_and_no_other():
    raised = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    async with echoing() as (port, address):
        other = await connect(address)
        reader, writer = await connect(address)
        writer.write(b"mistake")
        assert await reader.read() == b""
        assert await says(other[0], other[1], b"still here") == b"still here"
        await eventually(lambda: port.connections == 1)
        writer.close()
        other[1].close()
    assert [type(error) for error in raised] == [ZeroDivisionError]


async def test_a_peer_that_resets_is_gone_and_no_other():
    async with echoing() as (port, address):
        other = await connect(address)
        _, writer = await connect(address)
        await eventually(lambda: port.connections == 2)
        abrupt = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abrupt)
        writer.transport.abort()
        await eventually(lambda: port.connections == 1)
        assert await says(other[0], other[1], b"still here") == b"still here"
        other[1].close()


async def test_what_comes_while_nobody_reads_waits_until_somebody_does():
    async with echoing() as (port, address):
        reader, writer = await connect(address)
        assert await says(reader, writer, b"first") == b"first"
        [connection], [application] = port._connections, port.applications
        connection.pause_reading()
        writer.write(b"second")
        for _ in range(50):
            await asyncio.sleep(0)
        assert application.told == [b"first"]
        connection.resume_reading()
        assert await reader.readexactly(6) == b"second"
        writer.close()


async def test_an_address_that_is_taken_is_refused_by_its_name():
    async with echoing() as (_, address):
        with pytest.raises(ConfigurationError, match=f"cannot listen on {address}: "):
            await EchoPort().start(address)


async def test_a_name_stands_for_its_addresses():
    async with echoing(address=Address("localhost", 0)) as (_, address):
        reader, writer = await connect(address)
        assert await says(reader, writer, b"x") == b"x"
        writer.close()


async def test_no_descriptor_stays_behind():
    def descriptors():
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    async def once():
        async with echoing() as (port, address):
            reader, writer = await connect(address)
            assert await says(reader, writer, b"x") == b"x"
            writer.close()
            await eventually(lambda: port.connections == 0)

    await once()
    before = descriptors()
    for _ in range(3):
        await once()
    assert descriptors() == before


class Exhausted:
    """A socket that finds no descriptor for the first connection that it is to accept."""

    def __init__(self, bound):
        self._bound, self.refused = bound, 0

    def __getattr__(self, name):
        return getattr(self._bound, name)

    def accept(self):
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._bound.accept()


async def test_without_a_descriptor_to_spare_a_connection_waits_and_the_log_says_so_once(monkeypatch):
    monkeypatch.setattr(listening, "_PAUSE_SECONDS", 0.05)
    port, bound = EchoPort(), socket.create_server(("127.0.0.1", 0))
    bound.settimeout(0)
    exhausted = Exhausted(bound)
    with capture_logs() as logged:
        server = listening._Server(exhausted, port.accept)
        reader, writer = await connect(Address(*bound.getsockname()))
        assert await says(reader, writer, b"x") == b"x"
        writer.close()
        await eventually(lambda: port.connections == 0)
        server.close()
        server.close()
    assert exhausted.refused == 1
    assert [entry["event"] for entry in logged] == ["no connection can be accepted"]


async def test_what_the_network_says_of_a_datagram_ends_no_port(monkeypatch):
    monkeypatch.setattr(poller, "is_used", True)

    class Datagrams(asyncio.DatagramProtocol):
        def __init__(self):
            self.told, self.errors = asyncio.Queue(), []

        def datagram_received(self, data, addr):
            self.told.put_nowait((data, addr))
            if data == b"mistake":
                raise ZeroDivisionError

        def error_received(self, exc):
            self.errors.append(exc)

    protocol = Datagrams()
    transport = await listening.receive_datagrams(protocol, LOOPBACK)
    with socket.socket(type=socket.SOCK_DGRAM) as peer, capture_logs() as logged:
        peer.bind(("127.0.0.1", 0))
        for data in (b"mistake", b"", b"x" * 60_000):
            peer.sendto(data, transport.get_extra_info("sockname"))
            assert await protocol.told.get() == (data, peer.getsockname())
        transport.sendto(b"y" * 70_000, peer.getsockname())
        assert [error.errno for error in protocol.errors] == [errno.EMSGSIZE]
        transport.sendto(b"answer", peer.getsockname())
        assert peer.recv(100) == b"answer"
    transport.close()
    transport.sendto(b"nobody sends this", ("127.0.0.1", 9))
    assert transport.is_closing()
    assert [entry["event"] for entry in logged] == ["datagram not handled"]
