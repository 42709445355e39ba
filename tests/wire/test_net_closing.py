"""The end of a TCP connection: last words arrive, and nobody is waited for for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from certificate_support import NAME_A, OTHER_ROOT, endpoint_b, initiator_a
from maf_support import ID_A, ID_B, LOOPBACK, eventually, key_of
from onem2m_security.alerts import Alert
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.frameworks.steps import Acceptor, Authorities
from onem2m_security.gba.ub_messages import UbResponse
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.channel import Channel, channel_protocol, open_channel
from onem2m_security.net.http import http_protocol
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.stream import DISCARDED_OCTETS, StreamPort
from onem2m_security.net.tcp import Listener
from onem2m_security.net.ub import UbListener
from onem2m_security.onem2m.primitives import Response, Rsc
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.events import DataReceived, HandshakeCompleted, SessionEnded
from onem2m_security.tls.session import Session

pytestmark = pytest.mark.usefixtures("either_way")

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
INITIATOR = initiate(ID_A, ID_B, KPSA)
GARBAGE = b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"
"""A record with a ServerHello in it, which no client sends."""

LONG = 60.0
SHORT = 0.2


async def wait(channel: Channel) -> None:
    await channel.read()


@contextlib.asynccontextmanager
async def listening(
    handler=wait, *, limits: Limits, endpoint: Endpoint | None = None, protocol=None
) -> AsyncIterator[tuple[Listener, Address]]:
    acceptor = Acceptor(ID_B, endpoint or Endpoint(server=True), ProvisionedKeys([KPSA]))
    listener = Listener(Authorities({}, default=acceptor), protocol or channel_protocol(handler), limits)
    try:
        yield listener, await listener.start(LOOPBACK)
    finally:
        await listener.stop(grace=0.1)


class Raw:
    """A socket and nothing else: what it does not read stays in the kernel, and a reset is seen."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.loop = asyncio.get_running_loop()

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, address: Address) -> AsyncIterator[Raw]:
        with socket.socket() as made:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, (address.host, address.port))
            yield cls(made)

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.socket, data)

    async def answered(self) -> None:
        """Wait until there is something to read, and leave it there."""
        readable = asyncio.Event()
        self.loop.add_reader(self.socket, readable.set)
        await readable.wait()
        self.loop.remove_reader(self.socket)

    async def received(self) -> bytes:
        """Everything until the end; a reset raises."""
        data = b""
        async with asyncio.timeout(30):
            while more := await self.loop.sock_recv(self.socket, 65_536):
                data += more
        return data

    async def handshake(self, session: Session) -> None:
        while True:
            await self.send(session.data_to_send())
            events = session.receive(await self.loop.sock_recv(self.socket, 65_536))
            if any(isinstance(event, HandshakeCompleted) for event in events):
                return


def fatal(alert: str) -> bytes:
    return b"\x15\3\3\0\2\2" + bytes([Alert[alert]])


