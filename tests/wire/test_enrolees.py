"""A MAF as Enrolment Target: one fetch, both identifiers, the policy, and what replaces what."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import pytest

from maf_support import LOOPBACK, MAF, A, B, eventually
from mef_support import (
    CSE,
    DEVICE,
    MEF,
    OTHER_CSE,
    OTHER_MAF_ID,
    PATIENT,
    Device,
    Impostor,
    Target,
    asking_maf,
    running_mef,
)
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.mef import MefClient
from onem2m_security.errors import HandshakeError, IdentifierError
from onem2m_security.frameworks import maf_handshake, mef_handshake, saef_psk
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from onem2m_security.keys import km_for, km_id_of
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.onem2m.fetch_credentials import FetchedCredential
from onem2m_security.onem2m.primitives import Response, Rsc
from onem2m_security.release import Release
from onem2m_security.servers.association_policy import AssociationPolicy, AssociationRule
from onem2m_security.store import KeyKind


@contextlib.asynccontextmanager
async def both(path, **settings):
    async with (
        running_mef(path / "mef") as mef,
        asking_maf(path / "maf", {MEF: mef.address}, **settings) as maf,
    ):
        yield mef, maf


async def meet(initiator, address):
    async with await open_channel(Link(address, limits=PATIENT), initiator) as channel:
        return channel.association


async def test_a_first_handshake_with_ke_id_stores_km_under_both_names(tmp_path):
    async with both(tmp_path) as (mef, maf):
        key = await DEVICE.enrol(mef.address)
        await meet(DEVICE.maf_initiator(key), maf.address)
        km = km_for(Release.R1, key.ke, MAF)
        for name in (key.ke_id, km_id_of(km, MAF)):
            record = await maf.store.find(KeyKind.KM, name)
            assert record is not None
            assert (record.key, record.source, record.alias) == (km, DEVICE.entity, key.ke_id)
            assert (record.parent, record.suid) == (key.ke_id, Suid.PROVISIONED_MAF)
        stored = await mef.store.find(KeyKind.KE, key.ke_id)
        assert record.expires <= stored.expires


async def test_both_names_work_afterwards_without_the_mef(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        mef = await stack.enter_async_context(running_mef(tmp_path / "mef"))
        async with asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
            key = await DEVICE.enrol(mef.address)
            await meet(DEVICE.maf_initiator(key), maf.address)
            await stack.aclose()
            km_id = str(km_id_of(km_for(Release.R1, key.ke, MAF), MAF))
            for identity in (km_id, km_id.upper(), key.ke_id.base64, key.ke_id.hex):
                await meet(DEVICE.maf_initiator(key, identity), maf.address)
            kcs = await maf.store.records(KeyKind.KC)
            assert len(kcs) == 5
            assert {str(kc.parent) for kc in kcs} == {km_id}


async def test_one_hundred_first_handshakes_make_one_fetch(tmp_path):
    held = asyncio.Event()

    async def answer(request):
        await held.wait()
        key = Device("x").kpm
        return Response(Rsc.OK, FetchedCredential(key, DEVICE.entity, DEVICE.enrolment_expiry).encode())

    mef = Impostor(answer)
    async with mef.listening(tmp_path / "mef"), asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
        ke_id = KeyIdentifier("ab" * 16, MEF)
        km = maf_handshake.credential(ke_id, Device("x").kpm)
        initiator = maf_handshake.initiate(DEVICE.entity, MAF, km)
        meetings = [asyncio.create_task(meet(initiator, maf.address)) for _ in range(100)]
        await eventually(lambda: mef.asked)
        await asyncio.sleep(0.3)
        held.set()
        await asyncio.gather(*meetings)
        assert len(mef.asked) == 1
        assert mef.asked[0] == ("fetchCredentials", ke_id.hex, "21")
        assert len(await maf.store.records(KeyKind.KC)) == 100


async def test_the_policy_says_whom_an_enrolee_may_reach_and_holds_at_each_handshake(tmp_path):
    async with running_mef(tmp_path / "mef") as mef:
        key = await DEVICE.enrol(mef.address)
        for policy, expected in [
            (AssociationPolicy(), set()),
            (AssociationPolicy(everyone=(CSE,)), {CSE}),
            (AssociationPolicy(everyone=(CSE,), by_enrolee={DEVICE.entity: (OTHER_CSE,)}), {OTHER_CSE}),
        ]:
            async with asking_maf(tmp_path / "maf", {MEF: mef.address}, policy=policy) as maf:
                before = {record.key_id for record in await maf.store.records(KeyKind.KC)}
                await meet(DEVICE.maf_initiator(key), maf.address)
                new = [r for r in await maf.store.records(KeyKind.KC) if r.key_id not in before]
                assert {target for record in new for target in record.targets} == expected


async def test_a_newer_km_replaces_the_older_one_and_its_kc(tmp_path):
    async with both(tmp_path) as (mef, maf):
        old = await DEVICE.enrol(mef.address)
        await meet(DEVICE.maf_initiator(old), maf.address)
        new = await DEVICE.enrol(mef.address)
        await meet(DEVICE.maf_initiator(new), maf.address)
        assert await maf.store.find(KeyKind.KM, old.ke_id) is None
        assert len(await maf.store.records(KeyKind.KC)) == 1
        with pytest.raises(HandshakeError):
            await meet(DEVICE.maf_initiator(old), maf.address)
        assert await maf.store.find(KeyKind.KM, B.km_id) is not None


async def test_an_mef_cannot_replace_a_pre_provisioned_client(tmp_path):
    async with both(tmp_path) as (mef, maf):
        same_name = dataclasses.replace(A, entity=DEVICE.entity)
        await maf.store.add(same_name.record)
        key = await DEVICE.enrol(mef.address)
        await meet(DEVICE.maf_initiator(key), maf.address)
        assert await maf.store.find(KeyKind.KM, same_name.km_id) is not None


async def test_an_fqdn_that_is_not_configured_is_refused_without_a_network_call(tmp_path):
    async with both(tmp_path) as (mef, maf):
        key = await DEVICE.enrol(mef.address)
        called = []
        trap = await asyncio.start_server(lambda *_: called.append(1), "127.0.0.1", 0)
        port = trap.sockets[0].getsockname()[1]
        relative = key.ke_id.base64.partition("@")[0]
        for fqdn in ("mef.example.org", "localhost", f"127.0.0.1:{port}", "127.0.0.1", f"localhost.:{port}"):
            with pytest.raises(HandshakeError):
                await meet(DEVICE.maf_initiator(key, f"{relative}@{fqdn}"), maf.address)
        trap.close()
        assert called == []


async def test_the_fqdn_chooses_among_several_mefs_and_mafs(tmp_path):
    mef_2 = Fqdn("mef.example.net")
    maf_2 = Fqdn(OTHER_MAF_ID.text)
    device = Device("device", targets=(EntityId(str(MAF)), OTHER_MAF_ID))
    device_2 = dataclasses.replace(device, name="second", mef=mef_2)
    targets = [Target(EntityId(str(maf)), mef) for maf in (MAF, maf_2) for mef in (MEF, mef_2)]
    async with contextlib.AsyncExitStack() as stack:
        mefs = {
            fqdn: await stack.enter_async_context(
                running_mef(
                    tmp_path / str(fqdn),
                    devices=[one],
                    targets=[target for target in targets if target.mef == fqdn],
                    fqdn=fqdn,
                )
            )
            for fqdn, one in ((MEF, device), (mef_2, device_2))
        }
        addresses = {fqdn: mef.address for fqdn, mef in mefs.items()}
        mafs = {
            fqdn: await stack.enter_async_context(asking_maf(tmp_path / f"maf-{fqdn}", addresses, fqdn=fqdn))
            for fqdn in (MAF, maf_2)
        }
        for one in (device, device_2):
            key = await one.enrol(addresses[one.mef])
            for fqdn, maf in mafs.items():
                await meet(one.maf_initiator(key, maf=fqdn), maf.address)
                record = await maf.store.find(KeyKind.KM, key.ke_id)
                assert record is not None
                assert record.key == km_for(Release.R1, key.ke, fqdn)


async def test_a_cse_resolves_a_ke_id_and_an_enrolees_newer_key_replaces_the_older(tmp_path):
    async with running_mef(tmp_path / "mef") as mef:
        client = MefClient(MEF, Link(mef.address), mef_handshake.initiate(CSE, MEF, Target(CSE).key))

        async def nothing(channel):
            await channel.read()

        async with EntityB(CSE, mefs=[client]) as entity_b:
            address = await entity_b.listen(LOOPBACK, nothing)

            def initiator(key):
                return saef_psk.initiate(DEVICE.entity, CSE, key.provisioned_key(Release.R1, CSE))

            old = await DEVICE.enrol(mef.address)
            association = await meet(initiator(old), address)
            assert association.peer == CSE
            new = await DEVICE.enrol(mef.address)
            await meet(initiator(new), address)
            with pytest.raises(HandshakeError):
                await meet(initiator(old), address)
            await meet(initiator(new), address)


def test_rules_make_a_policy():
    texts = ["/in-cse", "Cae=/other", "/x/Cbe=/other", "Cae=/third"]
    policy = AssociationPolicy.of(AssociationRule.parse(text) for text in texts)
    assert policy.targets(EntityId("Cae")) == (EntityId("/other"), EntityId("/third"))
    assert policy.targets(EntityId("/x/Cbe")) == (EntityId("/other"),)
    assert policy.targets(EntityId("/anybody")) == (EntityId("/in-cse"),)
    assert policy.targets(None) == ()


@pytest.mark.parametrize("text", ["", "=", "Cae=", "a b", "Cae=/a b", "a=b=c d"])
def test_a_rule_names_entities(text):
    with pytest.raises(IdentifierError):
        AssociationRule.parse(text)
