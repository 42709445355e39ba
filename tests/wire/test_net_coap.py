"""The CoAP binding (TS-0008): primitives over CoAP over DTLS, with our own client and with libcoap's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiocoap.numbers.codes import Code
from hypothesis import given, settings
from hypothesis import strategies as st

from maf_support import ID_A, ID_B, ID_C, LOOPBACK, MAF, A, B, eventually, running_maf
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.maf import MafClient
from onem2m_security.credentials import ResolvedKey, Secret
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.frameworks import maf_handshake, saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities, Established
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import Channel
from onem2m_security.net.coap import CoapClient, CoapServer
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.udp import DatagramListener
from onem2m_security.onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from onem2m_security.store import KeyKind, KeyRecord
from onem2m_security.tls.endpoint import Endpoint
from programs import PATIENCE
from requirements import needs

KPSA_ID = KeyIdentifier.parse("k@b.example.com")
KEY = Secret(b"a key of printable octets")  # libcoap takes no others on its command line
KPSA = saef_psk.credential(KPSA_ID, KEY, peer=ID_A)
KPSA_C = saef_psk.credential(KeyIdentifier.parse("c@b.example.com"), KEY, peer=ID_C)

TABLE = {
    2000: "2.05", 2001: "2.01", 2002: "2.02", 2004: "2.04", 4000: "4.00", 4001: "5.01", 4004: "4.04",
    4005: "4.05", 4008: "5.04", 4015: "4.15", 4101: "4.03", 4102: "4.00", 4103: "4.03", 4104: "4.00",
    4105: "4.03", 4106: "4.03", 4107: "4.03", 4117: "4.03", 4127: "4.03", 5000: "5.00", 5001: "5.01",
    4029: "4.29", 5103: "4.04", 5105: "4.03", 5106: "4.00", 5107: "4.04", 5206: "5.01", 5207: "4.06",
}  # fmt: skip
"""TS-0008 table 6.2.4-1, the lines that a MAF, MEF or BSF may need; 4029 is OURS."""

Handler = Callable[[Request], Response]


def content_of(octets: int) -> dict[str, Any]:
    return {"m2m:cin": {"con": "x" * octets}}


class Service:
    """A CoAP server on a DTLS port, with a handler of the test's; remembers the requests."""

    def __init__(self, handler: Handler, limits: Limits | None = None) -> None:
        self.requests: list[tuple[Request, Established]] = []
        self.limits = limits or Limits()
        self.datagrams: list[int] = []
        self.lose: Callable[[bytes, bool], bool] = lambda datagram, from_server: False
        self.hold: asyncio.Event | None = None
        self._handler = handler

    async def start(self, address: Address = LOOPBACK) -> None:
        self.server = await CoapServer.create(self._answer, self.limits)
        acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KPSA, KPSA_C]))
        self.listener = DatagramListener(
            Authorities({}, default=acceptor), self.server.application, self.limits
        )
        receive, send = self.listener.datagram_received, self.listener._transmit

        def received(data: bytes, addr: Any) -> None:
            if not self.lose(data, False):
                receive(data, addr)

        def transmit(data: bytes, addr: Any) -> None:
            self.datagrams.append(len(data))
            if not self.lose(data, True):
                send(data, addr)

        self.listener.datagram_received, self.listener._transmit = received, transmit
        self.address = await self.listener.start(address)

    async def stop(self) -> None:
        await self.listener.stop()
        await self.server.stop()

    async def _answer(self, request: Request, established: Established) -> Response:
        self.requests.append((request, established))
        if self.hold is not None:
            await self.hold.wait()
        return self._handler(request)


@contextlib.asynccontextmanager
async def serving(handler: Handler, **settings: Any) -> AsyncIterator[Service]:
    service = Service(handler, **settings)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@contextlib.asynccontextmanager
async def client_of(service: Service, limits: Limits | None = None) -> AsyncIterator[CoapClient]:
    client = CoapClient(Link(service.address, Transport.DTLS, limits), saef_psk.initiate(ID_A, ID_B, KPSA))
    try:
        yield client
    finally:
        await client.close()


def ok(request: Request) -> Response:
    return Response(Rsc.OK, {"m2m:dbg": request.operation.name})


# --- primitives ---