async def send_unread(client: Raw, octets: int) -> None:
    """More than the other side has asked for, in pieces, so that it would be told of a reset."""
    for _ in range(octets // 5000):
        await client.send(b"\x17" * 5000)
        await asyncio.sleep(0.002)


# --- last words ---


async def test_an_alert_arrives_although_the_client_goes_on_sending():
    async with (
        listening(limits=Limits(close_seconds=LONG)) as (listener, address),
        Raw.connected(address) as client,
    ):
        await client.send(GARBAGE)
        await client.answered()
        await send_unread(client, 200_000)
        assert (await client.received())[-7:] == fatal("unexpected_message")
        client.socket.close()
        await eventually(lambda: listener.connections == 0)


async def test_the_alert_for_a_refused_certificate_arrives_before_the_rest_of_the_flight_was_read():
    endpoint = endpoint_b()
    session = initiator_a(OTHER_ROOT.issue(None, NAME_A).local()).session("b.sp.example")
    async with (
        listening(limits=Limits(close_seconds=LONG), endpoint=endpoint) as (_, address),
        Raw.connected(address) as client,
    ):
        await client.send(session.data_to_send())
        flight = b""
        while not flight:
            session.receive(await client.loop.sock_recv(client.socket, 65_536))
            flight = session.data_to_send()
        end_of_certificate = 5 + int.from_bytes(flight[3:5])
        await client.send(flight[:end_of_certificate])
        await client.answered()
        await client.send(flight[end_of_certificate:])
        await send_unread(client, 50_000)
        assert (await client.received())[-7:] == fatal("unknown_ca")


async def test_the_alert_of_an_initiator_arrives_although_the_peer_goes_on_sending():
    seen = bytearray()

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        writer.write(b"\x16\x03\x03\x00\x04\x0b\x00\x00\x00")  # a Certificate before the ServerHello
        for _ in range(20):
            await writer.drain()
            await asyncio.sleep(0.005)
            writer.write(bytes(5000))
        seen.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    async with server:
        with pytest.raises(HandshakeError):
            await open_channel(Link(Address(*server.sockets[0].getsockname())), INITIATOR)
        await eventually(lambda: seen[-7:] == b"\x15\3\1\0\2\2" + bytes([Alert.unexpected_message]))


async def test_close_notify_arrives_although_the_client_goes_on_sending():
    async def say_goodbye(channel: Channel) -> None:
        await channel.read()
        await channel.write(b"bye")

    session = INITIATOR.session("b")
    async with (
        listening(say_goodbye, limits=Limits(close_seconds=LONG)) as (_, address),
        Raw.connected(address) as client,
    ):
        await client.handshake(session)
        session.send(b"?")
        await client.send(session.data_to_send())
        await client.answered()
        await send_unread(client, 200_000)
        assert session.receive(await client.received()) == [DataReceived(b"bye"), SessionEnded(None)]


async def test_the_end_of_a_session_is_heard_of_and_nobody_waits_for_the_peer_to_close_tcp():
    heard = asyncio.Event()

    async def listen(channel: Channel) -> None:
        assert await channel.read() == b""
        heard.set()

    session = INITIATOR.session("b")
    async with (
        listening(listen, limits=Limits(close_seconds=LONG)) as (listener, address),
        Raw.connected(address) as client,
    ):
        await client.handshake(session)
        session.close()
        await client.send(session.data_to_send())
        await asyncio.wait_for(heard.wait(), 20)
        await eventually(lambda: listener.connections == 0)
        assert await client.received() == b""


# --- nobody is waited for for ever ---


async def test_after_the_end_only_so_much_is_thrown_away():
    async with (
        listening(limits=Limits(close_seconds=LONG)) as (listener, address),
        Raw.connected(address) as client,
    ):
        await client.send(GARBAGE)
        await client.answered()
        with contextlib.suppress(ConnectionError):
            await send_unread(client, 4 * DISCARDED_OCTETS)
        await eventually(lambda: listener.connections == 0)


async def test_whoever_does_not_close_after_the_end_is_cut_off_in_time():
    async with (
        listening(limits=Limits(close_seconds=SHORT)) as (listener, address),
        Raw.connected(address) as client,
    ):
        await client.send(GARBAGE)
        await client.answered()
        await eventually(lambda: listener.connections == 0)


async def test_those_that_do_not_close_are_few_and_the_oldest_goes_first():
    limits = Limits(close_seconds=LONG, half_open_per_address=5)
    async with listening(limits=limits) as (listener, address), contextlib.AsyncExitStack() as clients:
        for _ in range(30):
            client = await clients.enter_async_context(Raw.connected(address))
            await client.send(GARBAGE)
            await client.answered()
            assert listener.connections <= 6
        async with await open_channel(Link(address), INITIATOR):
            assert listener.connections <= 7


async def test_sessions_that_ended_are_cut_off_when_others_need_the_room():
    async def end(channel: Channel) -> None:
        await channel.write(b"bye")

    limits = Limits(close_seconds=LONG, half_open_per_address=5)
    async with listening(end, limits=limits) as (listener, address), contextlib.AsyncExitStack() as clients:
        for _ in range(20):
            client = await clients.enter_async_context(Raw.connected(address))
            await client.handshake(INITIATOR.session("b"))
        await eventually(lambda: listener.connections == len(listener.half_open) == 5)


# --- answers that nobody reads ---


async def nobody_reads(port: StreamPort, connect) -> None:
    """Ten connections that are sent more than they read are all freed, while they stay open at their end."""
    async with contextlib.AsyncExitStack() as clients:
        for _ in range(10):
            await (await connect(clients)).answered()
        await eventually(lambda: port.connections == 0)


QUICK = Limits(idle_seconds=SHORT, close_seconds=SHORT)
MUCH = 8_000_000


async def test_a_channel_whose_peer_reads_nothing_is_freed():
    async def speak(channel: Channel) -> None:
        with contextlib.suppress(ConnectionError):
            await channel.write(bytes(MUCH))

    async with listening(speak, limits=QUICK) as (listener, address):

        async def connect(clients: contextlib.AsyncExitStack) -> Raw:
            client = await clients.enter_async_context(Raw.connected(address))
            await client.handshake(INITIATOR.session("b"))
            return client

        await nobody_reads(listener, connect)


async def test_a_client_that_does_not_read_its_answer_is_freed():
    async def much(request, established) -> Response:
        return Response(Rsc.OK, {"much": "x" * MUCH})

    async with listening(limits=QUICK, protocol=http_protocol(much, QUICK)) as (listener, address):

        async def connect(clients: contextlib.AsyncExitStack) -> Raw:
            client = await clients.enter_async_context(Raw.connected(address))
            session = INITIATOR.session("b")
            await client.handshake(session)
            session.send(b"GET /x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\n\r\n")
            await client.send(session.data_to_send())
            return client

        await nobody_reads(listener, connect)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_ue_that_does_not_read_its_answer_is_freed(connection):
    async def much(request) -> UbResponse:
        return UbResponse(200, body=bytes(MUCH))

    listener = UbListener(much, limits=QUICK)
    address = await listener.start(LOOPBACK)

    async def connect(clients: contextlib.AsyncExitStack) -> Raw:
        client = await clients.enter_async_context(Raw.connected(address))
        await client.send(f"GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n".encode())
        return client

    await nobody_reads(listener, connect)
    await listener.stop()


async def test_a_peer_that_reads_nothing_is_cut_off_although_it_goes_on_sending():
    async def echo(channel: Channel) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await channel.read():
                await channel.write(data * 1000)

    session = INITIATOR.session("b")
    async with (
        listening(echo, limits=QUICK) as (listener, address),
        Raw.connected(address) as client,
    ):
        await client.handshake(session)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while listener.connections:
                    session.send(bytes(1000))
                    await client.send(session.data_to_send())
                    await asyncio.sleep(0.01)
        assert listener.connections == 0


async def test_an_initiator_closes_in_time_although_the_peer_reads_nothing():
    held = asyncio.Event()

    async def deaf(channel: Channel) -> None:
        await held.wait()

    async with EntityB(ID_B, keys=[KPSA]) as b:
        address = await b.listen(LOOPBACK, deaf)
        channel = await open_channel(Link(address, limits=Limits(close_seconds=SHORT)), INITIATOR)
        writing = asyncio.create_task(channel.write(bytes(MUCH)))
        await asyncio.sleep(0)
        await channel.close()
        async with asyncio.timeout(20):
            await channel._transport.wait_gone()  # type: ignore[attr-defined]
            with contextlib.suppress(ConnectionError):
                await writing
        held.set()
