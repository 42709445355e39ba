"""What a WebSocket peer may not do (RFC 6455, TS-0020): a status says so, and only its connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import zlib

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Pong,
    RejectConnection,
    TextMessage,
)
from wsproto.events import Request as Opening

from maf_support import ID_A, ID_B, LOOPBACK, eventually, key_of
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Binding
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.websocket import MAX_FRAGMENTS, MAX_UNDER_WAY, SUBPROTOCOL
from onem2m_security.net.websocket_client import WebSocketClient
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.peer_quotas import PeerQuotas

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
INITIATOR = initiate(ID_A, ID_B, KPSA)
OPENING = Opening(host="h.example", target="/", subprotocols=[SUBPROTOCOL])
ASKED = {"op": 2, "to": "/x", "fr": str(ID_A), "rqi": "1"}
TEXT, CONTINUED, BINARY, PING = 1, 0, 2, 9
WHOLE, COMPRESSED = 0x80, 0x40


def frame(
    octets: bytes, opcode: int = TEXT, *, flags: int = WHOLE, masked: bool = True, length: int = -1
) -> bytes:
    """One frame; the mask is of zeros. ``length`` is what it says of itself, if that is not the truth."""
    said = len(octets) if length < 0 else length
    mask = 0x80 if masked else 0
    if said < 126:
        head = bytes([flags | opcode, mask | said])
    elif said < 1 << 16:
        head = bytes([flags | opcode, mask | 126]) + struct.pack(">H", said)
    else:
        head = bytes([flags | opcode, mask | 127]) + struct.pack(">Q", said)
    return head + bytes(4 * masked) + octets


def asked(**parameters: object) -> bytes:
    return frame(json.dumps(ASKED | parameters).encode())


class Peer:
    """A client of the test's own, that says what it likes."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.connection = WSConnection(ConnectionType.CLIENT)

    async def event(self):
        while True:
            for one in self.connection.events():
                return one
            data = await self.channel.read()
            if not data:
                return None
            self.connection.receive_data(data)

    async def open(self, opening: Opening = OPENING):
        await self.channel.write(self.connection.send(opening))
        return await self.event()

    async def say(self, octets: bytes) -> None:
        for at in range(0, len(octets), 16_384):
            await self.channel.write(octets[at : at + 16_384])

    async def answer(self) -> dict:
        return json.loads((await self.event()).data)


@contextlib.asynccontextmanager
async def serving(handler=None, *, limits: Limits | None = None):
    async def ok(request, established) -> Response:
        return Response(Rsc.OK, {"to": list(request.to)})

    async with EntityB(ID_B, keys=[KPSA], limits=limits) as b:
        yield await b.listen_requests(LOOPBACK, handler or ok)


@contextlib.asynccontextmanager
async def connected(address):
    async with await open_channel(Link(address), INITIATOR) as channel:
        yield Peer(channel)


@contextlib.asynccontextmanager
async def opened(handler=None, *, limits: Limits | None = None):
    async with serving(handler, limits=limits) as address, connected(address) as peer:
        assert await peer.open() == AcceptConnection(subprotocol=SUBPROTOCOL)
        yield peer


# --- the opening handshake ---


@pytest.mark.parametrize(
    ("opening", "status"),
    [
        (Opening(host="h.example", target="/"), 400),
        (Opening(host="h.example", target="/", subprotocols=["oneM2M.xml", "mqtt"]), 400),
        (Opening(host="h.example", target="/maf", subprotocols=[SUBPROTOCOL]), 404),
        (Opening(host="h.example", target="/?x", subprotocols=[SUBPROTOCOL]), 404),
    ],
)
async def test_a_client_that_does_not_speak_the_subprotocol_here_is_refused(opening, status):
    async with serving() as address, connected(address) as peer:
        answer = await peer.open(opening)
        assert isinstance(answer, RejectConnection)
        assert answer.status_code == status