@pytest.mark.parametrize("operation", [op for op in Operation if op is not Operation.NOTIFY])
async def test_a_primitive_arrives_as_it_was_sent_with_who_sent_it(operation):
    content = None if operation in {Operation.RETRIEVE, Operation.DELETE} else {"m2m:ae": {"api": "N.ä"}}
    async with serving(ok) as service, client_of(service) as client:
        answer = await client.request(operation, ["maf", "se/g ment", "ü"], content=content, resource_type=2)
        [(request, established)] = service.requests
        assert answer == Response(Rsc.OK, {"m2m:dbg": operation.name})
        assert request.operation is operation
        assert request.to == ("maf", "se/g ment", "ü")
        assert request.originator == str(ID_A)
        assert len(request.request_id) == 16
        assert request.content == content
        assert established.association.peer == ID_A
        assert client.established.association.peer == ID_B


@pytest.mark.parametrize("rsc", [Rsc(rsc) for rsc in TABLE])
async def test_every_status_has_the_code_of_ts_0008(rsc):
    async with serving(lambda _: Response(rsc)) as service:
        code, options, _ = await ask(service, b"\x01", path=[b"x"])
        assert str(Code(code)).split()[0] == TABLE[rsc]
        assert int.from_bytes(options[307], "big") == rsc
        async with client_of(service) as client:
            assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is rsc


async def test_an_answer_repeats_the_request_identifier_and_may_not_be_cached():
    async with serving(ok) as service:
        _, options, payload = await ask(service, b"\x01", path=[b"x"])
        assert options[283] == b"request-1"
        assert options[271] == b"3"
        assert options[14] == b""  # Max-Age 0 (TS-0008 clause 6.4)
        assert options[12] == b"\x32"
        assert json.loads(payload) == {"m2m:dbg": "RETRIEVE"}


async def test_a_refusal_of_the_handler_is_an_answer():
    def refuse(request: Request) -> Response:
        raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, "you are not who you say")

    async with serving(refuse) as service, client_of(service) as client:
        answer = await client.request(Operation.RETRIEVE, ["x"])
        assert answer.rsc is Rsc.ORIGINATOR_NOT_AUTHENTICATED
        assert answer.content == {"m2m:dbg": "you are not who you say"}


async def test_requests_at_once_get_their_own_answers():
    async with (
        serving(lambda request: Response(Rsc.OK, {"m2m:uril": list(request.to)})) as service,
        client_of(service) as client,
    ):
        answers = await asyncio.gather(
            *(client.request(Operation.RETRIEVE, [str(number)]) for number in range(30))
        )
        assert [answer.content["m2m:uril"] for answer in answers] == [[str(n)] for n in range(30)]
        assert service.listener.connections == 1


# --- blocks ---


@pytest.mark.parametrize("mtu", [576, 1232])
@pytest.mark.parametrize("octets", [0, 100, 500, 1024, 1200, 5000, 60_000])
async def test_content_of_any_length_goes_both_ways_in_datagrams_of_the_mtu(mtu, octets):
    async with (
        serving(
            lambda request: Response(Rsc.CREATED, request.content), limits=Limits(datagram_octets=mtu)
        ) as service,
        client_of(service, Limits(request_seconds=60)) as client,
    ):
        answer = await client.request(Operation.CREATE, ["x"], content=content_of(octets))
        assert answer.content == content_of(octets)
        assert len(service.requests) == 1
        assert max(service.datagrams) <= mtu


async def test_content_beyond_the_limit_is_refused_in_both_directions():
    small = Limits(body_octets=3000)
    async with serving(lambda _: Response(Rsc.OK, content_of(3000)), limits=small) as service:
        async with client_of(service) as client:
            with pytest.raises(ResolverUnavailableError):
                await client.request(Operation.CREATE, ["x"], content=content_of(5000))
            assert service.requests == []
            assert (await client.request(Operation.RETRIEVE, ["x"])).content == content_of(3000)
        async with client_of(service, small) as client:
            with pytest.raises(ResolverUnavailableError, match="too long"):
                await client.request(Operation.RETRIEVE, ["x"])


