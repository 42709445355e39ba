"""What a device knows of its own enrolment: one record, put in place with Kpm, and sealed."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.credentials import Secret
from onem2m_security.errors import ConfigurationError, RecordCorruptedError, StoreError
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.store import KeyKind, Store
from onem2m_security.store.records import BootstrapInstruction, ByCard, ByCertificate, Enrolment
from store_support import AE, CSE, END, MAF, a_record, an_id

MEF = Fqdn("mef.example.com")
INSTRUCTION = BootstrapInstruction(
    AE, (EntityId(str(MAF)), CSE), timedelta(days=7, microseconds=1), Release.R3
)
KPM = a_record(1, KeyKind.KPM, key_id=an_id(1, MEF), targets=INSTRUCTION.targets)
OTHER_KPM = a_record(2, KeyKind.KPM, key_id=an_id(2, MEF))
BY_KEY = Enrolment(MEF, "mef.example.com:8443", "dtls", INSTRUCTION, by=KPM.key_id)
BY_CERTIFICATE = replace(BY_KEY, by=ByCertificate(END))
BY_CARD = replace(BY_KEY, transport=None, by=ByCard(Path("/var/lib/device/card")))
UNKNOWN = replace(BY_CERTIFICATE, address=None, transport=None)


@pytest.fixture
async def store(tmp_path):
    async with await Store.open(tmp_path) as opened:
        yield opened


async def configure(store, **changes):
    given = {"kpm_id": KPM.key_id, "kpm": KPM.key, "instruction": INSTRUCTION} | changes
    return await Enrolee.configure(store, link=Link(Address("127.0.0.1", 1), Transport.DTLS), **given)


@pytest.mark.parametrize(
    "kept",
    [BY_KEY, BY_CERTIFICATE, BY_CARD, UNKNOWN],
    ids=["key", "certificate", "card", "unknown"],
)
async def test_an_enrolment_comes_back_equal_and_takes_the_place_of_the_one_before(store, kept):
    assert await store.enrolment.find() is None
    await store.enrolment.put(replace(kept, mef=Fqdn("another.example.com")))
    await store.enrolment.put(kept)
    assert await store.enrolment.find() == kept


async def test_an_enrolment_comes_with_its_kpm_and_ends_every_other_with_what_came_of_it(store):
    await store.add(OTHER_KPM)
    await store.add(a_record(3, KeyKind.KE, parent=OTHER_KPM.key_id), parent_key=OTHER_KPM.key)
    await store.enrolment.put(BY_KEY, kpm=KPM)
    assert await store.records(KeyKind.KPM) == [KPM]
    assert await store.records(KeyKind.KE) == []
    await store.enrolment.put(BY_CERTIFICATE)
    assert await store.records(KeyKind.KPM) == []


async def test_an_enrolment_that_cannot_be_kept_leaves_the_one_before_whole(store):
    await store.enrolment.put(BY_KEY, kpm=KPM)
    endless = replace(INSTRUCTION, enrolment_expiry=timedelta.max)
    with pytest.raises(StoreError, match="cannot hold a value"):
        await store.enrolment.put(replace(BY_CERTIFICATE, instruction=endless))
    assert await store.enrolment.find() == BY_KEY
    assert await store.records(KeyKind.KPM) == [KPM]


@pytest.mark.parametrize(
    ("column", "value"),
    [("address", "203.0.113.9:8443"), ("mef", "evil.example"), ("kpm_id", None), ("release", 1)],
)
async def test_an_edited_enrolment_does_not_open(tmp_path, store, column, value):
    await configure(store)
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
        connection.execute(f"UPDATE enrolment SET {column} = ?", (value,))
    with pytest.raises(RecordCorruptedError, match="enrol it again"):
        await Enrolee.load(store)


async def test_no_label_of_a_key_says_what_the_enrolee_does(store):
    await configure(store)
    [kpm] = await store.records(KeyKind.KPM)
    assert kpm.labels == ()
    await store.add(replace(kpm, labels=("mef=203.0.113.9:1", "transport=tls", "release=1")), replace=True)
    loaded = await Enrolee.load(store)
    assert loaded.release is Release.R3
    kept = await store.enrolment.find()
    assert (kept.address, kept.transport, kept.by) == ("127.0.0.1:1", "dtls", KPM.key_id)


async def test_an_enrolee_whose_kpm_was_removed_is_none_any_more(store):
    await configure(store)
    await store.remove(KeyKind.KPM, KPM.key_id, descendants=True)
    with pytest.raises(ConfigurationError, match="no Enrolee is configured"):
        await Enrolee.load(store)


async def test_a_kpm_with_another_key_ends_what_came_of_the_one_before(store):
    await configure(store)
    await store.add(a_record(3, KeyKind.KE, parent=KPM.key_id), parent_key=KPM.key)
    await store.enrolment.put(BY_KEY, kpm=replace(KPM, key=Secret.generate()))
    assert await store.records(KeyKind.KE) == []
