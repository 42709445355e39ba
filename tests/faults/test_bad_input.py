"""Whatever octets a peer sends, or does not send: a clear refusal, nothing lost, and the server goes on.

Every test ends with real clients that do the main job on the same server.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import resource
from collections.abc import Iterable

import pytest

from logged import capture_logs
from maf_support import (
    MAF,
    A,
    eventually,
    running_maf,
    the_main_job,
)
from onem2m_security.alerts import Alert
from onem2m_security.credentials import Secret
from onem2m_security.errors import HandshakeError
from onem2m_security.net.address import Address
from onem2m_security.net.channel import open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.session import Session
from requirements import lacks
from tls_support import ONLY_PSK

HELLO, KEY_EXCHANGE, CHANGE_CIPHER_SPEC, ALERT, APPLICATION_DATA = 1, 16, 20, 21, 23
QUICK = Limits(handshake_seconds=0.4, close_seconds=0.4)


async def refusal(address: Address, km: Secret, identity: str) -> HandshakeError:
    """The error of a client that shows this identity and this key."""
    initiator = dataclasses.replace(A.initiator(km), identity=identity.encode())
    with pytest.raises(HandshakeError) as caught:
        await open_channel(Link(address), initiator)
    return caught.value


async def octets_from(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes, orderly or not."""
    received = b""
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                received += data
    return received


