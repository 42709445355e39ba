"""The Enrolee as a device developer uses it: its store, renewal, and what it derives."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from logged import capture_logs
from maf_support import LOOPBACK, MAF, B, eventually
from mef_support import (
    CSE,
    DEVICE,
    MEF,
    OTHER_CSE,
    PATIENT,
    THE_CSE,
    Device,
    asking_maf,
    running_mef,
)
from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.kept_key import RENEWAL_MARGIN, renewal
from onem2m_security.clock import Clock
from onem2m_security.errors import ConfigurationError, HandshakeError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.instructions import BootstrapInstruction
from onem2m_security.identifiers import Fqdn
from onem2m_security.keys import km_for, km_id_of
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, Store

NOWHERE = Address("127.0.0.1", 1)
RELEASES = pytest.mark.parametrize("release", Release)


async def an_enrolee(store, device, mef, transport=Transport.TLS) -> Enrolee:
    return await Enrolee.configure(
        store,
        kpm_id=device.kpm_id,
        kpm=device.kpm,
        instruction=device.instruction,
        link=Link(mef, transport),
    )


@pytest.fixture
async def store(tmp_path):
    async with await Store.open(tmp_path / "device") as opened:
        yield opened


async def age(store, *, left: timedelta) -> None:
    """Let the kept Ke be a month old, with so much of its life left."""
    [record] = await store.records(KeyKind.KE)
    now = datetime.now(UTC)
    aged = dataclasses.replace(record, issued=now - timedelta(days=30), expires=now + left)
    await store.add(aged, replace=True)


@RELEASES
@pytest.mark.parametrize("transport", Transport)
async def test_enrolee_and_mef_end_with_the_same_ke(tmp_path, store, release, transport):
    device = Device("device", release=release)
    async with running_mef(tmp_path / "mef", devices=[device]) as mef:
        key = await (await an_enrolee(store, device, mef.address, transport=transport)).enrol()
        assert await mef.kes() == {key.ke_id: key.ke}
        [at_mef] = await mef.store.records(KeyKind.KE)
    [kept] = await store.records(KeyKind.KE)
    assert (kept.key_id, kept.key) == (key.ke_id, key.ke)
    assert kept.expires == key.expires
    assert kept.expires <= at_mef.expires


async def test_ke_is_kept_across_restarts_and_not_renewed_too_early(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        key = await (await an_enrolee(store, DEVICE, mef.address)).enrol()
    again = await Enrolee.load(store)
    assert await again.enrolment_key() == key  # the MEF is gone: it was not asked
    assert (again.local, again.mef, again.targets) == (DEVICE.entity, MEF, DEVICE.targets)


async def test_ke_is_renewed_when_it_is_about_to_expire(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        enrolee = await an_enrolee(store, DEVICE, mef.address)
        first = await enrolee.enrolment_key()
        await age(store, left=timedelta(days=4))
        assert (await enrolee.enrolment_key()).ke_id == first.ke_id
        await age(store, left=timedelta(days=3))
        second = await enrolee.enrolment_key()
        assert second.ke_id != first.ke_id
        assert (await mef.kes()).items() >= {second.ke_id: second.ke}.items()
        assert [record.key_id for record in await store.records(KeyKind.KE)] == [second.ke_id]


async def test_simultaneous_users_renew_once(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        enrolee = await an_enrolee(store, DEVICE, mef.address)
        keys = await asyncio.gather(*(enrolee.enrolment_key() for _ in range(10)))
        assert len({key.ke_id for key in keys}) == 1


async def test_while_the_mef_is_out_of_reach_the_kept_ke_serves_until_it_expires(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        enrolee = await an_enrolee(store, DEVICE, mef.address)
        key = await enrolee.enrol()
    await age(store, left=timedelta(hours=1))
    with capture_logs() as logs:
        assert (await enrolee.enrolment_key()).ke_id == key.ke_id
    assert [entry["event"] for entry in logs] == ["Ke is about to expire and could not be renewed"]
    await age(store, left=timedelta(seconds=-1))
    with pytest.raises(HandshakeError):
        await enrolee.enrolment_key()


async def test_an_enrolee_that_is_kept_enrolled_renews_by_itself_and_outlasts_an_outage(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        address = mef.address
        first = await (await an_enrolee(store, DEVICE, address)).enrol()
    await age(store, left=timedelta(days=1))
    keeping = None
    try:
        keeping = asyncio.create_task(
            (await Enrolee.load(store)).keep_enrolled(retry=timedelta(seconds=0.05))
        )
        await asyncio.sleep(0.3)  # some attempts fail
        assert not keeping.done()
        async with running_mef_at(tmp_path / "mef", address) as server_store:

            async def renewed():
                kept = await store.records(KeyKind.KE)
                return bool(kept) and kept[-1].key_id != first.ke_id

            await eventually(renewed)
            at_mef = await server_store.records(KeyKind.KE)
            assert at_mef[-1].key_id == (await store.records(KeyKind.KE))[-1].key_id
    finally:
        keeping.cancel()


@contextlib.asynccontextmanager
async def running_mef_at(data, address):
    """The same MEF again, at the same address."""
    opened = await Store.open(data)
    async with Server(opened, [Mef(opened, MEF)]) as server:
        await server.start(address, (Transport.TLS,))
        yield opened


def test_the_last_tenth_of_its_life_counts_as_about_to_expire():
    now = datetime.now(UTC)
    record = dataclasses.replace(DEVICE.record, issued=now, expires=now + timedelta(days=10))
    assert renewal(record) - now == timedelta(days=10) * (1 - RENEWAL_MARGIN)
    assert renewal(dataclasses.replace(record, expires=None)) > now + timedelta(days=1000)


async def test_a_wrong_kpm_enrols_nobody(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        enrolee = await Enrolee.configure(
            store,
            kpm_id=DEVICE.kpm_id,
            kpm=Device("other").kpm,
            instruction=DEVICE.instruction,
            link=Link(mef.address),
        )
        with pytest.raises(HandshakeError) as caught:
            await enrolee.enrol()
        assert caught.value.alert.name == "bad_record_mac"
        assert await store.records(KeyKind.KE) == []
        assert await mef.kes() == {}


async def test_an_enrolee_needs_an_enrolment_target(store):
    with pytest.raises(ConfigurationError, match="Enrolment Target"):
        await Enrolee.configure(
            store,
            kpm_id=DEVICE.kpm_id,
            kpm=DEVICE.kpm,
            instruction=BootstrapInstruction(DEVICE.entity, ()),
            link=Link(NOWHERE),
        )


async def test_an_empty_store_has_no_enrolee(store):
    with pytest.raises(ConfigurationError, match="m2msec enrol"):
        await Enrolee.load(store)


async def test_a_new_configuration_replaces_the_old_one_and_its_ke(tmp_path, store):
    other = Device("other")
    async with running_mef(tmp_path / "mef", devices=[DEVICE, other]) as mef:
        await (await an_enrolee(store, DEVICE, mef.address)).enrol()
        await an_enrolee(store, other, mef.address)
    assert (await Enrolee.load(store)).local == other.entity
    assert await store.records(KeyKind.KE) == []


async def test_no_key_is_in_the_clear_on_the_disk(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        key = await (await an_enrolee(store, DEVICE, mef.address)).enrol()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 2
    for secret in (DEVICE.kpm.reveal(), key.ke.reveal()):
        for form in (secret, secret.hex().encode(), secret.hex().upper().encode()):
            assert not [file for file in files if form in file.read_bytes()]
    for file in (tmp_path / "device").rglob("*"):
        assert file.stat().st_mode & 0o077 == 0


async def test_keys_are_derived_for_enrolment_targets_only(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        enrolee = await an_enrolee(store, DEVICE, mef.address)
        assert (await enrolee.master_credential(MAF)).credential is not None
        assert (await enrolee.provisioned_key(CSE)).peer == CSE
        with pytest.raises(ConfigurationError, match="not an Enrolment Target"):
            await enrolee.master_credential(Fqdn("maf.example.org"))
        with pytest.raises(ConfigurationError, match="not an Enrolment Target"):
            await enrolee.provisioned_key(OTHER_CSE)
        assert enrolee.maf_ids() == [MAF]


@RELEASES
@pytest.mark.parametrize("transport", Transport)
async def test_from_kpm_to_an_association_through_a_maf_and_directly(tmp_path, store, release, transport):
    device = Device("device", release=release)

    async def echo(channel):
        while data := await channel.read():
            await channel.write(data)

    async with (
        running_mef(tmp_path / "mef", devices=[device]) as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
        EntityB(
            CSE, mafs=[dataclasses.replace(B, entity=CSE).maf_client(maf.address)],
            mefs=[THE_CSE.client(mef.address)],
        ) as entity_b,
    ):  # fmt: skip
        address = await entity_b.listen(LOOPBACK, echo, transport=transport)
        enrolee = await an_enrolee(store, device, mef.address, transport=transport)
        direct = await associate(
            Link(address, transport, PATIENT),
            saef_psk.initiate(enrolee.local, CSE, await enrolee.provisioned_key(CSE)),
        )
        client = enrolee.maf_client(MAF, Link(maf.address, transport))
        through_maf = await associate(
            Link(address, transport, PATIENT), client.initiator(CSE, release=release)
        )
        for channel in (direct, through_maf):
            await channel.write(b"from the factory")
            assert await channel.read() == b"from the factory"
            await channel.close()
        assert [c.association.framework.value for c in (direct, through_maf)] == ["saef-psk", "saef-maf"]
        await client.close()


@RELEASES
async def test_a_maf_client_changes_to_the_new_km_when_ke_was_renewed(tmp_path, store, release):
    device = Device("device", release=release)
    async with (
        running_mef(tmp_path / "mef", devices=[device]) as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        enrolee = await an_enrolee(store, device, mef.address)
        client = enrolee.maf_client(MAF, Link(maf.address))
        for _ in range(3):
            key = await enrolee.enrol()
            kc = await client.handshake()
            stored = await maf.store.find(KeyKind.KC, kc.kc_id)
            km = km_for(release, key.ke, MAF)
            assert stored is not None
            assert stored.parent == km_id_of(km, MAF)
        await client.close()


async def test_release_3_registers_and_then_shows_the_assigned_km_id(tmp_path, store):
    device = Device("device", release=Release.R3)
    async with (
        running_mef(tmp_path / "mef", devices=[device]) as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        enrolee = await an_enrolee(store, device, mef.address)
        client = enrolee.maf_client(MAF, Link(maf.address))
        await client.handshake()
        shown = await enrolee.at_maf(MAF, Link(maf.address))()
        km_id = (await enrolee.master_credential(MAF)).credential
        registered = await maf.store.find_registration_of(device.entity, MAF)
        assert registered is not None
        assert registered.assigned_key_id == km_id
        assert shown.identity == str(km_id).encode()
        at_mef = await mef.store.find_registration_of(device.entity, MEF)
        assert at_mef is not None
        await client.close()


async def test_a_revoked_enrolee_hears_of_it(tmp_path, store):
    async with running_mef(tmp_path / "mef") as mef:
        enrolee = await an_enrolee(store, DEVICE, mef.address)
        await enrolee.enrol()
        await mef.store.remove(KeyKind.KPM, DEVICE.kpm_id, descendants=True)
        with pytest.raises(HandshakeError):
            await enrolee.enrol()


@RELEASES
async def test_ke_is_renewed_by_the_clock_that_the_enrolee_was_given(tmp_path, store, release):
    device, passed = Device("device", release=release), timedelta(0)
    async with running_mef(tmp_path / "mef", devices=[device]) as mef:
        enrolee = await Enrolee.configure(
            store,
            kpm_id=device.kpm_id,
            kpm=device.kpm,
            instruction=device.instruction,
            link=Link(mef.address),
            clock=Clock(now=lambda: datetime.now(UTC) + passed),
        )
        first = await enrolee.enrolment_key()
        passed = 0.8 * device.instruction.enrolment_expiry
        assert await enrolee.enrolment_key() == first
        passed = 0.95 * device.instruction.enrolment_expiry
        second = await enrolee.enrolment_key()
        assert second.ke_id != first.ke_id