async def test_an_endless_request_is_cut_off_at_the_limit():
    """Blocks that each say that more will follow."""
    async with serving(ok, limits=Limits(body_octets=4096)) as service:
        channel = await channel_to(service)
        codes = []
        for number in range(12):
            block = ((number << 4) | 8 | 5).to_bytes(2, "big").lstrip(b"\0")  # 512 octets, more
            message = coap(
                2, number, options={283: b"r", 11: b"x", 12: b"\x32", 27: block}, payload=b"y" * 512
            )
            await channel.write(message)
            codes.append((await channel.read())[1])
        assert codes[:8] == [Code.CONTINUE] * 8
        assert codes[8] == Code.REQUEST_ENTITY_TOO_LARGE
        assert service.requests == []
        await channel.close()


async def test_blocks_of_two_peers_are_never_put_together():
    """The same request in halves from two sessions (RFC 7252 clause 9.1.2)."""
    async with serving(ok) as service:
        one, two = await channel_to(service), await channel_to(service)
        options = {283: b"r", 11: b"x", 12: b"\x32"}
        for number, payload in enumerate((b'{"a": "bbbbbbbb', b'{"a": "bbbbbbbbb'), start=1):
            await one.write(coap(2, number, options=options | {27: b"\x08"}, payload=payload))
            await one.read()
        await two.write(coap(2, 3, options=options | {27: b"\x10"}, payload=b'"}'))
        assert (await two.read())[1] == Code.REQUEST_ENTITY_INCOMPLETE
        assert service.requests == []
        await one.close()
        await two.close()


# --- loss ---


async def test_a_lost_request_is_sent_again():
    lost = []
    async with serving(ok) as service, client_of(service, Limits(request_seconds=30)) as client:
        await client.request(Operation.RETRIEVE, ["x"])
        service.lose = lambda datagram, from_server: not (from_server or lost or lost.append(datagram))
        assert (await client.request(Operation.RETRIEVE, ["y"])).rsc is Rsc.OK
        assert len(lost) == 1


async def test_a_request_whose_answer_was_lost_is_answered_again_and_not_done_twice():
    lost = []
    async with serving(ok) as service, client_of(service, Limits(request_seconds=30)) as client:
        await client.request(Operation.RETRIEVE, ["x"])
        service.lose = lambda datagram, from_server: from_server and not (lost or lost.append(datagram))
        assert (await client.request(Operation.CREATE, ["y"], content={"a": 1})).rsc is Rsc.OK
        assert len(lost) == 1
        assert len(service.requests) == 2


async def test_after_a_server_lost_its_sessions_the_next_request_but_one_succeeds():
    async with serving(ok) as service, client_of(service, Limits(request_seconds=0.5)) as client:
        await client.request(Operation.RETRIEVE, ["x"])
        service.lose = lambda datagram, from_server: True  # it dies without a word
        await service.stop()
        await service.start(service.address)
        service.lose = lambda datagram, from_server: False
        with pytest.raises(ResolverUnavailableError, match=r"sp\.example/in-cse at 127"):
            await client.request(Operation.RETRIEVE, ["x"])
        assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.OK


async def test_a_session_that_the_server_closed_is_replaced_at_the_next_request():
    async with serving(ok) as service, client_of(service) as client:
        await client.request(Operation.RETRIEVE, ["x"])
        await service.stop()
        await service.start(service.address)
        assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.OK


async def test_nobody_there_is_a_clear_failure():
    async with serving(ok) as service:
        pass
    async with client_of(service, Limits(handshake_seconds=0.2)) as client:
        with pytest.raises(ResolverUnavailableError, match="no complete handshake"):
            await client.request(Operation.RETRIEVE, ["x"])


# --- bad input ---


def coap(
    code: int,
    message_id: int,
    *,
    kind: int = 0,
    token: bytes = b"t",
    options: dict[int, bytes | list[bytes]] | None = None,
    payload: bytes = b"",
) -> bytes:
    """A CoAP message written from RFC 7252 clause 3."""
    message = bytes((0x40 | kind << 4 | len(token), code)) + message_id.to_bytes(2, "big") + token
    last = 0
    for number, values in sorted((options or {}).items()):
        for value in values if isinstance(values, list) else [values]:
            message += option(number - last, value)
            last = number
    return message + (b"\xff" + payload if payload else b"")