async def send_raw(address: Address, *pieces: bytes, end: bool = True) -> bytes:
    """Send octets, half-close, and read until the server closes."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if end:
                writer.write_eof()
        return await octets_from(reader)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def alert_in(received: bytes) -> str | None:
    """The name of the alert in the clear with which the octets end."""
    tail = received[-7:]
    return Alert(tail[6]).name if len(tail) == 7 and tail[:1] == b"\x15" else None


def a_client(identity: bytes = str(A.km_id).encode(), km: Secret = A.km) -> Session:
    return Session(Endpoint(server=False, suites=ONLY_PSK), offer=PskOffer(identity, km))


class RawClient:
    """A client of the library's own core on a plain socket, so that a test may stop or lie at any flight."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: Session) -> None:
        self.reader, self.writer, self.session = reader, writer, session

    @classmethod
    async def open(cls, address: Address, session: Session | None = None) -> RawClient:
        return cls(*await asyncio.open_connection(address.host, address.port), session or a_client())

    async def send_flight(self) -> None:
        self.writer.write(self.session.data_to_send())
        await self.writer.drain()

    async def second_flight(self) -> bytes:
        """The client's second flight, after a real ServerHello; not sent yet."""
        await self.send_flight()
        flight = b""
        async with asyncio.timeout(30):
            while not flight:
                self.session.receive(await self.reader.read(65_536))
                flight = self.session.data_to_send()
        return flight

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def records_of(flight: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(flight):
        end = at + 5 + int.from_bytes(flight[at + 3 : at + 5], "big")
        found.append(flight[at:end])
        at = end
    return found


def record(body: bytes, content_type: int = 22) -> bytes:
    return bytes((content_type, 3, 3)) + len(body).to_bytes(2, "big") + body


def key_exchange_records(identity: bytes) -> list[bytes]:
    """A ClientKeyExchange with this identity, cut into records of the greatest length."""
    body = len(identity).to_bytes(2, "big") + identity
    message = bytes((KEY_EXCHANGE,)) + len(body).to_bytes(3, "big") + body
    return [record(message[at : at + 16_384]) for at in range(0, len(message), 16_384)]


# --- identities and keys ---


@pytest.mark.parametrize(
    "identity",
    [
        "nobody@maf.example.com",
        "a@another-maf.example",
        "a",
        "'; DROP TABLE key_records;--@x",
        "x" * 255,
        "%s%n",
    ],
)
async def test_an_unknown_identity_is_refused_like_a_wrong_key_and_logged(maf, identity):
    with capture_logs() as logged:
        error = await refusal(maf.address, A.km, identity)
        await eventually(lambda: any(entry["event"] == "unknown identity" for entry in logged))
    assert error.alert.name == "bad_record_mac"
    assert "does not know the identity, or holds another key" in str(error)
    assert await maf.kcs() == {}


async def test_a_wrong_key_is_refused_and_named_on_both_sides(maf):
    with capture_logs() as logged:
        error = await refusal(maf.address, Secret(b"this is not the right key"), str(A.km_id))
    assert error.alert.name == "bad_record_mac"
    [entry] = [
        entry for entry in logged if entry["event"] == "handshake failed" and entry["local"] == str(MAF)
    ]
    assert entry["alert"] == "bad_record_mac"
    assert "holds another key" in entry["error"]
    assert await maf.kcs() == {}


@pytest.mark.parametrize(
    "identity",
    [
        b"\xff\xfe@maf.example.com",
        b"a\x80@maf.example.com",
        b"\xed\xa0\x80@m.example",
        b"\x01\x1b[2J",
        bytes(range(1, 255)),
    ],
)
async def test_an_identity_that_is_not_utf_8_or_not_printable_is_refused_and_logged_safely(maf, identity):
    with capture_logs() as logged:
        client = await RawClient.open(maf.address, a_client(identity))
        flight = await client.second_flight()
        client.writer.write(flight)
        assert alert_in(await octets_from(client.reader)) == "bad_record_mac"
        await client.close()
        await eventually(lambda: any(entry["event"] == "unknown identity" for entry in logged))
    [entry] = [entry for entry in logged if entry["event"] == "unknown identity"]
    assert str(entry["identity"]).isprintable()
    assert await maf.kcs() == {}


@pytest.mark.parametrize("position", [0, 1, 9, -1])
async def test_an_identity_with_a_nul_never_passes_for_the_identity_before_it(maf, position):
    client = await RawClient.open(maf.address)
    flight = bytearray(await client.second_flight())
    identity = str(A.km_id).encode()
    flight[flight.index(identity) + position % len(identity)] = 0
    client.writer.write(bytes(flight))
    assert alert_in(await octets_from(client.reader)) in {
        "bad_record_mac", "unknown_psk_identity", "decrypt_error", "internal_error", "decode_error",
        "illegal_parameter", "handshake_failure",
    }  # fmt: skip
    await client.close()
    assert await maf.kcs() == {}


async def test_a_nul_behind_a_known_identity_is_not_cut_off(maf):
    client = await RawClient.open(maf.address)
    _, *rest = records_of(await client.second_flight())
    for piece in [*key_exchange_records(str(A.km_id).encode() + b"\0tail"), *rest]:
        client.writer.write(piece)
    assert alert_in(await octets_from(client.reader)) is not None
    await client.close()
    assert await maf.kcs() == {}


@pytest.mark.parametrize("octets", [0, 256, 1000, 16_378, 16_379, 65_535])
async def test_an_identity_of_any_forbidden_length_is_refused_with_an_alert(maf, octets):
    client = await RawClient.open(maf.address)
    _, *rest = records_of(await client.second_flight())
    with contextlib.suppress(ConnectionError):
        for piece in [*key_exchange_records(b"x" * octets), *rest]:
            client.writer.write(piece)
            await client.writer.drain()
    received = await octets_from(client.reader)
    await client.close()
    if received:  # what the server wrote may be lost to a reset, when it closed before it had read everything
        assert alert_in(received) is not None
    assert await maf.kcs() == {}


@pytest.mark.parametrize("lie", [0, 1, 2, 255, 256, 65_535])
async def test_an_identity_length_that_contradicts_the_message_is_refused(maf, lie):
    client = await RawClient.open(maf.address)
    first, *rest = records_of(await client.second_flight())
    wrong = bytearray(first)
    wrong[9:11] = lie.to_bytes(2, "big")
    client.writer.write(bytes(wrong) + b"".join(rest))
    assert alert_in(await octets_from(client.reader)) is not None
    await client.close()
    assert await maf.kcs() == {}


# --- octets that are no handshake ---


async def test_a_client_hello_cut_at_every_octet_leaves_nothing_behind(maf):
    hello = a_client().data_to_send()
    for start in range(0, len(hello), 50):
        cuts = range(start, min(start + 50, len(hello)))
        answers = await asyncio.gather(*(send_raw(maf.address, hello[:cut]) for cut in cuts))
        assert all(answer == b"" or alert_in(answer) for answer in answers)
    await eventually(lambda: maf.listener.connections == 0)
    assert len(maf.listener.half_open) == 0


async def test_a_client_hello_in_two_pieces_cut_at_every_octet_is_understood(maf):
    for cut in range(1, len(a_client().data_to_send()), 7):
        client = await RawClient.open(maf.address)
        hello = client.session.data_to_send()
        client.writer.write(hello[:cut])
        await client.writer.drain()
        await asyncio.sleep(0)
        client.writer.write(hello[cut:])
        flight = await client.second_flight()
        client.writer.write(flight)
        client.session.receive(await client.reader.read(65_536))
        assert client.session.state.name == "OPEN"
        await client.close()
    assert len(await maf.kcs()) == len(range(1, len(hello), 7))


async def test_random_octets_are_answered_with_an_alert_or_a_close(maf):
    chance = random.Random(20240501)
    for _ in range(6):
        loads = [chance.randbytes(chance.choice([1, 4, 5, 6, 100, 3000, 40_000])) for _ in range(25)]
        answers = await asyncio.gather(*(send_raw(maf.address, load) for load in loads))
        assert all(answer == b"" or (alert_in(answer) and len(answer) == 7) for answer in answers)
    await eventually(lambda: maf.listener.connections == 0)


async def test_random_octets_after_a_client_hello_are_answered_with_an_alert_or_a_close(maf):
    chance = random.Random(20240502)
    hello = a_client().data_to_send()
    loads = [chance.randbytes(chance.choice([1, 5, 6, 100, 20_000])) for _ in range(100)]
    answers = await asyncio.gather(*(send_raw(maf.address, hello, load) for load in loads))
    for answer in answers:
        *flight, last = records_of(answer) or [b""]  # a reset may overtake what the server wrote
        assert all(record[:1] == b"\x16" for record in flight)
        assert last[:1] in {b"", b"\x16"} or alert_in(answer)
    assert any(map(alert_in, answers))
    await eventually(lambda: maf.listener.connections == 0)
    assert await maf.kcs() == {}


@pytest.mark.parametrize("after_hello", [False, True])
async def test_records_of_every_wrong_type_are_refused(maf, after_hello):
    hello = a_client().data_to_send()
    before = [hello] if after_hello else []
    wrong = [kind for kind in range(256) if kind != 22]
    for start in range(0, len(wrong), 64):
        kinds = wrong[start : start + 64]
        loads = [record(b"\1" if kind == CHANGE_CIPHER_SPEC else b"\2\x28", kind) for kind in kinds]
        answers = await asyncio.gather(*(send_raw(maf.address, *before, load) for load in loads))
        for kind, answer in zip(kinds, answers, strict=True):
            if kind in {CHANGE_CIPHER_SPEC, APPLICATION_DATA}:
                assert alert_in(answer) == "unexpected_message"
    await eventually(lambda: maf.listener.connections == 0)
    assert await maf.kcs() == {}


@pytest.mark.parametrize(
    "hello",
    [
        b"GET /maf HTTP/1.1\r\nHost: maf.example.com\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x80\x2e\x01\x00\x02" + bytes(41),  # an SSLv2 ClientHello
        record(b"\1\xff\xff\xff" + b"x" * 1000),
        record(b"\1\0\0\2\3\3"),
        record(b""),
        record(b"") * 2000,
        record(b"\0\0\0\0") * 200,
        record(b"\x10\0\0\4\0\2km"),
        record(b"\x14\0\0\x0c" + bytes(12)),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
    ],
)
async def test_what_is_no_client_hello_is_refused(maf, hello):
    answer = await send_raw(maf.address, hello)
    assert answer == b"" or alert_in(answer)
    assert b"200" not in answer
    await eventually(lambda: maf.listener.connections == 0)


async def test_a_replayed_second_flight_is_refused(maf):
    first = await RawClient.open(maf.address)
    flight = await first.second_flight()
    first.writer.write(flight)
    first.session.receive(await first.reader.read(65_536))
    assert first.session.state.name == "OPEN"
    known = await maf.kcs()
    again = await RawClient.open(maf.address)
    await again.second_flight()
    again.writer.write(flight)
    assert alert_in(await octets_from(again.reader)) == "bad_record_mac"
    await again.close()
    await first.close()
    assert await maf.kcs() == known


# --- clients that stop ---


@pytest.mark.parametrize("flights", [0, 1, 2])
async def test_a_client_that_stops_after_a_flight_is_let_go_in_time(tmp_path, flights):
    async with running_maf(
        tmp_path / "data", limits=Limits(handshake_seconds=0.4, idle_seconds=0.4)
    ) as running:
        client = await RawClient.open(running.address)
        if flights == 1:
            await client.send_flight()
        elif flights == 2:
            client.writer.write(await client.second_flight())
        await octets_from(client.reader)
        await client.close()
        await eventually(lambda: running.listener.connections == 0)
        assert len(running.listener.half_open) == 0
        assert len(await running.kcs()) == (1 if flights == 2 else 0)
    async with running_maf(tmp_path / "data") as running:
        await the_main_job(running.address)


@pytest.mark.parametrize("flights", [0, 1, 2])
async def test_a_client_that_vanishes_after_a_flight_harms_nobody(maf, flights):
    client = await RawClient.open(maf.address)
    if flights == 1:
        await client.send_flight()
    elif flights == 2:
        client.writer.write(await client.second_flight())
        await client.writer.drain()
    client.writer.transport.abort()
    await eventually(lambda: maf.listener.connections == 0)


async def test_a_client_that_sends_one_octet_at_a_time_runs_out_of_time(tmp_path):
    async with running_maf(tmp_path / "data", limits=QUICK) as running:
        reader, writer = await asyncio.open_connection(running.address.host, running.address.port)
        with contextlib.suppress(ConnectionError):
            for octet in a_client().data_to_send() * 10:
                writer.write(bytes((octet,)))
                await writer.drain()
                await asyncio.sleep(0.02)
        assert await octets_from(reader) in {b"", b"\x15\3\3\0\2\2\x50"}
        writer.close()


@contextlib.contextmanager
def many_files(count: int):
    """Room for so many sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        lacks(f"{count} open files, where this system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def half_open(address: Address, count: int) -> list[asyncio.StreamWriter]:
    """Connections that never finish: every other one has sent a ClientHello."""
    writers = []
    for number in range(count):
        _, writer = await asyncio.open_connection(address.host, address.port)
        if number % 2:
            writer.write(a_client().data_to_send())
        writers.append(writer)
    return writers


async def let_go(writers: Iterable[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)


async def test_real_clients_go_on_beside_a_thousand_half_open_connections(tmp_path):
    limits = Limits(handshake_seconds=60.0)
    with many_files(4096):
        async with running_maf(tmp_path / "data", limits=limits) as running:
            writers = await half_open(running.address, 1000)
            await eventually(lambda: len(running.listener.half_open) == 1000)
            keys = await asyncio.gather(*(A.maf_client(running.address).handshake() for _ in range(20)))
            await the_main_job(running.address)
            await eventually(lambda: len(running.listener.half_open) == 1000)
            stored = await running.kcs()
            assert all(stored[key.kc_id] == key.kc for key in keys)
            await let_go(writers)
            await eventually(lambda: running.listener.connections == 0)


async def test_beyond_the_limit_the_oldest_half_open_connection_goes_and_real_clients_pass(tmp_path):
    limits = Limits(handshake_seconds=60.0, half_open_per_address=50)
    with many_files(4096):
        async with running_maf(tmp_path / "data", limits=limits) as running:
            writers = await half_open(running.address, 300)
            await the_main_job(running.address)
            assert len(running.listener.half_open) <= 50
            await let_go(writers)


async def test_beyond_the_limit_of_connections_further_ones_are_closed_and_room_is_found_again(tmp_path):
    async with running_maf(tmp_path / "data", limits=Limits(connections=5)) as running:
        channels = [await open_channel(Link(running.address), A.initiator()) for _ in range(5)]
        with pytest.raises(HandshakeError, match=r"closed the connection|reset"):
            await A.maf_client(running.address).handshake()
        await channels.pop().close()
        await eventually(lambda: running.listener.connections == 4)
        await A.maf_client(running.address).handshake()
        for channel in channels:
            await channel.close()


async def test_silent_connections_hold_no_place_that_a_real_client_needs(tmp_path):
    async with running_maf(
        tmp_path / "data", limits=Limits(connections=5, handshake_seconds=60.0)
    ) as running:
        channels = [await open_channel(Link(running.address), A.initiator()) for _ in range(3)]
        writers = await half_open(running.address, 20)
        await A.maf_client(running.address).handshake()
        assert not any(channel.closing for channel in channels)
        for channel in channels:
            await channel.close()
        await let_go(writers)
