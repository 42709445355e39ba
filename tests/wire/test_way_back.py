"""SA2 through gateway and agent: whom it reaches, and when it reaches nobody (8.2.1)."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass, field

import pytest

from maf_support import ID_A, ID_B, LOOPBACK, eventually, key_of
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import ConfigurationError
from onem2m_security.frameworks import saef_psk
from onem2m_security.gateway.agent import Agent
from onem2m_security.gateway.agent_back import BackPlan
from onem2m_security.gateway.agent_plan import AgentPlan, running
from onem2m_security.gateway.back_routes import BackRoutes
from onem2m_security.gateway.upstream_terms import UpstreamAddress
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.http_messages import HttpResponse
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.plain_port import PlainHttpPort
from onem2m_security.onem2m.carried import CarriedRequest, CarriedResponse
from onem2m_security.onem2m.primitives import Operation, RefusedError, Rsc

KPSA_ID = KeyIdentifier.parse("k@issuer.example")
JSON = "application/json"


@dataclass
class World:
    """A CSE that notes the pointOfAccess that it was told, a gateway, an agent, and the AE's web server."""

    routes: BackRoutes
    b: EntityB
    agent: Agent
    plain: str
    told: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    async def register(self) -> CarriedResponse:
        content = json.dumps({"m2m:ae": {"poa": [f"{self.plain}/told"]}}).encode()
        asked = CarriedRequest(
            Operation.CREATE, "cse", "1", resource_type=2, content_type=JSON, content=content
        )
        return await self.agent.handle(asked)

    async def notify(self, path: str | None = None) -> int:
        to = self.told[-1].partition("//")[2].partition("/")[2] if path is None else path
        asked = CarriedRequest(Operation.NOTIFY, to, "n", content_type=JSON, content=b"{}")
        try:
            return (await self.routes.deliver(asked)).rsc
        except RefusedError as refused:
            return refused.rsc


@contextlib.asynccontextmanager
async def world(*, scheme_over=Transport.TLS):
    told: list[str] = []
    heard: list[str] = []

    async def cse(request, established):
        told.extend(json.loads(request.content)["m2m:ae"]["poa"])
        return CarriedResponse(Rsc.CREATED, request.request_id, content_type=JSON, content=request.content)

    async def ae(request):
        heard.append(request.path.decode())
        return HttpResponse(200, (("X-M2M-RSC", "2000"), ("X-M2M-RI", "n")))

    key = saef_psk.credential(KPSA_ID, key_of("k"), peer=ID_A)
    routes = BackRoutes(cse, Limits(handshake_seconds=3.0))
    async with (
        PlainHttpPort(ae) as web,
        EntityB(ID_B, keys=[key]) as b,
        contextlib.AsyncExitStack() as closing,
    ):
        plain = f"http://{await web.start(LOOPBACK)}"
        await routes.listen(LOOPBACK)
        closing.push_async_callback(routes.stop)
        link = Link(await b.carry_over((Transport.TLS,), LOOPBACK, routes.handle))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            free = Address("127.0.0.1", taken.getsockname()[1])
        back = BackPlan(to=UpstreamAddress.parse(plain), listen=free, transport=scheme_over)
        plan = AgentPlan(registrar=ID_B, link=link, listen=(LOOPBACK,), back=back)
        how = saef_psk.initiate(ID_A, ID_B, saef_psk.credential(KPSA_ID, key_of("k"), peer=ID_B))
        agent = await closing.enter_async_context(running(plan, how))
        yield World(routes, b, agent.agent, plain, told, heard)


async def test_what_the_cse_sends_to_the_address_that_it_was_told_reaches_the_ae_at_its_own():
    async with world() as it:
        answer = await it.register()
        assert json.loads(answer.content)["m2m:ae"]["poa"] == [f"{it.plain}/told"], "the AE sees its own"
        assert it.told[0].startswith("http://127.0.0.1:")
        assert not it.told[0].startswith(it.plain)
        await eventually(lambda: reached(it))
        assert set(it.heard) == {"/told"}


async def reached(it: World) -> bool:
    """The agent listens as soon as it is associated; a registrar that comes sooner tries again."""
    return await it.notify() == 2000


async def test_nobody_is_reached_by_an_address_that_was_told_to_nobody():
    async with world() as it:
        await it.register()
        assert await it.notify("guessed/told") == Rsc.TARGET_NOT_REACHABLE
        assert await it.notify("") == Rsc.TARGET_NOT_REACHABLE
    assert it.heard == []


async def test_the_same_address_is_told_again_and_a_registree_has_few_of_them():
    async with world() as it:
        for _ in range(3):
            await it.register()
        assert len(set(it.told)) == 1


async def test_a_right_that_is_gone_reaches_nobody():
    async with world() as it:
        await it.register()
        await eventually(lambda: reached(it))
        await it.b.forget(KPSA_ID)
        before = len(it.heard)
        assert await it.notify() == Rsc.TARGET_NOT_REACHABLE
        assert len(it.heard) == before


async def test_an_address_over_another_transport_than_the_association_is_told_as_it_is():
    async with world(scheme_over=Transport.DTLS) as it:
        await it.register()
        assert it.told[0].startswith("coaps://127.0.0.1:")


def test_the_registrar_must_find_the_way_back():
    to = UpstreamAddress.parse("http://127.0.0.1:9000")
    with pytest.raises(ConfigurationError, match="must find the way back"):
        BackPlan(to=to, listen=LOOPBACK)
    with pytest.raises(ConfigurationError, match="the way back takes"):
        BackPlan.of(to, None, None, Transport.TLS)
    assert BackPlan.of(None, None, None, Transport.TLS) is None