def option(delta: int, value: bytes) -> bytes:
    def nibble(field: int) -> tuple[int, bytes]:
        if field < 13:
            return field, b""
        return (13, bytes((field - 13,))) if field < 269 else (14, (field - 269).to_bytes(2, "big"))

    (high, more_delta), (low, more_length) = nibble(delta), nibble(len(value))
    return bytes((high << 4 | low,)) + more_delta + more_length + value


def parse(message: bytes) -> tuple[int, dict[int, bytes], bytes]:
    """Code, options and payload."""
    rest, number, options = message[4 + (message[0] & 15) :], 0, {}

    def extended(field: int) -> int:
        nonlocal rest
        octets = {13: 1, 14: 2}.get(field, 0)
        value, rest = int.from_bytes(rest[:octets], "big"), rest[octets:]
        return field if not octets else value + (13 if octets == 1 else 269)

    while rest and rest[0] != 0xFF:
        first, rest = rest[0], rest[1:]
        number += extended(first >> 4)
        length = extended(first & 15)
        options[number], rest = rest[:length], rest[length:]
    return message[1], options, rest[1:]


async def channel_to(service: Service, kpsa: ResolvedKey = KPSA) -> Channel:
    return await associate(Link(service.address, Transport.DTLS), saef_psk.initiate(kpsa.peer, ID_B, kpsa))


async def exchange(channel: Channel, message: bytes) -> bytes:
    await channel.write(message)
    async with asyncio.timeout(20):
        return await channel.read()


async def ask(service: Service, code: bytes, *, path: list[bytes]) -> tuple[int, dict[int, bytes], bytes]:
    async with await channel_to(service) as channel:
        options = {279: b"Cae", 283: b"request-1", 11: path}
        return parse(await exchange(channel, coap(code[0], 7, options=options)))


RQI = {283: b"r", 11: b"x"}
JSON = {12: b"\x32"}


@pytest.mark.parametrize(
    ("message", "rsc", "code"),
    [
        (coap(5, 1, options=RQI), 4005, "4.05"),  # FETCH
        (coap(31, 1, options=RQI), 4005, "4.05"),  # a method that nobody has defined
        (coap(1, 1, options={11: b"x"}), 4000, "4.00"),
        (coap(2, 1, options=RQI | JSON, payload=b"{"), 4000, "4.00"),
        (coap(2, 1, options=RQI | JSON, payload=b"\xff\xfe"), 4000, "4.00"),
        (coap(2, 1, options=RQI | JSON, payload=b"[" * 900), 4000, "4.00"),
        (coap(2, 1, options=RQI, payload=b"{}"), 4015, "4.15"),
        (coap(2, 1, options=RQI | {12: b"\x29"}, payload=b"<a/>"), 4015, "4.15"),
        (coap(1, 1, options=RQI | {17: b"\x29"}), 5207, "4.06"),
        (coap(1, 1, options={283: b"r", 11: [b"", b"x"]}), 4000, "4.00"),
    ],
)
async def test_a_bad_request_gets_its_status_and_reaches_no_handler(message, rsc, code):
    async with serving(ok) as service, await channel_to(service) as channel:
        answer, options, payload = parse(await exchange(channel, message))
        assert int.from_bytes(options[307], "big") == rsc
        assert str(Code(answer)).split()[0] == code
        assert "m2m:dbg" in json.loads(payload)
        assert service.requests == []


async def test_the_onem2m_content_format_is_taken_too():
    async with serving(ok) as service, await channel_to(service) as channel:
        message = coap(2, 1, options=RQI | {12: (10001).to_bytes(2, "big")}, payload=b'{"a": 1}')
        answer, _, _ = parse(await exchange(channel, message))
        assert answer == Code.CHANGED  # it was a NOTIFY (TS-0008 table 6.2.4-1)
        assert service.requests[0][0].content == {"a": 1}


async def test_the_answer_to_a_create_says_where_the_resource_is_and_what_was_asked_for_arrives():
    def made(request: Request) -> Response:
        return Response(Rsc.CREATED, {"ty": request.resource_type}, (*request.to, "7"))

    async with serving(made) as service, await channel_to(service) as channel:
        message = coap(2, 1, options=RQI | JSON | {267: (65001).to_bytes(2, "big")}, payload=b"{}")
        _, options, payload = parse(await exchange(channel, message))
        assert options[8] == b"7"  # Location-Path (TS-0008 clause 6.2.3), the last of its segments
        assert json.loads(payload) == {"ty": 65001}


