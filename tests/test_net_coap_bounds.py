"""What a peer can make a CoAP server keep, and what it is refused: a raw CoAP client over our own DTLS."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from dataclasses import dataclass
from typing import Any

import pytest
from aiocoap import Context, interfaces
from aiocoap.error import UnparsableMessage
from aiocoap.message import Direction
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers.codes import Code
from aiocoap.numbers.contentformat import ContentFormat
from aiocoap.numbers.optionnumbers import OptionNumber
from hypothesis import given
from hypothesis import strategies as st

from maf_support import ID_B, LOOPBACK, A, eventually, running_maf
from onem2m_security.errors import ConfigurationError, ResolverUnavailableError
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities
from onem2m_security.net.channel import Channel, datagram_channels
from onem2m_security.net.coap import CoapServer
from onem2m_security.net.coap_blocks import Held
from onem2m_security.net.coap_messages import read_message
from onem2m_security.net.limits import Limits
from onem2m_security.net.udp import DatagramListener
from onem2m_security.onem2m.primitives import Operation, Request, Response, Rsc
from onem2m_security.tls.endpoint import Endpoint
from test_net_coap import (
    JSON,
    KPSA,
    KPSA_C,
    RQI,
    Service,
    channel_to,
    client_of,
    coap,
    content_of,
    exchange,
    ok,
    parse,
    serving,
)

POST, GET = 2, 1
SMALL = Limits(body_octets=4096)


def block(number: int, *, more: bool, exponent: int = 5) -> bytes:
    """The value of a Block1 or Block2 option (RFC 7959 clause 2.2)."""
    value = number << 4 | more << 3 | exponent
    return value.to_bytes(3, "big").lstrip(b"\0")


def piece(path: bytes, number: int, message_id: int, *, more: bool = True) -> bytes:
    options = {283: b"r", 11: path, 27: block(number, more=more)} | JSON
    return coap(POST, message_id, options=options, payload=b"y" * 512)


async def code_of(channel: Channel, message: bytes) -> int:
    return parse(await exchange(channel, message))[0]


def kept(service: Service) -> int:
    interface = service.server._interface
    return sum(
        held.octets for held in (interface.repeatable, interface.blocks.requests, interface.blocks.answers)
    )


# --- what is kept ---


async def test_one_peer_that_begins_bodies_without_end_displaces_its_own_and_nobody_else_s():
    async with serving(ok, limits=SMALL) as service:
        other = await channel_to(service, KPSA_C)
        greedy = [await channel_to(service) for _ in range(2)]  # by two sessions, which changes nothing
        assert await code_of(other, piece(b"other", 0, 1)) == Code.CONTINUE
        for number in range(100):
            assert await code_of(greedy[number % 2], piece(b"%d" % number, 0, number)) == Code.CONTINUE
        assert await code_of(greedy[1], piece(b"99", 1, 1000)) == Code.CONTINUE
        assert await code_of(greedy[0], piece(b"0", 1, 1001)) == Code.REQUEST_ENTITY_INCOMPLETE
        assert await code_of(other, piece(b"other", 1, 2)) == Code.CONTINUE
        for channel in (*greedy, other):
            await channel.close()


async def test_one_connection_that_fills_bodies_makes_a_server_grow_by_less_than_5_mib():
    """Different requests in blocks, their repetitions remembered: what took 340 MiB."""
    async with serving(ok) as service, await channel_to(service) as channel:

        async def fill(first: int, count: int) -> None:
            for number in range(first, first + count):
                path = b"%d" % number + b"p" * 200
                assert await code_of(channel, piece(path, 0, number)) == Code.CONTINUE

        await fill(0, 50)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        await fill(50, 2500)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < 5 << 20
        assert kept(service) < 2 << 20


async def test_answers_that_are_not_fetched_are_bounded_and_go_with_the_last_block_or_the_session():
    async with serving(lambda _: Response(Rsc.OK, content_of(3000)), limits=SMALL) as service:
        answers = service.server._interface.blocks.answers
        channel = await channel_to(service)
        for number in range(60):
            message = coap(GET, number, options={283: b"r", 11: b"%d" % number})
            assert await code_of(channel, message) == Code.CONTENT
        assert 1 <= len(answers) < 10
        first = len(answers)
        for number in range(1, 6):
            options = {283: b"r", 11: b"59", 23: block(number, more=False)}
            assert await code_of(channel, coap(GET, 100 + number, options=options)) == Code.CONTENT
        assert len(answers) == first - 1
        options = {283: b"r", 11: b"0", 23: block(1, more=False)}
        assert await code_of(channel, coap(GET, 200, options=options)) == Code.REQUEST_ENTITY_INCOMPLETE
        await channel.close()
        await eventually(lambda: kept(service) == 0)


async def test_a_request_that_came_before_is_answered_alike_and_not_done_again():
    async with serving(ok) as service, await channel_to(service) as channel:
        message = coap(POST, 7, options=RQI | JSON, payload=b"{}")
        first = await exchange(channel, message)
        for _ in range(3):
            assert await exchange(channel, message) == first
        assert len(service.requests) == 1


async def test_requests_that_wait_for_their_answers_are_bounded_for_each_peer():
    async with serving(ok, limits=Limits(body_octets=4096)) as service:
        service.hold = asyncio.Event()
        greedy, other = await channel_to(service), await channel_to(service)
        for number in range(80):
            await greedy.write(coap(GET, number, token=b"%d" % number, options=RQI))
        codes = []
        while codes.count(Code.TOO_MANY_REQUESTS) < 16:  # between them empty acknowledgements of the others
            codes.append(parse(await greedy.read())[0])
        assert len(service.requests) == 64
        await other.write(coap(GET, 1, options=RQI))
        await eventually(lambda: len(service.requests) == 65)
        service.hold.set()
        service.hold = None
        async with client_of(service) as client:
            assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.OK
        await greedy.close()
        await other.close()


@dataclass(eq=False)
class Session:
    """As far as what is kept of it is concerned."""

    owner: object


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 6000)), max_size=200))
def test_whatever_is_kept_of_peers_stays_within_bounds_for_each_and_in_all(puts):
    now = 0.0
    held: Held[int] = Held(1000, lambda: now)
    senders = [Session(number // 2) for number in range(6)]  # each peer has two
    for number, (peer, key, octets) in enumerate(puts):
        now += 1
        sender = senders[peer]
        held.put(sender, key, number, octets)
        assert held.get(sender, key) in {number, None}
        for each in held._shares.values():
            assert each.octets <= 8 * (1000 + 4096)
        assert held.octets == sum(each.octets for each in held._shares.values()) <= 256 * (1000 + 4096)
        assert len(held) == sum(len(each.keys) for each in held._shares.values())
    now += 248
    assert not any(held.get(senders[peer], key) for peer, key, _ in puts)
    another = Session("another")
    held.put(another, 1, 1, 1)
    assert len(held) == 1
    held.forget(another)
    assert (len(held), held.octets, held._shares) == (0, 0, {})


def test_all_peers_together_are_bounded_too():
    held: Held[bytes] = Held(1000, lambda: 0.0)
    sessions = [Session(peer) for peer in range(10_000)]
    for session in sessions:
        held.put(session, 1, b"", 4000)
    assert held.octets <= 256 * (1000 + 4096)
    assert held.get(sessions[0], 1) is None
    assert held.get(sessions[-1], 1) == b""


def test_the_end_of_a_session_leaves_the_peer_s_others_alone():
    held: Held[bytes] = Held(1000, lambda: 0.0)
    one, other = Session("peer"), Session("peer")
    held.put(one, 1, b"one", 3)
    held.put(other, 1, b"other", 5)
    held.forget(one)
    assert held.get(one, 1) is None
    assert held.get(other, 1) == b"other"


# --- messages ---


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda octets: b"\x41\x01\0\1t" + octets))
def test_octets_are_a_message_or_none_and_never_anything_else(octets):
    try:
        message, refusal = read_message(octets, "a remote")
    except UnparsableMessage:
        return
    assert (message.remote, len(message.token)) == ("a remote", octets[0] & 15)
    assert refusal is None or refusal.code in {Code.BAD_OPTION, Code.PROXYING_NOT_SUPPORTED}
    if refusal is None:
        message.direction = Direction.OUTGOING
        again, nothing = read_message(message.encode(), "a remote")
        assert nothing is None
        assert (again.payload, again.opt) == (message.payload, message.opt)


# --- options ---


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({65001: b"x"}, "4.02"),
        ({1: b"etag"}, "4.02"),  # If-Match: conditions are not offered
        ({5: b""}, "4.02"),
        ({9: b"\x09"}, "4.02"),  # OSCORE
        ({13: b"\x01"}, "4.02"),
        ({27: [b"\x08", b"\x08"]}, "4.02"),  # one that is not repeatable
        ({27: b"\0\0\0\x08"}, "4.02"),  # longer than it may be
        ({3: b"h" * 256}, "4.02"),
        ({15: b"\xff\xfe"}, "4.02"),
        ({35: b"coap://elsewhere.example/x"}, "5.05"),
        ({39: b"coap"}, "5.05"),
        ({35: b"coap://elsewhere.example/x", 65001: b"x"}, "5.05"),
        ({65000: b"x", 6: b"", 252: b"echo", 258: b"\x1a", 16: b"\x10"}, "2.05"),  # elective: ignored
        ({3: b"host", 7: b"\x16\x33", 15: b"fu=1", 17: b"\x32", 60: b"\x01"}, "2.05"),
        ({259: b"20260101T000000", 291: b"20270101T000000", 267: b"\x02", 331: b"vendor"}, "2.05"),
    ],
)
@pytest.mark.parametrize("kind", [0, 1], ids=["confirmable", "not confirmable"])
async def test_an_option_is_known_or_ignored_or_refused_with_its_code(options, code, kind):
    """RFC 7252 clauses 5.4.1 and 5.7.2."""
    async with serving(ok) as service, await channel_to(service) as channel:
        answer = await exchange(channel, coap(GET, 9, kind=kind, token=b"tok", options=RQI | options))
        assert str(Code(answer[1])).split()[0] == code
        assert answer[4:7] == b"tok"
        assert answer[0] >> 4 & 3 == (1 if kind else 2)
        assert len(service.requests) == (code == "2.05")


async def test_options_and_formats_that_nobody_has_defined_are_not_remembered():
    """Every number that aiocoap once sees stays in its tables for good."""
    async with serving(ok) as service, await channel_to(service) as channel:
        numbers, formats = len(OptionNumber._value2member_map_), len(ContentFormat._value2member_map_)
        for number in range(200):
            options = {40_000 + 2 * number: b"", 12: (30_000 + number).to_bytes(2, "big"), 17: b"%d" % number}
            await exchange(channel, coap(GET, number, options=RQI | options))
        assert len(OptionNumber._value2member_map_) == numbers
        assert len(ContentFormat._value2member_map_) == formats


# --- blocks that contradict ---


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        ([(0, True, 512), (2, True, 512)], "4.08"),
        ([(0, True, 512), (0, True, 512), (1, False, 5), (1, False, 5)], "4.08"),
        ([(1, False, 10)], "4.08"),
        ([(0, True, 500)], "4.00"),
        ([(0, False, 600)], "4.00"),
        ([(0, True, 512), (1, True, 511)], "4.00"),
        ([(0xFFFFF, False, 1)], "4.13"),
    ],
)
async def test_a_block_out_of_order_or_of_the_wrong_length_gets_its_code_and_nothing_in_the_log(
    blocks, code, caplog
):
    async with serving(ok) as service, await channel_to(service) as channel:
        with caplog.at_level(logging.INFO):
            for message_id, (number, more, octets) in enumerate(blocks):
                options = RQI | JSON | {27: block(number, more=more)}
                answer = await exchange(
                    channel, coap(POST, message_id, options=options, payload=b"1" * octets)
                )
        assert str(Code(answer[1])).split()[0] == code
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_reserved_size_of_a_block_is_refused():
    async with serving(ok) as service, await channel_to(service) as channel:
        for option in (23, 27):
            options = RQI | JSON | {option: block(0, more=False, exponent=7)}
            assert (
                await code_of(channel, coap(POST, option, options=options, payload=b"1")) == Code.BAD_REQUEST
            )


async def test_a_larger_block_of_an_answer_than_fits_comes_smaller():
    async with (
        serving(lambda _: Response(Rsc.OK, content_of(3000))) as service,
        await channel_to(service) as channel,
    ):
        await exchange(channel, coap(GET, 1, options=RQI))
        message = coap(GET, 2, options=RQI | {23: block(1, more=False, exponent=6)})
        _, options, payload = parse(await exchange(channel, message))
        assert options[23] == block(2, more=True, exponent=5)
        assert len(payload) == 512


# --- a peer that answers without end ---


async def test_an_answer_without_end_is_given_up_at_the_limit():
    asked = []

    async def endless(channel: Channel) -> None:
        while message := await channel.read():
            asked.append(message)
            number = len(asked) - 1
            message_id, token = int.from_bytes(message[2:4], "big"), message[4 : 4 + (message[0] & 15)]
            answer = coap(
                Code.CONTENT, message_id, kind=2, token=token,
                options={23: block(number, more=True), 307: b"\x07\xd0"}, payload=b"z" * 512,
            )  # fmt: skip
            await channel.write(answer)

    acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KPSA]))
    listener = DatagramListener(Authorities({}, default=acceptor), datagram_channels(endless), Limits())
    service: Any = Service(ok)
    service.address = await listener.start(LOOPBACK)
    async with client_of(service, Limits(body_octets=4096, request_seconds=60)) as client:
        with pytest.raises(ResolverUnavailableError, match="the answer is too long"):
            await client.request(Operation.RETRIEVE, ["x"])
    assert len(asked) == 9
    await listener.stop()


# --- an aiocoap that has changed ---


async def never(request: Request, established: object) -> Response:
    raise AssertionError


def without_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Context, "_append_tokenmanaged_messagemanaged_transport")


def assembling(monkeypatch: pytest.MonkeyPatch) -> None:
    async def render(self: Any, pipe: Any) -> None:
        pipe.add_response(await self.render(self._block1.feed_and_take(pipe.request)), is_last=True)

    monkeypatch.setattr(interfaces.Resource, "_render_to_pipe", render)


def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()

    def is_duplicate(self: Any, message: Any) -> bool:
        known = (message.remote, message.mid) in seen
        seen.add((message.remote, message.mid))
        if known:
            self._send_empty_ack(message.remote, message.mid, reason="known")
        return known

    monkeypatch.setattr(MessageManager, "_deduplicate_message", is_duplicate)


def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onem2m_security.net.coap._PROOF_SECONDS", 0.05)
    monkeypatch.setattr(MessageManager, "dispatch_message", lambda self, message: None)


@pytest.mark.parametrize("change", [without_transport, assembling, remembering, silent])
async def test_a_server_does_not_start_over_an_aiocoap_that_keeps_what_a_peer_sends(
    change, monkeypatch, tmp_path
):
    change(monkeypatch)
    with pytest.raises(ConfigurationError, match="the installed aiocoap does not do"):
        await CoapServer.create(never, Limits())
    with pytest.raises(ConfigurationError, match="the installed aiocoap does not do"):
        async with running_maf(tmp_path / "data", clients=[A]):
            pass
