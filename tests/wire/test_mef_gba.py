"""An MEF that is a BSF: one FQDN, one data directory, one port for their clients."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from gba_support import AE, BSF, CSE, CSE_NAF, MAF, MAF_NAF, NAF, Card, a_subscriber, provision
from maf_support import LOOPBACK, key_of
from onem2m_security.clients.bsf import NafClient
from onem2m_security.clients.card import SoftwareCard
from onem2m_security.clients.ue import Ue
from onem2m_security.frameworks import bootstrap_psk, mef_handshake, saef_gba, saef_psk
from onem2m_security.frameworks.instructions import BootstrapInstruction, as_credential, enrolee_record
from onem2m_security.gba.keys import ua_security_protocol
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.link import Link
from onem2m_security.net.ub import UbListener
from onem2m_security.onem2m.primitives import Operation, Rsc
from onem2m_security.onem2m.resources import MefBase
from onem2m_security.servers.mef_gba import MefGba
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, KeyRecord, Store
from programs import key_file, m2msec
from test_config import a_free_port
from test_gba_end_to_end import IMPI, OPC, K
from test_zn_diameter import client_of

UA = ua_security_protocol(0x00AE)
ATTACKER = EntityId("//sp.example/in-cse/Cattacker")


class Joint:
    """One that runs in this process, and a subscriber's bootstrapping with it."""

    def __init__(self, store, address, context):
        self.store, self.address, self.context = store, address, context

    async def asks(self, initiator, naf, transport=Transport.TLS):
        client = NafClient(BSF, Link(self.address, transport), initiator, naf=naf)
        try:
            return await client.fetch(self.context.b_tid, UA)
        finally:
            await client.close()


@pytest.fixture
async def joint(tmp_path):
    store = await Store.open(tmp_path / "data")
    await provision(store)
    function = MefGba(store, BSF)
    listener = UbListener(function.bsf.ub.handle)
    async with Server(store, [function]) as server:
        try:
            ue = Ue(Card(a_subscriber()), BSF, Link(await listener.start(LOOPBACK)))
            yield Joint(store, await server.start(LOOPBACK), await ue.bootstrap())
        finally:
            await listener.stop()


def a_naf(naf):
    return saef_gba.initiate_zn(naf.entity, BSF, saef_psk.credential(naf.key_id, key_of(naf.name)))


async def an_enrolee(joint):
    """An Enrolee whose Enrolment Targets are the NAFs of the subscriber."""
    key_id = KeyIdentifier.parse(f"attacker@{BSF}")
    instruction = BootstrapInstruction(ATTACKER, (EntityId(str(MAF)), EntityId(str(NAF))))
    record = enrolee_record(key_id, key_of("attacker"), instruction)
    await joint.store.add(record)
    return bootstrap_psk.initiate(ATTACKER, BSF, as_credential(record))


async def a_target(joint, entity):
    key_id = KeyIdentifier.parse(f"target@{BSF}")
    record = KeyRecord(KeyKind.KPM, key_id, key_of("target"), datetime.now(UTC), entity)
    await joint.store.add(record)
    return mef_handshake.initiate(entity, BSF, as_credential(record))


@pytest.mark.parametrize("transport", Transport)
async def test_an_enrolee_gets_no_keys_of_subscribers_for_its_enrolment_targets(joint, transport):
    enrolee = await an_enrolee(joint)
    for naf in (MAF, NAF):
        assert await joint.asks(enrolee, naf, transport) is None
    assert (await joint.asks(a_naf(MAF_NAF), MAF, transport)).key == joint.context.naf_key(MAF, UA)


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize(("entity", "own", "other"), [(CSE, NAF, MAF), (EntityId(str(MAF)), MAF, NAF)])
async def test_an_enrolment_target_gets_keys_for_its_own_fqdn_only(joint, transport, entity, own, other):
    target = await a_target(joint, entity)
    assert (await joint.asks(target, own, transport)).key == joint.context.naf_key(own, UA)
    assert await joint.asks(target, other, transport) is None


async def test_a_naf_asks_a_joint_function_for_keys_and_for_nothing_else(joint):
    """The MEF's own clients find what the NAF does not."""
    for initiator, expected in ((a_naf(CSE_NAF), Rsc.NOT_FOUND), (await a_target(joint, CSE), Rsc.OK)):
        client = HttpClient(Link(joint.address), initiator)
        try:
            response = await client.request(Operation.RETRIEVE, MefBase.path)
            assert response.rsc is expected
        finally:
            await client.close()
    assert (await joint.asks(a_naf(CSE_NAF), NAF)).key == joint.context.naf_key(NAF, UA)
    assert await joint.store.records(KeyKind.KE) == []


def serving(at, port: int, maf: int) -> None:
    """The files of a joint function, and of a MAF whose MEF and BSF it is."""
    key_file(at, "maf-key", b"e" * 32)
    (at / "functions.toml").write_text(f"""\
        [[mef]]
        fqdn = "{BSF}"
        listen = "127.0.0.1:{port}"
        data = "joint"
        gba = true
        listen-ub = "127.0.0.1:0"
        lifetime = "1h"
        """)
    (at / "maf.toml").write_text(f"""\
        [peers."{BSF}"]
        address = "127.0.0.1:{port}"
        transport = "dtls"
        prove = {{ key-id = "maf@{BSF}", key-file = "maf-key" }}
        [maf]
        fqdn = "{MAF}"
        listen = "127.0.0.1:{maf}"
        data = "maf"
        mefs = ["{BSF}"]
        bsfs = ["{BSF}"]
        enrolee-targets = ["{CSE}"]
        """)