async def test_a_ping_is_answered_with_a_reset_and_a_non_confirmable_request_with_an_answer():
    async with serving(ok) as service, await channel_to(service) as channel:
        assert await exchange(channel, b"\x40\0\x12\x34") == b"\x70\0\x12\x34"
        answer = await exchange(channel, coap(1, 9, kind=1, options=RQI))
        assert answer[0] >> 4 & 3 == 1
        assert answer[1] == Code.CONTENT


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\0", b"\x40", b"\x40\x01", b"\xc0\x01\0\1", b"\x4f\x01\0\1", b"\x40\x01\0\1\xff",
        b"\x40\x01\0\1\xf0", b"\x40\x01\0\1\x0f", b"\x40\x01\0\1\xd0", b"\x40\x01\0\1\xb5x",
        coap(1, 1, options={11: b"\xff\xfe"}), coap(1, 1, options={283: b"\xc3"}),
        coap(1, 1, options={27: b"\xff" * 8}), coap(1, 1, options={23: b"\xff" * 3}), coap(0x45, 1),
        coap(1, 1, options={27: b"\x0f"}), coap(1, 1, options={12: b"\1" * 9}), coap(0xE1, 1),
        coap(1, 1, options={65000: b"x"}), coap(1, 1, options={6: b"", 283: b"r", 11: b"x"}),
    ],
)  # fmt: skip
async def test_malformed_messages_leave_the_session_usable(nonsense):
    async with serving(ok) as service, await channel_to(service) as channel:
        await channel.write(nonsense)
        await channel.write(coap(1, 500, token=b"last", options=RQI))
        async with asyncio.timeout(20):
            while (answer := await channel.read())[4:8] != b"last":
                assert answer
        assert answer[1] == Code.CONTENT


async def test_no_octets_of_an_authenticated_peer_end_the_service():
    @settings(max_examples=500)
    @given(
        octets=st.binary(max_size=60),
        head=st.sampled_from([b"", b"\x40\x01\0\1", b"\x41\x02\0\2t", b"\x51\x45\0\1t", b"\x60\0\0\1"]),
    )
    def gather(octets: bytes, head: bytes) -> None:
        messages.append(head + octets)

    messages: list[bytes] = []
    gather()
    async with serving(ok) as service, await channel_to(service) as witness:
        channel = await channel_to(service)
        for number, message in enumerate(messages):
            await channel.write(message)
            if number % 50 == 0:
                await asyncio.sleep(0)
        answer, _, _ = parse(await exchange(witness, coap(1, 1, options=RQI)))
        assert answer == Code.CONTENT
        await channel.close()


async def test_a_peer_that_leaves_before_its_answer_harms_nobody():
    async with serving(ok) as service:
        service.hold = asyncio.Event()
        channel = await channel_to(service)
        await channel.write(coap(1, 1, options=RQI))
        await eventually(lambda: len(service.requests) == 1)
        await channel.close()
        await eventually(lambda: service.listener.connections == 0)
        await asyncio.sleep(0.3)  # the time after which aiocoap would acknowledge
        service.hold = None
        async with client_of(service) as client:
            assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.OK


# --- the MAF over CoAP ---


async def test_a_key_is_registered_and_retrieved_at_the_maf_over_coap(tmp_path):
    async with running_maf(tmp_path / "data", clients=[A, B]) as running:

        def client(who) -> MafClient:
            credential = maf_handshake.credential(who.km_id, who.km)
            return MafClient(
                MAF,
                Link(running.address, Transport.DTLS),
                maf_handshake.initiate(who.entity, MAF, credential),
            )

        a, b = client(A), client(B)
        made = await a.register_key(expires=datetime.now(UTC) + timedelta(hours=1), target=ID_B, admin=MAF)
        found = await b.retrieve(made.kc_id)
        assert found.key == made.kc
        assert found.peer == ID_A
        assert await b.retrieve(KeyIdentifier.parse(f"{'0' * 32}@{MAF}")) is None
        await a.close()
        await b.close()


# --- libcoap ---