async def test_json_is_chosen_among_what_a_client_offers_and_compression_is_not_agreed_on():
    offered = [(b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits")]
    opening = Opening(host="h", target="/", subprotocols=["oneM2M.xml", SUBPROTOCOL], extra_headers=offered)
    async with serving() as address, connected(address) as peer:
        assert await peer.open(opening) == AcceptConnection(subprotocol=SUBPROTOCOL)


HEAD = {
    "Host": "h",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "ud63env87LQLd4uIV20/oQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": SUBPROTOCOL,
}


def head(method: str = "GET", **headers: str | None) -> bytes:
    named = HEAD | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in named.items() if value is not None]
    return "\r\n".join([f"{method} / HTTP/1.1", *lines, "", ""]).encode("utf-8")


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (head(), b"101"),
        (head(Sec_WebSocket_Version="8"), b"426"),
        (head(Sec_WebSocket_Version=None), b"400"),
        (head(Sec_WebSocket_Key=None), b"400"),
        (head(Host=None), b"400"),
        (head(Host="ü" * 70), b"400"),
        (head("POST"), b"400"),
        (head(X="y" * 20_000), b"431"),
    ],
)
async def test_an_opening_handshake_that_is_none_is_refused(octets, status):
    async with serving() as address, connected(address) as peer:
        await peer.say(octets)
        assert (await peer.channel.read()).split()[1] == status


async def test_frames_that_do_not_wait_for_the_answer_to_the_handshake_end_the_connection():
    async with serving() as address, connected(address) as peer:
        await peer.say(head() + asked() * 20)
        while await peer.channel.read():
            pass


async def test_a_handshake_behind_a_request_that_is_not_answered_ends_the_connection():
    begun = asyncio.Event()

    async def never(request, established) -> Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never) as address, connected(address) as peer:
        await peer.say(b"GET /x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\n\r\n")
        await begun.wait()
        await peer.say(head())
        assert await peer.channel.read() == b""


async def test_a_connection_outlives_the_time_that_its_handshake_had():
    async with opened(limits=Limits(handshake_seconds=1.0)) as peer:
        ends = asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < ends:
            await peer.say(frame(b"", PING))
            assert isinstance(await peer.event(), Pong)
            await asyncio.sleep(0.1)
        await peer.say(asked())
        assert (await peer.answer())["rsc"] == Rsc.OK


# --- frames ---


_BOMB = zlib.compressobj(wbits=-15)
TOO_LONG = Limits().head_octets + Limits().body_octets + 1

BAD = {
    "a frame that is not masked": (frame(b"{}", masked=False), 1002),
    "a compressed frame": (
        frame(_BOMB.compress(b" " * 10_000_000) + _BOMB.flush(), flags=WHOLE | COMPRESSED),
        1002,
    ),
    "an opcode that is none": (frame(b"{}", 5), 1002),
    "the continuation of nothing": (frame(b"{}", CONTINUED), 1002),
    "a ping that is longer than a control frame may be": (frame(bytes(126), PING), 1002),
    "a length with its highest bit set": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1002),
    "a binary frame": (frame(b"\xa1\x62op\x02", BINARY), 1003),
    "text that is not UTF-8": (frame(b'{"op": 2, "fr": "\xc3\x28"}'), 1007),
    "text that is not JSON": (frame(b"GET / HTTP/1.1"), 1007),
    "nothing": (frame(b""), 1007),
    "JSON that is no object": (frame(b"[2]"), 1007),
    "JSON that is nested without end": (frame(b"[" * 50_000), 1007),
    "a response that nobody waits for": (frame(b'{"rsc": 2000, "rqi": "1"}'), 1008),
    "an object that is no primitive": (frame(b"{}"), 1008),
    "a message that is too long": (frame(b" " * TOO_LONG), 1009),
    "a frame that says it is endless": (frame(b" " * TOO_LONG, length=1 << 62), 1009),
    "a message in fragments that is too long": (
        frame(b" " * 50_000, flags=0) + frame(b" " * 50_000, CONTINUED, flags=0),
        1009,
    ),
    "fragments without end": (frame(b"", flags=0) + frame(b"", CONTINUED, flags=0) * MAX_FRAGMENTS, 1009),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_message_ends_its_connection_with_the_status_that_says_why(name):
    octets, code = BAD[name]
    async with serving() as address, connected(address) as peer, connected(address) as other:
        await peer.open()
        await other.open()
        await peer.say(octets)
        closed = await peer.event()
        assert isinstance(closed, CloseConnection)
        assert closed.code == code
        assert await peer.event() is None
        await other.say(asked())
        assert (await other.answer())["rsc"] == Rsc.OK


async def test_a_message_that_is_not_complete_in_time_ends_the_connection():
    async with opened(limits=Limits(handshake_seconds=0.5)) as peer:
        await peer.say(frame(b'{"op":', flags=0))
        assert (await peer.event()).code == 1008


async def test_a_message_in_fragments_with_a_ping_between_them_is_one_message():
    text = json.dumps(ASKED | {"to": "/é"}, ensure_ascii=False).encode()
    at = text.index("é".encode()) + 1
    async with opened() as peer:
        await peer.say(frame(text[:at], flags=0) + frame(b"?", PING) + frame(text[at:], CONTINUED))
        assert await peer.event() == Pong(payload=b"?")
        assert (await peer.answer())["pc"] == {"to": ["é"]}