def test_a_maf_asks_one_peer_for_the_keys_of_those_who_enrolled_by_key_and_by_card(programs):
    at, port, maf_port = programs.directory, a_free_port(), a_free_port()
    serving(at, port, maf_port)
    k, opc, kpm, km = (key_file(at, *given) for given in
        (("k", K), ("opc", OPC), ("kpm", b"p" * 32), ("km-b", b"m" * 32)))  # fmt: skip
    m2msec("usim", "make", "--card", at / "card", "--impi", IMPI, "--k-file", k, "--opc-file", opc)
    m2msec(
        "bsf", "add-subscriber", "--data", at / "joint", "--card", at / "card", "--entity", AE, "--naf", MAF
    )
    m2msec("mef", "add-target", "--data", at / "joint", "--key-id", f"maf@{BSF}", "--target", MAF,
           "--key-file", at / "maf-key")  # fmt: skip
    who = ("--kpm-id", f"meter@{BSF}", "--enrolee-id", ATTACKER, "--target", MAF, "--kpm-file", kpm)
    m2msec("mef", "add-enrolee", "--data", at / "joint", *who)
    m2msec("maf", "add-client", "--data", at / "maf", "--km-id", f"b@{MAF}", "--entity", CSE, "--km-file", km)
    joint = programs.start("serve", "--config", at / "functions.toml")
    ub = joint.wait_for(r"Ub, listening on (127\.0\.0\.1:\d+) \(HTTP\)").group(1)
    programs.start("serve", "--config", at / "maf.toml").wait_for(rf"MAF {MAF} listening")
    through = ("--maf", f"127.0.0.1:{maf_port}")
    entity_b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, "--json", *through,
        "--km-id", f"b@{MAF}", "--km-file", km,
    )  # fmt: skip
    m2msec("enrol", f"127.0.0.1:{port}", "--data", at / "by-key", *who)
    m2msec("enrol", ub, "--data", at / "by-card", "--card", at / "card", "--mef-id", BSF,
           "--enrolee-id", AE, "--target", MAF)  # fmt: skip
    for kept in ("by-key", "by-card"):
        done = m2msec("connect", f"127.0.0.1:{entity_b.port}", "--peer", CSE, "--credentials", at / kept,
                      *through, "--json", "--wait", "0.3", given="hello\n")  # fmt: skip
        assert json.loads(done.stdout.splitlines()[0])["framework"] == "saef-maf"
    entity_b.wait_for_data(b"hello", times=2)
    assert [item["peer"] for item in entity_b.associations] == [str(ATTACKER), str(AE)]


def test_an_mef_that_is_a_bsf_says_where_it_is_one(tmp_path):
    serving(tmp_path, 1, 2)
    file = tmp_path / "functions.toml"
    file.write_text(file.read_text().replace("gba = true", ""))
    done = m2msec("config", "check", file, check=False)
    assert (done.returncode, "takes gba = true and listen-ub, both" in done.stderr) == (1, True)


def test_without_gba_an_mef_takes_nothing_of_a_bsf(tmp_path):
    serving(tmp_path, 1, 2)
    file = tmp_path / "functions.toml"
    ub = 'gba = true\n        listen-ub = "127.0.0.1:0"\n'
    file.write_text(file.read_text().replace(ub, ""))
    done = m2msec("config", "check", file, check=False)
    assert (done.returncode, "hss-nafs and ub-rate go with gba = true" in done.stderr) == (1, True)
    options = ("--fqdn", BSF, "--listen", "127.0.0.1:0", "--ub-rate", "3")
    done = m2msec("mef", "serve", "--data", tmp_path / "mef", *options, check=False)
    assert (done.returncode, "give --listen-ub" in done.stderr) == (1, True)


async def test_by_flags_too_an_mef_is_a_bsf_also_over_diameter(programs):
    at = programs.directory
    k, opc = key_file(at, "k", K), key_file(at, "opc", OPC)
    m2msec("usim", "make", "--card", at / "card", "--impi", IMPI, "--k-file", k, "--opc-file", opc)
    subscriber = ("--card", at / "card", "--entity", AE, "--naf", NAF)
    m2msec("bsf", "add-subscriber", "--data", at / "joint", *subscriber)
    async with await Store.open(at / "joint") as store:
        await store.add(CSE_NAF.record)
    joint = programs.start(
        "mef", "serve", "--data", at / "joint", "--fqdn", BSF, "--listen", "127.0.0.1:0",
        "--listen-ub", "127.0.0.1:0", "--listen-diameter", "127.0.0.1:0", "--lifetime", "1h",
    )  # fmt: skip

    async def port(name: str) -> Address:
        pattern = rf"MEF and BSF {BSF}, {name}, listening on (127\.0\.0\.1:\d+)"
        return Address.parse((await asyncio.to_thread(joint.wait_for, pattern)).group(1))

    context = await Ue(SoftwareCard.load(at / "card"), BSF, Link(await port("Ub"))).bootstrap()
    naf = client_of(CSE_NAF, await port("Diameter"))
    found = await naf.fetch(context.b_tid, UA)
    await naf.close()
    assert (found.key, found.entity) == (context.naf_key(NAF, UA), AE)