async def libcoap(
    flavour: str,
    address: Address,
    path: str,
    *options: str,
    until: str,
    user: str = str(KPSA_ID),
    key: str = KEY.reveal().decode(),
) -> str:
    """What the command logged, up to the line that holds ``until``; then it is ended.

    A generic client must drop a response with critical options that it does not know (RFC 7252 clause 5.4.1),
    and those of oneM2M are all critical: so it waits on, and its log shows what came.
    """
    process = await asyncio.create_subprocess_exec(
        needs(f"coap-client-{flavour}"), "-v", "7", "-B", "30", "-u", user, "-k", key, *options,
        "-O", f"279,{ID_B}", "-O", "283,rqi-1", f"coaps://{address}/{path}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=1 << 20,
    )  # fmt: skip
    lines: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while line := await process.stdout.readline():
            lines.append(line.decode(errors="replace"))
            if until in lines[-1]:
                break
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
    return "".join(lines)


FLAVOURS = pytest.mark.parametrize("flavour", ["openssl", "gnutls"])


@FLAVOURS
async def test_libcoap_reads_our_answer(flavour):
    async with serving(lambda _: Response(Rsc.OK, content_of(10))) as service:
        printed = await libcoap(flavour, service.address, "maf/x", until="c:2.05")
        assert "Content-Format:application/json, Max-Age:0, 271:\\x33, 283:" in printed
        assert "307:\\x07\\xD0" in printed
        assert json.dumps(content_of(10)) in printed
        [(request, established)] = service.requests
        assert request.to == ("maf", "x")
        assert (request.originator, request.request_id) == (str(ID_B), "rqi-1")
        assert established.association.peer == ID_A
        assert established.association.cipher_suite.startswith(("PSK-", "ECDHE-PSK-"))


@FLAVOURS
async def test_libcoap_is_offered_the_first_block_of_a_large_answer(flavour):
    async with serving(lambda _: Response(Rsc.OK, content_of(20_000))) as service:
        printed = await libcoap(flavour, service.address, "x", until="c:2.05")
        assert "Block2:0/M/512" in printed


@FLAVOURS
@pytest.mark.parametrize("every", [0, 5])
async def test_libcoap_sends_content_in_blocks_also_when_some_are_lost(flavour, every, tmp_path):
    messages = itertools.count(1)
    content = tmp_path / "content"
    content.write_text(json.dumps(content_of(3000)), encoding="ascii")
    async with serving(lambda _: Response(Rsc.CREATED, {"m2m:dbg": "made"})) as service:
        service.lose = lambda datagram, _: every and datagram[0] == 23 and next(messages) % every == 0
        options = ("-m", "post", "-t", "50", "-b", "512", "-f", str(content))
        printed = await libcoap(flavour, service.address, "x", *options, until="c:2.01")
        assert '{"m2m:dbg": "made"}' in printed
        [(request, _)] = service.requests
        assert request.operation is Operation.NOTIFY  # a POST without a Resource Type
        assert request.content == content_of(3000)


@FLAVOURS
async def test_libcoap_retrieves_a_key_from_the_maf_as_its_target(flavour, tmp_path):
    async with running_maf(tmp_path / "data", clients=[A]) as running:
        km_id = KeyIdentifier.parse_km_id(f"libcoap@{MAF}")
        km = Secret(b"what libcoap can say")
        await running.store.add(KeyRecord(KeyKind.KM, km_id, km, datetime.now(UTC), ID_B, ()))
        credential = maf_handshake.credential(A.km_id, A.km)
        a = MafClient(
            MAF, Link(running.address, Transport.DTLS), maf_handshake.initiate(ID_A, MAF, credential)
        )
        made = await a.handshake()
        await a.close()
        printed = await libcoap(
            flavour, running.address, f"maf/symmKeyReg/{made.kc_id.relative}",
            until="c:2.05", user=str(km_id), key=km.reveal().decode(),
        )  # fmt: skip
        assert base64.b64encode(made.kc.reveal()).decode() in printed
        assert str(ID_A) in printed


async def test_libcoap_with_a_wrong_key_reaches_no_handler():
    async with serving(ok, limits=Limits(handshake_seconds=1)) as service:
        printed = await libcoap("openssl", service.address, "x", until="closed", key="wrong")
        assert "c:2" not in printed
        assert service.requests == []
