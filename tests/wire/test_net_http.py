"""The HTTP binding (TS-0009) at both ends: primitives, headers, statuses, connections that are used again."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from maf_support import ID_A, ID_B, LOOPBACK, key_of
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import HandshakeError, PeerRefusedError, ResolverUnavailableError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ports import expect
from onem2m_security.onem2m.primitives import Operation, RefusedError, Request, Response, Rsc

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
INITIATOR = initiate(ID_A, ID_B, KPSA)


class Recorder:
    """Answers every request with the same, and keeps what came over which session."""

    def __init__(self, answer: Response | Exception | None = None) -> None:
        self.answer = answer or Response(Rsc.OK, {"m2m:cin": {"con": "ü"}})
        self.requests: list[Request] = []
        self.sessions: list[object] = []

    async def __call__(self, request: Request, established) -> Response:
        self.requests.append(request)
        self.sessions.append(established.session)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@contextlib.asynccontextmanager
async def serving(handler, *, limits: Limits | None = None):
    async with EntityB(ID_B, keys=[KPSA], limits=limits) as b:
        bound = await b.listen_requests(LOOPBACK, handler)
        client = HttpClient(Link(bound, limits=limits), INITIATOR)
        try:
            yield bound, client
        finally:
            await client.close()


@pytest.mark.parametrize(
    "operation", [Operation.CREATE, Operation.RETRIEVE, Operation.UPDATE, Operation.DELETE]
)
async def test_a_request_primitive_arrives_as_it_was_sent(operation):
    recorder = Recorder()
    content = {"m2m:cnt": {"lbl": ["ü"]}} if operation in {Operation.CREATE, Operation.UPDATE} else None
    async with serving(recorder) as (_, client):
        response = await client.request(operation, ("in-cse", "a b/ü?#%"), content=content, resource_type=3)
    [request] = recorder.requests
    assert request.operation is operation
    assert request.to == ("in-cse", "a b/ü?#%")
    assert request.originator == str(ID_A)
    assert request.content == content
    assert len(request.request_id) == 16
    assert response == Response(Rsc.OK, {"m2m:cin": {"con": "ü"}})


@pytest.mark.parametrize("rsc", Rsc)
async def test_every_status_arrives_as_it_was_given(rsc):
    async with serving(Recorder(Response(rsc, {"m2m:dbg": "why"}))) as (_, client):
        response = await client.request(Operation.RETRIEVE, ("x",))
    assert response.rsc is rsc
    if rsc >= 4000:
        with pytest.raises(PeerRefusedError, match="why") as caught:
            expect(response, Rsc.OK)
        assert caught.value.rsc == rsc


async def test_a_refusal_by_the_handler_is_an_answer():
    async with serving(Recorder(RefusedError(Rsc.CONFLICT, "taken"))) as (_, client):
        response = await client.request(Operation.CREATE, ("x",), content={})
    assert (response.rsc, response.content) == (Rsc.CONFLICT, {"m2m:dbg": "taken"})


async def test_requests_share_a_connection_and_its_association():
    recorder = Recorder()
    async with serving(recorder) as (_, client):
        for _ in range(5):
            await client.request(Operation.RETRIEVE, ("x",))
    assert len(set(map(id, recorder.sessions))) == 1


async def test_requests_at_the_same_time_all_get_their_own_answer():
    async def answer(request: Request, _) -> Response:
        await asyncio.sleep(0.01)
        return Response(Rsc.OK, {"to": list(request.to)})

    async with serving(answer) as (_, client):
        responses = await asyncio.gather(
            *(client.request(Operation.RETRIEVE, (str(number),)) for number in range(50))
        )
    assert [response.content["to"] for response in responses] == [[str(number)] for number in range(50)]


@pytest.mark.parametrize(("method", "together"), [("GET", 5), ("PUT", 1), ("DELETE", 1)])
async def test_pipelined_requests_that_change_nothing_are_answered_at_the_same_time_and_in_order(
    method, together
):
    under_way, most, all_there = 0, 0, asyncio.Event()

    async def answer(request: Request, _) -> Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == together:
            all_there.set()
        await all_there.wait()
        under_way -= 1
        return Response(Rsc.OK)

    names = [str(number).encode() for number in range(5)]
    head = method.encode() + b" /x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: %b\r\n"
    async with serving(answer) as (bound, _), await open_channel(Link(bound), INITIATOR) as channel:
        last = head % names[-1] + b"Connection: close\r\n\r\n"
        await channel.write(b"".join(head % name + b"\r\n" for name in names[:-1]) + last)
        answers = b""
        async with asyncio.timeout(20):
            while data := await channel.read():
                answers += data
    assert [one.partition(b"\r\n")[0] for one in answers.split(b"X-M2M-RI: ")[1:]] == names
    assert most == together
    assert answers.count(b"Connection: close") == 1


async def test_a_connection_that_the_server_closed_is_made_anew():
    recorder = Recorder()
    async with serving(recorder, limits=Limits(idle_seconds=0.1)) as (_, client):
        await client.request(Operation.RETRIEVE, ("x",))
        await asyncio.sleep(0.3)
        await client.request(Operation.RETRIEVE, ("x",))
    assert len(set(map(id, recorder.sessions))) == 2


async def test_a_server_that_takes_too_long_is_unavailable():
    async def never(request, established) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never, limits=Limits(request_seconds=0.2)) as (_, client):
        with pytest.raises(ResolverUnavailableError):
            await client.request(Operation.RETRIEVE, ("x",))


async def test_a_server_that_is_not_there_is_unavailable():
    client = HttpClient(Link(Address("127.0.0.1", 1)), INITIATOR)
    with pytest.raises(ResolverUnavailableError, match="cannot be reached"):
        await client.request(Operation.RETRIEVE, ("x",))
    with pytest.raises(HandshakeError, match="no connection was made yet"):
        _ = client.established
    await client.close()


async def test_an_answer_that_is_too_long_is_not_taken():
    long = Recorder(Response(Rsc.OK, {"x": "y" * 100_000}))
    async with serving(long) as (_, client):
        with pytest.raises(ResolverUnavailableError, match="too long"):
            await client.request(Operation.RETRIEVE, ("x",))


# --- a server that is no oneM2M server ---


ANSWERS = {
    "no status code": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status code that is none": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 77\r\nContent-Length: 2\r\n\r\n{}",
    "no JSON": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nContent-Length: 3\r\n\r\nabc",
    "no object": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nContent-Length: 2\r\n\r\n[]",
    "deep JSON": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nContent-Length: 50000\r\n\r\n" + b"[" * 50_000,
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
    "an end too soon": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nContent-Length: 100\r\n\r\n{}",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_no_response_primitive_is_unavailable(answer):
    async def speak(channel: Channel) -> None:
        await channel.read()
        await channel.write(answer)

    async with EntityB(ID_B, keys=[KPSA]) as b:
        client = HttpClient(Link(await b.listen(LOOPBACK, speak)), INITIATOR)
        with pytest.raises(ResolverUnavailableError):
            await client.request(Operation.RETRIEVE, ("x",))
        await client.close()


# --- headers ---


async def test_an_answer_carries_the_headers_of_the_binding():
    async with serving(Recorder()) as (bound, _), await open_channel(Link(bound), INITIATOR) as channel:
        await channel.write(b"GET /x?rcn=1 HTTP/1.1\r\nHost: h\r\nX-M2M-RI: abc\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := await channel.read():
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert status == "HTTP/1.1 200 OK"
    assert headers["x-m2m-rsc"] == "2000"
    assert headers["x-m2m-ri"] == "abc"
    assert headers["x-m2m-rvi"] == "3"
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"] == "application/json"
    assert "server" not in headers
    assert json.loads(body) == {"m2m:cin": {"con": "ü"}}


async def test_a_handler_with_a_mistake_of_its_own_shows_nothing_of_it():
    async with serving(Recorder(ZeroDivisionError("internal detail"))) as (bound, client):
        with pytest.raises(ResolverUnavailableError) as caught:
            await client.request(Operation.RETRIEVE, ("x",))
        assert "internal detail" not in str(caught.value)
        async with await open_channel(Link(bound), INITIATOR) as channel:
            await channel.write(b"GET /x HTTP/1.1\r\nHost: h\r\nX-M2M-RI: 1\r\nConnection: close\r\n\r\n")
            answer = b""
            while data := await channel.read():
                answer += data
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"internal detail" not in answer
