"""Keys that an MEF distributes for its clients (TS-0003 clauses 8.3.5.2.7 to 10), over TLS and DTLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from maf_support import LOOPBACK, MAF, key_of
from mef_support import (
    CSE,
    DEVICE,
    MAF_ID,
    MEF,
    OTHER,
    OTHER_CSE,
    THE_CSE,
    THE_MAF,
    Device,
    asking_maf,
    running_mef,
)
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.clients.mef import MefClient
from onem2m_security.credentials import Framework
from onem2m_security.errors import HandshakeError, PeerRefusedError
from onem2m_security.frameworks import maf_handshake, saef_psk
from onem2m_security.frameworks.steps import Initiator
from onem2m_security.identifiers import EntityId, Fqdn, Suid
from onem2m_security.net.address import Transport
from onem2m_security.net.link import Link
from onem2m_security.onem2m.primitives import Rsc
from onem2m_security.release import Release
from onem2m_security.store import KeyKind

LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
SOURCE = Device("source", targets=(MAF_ID, CSE, OTHER_CSE))
BY_SUID = {
    Suid.PROVISIONED_MAF: THE_MAF,
    Suid.PROVISIONED_SAEF: THE_CSE,
    Suid.PROVISIONED_ESPRIM: THE_CSE,
    Suid.PROVISIONED_ESDATA_ENCRYPTION: THE_CSE,
    Suid.PROVISIONED_ESDATA_SIGNATURE: THE_CSE,
}


def client_of(device: Device, mef, transport: Transport = Transport.TLS) -> MefClient:
    return MefClient(MEF, Link(mef.address, transport), device.initiator)


async def refused(client: MefClient, **changes: object) -> int:
    given = {"expires": LATER, "targets": (CSE,), "admin": MEF, "suid": Suid.PROVISIONED_ESPRIM}
    with pytest.raises(PeerRefusedError) as caught:
        await client.keys.register(**given | changes)
    return caught.value.rsc


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("suid", BY_SUID)
async def test_what_a_source_registers_at_the_mef_its_target_retrieves_and_nobody_else(
    tmp_path, transport, suid
):
    async with running_mef(tmp_path, devices=[SOURCE]) as mef:
        target, others = BY_SUID[suid], {THE_MAF, THE_CSE, OTHER} - {BY_SUID[suid]}
        source = client_of(SOURCE, mef, transport)
        made = await source.keys.register(expires=LATER, targets=(target.entity,), admin=MEF, suid=suid)
        found = await target.client(mef.address).keys.retrieve(made.key_id)
        assert (found.key, found.suid, found.source) == (made.key, suid, SOURCE.entity)
        assert (found.expires, found.admin) == (LATER, MEF)
        for other in others:
            assert await other.client(mef.address).keys.retrieve(made.key_id) is None
        assert await source.keys.retrieve(made.key_id) is None  # it has it
        await source.close()


async def test_several_targets_share_a_key_of_data_which_the_source_updates_and_withdraws(tmp_path):
    async with running_mef(tmp_path, devices=[SOURCE]) as mef:
        source, cse, other = client_of(SOURCE, mef), THE_CSE.client(mef.address), OTHER.client(mef.address)
        made = await source.keys.register(
            expires=LATER,
            targets=(CSE, OTHER_CSE),
            admin=MEF,
            suid=Suid.PROVISIONED_ESDATA_ENCRYPTION,
            key=key_of("group"),
        )
        assert {(await one.keys.retrieve(made.key_id)).key for one in (cse, other)} == {key_of("group")}
        sooner = LATER - timedelta(minutes=30)
        changed = await source.keys.update(made.key_id, expires=sooner, targets=(CSE,))
        assert (changed.expiration_time, changed.target_ids) == (sooner, (CSE,))
        assert await other.keys.retrieve(made.key_id) is None
        await source.keys.deregister(made.key_id)
        assert await cse.keys.retrieve(made.key_id) is None
        for client in (source, cse, other):
            await client.close()


async def test_the_mef_refuses_what_its_table_does_not_allow(tmp_path):
    async with running_mef(tmp_path, devices=[SOURCE]) as mef:
        source = client_of(SOURCE, mef)
        for suid in (Suid.MAF_SAEF, Suid.MAF_ESPRIM, Suid.PRE_PROVISIONED_SAEF):
            assert await refused(source, suid=suid) == Rsc.BAD_REQUEST
        assert await refused(source, targets=(CSE, OTHER_CSE)) == Rsc.BAD_REQUEST
        assert await refused(source, targets=(MAF_ID,)) == Rsc.BAD_REQUEST
        assert await refused(source, targets=(CSE,), suid=Suid.PROVISIONED_MAF) == Rsc.BAD_REQUEST
        elsewhere = EntityId.parse("//sp.example/elsewhere")
        assert await refused(source, targets=(elsewhere,)) == Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
        assert await refused(source, admin=Fqdn("evil.example")) == Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
        assert await mef.store.records(KeyKind.OUTPUT) == []
        await source.close()


async def test_no_registered_key_is_ke_and_ke_is_retrieved_by_nobody(tmp_path):
    async with running_mef(tmp_path, devices=[SOURCE]) as mef:
        source = client_of(SOURCE, mef)
        made = await source.keys.register(
            expires=LATER, targets=(CSE,), admin=MEF, suid=Suid.PROVISIONED_SAEF
        )
        kes = await mef.kes()
        assert kes
        assert made.key not in kes.values()
        cse = THE_CSE.client(mef.address)
        assert [await cse.keys.retrieve(ke_id) for ke_id in kes] == [None] * len(kes)
        assert await cse.fetch_key(made.key_id, Suid.PROVISIONED_SAEF) is None
        await source.close()
        await cse.close()


async def test_an_enrolee_that_manages_keys_goes_on_with_the_ke_that_it_has(tmp_path):
    async with running_mef(tmp_path, devices=[SOURCE]) as mef:
        ke = await SOURCE.enrol(mef.address)
        [before] = await mef.store.records(KeyKind.KE)
        source = client_of(SOURCE, mef)
        for _ in range(3):
            await source.keys.register(expires=LATER, targets=(CSE,), admin=MEF, suid=Suid.PROVISIONED_ESPRIM)
        [after] = await mef.store.records(KeyKind.KE)
        assert (after.key_id, after.key) == (ke.ke_id, ke.ke)
        assert abs(after.expires - before.expires) < timedelta(seconds=1)
        assert (await THE_CSE.client(mef.address).fetch_kpsa(ke.ke_id)) is not None
        await source.close()


async def test_a_key_ends_with_the_kpm_of_its_source(tmp_path):
    async with running_mef(tmp_path, devices=[SOURCE, DEVICE]) as mef:
        source, cse = client_of(SOURCE, mef), THE_CSE.client(mef.address)
        made = await source.keys.register(
            expires=LATER, targets=(CSE,), admin=MEF, suid=Suid.PROVISIONED_ESPRIM
        )
        assert await mef.store.remove(KeyKind.KPM, SOURCE.kpm_id, descendants=True)
        assert await cse.keys.retrieve(made.key_id) is None
        assert await mef.store.records(KeyKind.OUTPUT) == []
        await source.close()
        await cse.close()


@pytest.mark.parametrize("transport", Transport)
async def test_entity_b_retrieves_by_itself_what_was_registered_at_the_mef_for_an_association(
    tmp_path, transport
):
    async with running_mef(tmp_path, devices=[SOURCE]) as mef:
        source = client_of(SOURCE, mef)

        async def registered(target: EntityId, suid: Suid) -> Initiator:
            made = await source.keys.register(expires=LATER, targets=(target,), admin=MEF, suid=suid)
            return saef_psk.initiate(SOURCE.entity, CSE, saef_psk.credential(made.key_id, made.key))

        seen = []

        async def look(channel):
            seen.append(channel.association)

        async with EntityB(CSE, mefs=[THE_CSE.client(mef.address)]) as entity_b:
            link = Link(await entity_b.listen(LOOPBACK, look, transport=transport), transport)
            channel = await associate(link, await registered(CSE, Suid.PROVISIONED_SAEF))
            assert not await channel.read()
            await channel.close()
            if transport is Transport.TLS:  # over DTLS a refusal is silence
                for target, suid in ((CSE, Suid.PROVISIONED_ESPRIM), (OTHER_CSE, Suid.PROVISIONED_SAEF)):
                    how = await registered(target, suid)
                    with pytest.raises(HandshakeError, match="does not know the identity"):
                        await associate(link, how)
        await source.close()
    [one] = seen
    assert (one.peer, one.expires, one.framework) == (SOURCE.entity, LATER, Framework.SAEF_PSK)


async def test_a_maf_retrieves_by_itself_a_km_that_was_registered_at_the_mef(tmp_path):
    async with (
        running_mef(tmp_path / "mef", devices=[SOURCE]) as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        source = client_of(SOURCE, mef)
        made = await source.keys.register(
            expires=LATER, targets=(MAF_ID,), admin=MEF, suid=Suid.PROVISIONED_MAF
        )
        await source.close()
        km = maf_handshake.credential(made.key_id, made.key)
        client = MafClient(MAF, Link(maf.address), maf_handshake.initiate(SOURCE.entity, MAF, km))
        kc = await client.connection_key(CSE, release=Release.R3)
        assert kc.targets == (CSE,)
        await client.close()
