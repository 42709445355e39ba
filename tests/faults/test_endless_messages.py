"""One connection sends without end to a real server: it does not grow, cuts it off and goes on serving."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psutil
import pytest

from gba_support import BSF, Card, a_subscriber
from gba_support import provision as provision_bsf
from maf_support import ID_A, ID_B, LOOPBACK, A, B, key_of, provision
from mef_support import DEVICE, MEF, provision_mef
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.ue import Ue
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.onem2m.primitives import Operation
from onem2m_security.store import Store
from places import SUPPORT
from programs import Programs, Server

MIB = 1 << 20
SENT_MAX = 50 * MIB
"""Where a server that collects everything has grown by hundreds of MiB."""

CHUNKED = b"POST /x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"GET /x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\nConnection: close\r\n\r\n"
ENDLESS = {
    "trailers": (CHUNKED + b"1\r\nz\r\n0\r\n", b"X: y\r\n" * 2730),
    "one trailer": (CHUNKED + b"0\r\nX: ", b"y" * 16_384),
    "chunk extensions": (CHUNKED, b"1;x=yyyyyyyyyyy\r\nz\r\n" * 800),
    "requests": (b"", b"GET /x HTTP/1.1\r\n\r\n" * 800),
    "a head": (b"GET /x HTTP/1.1\r\n", b"X: y\r\n" * 2730),
    "a body": (b"POST /x HTTP/1.1\r\nContent-Length: 9000000000\r\n\r\n", b"z" * 16_384),
}

OPENING = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: ud63env87LQLd4uIV20/oQ==\r\nSec-WebSocket-Protocol: oneM2M.json\r\n\r\n"
)
ENDLESS_FRAMES = {
    "a frame": (b"\x81\xff" + (1 << 62).to_bytes(8, "big") + bytes(4), b" " * 16_384),
    "fragments": (b"\x01\x80" + bytes(4), (b"\x00\x80" + bytes(4)) * 2730),
    "fragments of one octet": (b"\x01\x80" + bytes(4), (b"\x00\x81" + bytes(4) + b" ") * 2340),
}
"""What begins a message of WebSocket, and what goes on with it."""

Write = Callable[[bytes], Awaitable[None]]
Connect = Callable[[], contextlib.AbstractAsyncContextManager[tuple[Write, Callable[[], Awaitable[bytes]]]]]


@contextlib.asynccontextmanager
async def secured(channel: Channel) -> AsyncIterator[tuple[Write, Callable[[], Awaitable[bytes]]]]:
    async with channel:
        yield channel.write, channel.read


@contextlib.asynccontextmanager
async def plain(address: Address) -> AsyncIterator[tuple[Write, Callable[[], Awaitable[bytes]]]]:
    reader, writer = await asyncio.open_connection(address.host, address.port)

    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    async def read() -> bytes:
        return await reader.read(65_536)

    yield write, read
    writer.transport.abort()


async def growth_under(process: psutil.Process, connect: Connect, beginning: bytes, again: bytes) -> int:
    """By how many octets a server grows at most, while one connection sends until it is cut off."""
    async with connect() as (write, read):
        await write(WHOLE)
        assert (await read()).startswith(b"HTTP/1.1 ")
    before = most = process.memory_info().rss
    async with connect() as (write, _):
        with contextlib.suppress(ConnectionError):
            await write(beginning)
            for _ in range(SENT_MAX // len(again)):
                await write(again)
                most = max(most, process.memory_info().rss)
    return max(most, process.memory_info().rss) - before


async def holds_against_all(pid: int, connect: Connect) -> None:
    process = psutil.Process(pid)
    for what, (beginning, again) in ENDLESS.items():
        grown = await growth_under(process, connect, beginning, again)
        assert grown < 5 * MIB, f"{what}: {grown / MIB:.0f} MiB"
    async with connect() as (write, read):
        await write(WHOLE)
        assert (await read()).startswith(b"HTTP/1.1 ")


async def holds_against_all_frames(pid: int, connect: Connect) -> None:
    process = psutil.Process(pid)

    @contextlib.asynccontextmanager
    async def connect_websocket():
        async with connect() as (write, read):
            await write(OPENING)
            assert (await read()).startswith(b"HTTP/1.1 101 ")
            yield write, read

    for what, (beginning, again) in ENDLESS_FRAMES.items():
        before = most = process.memory_info().rss
        async with connect_websocket() as (write, read):
            await write(beginning)
            with contextlib.suppress(ConnectionError):
                for _ in range(SENT_MAX // len(again)):
                    await write(again)
                    most = max(most, process.memory_info().rss)
            assert (await read())[:1] in {b"", b"\x88"}, "it is over, after a Close frame if that arrived"
        assert most - before < 5 * MIB, f"{what}: {(most - before) / MIB:.0f} MiB"


def address_of(server: Server) -> Address:
    return Address("127.0.0.1", server.port)


async def test_a_maf_does_not_grow_with_an_endless_message(programs: Programs):
    data = programs.directory / "maf"
    await provision(data, [A, B])
    server = programs.start_maf(data)

    @contextlib.asynccontextmanager
    async def connect():
        async with secured(await open_channel(Link(address_of(server)), B.initiator())) as both:
            yield both

    await holds_against_all(server.process.pid, connect)
    await holds_against_all_frames(server.process.pid, connect)
    assert (await A.maf_client(address_of(server)).handshake()).kc


async def test_an_mef_does_not_grow_with_an_endless_message(programs: Programs):
    data = programs.directory / "mef"
    await provision_mef(data)
    server = programs.start(
        "mef", "serve", "--data", data, "--fqdn", MEF, "--listen", "127.0.0.1:0", "--transport", "tls"
    )

    @contextlib.asynccontextmanager
    async def connect():
        async with secured(await open_channel(Link(address_of(server)), DEVICE.initiator)) as both:
            yield both

    await holds_against_all(server.process.pid, connect)
    assert (await DEVICE.enrol(address_of(server))).ke_id


async def test_a_bsf_does_not_grow_with_an_endless_message_from_anybody(programs: Programs):
    data = programs.directory / "bsf"
    async with await Store.open(data) as store:
        await provision_bsf(store)
    server = programs.start(
        "bsf",
        "serve",
        "--data",
        data,
        "--fqdn",
        BSF,
        "--listen-zn",
        "127.0.0.1:0",
        "--listen-ub",
        "127.0.0.1:0",
    )
    ub = Address("127.0.0.1", int(server.wait_for(r"Ub, listening on 127\.0\.0\.1:(\d+)").group(1)))
    await holds_against_all(server.process.pid, lambda: plain(ub))
    assert (await Ue(Card(a_subscriber()), BSF, Link(ub)).bootstrap()).b_tid


@contextlib.contextmanager
def running_cse(maf: Address) -> Iterator[tuple[int, Address]]:
    """An Entity B that answers requests, as a process of its own."""
    command = [sys.executable, SUPPORT / "peer_cse.py", str(ID_B), str(maf), str(maf)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            process.stdin.write(f"{B.km.reveal().hex()}\n{'00' * 32}\n")
            process.stdin.flush()
            found = re.search(r"listening on (\S+)", process.stdout.readline())
            yield process.pid, Address.parse(found.group(1))
        finally:
            process.kill()


async def test_an_entity_b_does_not_grow_with_an_endless_message(programs: Programs):
    data = programs.directory / "maf"
    await provision(data, [A, B])
    maf = address_of(programs.start_maf(data))
    with running_cse(maf) as (pid, address):

        @contextlib.asynccontextmanager
        async def connect():
            client = A.maf_client(maf)
            async with secured(await associate(Link(address), client.initiator(ID_B))) as both:
                yield both
            await client.close()

        await holds_against_all(pid, connect)


# --- the asking side ----------------------------------------------------------------------------------------

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
OK = b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\n"


@pytest.mark.parametrize(
    ("beginning", "again"),
    [
        (OK, b"X: y\r\n" * 2730),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n", b"X: y\r\n" * 2730),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;x=yyyyyyyyyyy\r\nz\r\n" * 800),
        (OK + b"Content-Length: 9000000000\r\n\r\n", b"z" * 16_384),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 600),
    ],
)
async def test_a_client_does_not_read_an_endless_answer(beginning, again):
    sent = 0

    async def answer(channel: Channel) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):
            await channel.read()
            await channel.write(beginning)
            while sent < SENT_MAX:
                await channel.write(again)
                sent += len(again)
                await asyncio.sleep(0)

    async with EntityB(ID_B, keys=[KPSA]) as b:
        bound = await b.listen(LOOPBACK, answer)
        client = HttpClient(Link(bound, limits=Limits(request_seconds=1.0)), initiate(ID_A, ID_B, KPSA))
        before = psutil.Process().memory_info().rss
        with pytest.raises(ResolverUnavailableError):
            await client.request(Operation.RETRIEVE, ("x",))
        assert psutil.Process().memory_info().rss - before < 5 * MIB
        await client.close()
