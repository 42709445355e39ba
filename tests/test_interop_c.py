"""GnuTLS, wolfSSL and mbedTLS, by clients in C: keys, certificates, exports and alerts, over TLS and DTLS."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from c_clients import LIBRARIES, Client, build
from certificate_support import (
    ID_A,
    ID_B,
    NAME_A,
    NAME_B,
    OTHER_ROOT,
    ROOT,
    endpoint_b,
    named,
)
from certs import Authority, Flavour, Issued, permitted_names
from maf_support import LOOPBACK, running_maf
from maf_support import A as MAF_CLIENT
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.credentials import ResolvedKey, Secret
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.keys import ExportLabel
from onem2m_security.net.address import Transport
from onem2m_security.tls.alerts import CODES
from test_bootstrap_certificate import THE_ENROLEE, certificate_mef, kes
from test_extended_master_secret import one_line_of_the_log

CONNECTION = f"label={ExportLabel.CONNECTION.value.decode()}"
BOOTSTRAP = f"label={ExportLabel.BOOTSTRAP.value.decode()}"
KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@sp.example"), Secret(bytes(range(32))), peer=ID_A)
SLOW_SECONDS = 2.5
"""Longer than the first timers of all DTLS clients here."""

every_transport = pytest.mark.parametrize("transport", Transport)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Compiles the client of a library when it is first asked for."""
    directory, programs = tmp_path_factory.mktemp("clients"), {}

    def program(name):
        if name not in programs:
            programs[name] = build(name, directory)
        return programs[name]

    return program


@pytest.fixture(params=LIBRARIES)
def client(request, compiled, tmp_path):
    return Client(request.param, compiled(request.param), tmp_path)


@contextlib.asynccontextmanager
async def entity_b(transport, **more):
    """An Entity B that answers whoever associates; its port, and the channels."""
    accepted = []

    async def answer(channel):
        accepted.append(channel)
        await channel.write(b"you said " + await channel.read())

    async with EntityB(ID_B, **more) as b:
        yield (await b.listen(LOOPBACK, answer, transport=transport)).port, accepted


def exported_by(channel):
    octets = channel.established.export(ExportLabel.CONNECTION)
    return octets.relative + octets.key.reveal()


# --- pre-shared keys ---


@every_transport
async def test_a_maf_client_exports_the_kc_that_the_maf_holds(tmp_path, client, transport):
    async with running_maf(tmp_path / "data") as maf:
        shown = client.key(str(MAF_CLIENT.km_id), MAF_CLIENT.km.reveal())
        run = await client.meet(maf.address.port, transport, *shown, CONNECTION)
        assert run.completed, run.output
        [(kc_id, kc)] = (await maf.kcs()).items()
    assert run.exported == kc_id.octets + kc.reveal()


@every_transport
@pytest.mark.parametrize(
    "name", [name for name, of in LIBRARIES.items() if (Transport.TLS, "psk") in of.suites]
)
async def test_a_maf_client_may_offer_the_mandatory_suite_alone(tmp_path, compiled, name, transport):
    client = Client(name, compiled(name), tmp_path)
    async with running_maf(tmp_path / "data") as maf:
        shown = client.key(str(MAF_CLIENT.km_id), MAF_CLIENT.km.reveal())
        run = await client.meet(maf.address.port, transport, *shown, client.mandatory(transport, "psk"))
        assert run.completed, run.output
        assert len(await maf.kcs()) == 1


@every_transport
async def test_an_entity_a_associates_with_b_by_kpsa_and_hears_it(client, transport):
    async with entity_b(transport, keys=[KPSA]) as (port, accepted):
        shown = client.key(str(KPSA.key_id), KPSA.key.reveal())
        run = await client.meet(port, transport, *shown, "say=hello")
        assert run.said("received") == "you said hello", run.output
    assert [channel.association.peer for channel in accepted] == [ID_A]


@pytest.mark.parametrize("identity", [str(KPSA.key_id), "nobody@sp.example"], ids=["known", "unknown"])
async def test_whoever_holds_another_key_sees_the_alert(client, identity):
    """Over TLS: over DTLS a record that does not authenticate is dropped, and nobody is told."""
    async with entity_b(Transport.TLS, keys=[KPSA]) as (port, accepted):
        run = await client.meet(port, Transport.TLS, *client.key(identity, bytes(32)))
    assert (run.completed, run.alert) == (False, CODES["bad_record_mac"]), run.output
    assert accepted == []


@dataclass(frozen=True)
class Slow:
    """Knows KPSA, after a while: a MAF that is far away, or busy."""

    async def resolve(self, identity: bytes, suite: object) -> ResolvedKey | None:
        del suite
        await asyncio.sleep(SLOW_SECONDS)
        return KPSA if identity == str(KPSA.key_id).encode() else None


@every_transport
async def test_b_may_take_longer_to_find_the_key_than_the_client_waits_before_it_repeats_itself(
    client, transport
):
    async with entity_b(transport, resolvers=[Slow()]) as (port, accepted):
        shown = client.key(str(KPSA.key_id), KPSA.key.reveal())
        run = await client.meet(port, transport, *shown, CONNECTION, "say=hello")
        assert run.said("received") == "you said hello", run.output
        [channel] = accepted
        assert run.exported == exported_by(channel)


