"""Credentials for end-to-end security reach both ends: through a MAF, and derived from Ke (8.8.2, 10.3.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from maf_support import A_OF_TWO, ID_A, ID_B, ID_C, MAF, A, B, C, key_of, running_maf
from mef_support import CSE, MEF, OTHER, THE_CSE, Device, running_mef
from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.errors import CredentialError, PeerRefusedError, ResolverUnavailableError
from onem2m_security.identifiers import Fqdn, Suid
from onem2m_security.net.address import Transport
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.store import Store

LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
ADMIN = Fqdn("admin.example")
BY_MAF = [(Suid.MAF_ESPRIM, 13), (Suid.MAF_ESDATA_ENCRYPTION, 14), (Suid.MAF_ESDATA_SIGNATURE, 16)]
BY_MEF = [
    (Suid.PROVISIONED_ESPRIM, 13),
    (Suid.PROVISIONED_ESDATA_ENCRYPTION, 14),
    (Suid.PROVISIONED_ESDATA_SIGNATURE, 16),
]


def link_to(client, address, transport):
    made = client.maf_client(address)
    return type(made)(MAF, Link(address, transport), client.initiator())


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize(("suid", "type_part"), BY_MAF)
async def test_what_a_source_registers_its_target_retrieves(tmp_path, transport, suid, type_part):
    async with running_maf(tmp_path) as maf:
        source, target = (link_to(who, maf.address, transport) for who in (A, B))
        made = await source.keys.register(
            expires=LATER, targets=(ID_B,), admin=ADMIN, suid=suid, labels=("pump",)
        )
        found = await target.keys.retrieve(made.key_id)
        assert (found.key, found.key_id, found.suid) == (made.key, made.key_id, suid)
        assert (found.source, found.admin, found.labels, found.expires) == (ID_A, ADMIN, ("pump",), LATER)
        assert str(found.credential_id) == f"{type_part}-{made.key_id}"
        with pytest.raises(ResolverUnavailableError, match="not for an association"):
            await target.retrieve(made.key_id)  # nobody associates by it
        await source.close()
        await target.close()


async def test_a_source_changes_who_may_retrieve_and_withdraws(tmp_path):
    async with running_maf(tmp_path) as maf:
        source, b, c = (who.maf_client(maf.address) for who in (A_OF_TWO, B, C))
        made = await source.keys.register(
            expires=LATER,
            targets=(ID_B, ID_C),
            admin=ADMIN,
            suid=Suid.MAF_ESDATA_ENCRYPTION,
            key=key_of("group"),
        )
        assert {(await one.keys.retrieve(made.key_id)).key for one in (b, c)} == {key_of("group")}
        changed = await source.keys.update(made.key_id, targets=(ID_C,), labels=("one",))
        assert (changed.target_ids, changed.labels, changed.expiration_time) == ((ID_C,), ("one",), None)
        assert await b.keys.retrieve(made.key_id) is None
        assert (await c.keys.retrieve(made.key_id)).labels == ("one",)
        with pytest.raises(PeerRefusedError):
            await c.keys.update(made.key_id, labels=("mine",))
        await source.keys.deregister(made.key_id)
        assert await c.keys.retrieve(made.key_id) is None
        for client in (source, b, c):
            await client.close()


# --- from Ke ---

NEWER = Device("newer", targets=(CSE,), release=Release.R3)


@pytest.mark.parametrize("transport", Transport)
async def test_an_enrolee_and_its_target_derive_and_fetch_one_key_for_each_usage(tmp_path, transport):
    async with (
        running_mef(tmp_path / "mef", devices=[NEWER]) as mef,
        await Store.open(tmp_path / "device") as store,
    ):
        enrolee = await Enrolee.configure(
            store,
            kpm_id=NEWER.kpm_id,
            kpm=NEWER.kpm,
            instruction=NEWER.instruction,
            link=Link(mef.address, transport),
        )
        target, stranger = THE_CSE.client(mef.address), OTHER.client(mef.address)
        keys = []
        for suid, type_part in BY_MEF:
            ours = await enrolee.end_to_end_key(CSE, suid)
            theirs = await target.fetch_key(ours.key_id, suid)
            assert (theirs.key, theirs.source) == (ours.key, NEWER.entity)
            assert str(theirs.credential_id) == f"{type_part}-{ours.key_id}"
            assert await stranger.fetch_key(ours.key_id, suid) is None
            keys.append(ours.key)
        keys.append((await enrolee.provisioned_key(CSE)).key)
        assert len(set(keys)) == 4
        await target.close()
        await stranger.close()


async def test_release_1_has_no_end_to_end_keys(tmp_path):
    older = Device("older", targets=(CSE,))
    async with (
        running_mef(tmp_path / "mef", devices=[older]) as mef,
        await Store.open(tmp_path / "device") as store,
    ):
        enrolee = await Enrolee.configure(
            store, kpm_id=older.kpm_id, kpm=older.kpm, instruction=older.instruction, link=Link(mef.address)
        )
        ke = await enrolee.enrol()
        with pytest.raises(CredentialError, match="Release 1 derives no key for SUID 23"):
            await enrolee.end_to_end_key(CSE, Suid.PROVISIONED_ESPRIM)
        target = THE_CSE.client(mef.address)
        assert await target.fetch_key(ke.ke_id, Suid.PROVISIONED_ESPRIM) is None
        assert ke.ke_id.fqdn == MEF
        await target.close()
