"""An agent beside an AE that knows nothing of security: what it carries, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import aiocoap
import pytest
from aiocoap.optiontypes import StringOption

from maf_support import ID_B, LOOPBACK, A, B, eventually, running_maf
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import ConfigurationError
from onem2m_security.gateway.agent_plan import AgentPlan, running
from onem2m_security.gateway.originators import OriginatorRule
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.coap_messages import FROM, REQUEST_ID, RESPONSE_STATUS, number_option
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.local_address import UnixSocket, parse_local
from onem2m_security.onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from programs import PATIENCE


@dataclass
class Registrar:
    """An Entity B that answers with what it was asked, and notes who did, in which session."""

    asked: list[tuple[Request, str, int]] = field(default_factory=list)
    waits: asyncio.Event | None = None
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request, established) -> Response:
        self.asked.append((request, str(established.association.credential_id), id(established.session)))
        self.came.set()
        if self.waits is not None:
            await self.waits.wait()
        if not established.association.authenticates(request.originator):
            raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, "not yours")
        if request.operation is Operation.CREATE:
            return Response(Rsc.CREATED, {"made": request.content}, created=(*request.to, "x"))
        return Response(Rsc.OK, {"from": request.originator})


@contextlib.asynccontextmanager
async def registrar_with(maf, registrar, transport=Transport.TLS, at=LOOPBACK) -> AsyncIterator[Link]:
    async with EntityB(ID_B, mafs=[B.maf_client(maf.address)]) as b:
        yield Link(await b.listen_requests(at, registrar.answer, transport=transport), transport)


@contextlib.asynccontextmanager
async def agent_at(maf, link, **plan):
    client = A.maf_client(maf.address)
    given = {"listen": (LOOPBACK,), "registrar": ID_B, "link": link} | plan
    async with running(AgentPlan(**given), client.initiator(ID_B)) as agent:
        yield agent
    await client.close()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def rsc(self) -> int:
        return int(self.headers["x-m2m-rsc"])

    @property
    def content(self):
        return json.loads(self.body)


def place_of(agent, number=0):
    return parse_local(agent.listening[number].partition(" ")[0])


async def ask(agent, method="GET", path="/in-cse/x", *, body=b"", number=0, **headers) -> Answer:
    """One request over HTTP, as any program sends it."""
    at = place_of(agent, number)
    reader, writer = (
        await asyncio.open_unix_connection(str(at.path))
        if isinstance(at, UnixSocket)
        else await asyncio.open_connection(at.host, at.port)
    )
    fields = {"Host": "localhost", "X_M2M_RI": "1", "Content_Length": str(len(body)), "Connection": "close"}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {**fields, **headers}.items()]
    writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in rest)
    return Answer(int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, content)


async def reached(agent) -> bool:
    return (await ask(agent)).rsc == 2000


@pytest.mark.parametrize("transport", list(Transport))
async def test_requests_go_through_one_association_and_answers_come_back(tmp_path, transport):
    registrar = Registrar()
    async with (
        running_maf(tmp_path / "maf") as maf,
        registrar_with(maf, registrar, transport) as link,
        agent_at(maf, link) as agent,
    ):
        made = await ask(
            agent, "POST", "/in-cse/a", body=b'{"m2m:cnt": {}}', Content_Type="application/json;ty=3"
        )
        assert (made.status, made.rsc, made.content) == (201, 2001, {"made": {"m2m:cnt": {}}})
        assert made.headers["content-location"] == "/in-cse/a/x"
        answers = await asyncio.gather(*(ask(agent) for _ in range(20)))
        assert {(one.status, one.rsc, one.content["from"]) for one in answers} == {(200, 2000, "Csensor")}
        assert len(await maf.kcs()) == 1
    assert len({credential for _, credential, _ in registrar.asked}) == 1
    sessions = len({session for _, _, session in registrar.asked})
    assert sessions == 1 if transport is Transport.DTLS else sessions <= 8


@pytest.mark.parametrize("at_start", [True, False])
async def test_it_is_associated_at_the_start_or_at_first_use(tmp_path, at_start):
    async with running_maf(tmp_path / "maf") as maf, registrar_with(maf, Registrar()) as link:
        async with agent_at(maf, link, at_start=at_start) as agent:
            if at_start:
                await eventually(lambda: agent.agent.kept.association)
            assert bool(await maf.kcs()) is at_start
            assert (await ask(agent)).rsc == 2000
        assert len(await maf.kcs()) == 1


async def test_a_unix_socket_does_as_well_and_several_places_share_the_association(tmp_path):
    places = (UnixSocket(tmp_path / "agent.sock"), LOOPBACK)
    async with (
        running_maf(tmp_path / "maf") as maf,
        registrar_with(maf, Registrar()) as link,
        agent_at(maf, link, listen=places) as agent,
    ):
        for number in range(2):
            assert (await ask(agent, number=number)).rsc == 2000
        assert len(await maf.kcs()) == 1


async def test_an_ae_that_speaks_coap_is_carried_over_tls(tmp_path):
    async with (
        running_maf(tmp_path / "maf") as maf,
        registrar_with(maf, Registrar()) as link,
        agent_at(maf, link, listen=(), listen_coap=(LOOPBACK,)) as agent,
    ):
        at = place_of(agent)
        context = await aiocoap.Context.create_client_context()
        message = aiocoap.Message(code=aiocoap.GET, uri=f"coap://{at}/in-cse/x")
        message.opt.add_option(StringOption(REQUEST_ID, "7"))
        answer = await context.request(message).response
        assert number_option(answer, RESPONSE_STATUS) == 2000
        assert json.loads(answer.payload) == {"from": "Csensor"}
        message = aiocoap.Message(code=aiocoap.GET, uri=f"coap://{at}/in-cse/x")
        message.opt.add_option(StringOption(REQUEST_ID, "8"))
        message.opt.add_option(StringOption(FROM, "Cintruder"))
        answer = await context.request(message).response
        assert number_option(answer, RESPONSE_STATUS) == 4106
        await context.shutdown()


async def test_an_impostor_is_refused_by_the_registrar_or_where_that_is_told_here_already(tmp_path):
    registrar = Registrar()
    async with running_maf(tmp_path / "maf") as maf, registrar_with(maf, registrar) as link:
        async with agent_at(maf, link) as agent:
            assert (await ask(agent, X_M2M_Origin="Cintruder")).rsc == 4106
        assert [request.originator for request, _, _ in registrar.asked] == ["Cintruder"]
        async with agent_at(maf, link, originator=OriginatorRule.INSIST) as agent:
            assert (await ask(agent, X_M2M_Origin="Cintruder")).rsc == 4106
            assert (await ask(agent, X_M2M_Origin="Csensor")).rsc == 2000
        assert [request.originator for request, _, _ in registrar.asked] == ["Cintruder", "Csensor"]


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_registrar_that_went_away_is_told_without_internals_and_found_again(tmp_path, transport):
    async with running_maf(tmp_path / "maf") as maf, contextlib.AsyncExitStack() as first:
        link = await first.enter_async_context(registrar_with(maf, Registrar(), transport))
        link = replace(link, limits=Limits(handshake_seconds=2.0))
        async with agent_at(maf, link) as agent:
            await eventually(lambda: reached(agent), PATIENCE)
            await first.aclose()
            away = await ask(agent)
            assert (away.status, away.rsc) in {(404, 5103), (504, 4008)}
            assert away.content["m2m:dbg"] in {
                "the registrar cannot be reached", "the registrar gave no answer in time",
            }  # fmt: skip
            async with registrar_with(maf, Registrar(), transport, at=link.address):
                await eventually(lambda: reached(agent), PATIENCE)
        assert len(await maf.kcs()) == 1, "the Kc of before serves again"


async def test_no_answer_in_time_is_told_as_that(tmp_path):
    registrar = Registrar(waits=asyncio.Event())
    async with (
        running_maf(tmp_path / "maf") as maf,
        registrar_with(maf, registrar) as link,
        agent_at(maf, link, answer=timedelta(seconds=1)) as agent,
    ):
        late = await ask(agent, X_M2M_RI="late")
        assert (late.status, late.rsc, late.headers["x-m2m-ri"]) == (504, 4008, "late")


async def test_a_slow_answer_and_a_silent_client_keep_nobody_else_waiting(tmp_path):
    held = asyncio.Event()
    registrar = Registrar(waits=held)
    async with (
        running_maf(tmp_path / "maf") as maf,
        registrar_with(maf, registrar) as link,
        agent_at(maf, link) as agent,
    ):
        waiting = asyncio.ensure_future(ask(agent))
        await registrar.came.wait()
        at = place_of(agent)
        _, silent = await asyncio.open_connection(at.host, at.port)
        silent.write(b"POST /in-cse/x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nx")
        registrar.waits = None
        assert (await ask(agent)).rsc == 2000
        held.set()
        assert (await waiting).rsc == 2000
        silent.close()


async def test_an_endless_body_is_refused_and_others_are_served(tmp_path):
    async with (
        running_maf(tmp_path / "maf") as maf,
        registrar_with(maf, Registrar()) as link,
        agent_at(maf, replace(link, limits=Limits(body_octets=1000))) as agent,
    ):
        refused = await ask(agent, "POST", body=b"x" * 5000, Content_Type="application/json;ty=3")
        assert refused.rsc == 4102
        assert (await ask(agent)).rsc == 2000


async def test_a_web_page_gets_nothing(tmp_path):
    async with (
        running_maf(tmp_path / "maf") as maf,
        registrar_with(maf, registrar := Registrar()) as link,
        agent_at(maf, link) as agent,
    ):
        assert (await ask(agent, "POST", Origin="https://page.example")).status == 403
        assert (await ask(agent, Host="page.example")).status == 403
    assert registrar.asked == []


@pytest.mark.parametrize("text", ["0.0.0.0:0", "[::]:0", "agent.example:80"])
@pytest.mark.parametrize("kind", ["listen", "listen_coap"])
def test_other_machines_are_not_served_unless_that_is_said(kind, text):
    link = Link(Address("127.0.0.1", 1))
    with pytest.raises(ConfigurationError, match="not loopback"):
        AgentPlan(registrar=ID_B, link=link, **{kind: (Address.parse(text),)})
    AgentPlan(registrar=ID_B, link=link, beyond_loopback=True, **{kind: (Address.parse(text),)})


def test_an_agent_listens_somewhere():
    with pytest.raises(ConfigurationError, match="listens somewhere"):
        AgentPlan(registrar=ID_B, link=Link(Address("127.0.0.1", 1)))