async def test_whoever_closes_hears_the_same_status_and_nothing_more():
    async with opened() as peer:
        await peer.say(peer.connection.send(CloseConnection(code=3000, reason="enough")))
        assert (await peer.event()).code == 3000
        assert await peer.event() is None


@pytest.mark.parametrize(
    ("parameters", "rsc"),
    [
        ({"op": "2"}, Rsc.BAD_REQUEST),
        ({"op": True}, Rsc.BAD_REQUEST),
        ({"op": None}, Rsc.BAD_REQUEST),
        ({"op": 6}, Rsc.OPERATION_NOT_ALLOWED),
        ({"to": 7}, Rsc.BAD_REQUEST),
        ({"to": "/x\ud800"}, Rsc.BAD_REQUEST),
        ({"to": "/%ff"}, Rsc.BAD_REQUEST),
        ({"to": "//other.example/x"}, Rsc.NOT_FOUND),
        ({"to": "/x" * 9, "op": 9}, Rsc.OPERATION_NOT_ALLOWED),
        ({"fr": ["/a"]}, Rsc.BAD_REQUEST),
        ({"rqi": 1}, Rsc.BAD_REQUEST),
        ({"rqi": ""}, Rsc.BAD_REQUEST),
        ({"rqi": "\udfff"}, Rsc.BAD_REQUEST),
        ({"rqi": "1" * 256}, Rsc.BAD_REQUEST),
        ({"op": 1, "ty": "3"}, Rsc.BAD_REQUEST),
        ({"op": 1, "ty": 100_000}, Rsc.BAD_REQUEST),
        ({"op": 1, "ty": -1}, Rsc.BAD_REQUEST),
    ],
)
async def test_a_parameter_of_another_form_is_refused_and_the_connection_goes_on(parameters, rsc):
    async with opened() as peer:
        await peer.say(asked(**parameters) + asked(rqi="2"))
        first, second = sorted([await peer.answer(), await peer.answer()], key=lambda one: -one["rsc"])
        assert (first["rsc"], second["rsc"], second["rqi"]) == (rsc, Rsc.OK, "2")


# --- what one peer may have and do ---


async def test_no_more_requests_of_a_connection_are_under_way_than_may_be():
    under_way, most, let_go = 0, 0, asyncio.Event()

    async def answer(request, established) -> Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await let_go.wait()
        under_way -= 1
        return Response(Rsc.OK)

    many = 3 * MAX_UNDER_WAY
    async with opened(answer) as peer:
        await peer.say(b"".join(asked(rqi=str(number)) for number in range(many)))
        await eventually(lambda: under_way == MAX_UNDER_WAY)
        let_go.set()
        answered = {(await peer.answer())["rqi"] for _ in range(many)}
    assert answered == {str(number) for number in range(many)}
    assert most == MAX_UNDER_WAY


async def test_pings_count_as_requests_do():
    """With one request allowed in a long time, it is the ping that has it."""
    async with opened(limits=Limits(quotas=PeerQuotas(requests_per_second=0.05))) as peer:
        await peer.say(frame(b"", PING) + asked())
        assert isinstance(await peer.event(), Pong)
        assert (await peer.answer())["rsc"] == Rsc.TOO_MANY_REQUESTS


# --- a server that is none ---


def accepted(request: bytes, **headers: str | None) -> bytes:
    """The answer to an opening handshake, with other headers."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(request)
    assert isinstance(next(server.events()), Opening)
    answer = server.send(AcceptConnection(subprotocol=SUBPROTOCOL)).decode()
    lines = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if line)
    lines = {name.title(): value for name, value in lines.items()}
    lines |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    kept = [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *kept, "", ""]).encode()


@contextlib.asynccontextmanager
async def asking(answer, *, then: list[bytes] | None = None):
    """A client of a server that answers the handshake so, and the first message with these octets."""
    heard: list[bytes] = []

    async def speak(channel: Channel) -> None:
        await channel.write(answer(await channel.read()) if callable(answer) else answer)
        for octets in then or []:
            heard.append(await channel.read())
            await channel.write(octets.replace(b"RQI", message(heard[0])["rqi"].encode()))
        while data := await channel.read():
            heard.append(data)

    async with EntityB(ID_B, keys=[KPSA]) as b:
        link = Link(await b.listen(LOOPBACK, speak), binding=Binding.WEBSOCKET)
        client = WebSocketClient(link, INITIATOR)
        yield client, heard
        await client.close()


def message(octets: bytes) -> dict:
    """What a client said in one frame."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(head())
    next(server.events())
    server.send(AcceptConnection())
    server.receive_data(octets)
    said = next(server.events())
    assert isinstance(said, TextMessage)
    return json.loads(said.data)


