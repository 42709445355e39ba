"""Revocation in the store: the number that others watch, and tombstones; on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.store import KeyKind, Store, revocations
from store_support import a_record

KE_ID = KeyIdentifier("ab" * 16, Fqdn("mef.example.com"))
NOW = datetime.now(UTC)
KM = a_record(1, KeyKind.KM, alias=KE_ID, parent=KE_ID, expires=NOW + timedelta(days=1))
KC = a_record(2, KeyKind.KC, parent=KM.key_id)

_names = itertools.count()


async def test_the_number_changes_with_every_revocation_and_is_seen_by_other_processes(store, other):
    seen = [await other.trust.revision()]

    async def changes() -> bool:
        seen.append(await other.trust.revision())
        return seen[-1] != seen[-2]

    await store.add(KM)
    await store.add(KC)
    assert not await changes()
    await store.add(replace(KM, labels=("changed",)), replace=True)
    assert await changes()
    await store.add_many([replace(KM, labels=("again",))], replace=True)
    assert await changes()
    await store.remove(KeyKind.KM, KM.key_id)
    assert await changes()
    await store.add(a_record(3, KeyKind.KPM, parent=KE_ID))
    await store.remove(KeyKind.KE, KE_ID, descendants=True)
    assert await changes()
    await store.add(KM)
    await store.trust.revoke(KeyKind.KM, KM.key_id)
    assert await changes()


async def test_the_number_stays_when_nothing_that_is_trusted_is_touched(store, other):
    before = await other.trust.revision()
    await store.add(KM, replace=True)  # nothing was there
    await store.add(KC)
    await store.add(KC, replace=True)
    await store.remove(KeyKind.KC, KC.key_id)
    await store.remove(KeyKind.KM, a_record(9).key_id, descendants=True)
    await store.add(a_record(4, KeyKind.KPM, expires=NOW - timedelta(days=30)))
    await store.purge_expired(NOW)
    assert await other.trust.revision() == before


async def test_a_revoked_key_goes_with_what_came_from_it_and_does_not_come_back_under_its_alias(store, other):
    await store.add_many([KM, KC])
    revoked = await store.trust.revoke(KeyKind.KM, KM.key_id)
    assert (revoked.alias, revoked.ends) == (KE_ID, KM.expires)
    assert await store.records(KeyKind.KM) == []
    assert await store.records(KeyKind.KC) == []
    assert await other.trust.is_revoked(KeyKind.KM, KE_ID)
    assert not await other.trust.is_revoked(KeyKind.KPM, KE_ID)
    assert not await other.trust.add_unless_revoked(KM)
    assert await store.records(KeyKind.KM) == []
    assert await store.trust.revoke(KeyKind.KM, KM.key_id) is None
    assert await other.trust.is_revoked(KeyKind.KM, KE_ID)


@pytest.mark.parametrize("name", [KM.key_id, KE_ID], ids=["its own identifier", "the alias"])
async def test_a_tombstone_is_lifted_by_either_identifier(store, name):
    await store.add(KM)
    await store.trust.revoke(KeyKind.KM, KM.key_id)
    assert await store.trust.readmit(KeyKind.KM, name)
    assert await store.trust.add_unless_revoked(KM)
    assert [record.key_id for record in await store.records(KeyKind.KM)] == [KM.key_id]
    assert not await store.trust.readmit(KeyKind.KM, name)


async def test_a_tombstone_lasts_until_the_key_would_have_ended(store):
    await store.add(replace(KM, expires=NOW - timedelta(seconds=1)))
    await store.trust.revoke(KeyKind.KM, KM.key_id)
    assert not await store.trust.is_revoked(KeyKind.KM, KE_ID)
    await store.add(replace(KM, expires=None))
    await store.trust.revoke(KeyKind.KM, KM.key_id)
    assert await store.trust.is_revoked(KeyKind.KM, KE_ID)


async def test_tombstones_that_are_long_over_do_not_pile_up(store):
    def count(connection):
        return connection.execute(text("SELECT count(*) FROM tombstones")).scalar()

    for number in range(5):
        alias = KeyIdentifier(f"{number:032x}", KE_ID.fqdn)
        await store.add(replace(KM, alias=alias, expires=NOW - timedelta(days=2)))
        await store.trust.revoke(KeyKind.KM, KM.key_id)
    assert await store._worker.read(count) == 1


async def test_a_record_that_does_not_open_can_be_revoked(store):
    await store.add(KM)
    await store._worker.write(
        lambda connection: connection.execute(text("UPDATE key_records SET labels = 'x'"))
    )
    assert (await store.trust.revoke(KeyKind.KM, KM.key_id)).alias == KE_ID
    assert not await store.trust.add_unless_revoked(KM)


async def test_whoever_is_removed_while_somebody_provides_the_key_anew_stays_removed(store, other):
    for _ in range(20):
        await store.add(KM, replace=True)
        revoked, *_ = await asyncio.gather(
            store.trust.revoke(KeyKind.KM, KM.key_id), *(other.trust.add_unless_revoked(KM) for _ in range(3))
        )
        assert revoked is not None
        assert await store.find(KeyKind.KM, KE_ID) is None
        await store.trust.readmit(KeyKind.KM, KE_ID)


async def test_a_store_of_the_release_before_is_migrated_with_its_keys(tmp_path):
    async with await Store.open(tmp_path) as store:
        await store.add(KM)
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "onem2m_security.store:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    engine.dispose()
    async with await Store.open(tmp_path) as store:
        assert await store.find(KeyKind.KM, KM.key_id) == KM
        before = await store.trust.revision()
        await store.trust.revoke(KeyKind.KM, KM.key_id)
        assert await store.trust.revision() > before


def test_the_kinds_that_sessions_are_made_with_are_watched():
    distributed = {KeyKind.KC, KeyKind.KE, KeyKind.OUTPUT}
    assert {KeyKind(kind) for kind in revocations.TRUSTED_KINDS} == set(KeyKind) - distributed
