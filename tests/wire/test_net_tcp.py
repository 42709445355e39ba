"""TLS over TCP: channels, back-pressure, idleness, resolvers that take their time, a graceful stop."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from logged import capture_logs
from maf_support import ID_A, ID_B, LOOPBACK, eventually, key_of
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.credentials import ResolvedKey
from onem2m_security.errors import (
    ConfigurationError,
    CredentialError,
    HandshakeError,
    HandshakeTimeoutError,
    ResolverUnavailableError,
)
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.frameworks.steps import Acceptor, Authorities
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.channel import Channel, channel_protocol, open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.tcp import Listener
from onem2m_security.tls.endpoint import Endpoint

pytestmark = pytest.mark.usefixtures("either_way")

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)


async def echo(channel: Channel) -> None:
    while data := await channel.read():
        await channel.write(data)


@contextlib.asynccontextmanager
async def listening(handler=echo, *, resolver=None, limits: Limits | None = None, established=None):
    acceptor = Acceptor(ID_B, Endpoint(server=True), resolver or ProvisionedKeys([KPSA]))
    if established is not None:
        acceptor.established = established
    listener = Listener(Authorities({}, default=acceptor), channel_protocol(handler), limits or Limits())
    address = await listener.start(LOOPBACK)
    try:
        yield listener, address
    finally:
        await listener.stop(grace=1.0)


async def connect(address: Address, limits: Limits | None = None) -> Channel:
    return await open_channel(Link(address, limits=limits), initiate(ID_A, ID_B, KPSA))


async def read_exactly(channel: Channel, octets: int) -> bytes:
    data = bytearray()
    while len(data) < octets and (more := await channel.read(octets - len(data))):
        data += more
    return bytes(data)


async def test_what_is_written_at_one_end_is_read_at_the_other():
    async with listening() as (_, address), await connect(address) as channel:
        await channel.write(b"hello")
        assert await read_exactly(channel, 5) == b"hello"


@pytest.mark.parametrize("octets", [1, 16_384, 16_385, 3_000_000])
async def test_data_of_any_length_comes_back(octets):
    data = bytes(i % 251 for i in range(octets))
    async with listening() as (_, address), await connect(address) as channel:
        sending = asyncio.create_task(channel.write(data))
        assert await read_exactly(channel, octets) == data
        await sending


async def test_a_peer_that_does_not_read_makes_the_writer_wait():
    release = asyncio.Event()

    async def silent(channel: Channel) -> None:
        await release.wait()
        await echo(channel)

    async with listening(silent) as (_, address), await connect(address) as channel:
        data = bytes(30_000_000)
        writing = asyncio.create_task(channel.write(data))
        await asyncio.sleep(0.2)
        assert not writing.done()
        release.set()
        assert len(await read_exactly(channel, len(data))) == len(data)
        await writing


async def test_both_ends_see_the_same_session():
    seen: list[Channel] = []

    async def note(channel: Channel) -> None:
        seen.append(channel)
        await echo(channel)

    async with listening(note) as (_, address), await connect(address) as channel:
        await channel.write(b"x")
        await channel.read()
        a, b = channel.association, seen[0].association
        assert (a.local, a.peer, b.local, b.peer) == (ID_A, ID_B, ID_B, ID_A)
        assert a.cipher_suite == b.cipher_suite


async def test_an_orderly_close_is_the_end_of_what_is_read():
    async def say_and_close(channel: Channel) -> None:
        await channel.write(b"bye")

    async with listening(say_and_close) as (listener, address), await connect(address) as channel:
        assert await channel.read() == b"bye"
        assert await channel.read() == b""
        assert channel.closing
        await eventually(lambda: listener.connections == 0)


async def test_a_handler_that_fails_closes_its_own_channel_and_no_other():
    handled = []

    async def fail_first(channel: Channel) -> None:
        handled.append(channel)
        if len(handled) == 1:
            raise ValueError("a handler's own mistake")
        await echo(channel)

    async with listening(fail_first) as (_, address):
        async with await connect(address) as channel:
            assert await channel.read() == b""
        async with await connect(address) as channel:
            await channel.write(b"fine")
            assert await channel.read() == b"fine"


async def test_an_idle_session_is_closed_and_a_busy_one_is_not():
    async with listening(limits=Limits(idle_seconds=0.3)) as (listener, address):
        idle, busy = await connect(address), await connect(address)
        for _ in range(10):
            await asyncio.sleep(0.06)
            await busy.write(b"x")
            assert await busy.read() == b"x"
        assert await idle.read() == b""
        assert listener.connections == 1
        await busy.close()
        await idle.close()


# --- the handshake waits for others ---


class Slow:
    """A resolver that answers when it is told to."""

    def __init__(self, answer: ResolvedKey | Exception | None) -> None:
        self.answer = answer
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def resolve(self, identity, suite) -> ResolvedKey | None:
        self.asked.set()
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_resolver_is_awaited_in_the_middle_of_the_handshake_while_others_go_on():
    slow = Slow(KPSA)
    async with listening() as (_, quick_address), listening(resolver=slow) as (_, address):
        waiting = asyncio.create_task(connect(address))
        await slow.asked.wait()
        async with await connect(quick_address) as other:
            await other.write(b"x")
            assert await other.read() == b"x"
        assert not waiting.done()
        slow.go_on.set()
        async with await waiting as channel:
            await channel.write(b"at last")
            assert await channel.read() == b"at last"


async def test_a_resolver_that_cannot_ask_ends_the_handshake_with_internal_error():
    slow = Slow(ResolverUnavailableError("the MAF is down"))
    slow.go_on.set()
    with capture_logs() as logged:
        async with listening(resolver=slow) as (_, address):
            with pytest.raises(HandshakeError, match="something that it needs failed") as caught:
                await connect(address)
    assert caught.value.alert.name == "internal_error"
    assert any(entry.get("error") == "the MAF is down" for entry in logged)


async def test_a_resolver_with_a_mistake_of_its_own_ends_the_handshake_and_not_the_server():
    slow = Slow(ZeroDivisionError("a mistake"))
    slow.go_on.set()
    with capture_logs() as logged:
        async with listening(resolver=slow) as (_, address):
            with pytest.raises(HandshakeError) as caught:
                await connect(address)
            slow.answer = KPSA
            await (await connect(address)).close()
    assert caught.value.alert.name == "internal_error"
    assert any("ZeroDivisionError" in entry.get("error", "") for entry in logged)


async def test_a_resolver_that_never_answers_costs_no_more_than_the_handshake_s_time():
    slow = Slow(KPSA)
    async with listening(resolver=slow, limits=Limits(handshake_seconds=0.2)) as (listener, address):
        with pytest.raises(HandshakeError) as caught:
            await connect(address)
        assert caught.value.alert.name == "internal_error"
        await eventually(lambda: listener.connections == 0)
        assert len(listener.half_open) == 0


async def test_a_client_believes_in_nothing_that_could_not_be_made_durable():
    async def fail(established) -> None:
        raise CredentialError("not durable")

    async with listening(established=fail) as (_, address):
        with pytest.raises(HandshakeError) as caught:
            await connect(address)
    assert caught.value.alert.name == "internal_error"


async def test_a_client_waits_while_it_is_made_durable():
    begun, durable = asyncio.Event(), asyncio.Event()

    async def commit(established) -> None:
        begun.set()
        await durable.wait()

    async with listening(established=commit) as (_, address):
        waiting = asyncio.create_task(connect(address))
        await begun.wait()
        await asyncio.sleep(0.05)
        assert not waiting.done()
        durable.set()
        await (await waiting).close()


# --- reaching a peer ---


async def test_a_peer_that_is_not_there_is_named():
    with pytest.raises(HandshakeError, match=r"127\.0\.0\.1:1 cannot be reached"):
        await connect(Address("127.0.0.1", 1))


@contextlib.asynccontextmanager
async def plain_server(answer: bytes | None):
    """A server that is no TLS server: it answers with these octets and closes, or stays silent for None."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(65_536)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address(*server.sockets[0].getsockname())
        await over.wait()


