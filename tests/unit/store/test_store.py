"""What a store does, on SQLite and on PostgreSQL alike."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from onem2m_security.clock import Clock
from onem2m_security.credentials import Secret
from onem2m_security.errors import (
    ConfigurationError,
    CredentialError,
    IdentifierError,
    RecordExistsError,
    StoreUnavailableError,
)
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from onem2m_security.store import ClientRegistration, KeyKind, KeyRecord, Store
from onem2m_security.store.database import is_migrated
from onem2m_security.store.schema import metadata
from store_support import (
    AE,
    BEFORE_THE_END,
    CSE,
    END,
    ISSUED,
    MAF,
    RECORDS,
    a_record,
    an_id,
)

_names = itertools.count()


def a_registration(number: int = 1, **changes) -> ClientRegistration:
    given = {"registration_id": f"reg{number}", "client": AE, "admin_fqdn": MAF, "issued": ISSUED}
    return ClientRegistration(**(given | changes))


# --- keys ---


@given(records=st.lists(RECORDS, max_size=8, unique_by=lambda record: (record.kind, record.key_id)))
@settings(max_examples=20, deadline=None)
def test_every_record_of_every_kind_comes_back_equal(tmp_path_factory, records):
    async def round_trip():
        data = tmp_path_factory.mktemp("data")
        async with await Store.open(data) as store:
            await store.add_many(records)
        async with await Store.open(data) as store:
            for record in records:
                assert await store.find(record.kind, record.key_id, now=ISSUED.replace(year=1969)) == record
            for kind in KeyKind:
                expected = sorted((r for r in records if r.kind is kind), key=lambda r: r.issued)
                found = await store.records(kind)
                assert [r.issued for r in found] == [r.issued for r in expected]
                assert {str(r.key_id): r for r in found} == {str(r.key_id): r for r in expected}

    asyncio.run(round_trip())


@pytest.mark.parametrize("kind", KeyKind)
async def test_a_full_record_of_each_kind_comes_back_equal(store, kind):
    record = a_record(
        kind=kind,
        targets=(CSE, EntityId("maf.example.com")),
        alias=an_id(2),
        suid=Suid.PROVISIONED_MAF,
        expires=END,
        parent=an_id(3),
        admin_fqdn=Fqdn("admin.example"),
        labels=("one, two", "", "drei\n✓", "\x00"),
    )
    await store.add(record)
    assert await store.find(kind, record.key_id, now=BEFORE_THE_END) == record
    assert await store.records(kind) == [record]
    for other in set(KeyKind) - {kind}:
        assert await store.find(other, record.key_id, now=BEFORE_THE_END) is None


async def test_an_unknown_identifier_is_not_found(store):
    assert await store.find(KeyKind.KM, an_id(1)) is None


async def test_a_km_id_is_found_in_any_case(store):
    record = a_record(key_id=KeyIdentifier("Device-7", MAF))
    await store.add(record)
    assert await store.find(KeyKind.KM, KeyIdentifier("dEVICE-7", MAF)) == record
    assert record.key_id == KeyIdentifier("device-7", MAF)


async def test_a_kpsa_id_is_found_in_its_own_case_only(store):
    await store.add(a_record(kind=KeyKind.KPSA, key_id=KeyIdentifier("Device-7", MAF)))
    assert await store.find(KeyKind.KPSA, KeyIdentifier("device-7", MAF)) is None
    assert await store.find(KeyKind.KPSA, KeyIdentifier("Device-7", MAF)) is not None


async def test_a_key_is_found_by_its_alias(store):
    record = a_record(1, alias=an_id(7))
    await store.add(record)
    assert await store.find(KeyKind.KM, an_id(7)) == record
    assert await store.find(KeyKind.KC, an_id(7)) is None


async def test_a_key_id_goes_before_an_alias(store):
    named, aliased = a_record(7), a_record(1, alias=an_id(7))
    await store.add(aliased)
    await store.add(named)
    assert await store.find(KeyKind.KM, an_id(7)) == named


async def test_of_several_keys_under_one_alias_the_latest_live_one_is_found(store):
    first = a_record(1, alias=an_id(7))
    second = a_record(2, alias=an_id(7), issued=ISSUED + timedelta(hours=1))
    ended = a_record(3, alias=an_id(7), issued=ISSUED + timedelta(hours=2), expires=BEFORE_THE_END)
    for record in (second, ended, first):
        await store.add(record)
    assert await store.find(KeyKind.KM, an_id(7), now=ISSUED) == ended
    assert await store.find(KeyKind.KM, an_id(7), now=BEFORE_THE_END) == second


async def test_an_expired_key_is_not_found_but_listed(store):
    record = a_record(expires=END, alias=an_id(7))
    await store.add(record)
    just_before = END - timedelta(microseconds=1)
    assert await store.find(KeyKind.KM, record.key_id, now=just_before) == record
    assert await store.find(KeyKind.KM, record.key_id, now=END) is None
    assert await store.find(KeyKind.KM, an_id(7), now=just_before) == record
    assert await store.find(KeyKind.KM, an_id(7), now=END) is None
    assert await store.find(KeyKind.KM, record.key_id) is None  # the present is after the end
    assert await store.records(KeyKind.KM) == [record]


async def test_lookups_with_different_moments_at_once_are_each_right(store):
    records = [a_record(n, alias=an_id(n + 100), expires=ISSUED + timedelta(hours=n)) for n in range(1, 50)]
    await store.add_many(records)
    for offset in (0, 100):
        found = await asyncio.gather(
            *(
                store.find(KeyKind.KM, an_id(n + offset), now=ISSUED + timedelta(hours=hours))
                for n in range(1, 50)
                for hours in (n - 1, n)
            )
        )
        assert found == [expected for record in records for expected in (record, None)]


async def test_a_second_record_of_the_same_identifier_is_refused(store):
    first = a_record(1)
    await store.add(first)
    with pytest.raises(RecordExistsError, match=f"km .*{first.key_id.relative}"):
        await store.add(a_record(1))
    assert await store.find(KeyKind.KM, first.key_id) == first


async def test_replace_puts_a_record_in_the_place_of_another(store):
    await store.add(a_record(1, alias=an_id(5), labels=("old",)))
    second = a_record(1, alias=an_id(6))
    await store.add(second, replace=True)
    assert await store.find(KeyKind.KM, an_id(1)) == second
    assert await store.find(KeyKind.KM, an_id(6)) == second
    assert await store.find(KeyKind.KM, an_id(5)) is None


async def test_replace_adds_what_is_not_there(store):
    record = a_record(1)
    await store.add(record, replace=True)
    assert await store.find(KeyKind.KM, an_id(1)) == record


async def test_records_are_listed_in_the_order_of_issue_across_pages(store):
    records = [a_record(n, issued=ISSUED + timedelta(seconds=(n * 7919) % 1201)) for n in range(1201)]
    await store.add_many(records)
    assert await store.records(KeyKind.KM) == sorted(records, key=lambda record: record.issued)


async def test_records_can_be_listed_for_one_source(store):
    mine = [a_record(n, source=CSE, issued=ISSUED + timedelta(seconds=600 - n)) for n in range(600)]
    others = [a_record(n) for n in range(600, 700)]
    await store.add_many([*others, *mine])
    assert await store.records(KeyKind.KM, source=CSE) == mine[::-1]
    assert await store.records(KeyKind.KM, source=EntityId("/nobody")) == []


async def test_removal_says_whether_the_record_was_there(store):
    await store.add(a_record(1, alias=an_id(9)))
    assert not await store.remove(KeyKind.KC, an_id(1))
    assert not await store.remove(KeyKind.KM, an_id(9))
    assert await store.remove(KeyKind.KM, an_id(1))
    assert not await store.remove(KeyKind.KM, an_id(1))
    assert await store.find(KeyKind.KM, an_id(1)) is None


async def _family(store) -> None:
    """Kpm 1 - Ke 2 - Km 3 - Kc 4 and Kc 5; Ke 2 - Kpsa 6; and Km 7 - Kc 8 beside them."""
    parents = {1: None, 2: 1, 3: 2, 4: 3, 5: 3, 6: 2, 7: None, 8: 7}
    kinds = dict(zip(range(1, 9), ("kpm", "ke", "km", "kc", "kc", "kpsa", "km", "kc"), strict=True))
    for number, parent in parents.items():
        parent_id = None if parent is None else an_id(parent)
        await store.add(a_record(number, KeyKind(kinds[number]), parent=parent_id))


async def _present(store) -> set[int]:
    return {int(record.key_id.relative, 16) for kind in KeyKind for record in await store.records(kind)}


async def test_removal_leaves_descendants_unless_asked(store):
    await _family(store)
    assert await store.remove(KeyKind.KE, an_id(2))
    assert await _present(store) == {1, 3, 4, 5, 6, 7, 8}


async def test_removal_takes_all_descendants_of_any_kind_when_asked(store):
    await _family(store)
    assert await store.remove(KeyKind.KE, an_id(2), descendants=True)
    assert await _present(store) == {1, 7, 8}


async def test_descendants_of_a_key_that_is_gone_can_be_removed(store):
    await _family(store)
    await store.remove(KeyKind.KM, an_id(3))
    assert not await store.remove(KeyKind.KM, an_id(3), descendants=True)
    assert await _present(store) == {1, 2, 6, 7, 8}


async def test_a_ring_of_parents_does_not_hang_the_removal(store):
    await store.add(a_record(1, KeyKind.KE, parent=an_id(2)))
    await store.add(a_record(2, KeyKind.KE, parent=an_id(1)))
    assert await store.remove(KeyKind.KE, an_id(1), descendants=True)
    assert await _present(store) == set()


async def test_a_kc_is_a_descendant_however_its_km_id_was_spelt(store):
    await store.add(a_record(key_id=KeyIdentifier("Device", MAF)))
    await store.add(a_record(2, KeyKind.KC, parent=KeyIdentifier("DEVICE", MAF)))
    assert await store.remove(KeyKind.KM, KeyIdentifier("DevicE", MAF), descendants=True)
    assert await _present(store) == set()


async def test_purging_removes_what_ended_and_nothing_else(store):
    ended = [a_record(n, expires=END) for n in range(1100)]
    live = [a_record(2000, expires=END + timedelta(microseconds=1)), a_record(2001)]
    await store.add_many([*ended, *live])
    await store.add_registration(a_registration(1, expires=END), now=ISSUED)
    await store.add_registration(a_registration(2, client=CSE), now=ISSUED)
    assert await store.purge_expired(END) == 1101
    assert await store.purge_expired(END) == 0
    assert await _present(store) == {2000, 2001}
    assert await store.find_registration("reg1", now=ISSUED) is None
    assert await store.find_registration("reg2", now=ISSUED) is not None


async def test_many_adds_at_once_with_duplicates_among_them_fail_alone(store):
    await store.add(a_record(0))
    records = [a_record(n % 400) for n in range(500)]
    outcomes = await asyncio.gather(*(store.add(record) for record in records), return_exceptions=True)
    refused = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, RecordExistsError)]
    assert refused == [0, *range(400, 500)]
    assert all(outcomes[n] is None for n in range(1, 400))
    found = await asyncio.gather(*(store.find(KeyKind.KM, an_id(n)) for n in range(1, 400)))
    assert found == records[1:400]


async def test_writes_of_every_sort_at_once_are_done_in_the_order_of_asking(store):
    outcomes = await asyncio.gather(
        store.add(a_record(1)),
        store.add(a_record(1), replace=True),
        store.add(last := a_record(1), replace=True),
        store.add(a_record(1)),
        store.remove(KeyKind.KM, an_id(2)),
        store.add(a_record(2)),
        store.remove(KeyKind.KM, an_id(2)),
        store.add_registration(a_registration()),
        store.add_registration(a_registration()),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes[:4]] == [type(None)] * 3 + [RecordExistsError]
    assert outcomes[4:7] == [False, None, True]
    assert outcomes[7] is None
    assert isinstance(outcomes[8], RecordExistsError)
    assert await store.find(KeyKind.KM, an_id(1)) == last
    assert await _present(store) == {1}


async def test_add_many_refuses_a_thousand_in_which_one_exists_and_names_it(store):
    await store.add(a_record(1500))
    with pytest.raises(RecordExistsError, match=an_id(1500).relative):
        await store.add_many(a_record(n) for n in range(3000))
    assert await _present(store) == {*range(1000), 1500}
    assert await store.add_many((a_record(n) for n in range(3000)), replace=True) == 3000
    assert await _present(store) == set(range(3000))


async def test_add_many_names_a_record_that_comes_twice(store):
    with pytest.raises(RecordExistsError, match=an_id(3).relative):
        await store.add_many([a_record(n) for n in (1, 2, 3, 4, 3)])
    assert await _present(store) == set()


async def test_two_stores_on_one_database_see_each_other(tmp_path, url, store):
    async with await Store.open(tmp_path / "data", url=url) as other:
        await other.add(record := a_record(1))
        assert await store.find(KeyKind.KM, an_id(1)) == record
        with pytest.raises(RecordExistsError):
            await store.add(a_record(1))
        await store.remove(KeyKind.KM, an_id(1))
        assert await other.find(KeyKind.KM, an_id(1)) is None


async def test_stores_opened_at_once_on_a_new_directory_agree(tmp_path, url):
    stores = await asyncio.gather(*(Store.open(tmp_path / "data", url=url) for _ in range(5)))
    for number, store in enumerate(stores):
        await store.add(a_record(number))
    for store in stores:
        assert await _present(store) == set(range(5))
        await store.close()


async def test_a_cancelled_caller_does_not_disturb_the_others(store):
    adds = [asyncio.ensure_future(store.add(a_record(n))) for n in range(100)]
    await asyncio.sleep(0)
    for add in adds[::3]:
        add.cancel()
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::3])
    for n in set(range(100)) - set(range(0, 100, 3)):
        assert await store.find(KeyKind.KM, an_id(n)) is not None


# --- client registrations ---


async def test_a_registration_comes_back_equal_by_identifier_and_by_client(store):
    registration = a_registration(labels=("a", "b c"), expires=END, assigned_key_id=an_id(1))
    await store.add_registration(registration, now=ISSUED)
    assert await store.find_registration("reg1", now=ISSUED) == registration
    assert await store.find_registration_of(AE, MAF, now=ISSUED) == registration
    assert await store.find_registration("reg2", now=ISSUED) is None
    assert await store.find_registration_of(CSE, MAF, now=ISSUED) is None
    assert await store.find_registration_of(AE, Fqdn("other.example"), now=ISSUED) is None


async def test_an_expired_registration_is_not_found_and_gives_way(store):
    await store.add_registration(a_registration(1, expires=END), now=ISSUED)
    assert await store.find_registration("reg1", now=END) is None
    assert await store.find_registration_of(AE, MAF, now=END) is None
    with pytest.raises(RecordExistsError):
        await store.add_registration(a_registration(2), now=BEFORE_THE_END)
    await store.add_registration(a_registration(2), now=END)
    assert await store.find_registration_of(AE, MAF, now=END) == a_registration(2)


async def test_a_client_has_one_registration_for_each_stakeholder(store):
    await store.add_registration(a_registration(1))
    with pytest.raises(RecordExistsError, match="update or remove"):
        await store.add_registration(a_registration(2))
    with pytest.raises(RecordExistsError):
        await store.add_registration(a_registration(1, client=CSE))
    await store.add_registration(a_registration(3, admin_fqdn=Fqdn("other.example")))
    assert await store.find_registration("reg3") is not None


async def test_a_registration_is_updated_in_place(store):
    await store.add_registration(a_registration(1))
    changed = a_registration(1, labels=("new",), expires=END)
    assert await store.update_registration(changed)
    assert await store.find_registration("reg1", now=ISSUED) == changed
    assert not await store.update_registration(a_registration(2))


async def test_an_update_cannot_make_a_second_registration_of_a_client(store):
    await store.add_registration(a_registration(1))
    await store.add_registration(a_registration(2, client=CSE))
    with pytest.raises(RecordExistsError):
        await store.update_registration(a_registration(2))
    assert await store.find_registration("reg2") == a_registration(2, client=CSE)


async def test_a_registration_is_removed_once(store):
    await store.add_registration(a_registration(1))
    assert await store.remove_registration("reg1")
    assert not await store.remove_registration("reg1")


# --- rekeying, opening and closing ---


async def test_rekeying_keeps_every_record_and_drops_the_old_kek(tmp_path, url, store):
    records = [a_record(n, alias=an_id(n + 5000)) for n in range(1, 1203)]
    await store.add_many(records)
    await store.add_registration(a_registration(1))
    before = (tmp_path / "data/keyring").read_text().splitlines()
    assert await store.rekey() == 1203
    after = (tmp_path / "data/keyring").read_text().splitlines()
    assert len(before) == len(after) == 2
    assert before[1] != after[1]
    assert await store.records(KeyKind.KM) == records
    assert await store.find_registration("reg1") == a_registration(1)
    async with await Store.open(tmp_path / "data", url=url) as other:
        assert await other.records(KeyKind.KM) == records


async def test_another_open_store_goes_on_across_a_rekey(tmp_path, url, store):
    await store.add(a_record(1))
    async with await Store.open(tmp_path / "data", url=url) as other:
        assert await other.find(KeyKind.KM, an_id(1)) is not None
        await store.rekey()
        await other.add(a_record(2))  # sealed under the new KEK, which it has not seen yet
        assert await store.find(KeyKind.KM, an_id(2)) is not None
        await store.rekey()
        assert await other.find(KeyKind.KM, an_id(1)) is not None
    async with await Store.open(tmp_path / "data", url=url) as third:
        assert await _present(third) == {1, 2}


async def test_writing_and_rekeying_from_two_stores_at_once_loses_nothing(tmp_path, url, store):
    async with await Store.open(tmp_path / "data", url=url) as other:

        async def write(number):
            await other.add(a_record(number))

        async def rekey():
            for _ in range(5):
                await store.rekey()

        await asyncio.gather(rekey(), *(write(number) for number in range(200)))
    async with await Store.open(tmp_path / "data", url=url) as third:
        assert await _present(third) == set(range(200))


async def test_the_migrations_make_the_tables_of_the_schema(tmp_path, url, store):
    engine = create_engine(url or f"sqlite:///{tmp_path}/data/store.db")
    with engine.connect() as connection:
        assert is_migrated(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_database_of_a_newer_release_is_refused(tmp_path, url):
    await (await Store.open(tmp_path / "data", url=url)).close()
    engine = create_engine(url or f"sqlite:///{tmp_path}/data/store.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ConfigurationError, match="another release"):
        await Store.open(tmp_path / "data", url=url)


async def test_a_closed_store_refuses_and_closes_again(store):
    add = asyncio.ensure_future(store.add(a_record(1)))
    await asyncio.sleep(0)
    await store.close()
    await add  # what was under way is finished
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.find(KeyKind.KM, an_id(1))
    await store.close()


# --- the records themselves ---


def test_a_record_does_not_show_its_key():
    record = a_record(key=Secret(b"\xabcdefghijklmnopq"))
    assert "abcdef" not in repr(record)
    assert record.key.reveal().hex() not in repr(record)


@pytest.mark.parametrize("name", ["issued", "expires"])
def test_a_time_without_utc_is_refused(name):
    for wrong in (ISSUED.replace(tzinfo=None), ISSUED.astimezone().replace(tzinfo=None)):
        with pytest.raises(CredentialError, match=name):
            a_record(**{name: wrong})
        with pytest.raises(CredentialError, match=name):
            a_registration(**{name: wrong})


@pytest.mark.parametrize("text", ["", "a b", "a/b", "é", "x" * 256, "\x00"])
def test_a_registration_identifier_that_fits_no_path_is_refused(text):
    with pytest.raises(IdentifierError):
        a_registration(registration_id=text)


@given(record=RECORDS)
def test_a_km_id_is_kept_in_lower_case_and_no_other_identifier_is_touched(record):
    again = replace(record)
    assert again == record
    if record.kind is KeyKind.KM:
        assert record.key_id.relative == record.key_id.relative.lower()
    else:
        mixed = KeyRecord(record.kind, KeyIdentifier("Ab", MAF), record.key, record.issued)
        assert mixed.key_id.relative == "Ab"


async def test_what_has_ended_is_decided_by_the_clock_that_the_store_was_given(tmp_path, url):
    moment = BEFORE_THE_END
    async with await Store.open(tmp_path / "data", url=url, clock=Clock(now=lambda: moment)) as store:
        record = a_record(expires=END)
        await store.add(record)
        assert await store.find(record.kind, record.key_id) == record
        moment = END
        assert await store.find(record.kind, record.key_id) is None