# --- certificates ---

# Without an authority between: all three libraries accept these.
ISSUED_TO_A, SHOWN_BY_B = ROOT.issue(None, NAME_A), ROOT.issue(None, NAME_B).local()


@every_transport
@pytest.mark.parametrize("suites", ["those that it likes", "the mandatory one"])
async def test_an_entity_a_associates_with_b_by_certificate(client, transport, suites):
    chosen = [client.mandatory(transport, "cert")] if suites == "the mandatory one" else []
    async with entity_b(transport, endpoint=endpoint_b(certificate=SHOWN_BY_B)) as (port, accepted):
        shown = client.certificate(ISSUED_TO_A, ROOT.trust_anchor_pem)
        run = await client.meet(port, transport, *shown, CONNECTION, "say=hello", *chosen)
        assert run.said("received") == "you said hello", run.output
        [channel] = accepted
        assert channel.association.peer == ID_A
        assert run.exported == exported_by(channel)


@every_transport
async def test_a_peer_that_does_not_send_its_root_associates_where_it_is_configured(client, transport):
    """Release 1, between libraries that need not send it (RFC 5246 clause 7.4.2)."""
    above = ROOT.intermediate()
    configuration = named(NAME_A, ID_A, root_certificate=ROOT.certificate)
    endpoint = endpoint_b(configuration, certificate=SHOWN_BY_B)
    async with entity_b(transport, endpoint=endpoint) as (port, accepted):
        issued = above.issue(None, NAME_A)
        shown = client.certificate(issued, ROOT.trust_anchor_pem, with_root=False)
        run = await client.meet(port, transport, *shown, "say=hello")
        assert run.said("received") == "you said hello", run.output
    assert [channel.association.peer for channel in accepted] == [ID_A]


@every_transport
@pytest.mark.parametrize(
    ("issued", "alert"),
    [
        (ROOT.issue(None, "eve.sp.example"), "bad_certificate"),
        (OTHER_ROOT.issue(None, NAME_A), "unknown_ca"),
        (
            ROOT.issue(None, NAME_A, not_before=datetime.now(UTC) - timedelta(days=9), days=2),
            "certificate_expired",
        ),
    ],
    ids=["another name", "another root", "expired"],
)
async def test_whoever_is_refused_sees_the_alert(client, transport, issued, alert):
    async with entity_b(transport, endpoint=endpoint_b(certificate=SHOWN_BY_B)) as (port, accepted):
        shown = client.certificate(issued, ROOT.trust_anchor_pem)
        run = await client.meet(port, transport, *shown, "say=hello")
    assert (run.completed, run.alert) == (False, CODES[alert]), run.output
    assert accepted == []


@every_transport
async def test_an_enrolee_exports_the_ke_of_the_mef(tmp_path, client, transport):
    async with certificate_mef(tmp_path / "mef") as (address, store):
        shown = client.certificate(THE_ENROLEE, ROOT.trust_anchor_pem)
        run = await client.meet(address.port, transport, *shown, BOOTSTRAP)
        assert run.completed, run.output
        [(ke_id, record)] = (await kes(store)).items()
    assert run.exported == ke_id.octets + record.key.reveal()


@every_transport
async def test_an_enrolee_without_extended_master_secret_is_told_and_leaves_no_ke(
    tmp_path, client, transport
):
    async with certificate_mef(tmp_path / "mef") as (address, store):
        shown = client.certificate(THE_ENROLEE, ROOT.trust_anchor_pem)
        with one_line_of_the_log():
            run = await client.meet(address.port, transport, *shown, BOOTSTRAP, "ems=no")
        assert await kes(store) == {}
    assert (run.completed, run.alert) == (False, CODES["handshake_failure"]), run.output


# --- name constraints: the rest is in test_interop_chains.py ---


@pytest.mark.parametrize("constrained", ["the authority", "the root"])
async def test_the_chain_of_b_is_accepted_with_name_constraints(client, constrained):
    """mbedTLS refuses every certificate that has some; so they stand in the root, which it does not get."""
    permitted = permitted_names(dns=["sp.example"])
    in_authority = constrained == "the authority"
    root = Authority.root(permitted=() if in_authority else permitted)
    above = root.intermediate(permitted=permitted if in_authority else ())
    shown_by_b = above.issue(Flavour.CSE_ID, NAME_B).local(with_root=False)
    anchor = Issued((above if client.name == "mbedtls" else root).chain[:1])
    async with entity_b(Transport.TLS, endpoint=endpoint_b(certificate=shown_by_b)) as (port, accepted):
        shown = client.certificate(ISSUED_TO_A, anchor.full_chain_pem)
        run = await client.meet(port, Transport.TLS, *shown, "say=hello")
    knows = client.name != "mbedtls" or not in_authority
    assert (run.said("received") == "you said hello") == knows, run.output
    assert len(accepted) == knows
