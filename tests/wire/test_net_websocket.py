"""The WebSocket binding (TS-0020) at both ends: primitives, many requests on one connection, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, TextMessage
from wsproto.events import Request as Opening

from maf_support import ID_A, ID_B, LOOPBACK, MAF, A, B, eventually, key_of, running_maf
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.configuration.description import Description
from onem2m_security.errors import ConfigurationError, HandshakeError, ResolverUnavailableError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net import open_sessions
from onem2m_security.net.address import Address, Binding, Transport
from onem2m_security.net.channel import Channel
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.net.websocket import MAX_UNDER_WAY, SUBPROTOCOL, WebSocket
from onem2m_security.net.websocket_client import WebSocketClient
from onem2m_security.onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from onem2m_security.release import Release
from onem2m_security.store import KeyKind
from programs import key_file

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


def over_websocket(address: Address, limits: Limits | None = None) -> Link:
    return Link(address, limits=limits, binding=Binding.WEBSOCKET)


@contextlib.asynccontextmanager
async def serving(handler, *, limits: Limits | None = None):
    async with EntityB(ID_B, keys=[KPSA], limits=limits) as b:
        bound = await b.listen_requests(LOOPBACK, handler)
        client = request_client(over_websocket(bound, limits), INITIATOR)
        assert isinstance(client, WebSocketClient)
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
    assert request.resource_type == (3 if operation is Operation.CREATE else None)
    assert len(request.request_id) == 16
    assert response == Response(Rsc.OK, {"m2m:cin": {"con": "ü"}})


@pytest.mark.parametrize("rsc", Rsc)
async def test_every_status_arrives_as_it_was_given(rsc):
    async with serving(Recorder(Response(rsc, {"m2m:dbg": "why"}))) as (_, client):
        assert await client.request(Operation.RETRIEVE, ("x",)) == Response(rsc, {"m2m:dbg": "why"})


async def test_a_refusal_by_the_handler_is_an_answer_and_a_failure_of_it_one_that_tells_nothing():
    async with serving(Recorder(RefusedError(Rsc.CONFLICT, "taken"))) as (_, client):
        response = await client.request(Operation.CREATE, ("x",), content={})
    assert (response.rsc, response.content) == (Rsc.CONFLICT, {"m2m:dbg": "taken"})
    async with serving(Recorder(RuntimeError("the wall is blue"))) as (_, client):
        response = await client.request(Operation.RETRIEVE, ("x",))
    assert response.rsc is Rsc.INTERNAL_SERVER_ERROR
    assert "blue" not in str(response.content)


async def test_requests_at_the_same_time_share_one_connection_and_overtake_each_other():
    """The later a request is asked, the earlier it is answered: none waits for one before it."""
    recorder, let_go = Recorder(), [asyncio.Event() for _ in range(MAX_UNDER_WAY)]

    async def answer(request: Request, established) -> Response:
        await recorder(request, established)
        number = int(request.to[0])
        if number + 1 < MAX_UNDER_WAY:
            await let_go[number + 1].wait()
        let_go[number].set()
        return Response(Rsc.OK, {"to": list(request.to)})

    async with serving(answer) as (_, client):
        responses = await asyncio.gather(
            *(client.request(Operation.RETRIEVE, (str(number),)) for number in range(MAX_UNDER_WAY))
        )
    assert [response.content["to"] for response in responses] == [[str(n)] for n in range(MAX_UNDER_WAY)]
    assert len(set(map(id, recorder.sessions))) == 1


async def test_http_and_websocket_are_answered_on_the_same_port():
    recorder = Recorder()
    async with serving(recorder) as (bound, client):
        http = HttpClient(Link(bound), INITIATOR)
        answers = [await one.request(Operation.RETRIEVE, ("x",)) for one in (http, client, http, client)]
        await http.close()
    assert {answer.rsc for answer in answers} == {Rsc.OK}
    assert len(set(map(id, recorder.sessions))) == 2


async def test_a_connection_that_the_server_closed_is_made_anew():
    recorder = Recorder()
    async with serving(recorder, limits=Limits(idle_seconds=0.2)) as (_, client):
        await client.request(Operation.RETRIEVE, ("x",))
        await eventually(lambda: not client._newest.is_open)
        await client.request(Operation.RETRIEVE, ("x",))
    assert len(set(map(id, recorder.sessions))) == 2


async def test_a_server_that_takes_too_long_is_unavailable_and_the_next_request_makes_a_connection():
    recorder, quick = Recorder(), asyncio.Event()

    async def never(request: Request, established) -> Response:
        await recorder(request, established)
        await quick.wait()
        return Response(Rsc.OK)

    async with serving(never, limits=Limits(request_seconds=0.3)) as (_, client):
        with pytest.raises(ResolverUnavailableError, match=r"no answer within 0\.3 s"):
            await client.request(Operation.RETRIEVE, ("x",))
        quick.set()
        assert (await client.request(Operation.RETRIEVE, ("x",))).rsc is Rsc.OK
    assert len(set(map(id, recorder.sessions))) == 2


async def test_whoever_gives_up_a_request_takes_no_other_with_it():
    async def answer(request: Request, _) -> Response:
        if request.to == ("slow",):
            slow.set()
            await asyncio.Event().wait()
        return Response(Rsc.OK)

    slow = asyncio.Event()
    async with serving(answer) as (_, client):
        given_up = asyncio.ensure_future(client.request(Operation.RETRIEVE, ("slow",)))
        await slow.wait()
        connection = client._newest
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await client.request(Operation.RETRIEVE, ("x",))).rsc is Rsc.OK
        assert client._newest is connection


async def test_a_server_that_is_not_there_is_unavailable():
    client = WebSocketClient(over_websocket(Address("127.0.0.1", 1)), INITIATOR)
    with pytest.raises(ResolverUnavailableError, match="cannot be reached"):
        await client.request(Operation.RETRIEVE, ("x",))
    with pytest.raises(HandshakeError, match="no connection was made yet"):
        _ = client.established
    await client.close()


async def test_an_answer_under_way_still_leaves_when_the_port_stops():
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def answer(request: Request, _) -> Response:
        asked.set()
        await let_go.wait()
        return Response(Rsc.OK)

    b = EntityB(ID_B, keys=[KPSA])
    client = WebSocketClient(over_websocket(await b.listen_requests(LOOPBACK, answer)), INITIATOR)
    waiting = asyncio.ensure_future(client.request(Operation.RETRIEVE, ("x",)))
    await asked.wait()
    stopping = asyncio.ensure_future(b.stop())
    await asyncio.sleep(0)
    let_go.set()
    assert (await waiting).rsc is Rsc.OK
    await stopping
    await client.close()


def test_a_binding_goes_over_its_transport_only():
    with pytest.raises(ConfigurationError, match="websocket does not go over dtls"):
        Link(LOOPBACK, Transport.DTLS, binding=Binding.WEBSOCKET)
    with pytest.raises(ConfigurationError, match="coap does not go over tls"):
        Link(LOOPBACK, binding=Binding.COAP)
    assert Link(LOOPBACK, Transport.DTLS).carries_requests is Binding.COAP
    assert Link(LOOPBACK).carries_requests is Binding.HTTP


# --- with a MAF ---


FILE = """\
[identity]
id = "{a}"
[peers."{b}"]
address = "{at_b}"
prove = {{ maf = "{maf}" }}
[peers."{maf}"]
address = "{at_maf}"
binding = "{binding}"
prove = {{ km-id = "{km_id}", km-file = "km" }}
"""


@pytest.mark.parametrize(("binding", "upgrades"), [("websocket", 1), ("http", 0)])
async def test_a_file_says_whether_a_maf_is_asked_over_websocket(tmp_path, monkeypatch, binding, upgrades):
    accepted = []

    async def count(channel: Channel, limits: Limits) -> WebSocket | None:
        accepted.append(channel)
        return await accept(channel, limits)

    accept = WebSocket.accepted
    monkeypatch.setattr(WebSocket, "accepted", count)
    key_file(tmp_path, "km", A.km.reveal())
    async with running_maf(tmp_path / "maf") as running:
        b = B.maf_client(running.address)
        async with EntityB(ID_B, mafs=[b]) as entity_b:
            at_b = await entity_b.listen(LOOPBACK, Channel.read)
            text = FILE.format(
                a=ID_A, b=ID_B, at_b=at_b, maf=MAF, at_maf=running.address, binding=binding, km_id=A.km_id
            )
            file = tmp_path / "a.toml"
            file.write_text(text.replace("prove = { maf", 'release = "3"\nprove = { maf'), "utf-8")
            async with await Description.read(file).associate(ID_B) as channel:
                assert str(channel.association.peer) == str(ID_B)
        await b.close()
    assert len(accepted) == upgrades


@pytest.mark.parametrize("release", Release)
async def test_an_association_by_a_maf_that_both_entities_ask_over_websocket(tmp_path, release):
    async with running_maf(tmp_path) as running:
        a, b = (MafClient(MAF, over_websocket(running.address), one.initiator()) for one in (A, B))
        async with EntityB(ID_B, mafs=[b]) as entity_b:
            met = asyncio.get_running_loop().create_future()

            async def meet(channel: Channel) -> None:
                met.set_result(channel.association)

            address = await entity_b.listen(LOOPBACK, meet)
            async with await associate(Link(address), a.initiator(ID_B, release=release)) as channel:
                assert str(channel.association.peer) == str(ID_B)
                assert str((await met).peer) == str(ID_A)
        await a.close()
        await b.close()


@pytest.mark.parametrize(
    ("originator", "rsc"),
    [(str(ID_A), Rsc.NOT_FOUND), (str(ID_B), Rsc.ORIGINATOR_NOT_AUTHENTICATED), ("", 4106), (None, 4106)],
)
async def test_from_is_looked_at_in_every_request_of_a_connection(tmp_path, originator, rsc):
    async with running_maf(tmp_path) as running, speaking(running.address, A.initiator()) as say:
        for request_id in ("1", "2"):
            request = {"op": 2, "to": "maf/nothing", "rqi": request_id}
            if originator is not None:
                request["fr"] = originator
            answer = await say(request)
            assert (answer["rsc"], answer["rqi"]) == (rsc, request_id)
            assert (await say(request | {"fr": str(ID_A)}))["rsc"] == Rsc.NOT_FOUND


async def test_a_removed_client_is_refused_on_the_connection_that_it_has_which_then_ends(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(open_sessions, "WATCH_SECONDS", 3600.0)  # it is the request that finds out
    async with running_maf(tmp_path) as running:
        client = request_client(over_websocket(running.address), A.initiator())
        assert (await client.request(Operation.RETRIEVE, ("x",))).rsc is Rsc.NOT_FOUND
        await running.store.trust.revoke(KeyKind.KM, A.km_id)
        assert (await client.request(Operation.RETRIEVE, ("x",))).rsc is Rsc.ORIGINATOR_NOT_AUTHENTICATED
        await eventually(lambda: running.listener.connections == 0)
        with pytest.raises(ResolverUnavailableError):
            await client.request(Operation.RETRIEVE, ("x",))
        await client.close()


@pytest.mark.parametrize("to", ["//maf.example.com/maf/clientReg", "//MAF.example.com/maf/clientReg/"])
async def test_an_absolute_to_may_name_who_is_asked(tmp_path, to):
    async with running_maf(tmp_path) as running, speaking(running.address, A.initiator()) as say:
        request = {"op": 2, "fr": str(ID_A), "rqi": "1"}
        assert (await say(request | {"to": to}))["rsc"] == Rsc.OPERATION_NOT_ALLOWED
        assert (await say(request | {"to": "//other.example/maf/clientReg"}))["rsc"] == Rsc.NOT_FOUND


@contextlib.asynccontextmanager
async def speaking(address: Address, initiator):
    """Sends a JSON object over a connection of its own, and returns the one that comes back."""
    async with await associate(Link(address), initiator) as channel:
        connection = WSConnection(ConnectionType.CLIENT)

        async def event():
            while True:
                for one in connection.events():
                    return one
                connection.receive_data(await channel.read())

        await channel.write(
            connection.send(Opening(host="h.example", target="/", subprotocols=[SUBPROTOCOL]))
        )
        assert isinstance(await event(), AcceptConnection)

        async def say(primitive: object) -> dict:
            await channel.write(connection.send(TextMessage(data=json.dumps(primitive))))
            return json.loads((await event()).data)

        yield say
        await channel.write(connection.send(CloseConnection(code=1000)))