async def test_a_peer_that_is_silent_is_given_up_in_time():
    async with plain_server(None) as address:
        with pytest.raises(HandshakeTimeoutError, match=r"no complete handshake within 0\.1 s"):
            await connect(address, Limits(handshake_seconds=0.1))


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\3\3\0\2\2\x28", b"", b"\x16\3\3\0\4\2\0\0\0"]
)
async def test_a_peer_that_speaks_something_else_is_a_handshake_error(answer):
    async with plain_server(answer) as address:
        with pytest.raises(HandshakeError, match=r"//sp\.example/in-cse at 127\.0\.0\.1"):
            await connect(address)


async def test_connecting_may_be_given_up():
    slow = Slow(KPSA)
    async with listening(resolver=slow) as (listener, address):
        connecting = asyncio.create_task(connect(address))
        await slow.asked.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        slow.go_on.set()
        await eventually(lambda: listener.connections == 0)


async def test_a_port_that_is_taken_is_named():
    async with listening() as (_, address):
        acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KPSA]))
        other = Listener(Authorities({}, default=acceptor), channel_protocol(echo), Limits())
        with pytest.raises(ConfigurationError, match=f"cannot listen on {address}"):
            await other.start(address)


# --- stopping ---


async def test_a_stop_closes_open_sessions_in_order_and_accepts_nobody_more():
    async with listening() as (listener, address):
        channel = await connect(address)
        await listener.stop(grace=5.0)
        assert await channel.read() == b""
        with pytest.raises(HandshakeError):
            await connect(address)
        await channel.close()


async def test_entity_b_may_be_stopped_twice_and_before_it_listens():
    b = EntityB(ID_B, keys=[KPSA])
    await b.stop()
    bound = await b.listen(LOOPBACK, echo)
    async with await associate(Link(bound), saef_psk.initiate(ID_A, ID_B, KPSA)) as channel:
        await channel.write(b"x")
        assert await channel.read() == b"x"
    await b.stop()
    await b.stop()


@pytest.mark.parametrize("text", ["", "x", ":", "host:", ":1", "host:x", "host:-1", "host:65536", "host:१"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize("text", ["127.0.0.1:5684", "[::1]:443", "maf.example.com:0"])
def test_an_address_parses_back(text):
    assert str(Address.parse(text)) == text