NO_SERVER = {
    "another status": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "refused with status 200"),
    "a refusal": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refused with status 403"),
    "something that is not HTTP": (b"\x00" * 64 + b"\r\n\r\n", "is none"),
    "nothing": (b"", "closed during"),
    "another key's answer": (lambda r: accepted(r, Sec_WebSocket_Accept="AAAA"), "Bad accept token"),
    "no subprotocol": (lambda r: accepted(r, Sec_WebSocket_Protocol=None), "does not speak oneM2M.json"),
    "another subprotocol": (lambda r: accepted(r, Sec_WebSocket_Protocol="oneM2M.xml"), "subprotocol"),
    "compression": (lambda r: accepted(r, Sec_WebSocket_Extensions="permessage-deflate"), "extension"),
    "a head without end": (b"HTTP/1.1 101 Switching\r\nX: " + b"y" * 60_000, "is none"),
}


@pytest.mark.parametrize("name", NO_SERVER)
async def test_a_client_takes_no_server_that_does_not_speak_the_subprotocol(name):
    answer, why = NO_SERVER[name]
    if not answer:

        async def shut(channel: Channel) -> None:
            await channel.read()

        async with EntityB(ID_B, keys=[KPSA]) as b:
            link = Link(await b.listen(LOOPBACK, shut), binding=Binding.WEBSOCKET)
            client = WebSocketClient(link, INITIATOR)
            with pytest.raises(ResolverUnavailableError, match=why):
                await client.request(Operation.RETRIEVE, ("x",))
            await client.close()
        return
    async with asking(answer) as (client, _):
        with pytest.raises(ResolverUnavailableError, match=why):
            await client.request(Operation.RETRIEVE, ("x",))


def said(text: str) -> bytes:
    return frame(text.encode(), masked=False)


def to_asked(text: str) -> bytes:
    """An answer, that is 13 octets longer once the Request Identifier stands in it for RQI."""
    octets = said(text)
    return bytes([octets[0], octets[1] + 13]) + octets[2:]


NO_ANSWER = {
    "a masked frame": (frame(b"{}"), "masked"),
    "a binary frame": (frame(b"{}", BINARY, masked=False), "text frames only"),
    "text that is not JSON": (said("no"), "is not JSON"),
    "a message that is too long": (frame(b" " * TOO_LONG, masked=False), "too long"),
    "the end": (frame(b"\x03\xe9", 8, masked=False), r"the peer closed it \(1001\)"),
}


@pytest.mark.parametrize("name", NO_ANSWER)
async def test_a_client_says_what_came_in_place_of_an_answer(name):
    octets, why = NO_ANSWER[name]
    async with asking(accepted, then=[octets]) as (client, _):
        with pytest.raises(ResolverUnavailableError, match=why):
            await client.request(Operation.RETRIEVE, ("x",))
        assert not client._newest.is_open


async def test_an_answer_to_nobody_or_again_is_passed_over_and_a_request_is_told_that_nothing_is_offered():
    unasked = said('{"rsc": 2000, "rqi": "nobody"}') + said('{"op": 2, "to": "/x", "rqi": "7"}')
    twice = to_asked('{"rsc": 2000, "rqi": "RQI"}') + to_asked('{"rsc": 4004, "rqi": "RQI"}')
    async with asking(accepted, then=[unasked + twice]) as (client, heard):
        assert (await client.request(Operation.RETRIEVE, ("x",))).rsc is Rsc.OK
        await eventually(lambda: len(heard) > 1)
        assert client._newest.is_open
        answer = message(heard[1])
    assert (answer["rsc"], answer["rqi"]) == (Rsc.OPERATION_NOT_ALLOWED, "7")


@pytest.mark.parametrize("answer", ['{"rsc": 2, "rqi": "RQI"}', '{"rsc": 2000, "rqi": "RQI", "pc": []}'])
async def test_an_answer_that_is_no_response_primitive_fails_its_request_alone(answer):
    async with asking(accepted, then=[to_asked(answer)]) as (client, _):
        with pytest.raises(ResolverUnavailableError, match=r"no oneM2M response|not a JSON object"):
            await client.request(Operation.RETRIEVE, ("x",))
        assert client._newest.is_open
