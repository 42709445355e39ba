"""User security settings travel from MEF and BSF to MAF and NAF, and reach the application (8.3.1.2)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from certificate_support import ID_A, NAME_A, ROOT, initiator_a, named
from certificate_support import ID_B as CERTIFIED_B
from certificate_support import B as CERTIFICATE_B
from gba_support import CSE_NAF, MAF_NAF, NAF, Card, a_subscriber, a_subscription, running_bsf
from gba_support import MAF as MAF_AS_NAF
from maf_support import ID_B, LOOPBACK, MAF, key_of
from mef_support import CSE, DEVICE, MEF, PATIENT, THE_CSE, THE_MAF, running_mef
from onem2m_security.certificates.associations import load_associations
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.hss import NafOfOperator
from onem2m_security.diameter.user_settings import UserSecuritySettings
from onem2m_security.frameworks import saef_certificate, saef_psk
from onem2m_security.frameworks.bootstrap_psk import EnrolmentKey
from onem2m_security.frameworks.instructions import enrolee_record
from onem2m_security.frameworks.saef_gba import TLS_SUITE
from onem2m_security.gba.keys import ua_security_protocol
from onem2m_security.gba.subscriber import Guss, NafSettings
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.servers.enrolees import AssociationPolicy, Provisioning
from onem2m_security.servers.maf import Maf
from onem2m_security.store import KeyKind, Store
from onem2m_security.user_settings import MAX_VALUES, Uss
from programs import key_file, m2msec
from test_bootstrap_certificate import ENROLEE, ENROLEE_NAME, bootstrap, certificate_mef
from test_gba_end_to_end import Operator

METERING = Uss("1000001", uids=("meter-7",), flags=frozenset({1}))
BILLING = Uss("1000002", 3, "eu", ("tel:+49", "account 4"), frozenset({2, 9}))


async def test_an_mef_tells_them_to_a_maf_which_keeps_them_and_to_a_cse(tmp_path):
    told = (METERING, BILLING)
    async with running_mef(tmp_path / "mef", devices=()) as mef, await Store.open(tmp_path / "maf") as store:
        record = enrolee_record(DEVICE.kpm_id, DEVICE.kpm, replace(DEVICE.instruction, uss=told))
        await mef.store.add(record)
        key = await DEVICE.enrol(mef.address)
        client = THE_MAF.client(mef.address, PATIENT)
        provisioning = Provisioning({client.mef: client.fetch_km}, policy=AssociationPolicy((ID_B,)))
        identity = str(key.ke_id).encode()
        fetched = await Maf(store, MAF, provisioning=provisioning).resolve(identity, TLS_SUITE)
        assert fetched.user_settings == told
        await client.close()
        kept = await Maf(store, MAF).resolve(identity, TLS_SUITE)
        assert (kept.user_settings, kept.peer) == (told, DEVICE.entity)

        seen = []

        async def look(channel):
            seen.append(channel.association)

        async with EntityB(CSE, mefs=[THE_CSE.client(mef.address, PATIENT)]) as entity_b:
            bound = await entity_b.listen(LOOPBACK, look)
            kpsa = key.provisioned_key(Release.R1, CSE)
            async with await open_channel(
                Link(bound), saef_psk.initiate(DEVICE.entity, CSE, kpsa)
            ) as channel:
                assert not await channel.read()
        assert [one.user_settings for one in seen] == [told]
        assert seen[0].as_dict()["user_settings"][0]["uids"] == ["meter-7"]


async def test_those_of_an_enrolee_with_a_certificate_stand_in_its_association_and_go_the_same_way(tmp_path):
    (tmp_path / "root.pem").write_bytes(ROOT.trust_anchor_pem)
    (tmp_path / "clients.toml").write_text(
        f"""\
        [[association]]
        certificate_name = "{ENROLEE_NAME}"
        root_of_trust = "{ROOT.root_of_trust.hex()}"
        peer = "{ENROLEE}"
        targets = ["{MAF}", "{CSE}"]
        uss = [
          "1000001,uid=meter-7,flag=1",
          "1000002,type=3,group=eu,uid=tel:+49,uid=account 4,flag=2,flag=9",
        ]
        """
    )
    clients = load_associations(tmp_path / "clients.toml")
    async with (
        certificate_mef(tmp_path / "mef", *clients) as (address, _),
        await Store.open(tmp_path / "maf") as store,
    ):
        exported = await bootstrap(address)
        key = EnrolmentKey(exported.key_id(MEF), exported.key)
        client = THE_MAF.client(address, PATIENT)
        provisioning = Provisioning({client.mef: client.fetch_km}, policy=AssociationPolicy((ID_B,)))
        km = await Maf(store, MAF, provisioning=provisioning).resolve(str(key.ke_id).encode(), TLS_SUITE)
        assert (km.peer, km.user_settings) == (ENROLEE, (METERING, BILLING))
        await client.close()
        seen = []

        async def look(channel):
            seen.append(channel.association)

        async with EntityB(CSE, mefs=[THE_CSE.client(address, PATIENT)]) as entity_b:
            link = Link(await entity_b.listen(LOOPBACK, look))
            kpsa = key.provisioned_key(Release.R1, CSE)
            async with await open_channel(link, saef_psk.initiate(ENROLEE, CSE, kpsa)) as channel:
                assert not await channel.read()
        assert [one.user_settings for one in seen] == [(METERING, BILLING)]


async def test_who_associates_by_certificate_is_told_with_what_its_association_says():
    told = named(NAME_A, ID_A, uss=(METERING,))
    seen = []

    async def look(channel):
        seen.append(channel.association)

    endpoint = saef_certificate.accept(CERTIFICATE_B.local(), Trust((told,)))
    async with EntityB(CERTIFIED_B, endpoint=endpoint) as entity_b:
        link = Link(await entity_b.listen(LOOPBACK, look))
        channel = await open_channel(link, initiator_a())
        assert not await channel.read()
        assert channel.association.user_settings == ()
        await channel.close()
    assert [one.user_settings for one in seen] == [(METERING,)]


async def test_what_an_mef_says_anew_takes_the_place_of_what_it_said(tmp_path):
    """A MAF asks again: the key is the same, the settings are others."""
    async with await Store.open(tmp_path) as store:
        said = [(METERING,), (BILLING,)]
        key = EnrolmentKey(KeyIdentifier("0" * 32, MEF), key_of("ke"))

        async def fetch(ke_id):
            ends = datetime.now(UTC) + timedelta(hours=1)
            km = key.master_credential(Release.R1, MAF)
            return replace(km, key_id=ke_id, peer=DEVICE.entity, expires=ends, user_settings=said.pop(0))

        provisioning = Provisioning({MEF: fetch}, remembered=timedelta(0))
        for expected in (METERING, BILLING):
            maf = Maf(store, MAF, provisioning=provisioning)
            found = await maf.resolve(str(key.ke_id).encode(), TLS_SUITE)
            assert found.user_settings == (expected,)
        assert len(await store.records(KeyKind.KM)) == 1


async def test_a_naf_hears_its_own_settings_and_no_others(tmp_path):
    guss = Guss((NafSettings(NAF, uss=(METERING,)), NafSettings(MAF_AS_NAF, uss=(BILLING,))))
    async with running_bsf(tmp_path, [a_subscription(guss=guss)]) as running:
        context = await running.ue(Card(a_subscriber())).bootstrap()
        for naf, told in ((CSE_NAF, METERING), (MAF_NAF, BILLING)):
            client = naf.client(running.zn)
            found = await client.fetch(context.b_tid, ua_security_protocol(TLS_SUITE.code))
            assert found.uss == (told,)
            await client.close()


@pytest.mark.parametrize("form", [(), ("--bsf-diameter",)])
def test_they_reach_entity_b_in_either_form_of_zn(programs, form):
    told = (
        "--uss",
        f"{NAF}:1000001,uid=meter-7,flag=1",
        "--uss",
        f"{MAF_AS_NAF}:1000002,uid=secret-of-the-maf",
    )
    operator = Operator(programs, subscriber_options=told)
    entity_b = operator.listen(*form) if not form else programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", str(CSE), *form,
        *operator.naf_options(NAF, operator.diameter_port), "--json",
    )  # fmt: skip
    operator.connect(entity_b)
    entity_b.wait_for_data(b"hello")
    [association] = entity_b.associations
    assert association["user_settings"] == [METERING.as_dict()]
    [row] = json.loads(m2msec("bsf", "subscribers", "--data", operator.data, "--json").stdout)
    assert row["uss"][str(NAF)] == [METERING.as_dict()]


def test_of_what_an_hss_says_a_naf_hears_what_is_for_its_application_and_group():
    long = replace(METERING, uids=("x",) * (MAX_VALUES + 1))
    foreign = replace(METERING, naf_group="us")
    told = UserSecuritySettings((METERING, BILLING, foreign, long))
    settings = NafOfOperator(NAF, "1000001", "eu").settings(told)
    assert settings.allowed
    assert settings.uss == (METERING,)
    assert NafOfOperator(NAF).settings(told).uss == ()


def test_an_operator_says_them_with_an_enrolee_and_sees_them(tmp_path):
    who = ("--kpm-id", "d@mef.example.com", "--enrolee-id", "/d", "--target", "/in-cse")
    add = ("mef", "add-enrolee", "--data", tmp_path, *who)
    m2msec(*add, "--uss", "1000001,uid=meter-7,flag=1", "--uss", "1000002,type=3,group=eu,uid=tel:+49")
    [row] = json.loads(m2msec("mef", "enrolees", "--data", tmp_path, "--json").stdout)
    assert row["uss"][0] == METERING.as_dict()
    assert row["uss"][1]["group"] == "eu"
    assert "no user security settings: GSID" in m2msec(*add, "--uss", "meter", check=False).stderr


def test_settings_for_a_naf_that_may_have_no_key_are_a_mistake(tmp_path):
    keys = [key_file(tmp_path, name, bytes(16)) for name in ("k", "opc")]
    card = ("--impi", "1@o.example", "--k-file", keys[0], "--opc-file", keys[1])
    done = m2msec(
        "bsf", "add-subscriber", "--data", tmp_path / "bsf", *card, "--uss", f"{NAF}:1", check=False
    )
    assert (done.returncode, f"give --naf {NAF} too" in done.stderr) == (1, True)
