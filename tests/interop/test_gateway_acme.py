"""An unchanged ACME CSE behind ``m2msec gateway``: AEs that speak by the library, and impostors."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import cbor2
import pytest

from acme import Cse
from gateway_support import gateway, initiator
from maf_support import key_of
from onem2m_security.clients.maf import MafClient
from onem2m_security.frameworks import maf_handshake, saef_psk
from onem2m_security.frameworks.steps import initiator_of
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.carrying_client import CarryingClient
from onem2m_security.net.coap import CoapClient
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.onem2m.carried import CarriedRequest, CarriedResponse
from onem2m_security.onem2m.primitives import Operation
from programs import Programs, Server, key_file, m2msec

CSE, MAF = EntityId.parse("/in-cse"), Fqdn("maf.example.com")
AES = {Transport.TLS: "Cmeter", Transport.DTLS: "Cpump"}
JSON = "application/json"


@dataclass
class House:
    """ACME, a MAF, and a gateway that accepts by that MAF and by a key of nobody in particular."""

    cse: Cse
    maf: Server
    gateway: Server

    async def client(self, transport: Transport) -> CarryingClient:
        """An AE with a Kc from the MAF."""
        name = AES[transport]
        me = EntityId.parse(f"/in-cse/{name}")
        km = maf_handshake.credential(KeyIdentifier(name.lower(), MAF), key_of(name))
        maf = MafClient(MAF, Link(Address("127.0.0.1", self.maf.port)), maf_handshake.initiate(me, MAF, km))
        how = await initiator_of(maf.initiator(CSE))
        await maf.close()
        return self._by(how, transport)

    def unknown(self, who: str, transport: Transport = Transport.TLS) -> CarryingClient:
        """An AE of whom only the credential is known."""
        key = saef_psk.credential(KeyIdentifier.parse(f"{who}@m.example"), key_of(who))
        return self._by(saef_psk.initiate(EntityId.parse("Cwhoever"), CSE, key), transport)

    def _by(self, how, transport: Transport) -> CarryingClient:
        link = Link(Address("127.0.0.1", self.gateway.port), transport, Limits(request_seconds=60))
        return CoapClient(link, how) if transport is Transport.DTLS else HttpClient(link, how)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("house")
    programs, data = Programs(directory), directory / "maf"
    clients = {name: ["--entity", f"/in-cse/{name}", "--target", "/in-cse"] for name in AES.values()}
    for name, more in {**clients, "b": ["--entity", "/in-cse"]}.items():
        key = key_file(directory, f"{name}.km", key_of(name).reveal())
        km_id = f"{name.lower()}@{MAF}"
        m2msec("maf", "add-client", "--data", data, "--km-id", km_id, "--km-file", key, *more)
    cse = Cse(directory, "in-cse")
    try:
        maf = programs.start_maf(data)
        gateway = programs.start(
            "gateway", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--to", f"http://127.0.0.1:{cse.port}",
            "--maf", f"127.0.0.1:{maf.port}", "--km-id", f"b@{MAF}", "--km-file", directory / "b.km",
            "--kpsa-id", "new@m.example", "--kpsa-file", key_file(directory, "new", key_of("new").reveal()),
            "--data", directory / "gateway", "--verbose",
        )  # fmt: skip
        yield House(cse, maf, gateway)
    finally:
        programs.end_all()
        cse.stop()


@pytest.fixture(params=list(Transport), ids=lambda transport: transport.value)
async def ae(request: pytest.FixtureRequest, house: House) -> AsyncIterator[tuple[CarryingClient, str]]:
    """An AE that is registered as it proves itself."""
    client, name = await house.client(request.param), AES[request.param]
    answer = await client.carry(register(name, name.lower()))
    assert answer.rsc in {2001, 4117, 4105}, answer
    yield client, name
    await client.close()


def asks(operation: Operation, to: str, originator: str, content: object = None, **more) -> CarriedRequest:
    octets = b"" if content is None else json.dumps(content).encode()
    return CarriedRequest(
        operation, to, "r1", originator=originator, release_version="3", content=octets,
        content_type=JSON if octets else "", **more,
    )  # fmt: skip


def register(originator: str, name: str, **more) -> CarriedRequest:
    about = {"m2m:ae": {"rn": name, "api": "Nexample", "rr": False, "srv": ["3"]}}
    return asks(Operation.CREATE, "cse-in", originator, about, resource_type=2, **more)


def said(answer: CarriedResponse) -> dict:
    return json.loads(answer.content) if answer.content else {}


async def test_an_ae_makes_writes_reads_finds_changes_and_deletes(ae):
    client, name = ae
    own = f"cse-in/{name.lower()}"
    made = await client.carry(
        asks(Operation.CREATE, own, name, {"m2m:cnt": {"rn": "c", "lbl": ["xy"]}}, resource_type=3)
    )
    assert made.rsc == 2001
    value = "22.5 °C" * 400  # over CoAP this takes blocks
    await client.carry(asks(Operation.CREATE, f"{own}/c", name, {"m2m:cin": {"con": value}}, resource_type=4))
    latest = await client.carry(asks(Operation.RETRIEVE, f"{own}/c/la", name))
    assert (latest.rsc, said(latest)["m2m:cin"]["con"]) == (2000, value)
    found = await client.carry(asks(Operation.RETRIEVE, own, name, query="fu=1&ty=3&lbl=xy&drt=1"))
    assert [uri.rpartition("/")[2] for uri in said(found)["m2m:uril"]] == ["c"]
    changed = await client.carry(asks(Operation.UPDATE, f"/in-cse/{own}/c", name, {"m2m:cnt": {"mni": 7}}))
    assert (changed.rsc, said(changed)["m2m:cnt"]["mni"]) == (2004, 7)
    gone = await client.carry(asks(Operation.DELETE, f"{own}/c", name))
    assert gone.rsc == 2002
    missing = await client.carry(asks(Operation.RETRIEVE, f"{own}/c", name))
    assert (missing.rsc, missing.request_id) == (4004, "r1")


async def test_cbor_passes_both_ways_as_it_is(ae):
    client, name = ae
    own = f"cse-in/{name.lower()}"
    content = cbor2.dumps({"m2m:cnt": {"rn": "cbor", "mni": 3}})
    asked = asks(Operation.CREATE, own, name, resource_type=3, accept="application/cbor")
    made = await client.carry(replace(asked, content=content, content_type="application/cbor"))
    assert (made.rsc, made.content_type) == (2001, "application/cbor")
    assert cbor2.loads(made.content)["m2m:cnt"]["mni"] == 3
    assert (await client.carry(asks(Operation.DELETE, f"{own}/cbor", name))).rsc == 2002


@pytest.mark.parametrize(
    "originator", ["CAdmin", "Cintruder", "Cboiler", "/in-cse/CAdmin", "cmeter", "", "/in-cse", "C", "S"]
)
async def test_an_impostor_is_refused_before_the_cse_sees_it(house, ae, originator):
    client, _ = ae
    secret = f"cse-in/never-{originator.replace('/', '-')}-seen"
    answer = await client.carry(asks(Operation.RETRIEVE, secret, originator))
    assert answer.rsc == 4106
    if originator not in {"", "C", "S"}:
        registering = replace(register(originator, "never"), to=secret)
        assert (await client.carry(registering)).rsc == 4106
    assert secret not in house.cse.log


async def test_the_ae_id_that_acme_assigns_is_its_credentials_and_nobody_elses(house):
    client = house.unknown("new")
    answer = await client.carry(register("C", "assigned"))
    assert answer.rsc == 2001
    aei = said(answer)["m2m:ae"]["aei"]
    assert aei.startswith("C")
    assert len(aei) > 1
    assert (await client.carry(asks(Operation.RETRIEVE, "cse-in/assigned", aei))).rsc == 2000
    await client.close()
    other = await house.client(Transport.TLS)
    assert (await other.carry(asks(Operation.RETRIEVE, "cse-in/assigned", aei))).rsc == 4106
    assert (await other.carry(register(aei, "again"))).rsc == 4106
    await other.close()


async def test_an_ae_that_is_proven_does_not_get_another_identity_and_nothing_is_left_of_it(house):
    client = await house.client(Transport.TLS)
    assert (await client.carry(register("C", "leftover"))).rsc == 4106
    assert (await client.carry(register("Cmeter", "cmeter"))).rsc in {2001, 4117, 4105}
    plain = http.client.HTTPConnection("127.0.0.1", house.cse.port)
    headers = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "1", "X-M2M-RVI": "3"}
    plain.request("GET", "/cse-in/leftover", headers=headers)
    assert plain.getresponse().getheader("X-M2M-RSC") == "4004"
    plain.close()
    await client.close()


async def test_answers_are_those_that_acme_gives_plainly(house, ae):
    """Status, media type and content of what does not change, asked once through the gateway and once not."""
    client, name = ae
    for to, query in [
        ("cse-in", ""),
        ("cse-in", "rcn=4"),
        (f"cse-in/{name.lower()}", "rcn=1"),
        ("cse-in", "fu=1&ty=2"),
        ("cse-in/nothing", ""),
        ("~/in-cse/cse-in", ""),
        ("cse-in", "rcn=99"),
    ]:
        asked = asks(Operation.RETRIEVE, to.replace("~", ""), name, query=query)
        through = await client.carry(asked)
        plain = http.client.HTTPConnection("127.0.0.1", house.cse.port)
        plain.request(
            "GET",
            f"/{to}" + (f"?{query}" if query else ""),
            headers={"X-M2M-Origin": name, "X-M2M-RI": "r1", "X-M2M-RVI": "3"},
        )
        answer = plain.getresponse()
        body = answer.read()
        plain.close()
        assert str(through.rsc) == answer.getheader("X-M2M-RSC"), (to, query)
        assert without_times(said(through)) == without_times(json.loads(body) if body else {})


async def test_a_cse_that_is_reached_by_coap_serves_aes_over_http_and_coap(tmp_path):
    """ACME's library for CoAP tells the blocks of a content by their token: short contents go there."""
    cse = Cse(tmp_path, "in-cse", coap=True)
    try:
        async with gateway(to=f"coap://127.0.0.1:{cse.coap_port}") as running:
            for transport in Transport:
                kind = CoapClient if transport is Transport.DTLS else HttpClient
                client = kind(running.link(transport), initiator("ae"))
                await register_make_find_and_delete(client, f"over-{transport.value}")
                await client.close()
    finally:
        cse.stop()


async def register_make_find_and_delete(client: CarryingClient, name: str) -> None:
    own = f"cse-in/{name}"
    assert (await client.carry(register("Cae", name))).rsc == 2001
    made = asks(Operation.CREATE, own, "Cae", {"m2m:cnt": {"rn": "c"}}, resource_type=3)
    assert (await client.carry(made)).rsc == 2001
    found = await client.carry(asks(Operation.RETRIEVE, "cse-in", "Cae", query="fu=1&ty=3"))
    assert said(found)["m2m:uril"] == [f"{own}/c"]
    assert (await client.carry(asks(Operation.RETRIEVE, own, "CAdmin"))).rsc == 4106
    assert (await client.carry(asks(Operation.DELETE, own, "Cae"))).rsc == 2002


def without_times(value: object) -> object:
    """Content without what changes from one moment to the next."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in {"ctm", "lt", "st", "m2m:dbg"}}
    return [without_times(one) for one in value] if isinstance(value, list) else value
