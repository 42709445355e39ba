"""The way on the event loop's thread: what it remembers, leaves to the worker, and never believes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import eventually
from onem2m_security.credentials import Secret
from onem2m_security.errors import (
    ParentGoneError,
    RecordCorruptedError,
    RecordExistsError,
    StoreUnavailableError,
)
from onem2m_security.store import KeyKind, Store, log, remembered
from onem2m_security.store.log import FRAMES_MAX, WriteAheadLog
from onem2m_security.store.records import Later
from onem2m_security.store.worker import Worker
from store_support import AE, CSE, a_record, an_id

KM = Secret.generate()
NOW = datetime.now(UTC)


def a_km(number: int = 1, **changes):
    return a_record(number, **({"key": KM} | changes))


def a_kc(number: int, parent: int = 1, **changes):
    return a_record(number, KeyKind.KC, parent=an_id(parent), **changes)


@pytest.fixture
async def store(tmp_path):
    async with await Store.open(tmp_path) as opened:
        await opened.add(a_km())
        yield opened


@pytest.fixture
def by_hand(tmp_path):
    """Another program on the same database, which knows nothing of this package."""
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def worker_jobs(monkeypatch):
    """What the worker was asked to write."""
    jobs, submit = [], Worker.submit

    def counted(worker, handler, argument, *, write=False):
        if write:
            jobs.append(argument)
        return submit(worker, handler, argument, write=write)

    monkeypatch.setattr(Worker, "submit", counted)
    return jobs


async def sequence(tmp_path) -> bytes:
    """Which beginning of the log this is: its number and its salts."""
    return await asyncio.to_thread(lambda: (tmp_path / "store.db-wal").read_bytes()[12:24])


async def test_a_lookup_and_a_new_kc_need_no_worker(store, worker_jobs):
    assert store.find_now(KeyKind.KM, an_id(1)) == a_km()
    assert store.find_now(KeyKind.KM, an_id(9)) is None
    await asyncio.gather(*(store.add(a_kc(n), parent_key=KM) for n in range(100, 150)))
    assert store.count_now(KeyKind.KC, AE, by_request=False) == 50
    assert worker_jobs == []
    assert len(await store.records(KeyKind.KC)) == 50


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("DELETE FROM key_records WHERE kind = 'km'", None),
        ("UPDATE key_records SET source = '/thief' WHERE kind = 'km'", RecordCorruptedError),
        ("UPDATE key_records SET kind = 'ke' WHERE kind = 'km'", None),
    ],
)
async def test_what_is_remembered_is_forgotten_when_anybody_changes_a_km(store, by_hand, change, found):
    assert store.find_now(KeyKind.KM, an_id(1)) == a_km()
    by_hand.execute(change)
    await asyncio.sleep(0)  # the snapshot of this turn of the loop ends
    if found is None:
        assert store.find_now(KeyKind.KM, an_id(1)) is None
    else:
        with pytest.raises(found):
            store.find_now(KeyKind.KM, an_id(1))
    with pytest.raises(ParentGoneError if found is None else found):
        await store.add(a_kc(2), parent_key=KM)
    assert await store.records(KeyKind.KC) == []


async def test_an_unknown_name_is_found_once_there_is_a_key_and_an_alias_leads_to_the_newest(store, tmp_path):
    alias = an_id(77)
    assert store.find_now(KeyKind.KM, alias) is None
    async with await Store.open(tmp_path) as other:
        for issued, number in ((NOW, 5), (NOW + timedelta(seconds=1), 6)):
            await other.add(a_record(number, alias=alias, issued=issued))
            found = store.find_now(KeyKind.KM, alias)
            assert found is not None
            assert found.key_id == an_id(number)


async def test_a_km_that_was_remembered_ends_when_it_ends(store):
    await store.add(a_record(3, alias=an_id(4), expires=NOW))
    for name in (an_id(3), an_id(4)):
        for _ in range(2):
            assert store.find_now(KeyKind.KM, name, now=NOW - timedelta(seconds=1)) is not None
            assert store.find_now(KeyKind.KM, name, now=NOW) is None


async def test_kc_of_other_processes_do_not_make_a_store_forget(store, tmp_path, monkeypatch):
    assert store.find_now(KeyKind.KM, an_id(1)) is not None
    forgotten = []
    monkeypatch.setattr(store._hot._connection, "_changed", lambda: forgotten.append(1))
    async with await Store.open(tmp_path) as other:
        await other.add(a_kc(2), parent_key=KM)
        assert store.find_now(KeyKind.KC, an_id(2)) is not None
        assert store.find_now(KeyKind.KM, an_id(1)) is not None
        assert forgotten == []
        await other.add(a_km(8))
        assert store.find_now(KeyKind.KM, an_id(8)) is not None
    assert forgotten == [1]


async def test_strangers_do_not_drive_clients_out_of_memory(store, monkeypatch):
    monkeypatch.setattr(remembered, "UNKNOWN_MAX", 10)
    memory = store._hot._remembered
    store.find_now(KeyKind.KM, an_id(1))
    for number in range(100, 200):
        assert store.find_now(KeyKind.KM, an_id(number)) is None
    assert memory.find(("km", str(an_id(1)))) is not None
    assert len(memory._unknown) == 10
    monkeypatch.setattr(remembered, "KNOWN_MAX", 2)
    for number in range(20, 25):
        await store.add(a_km(number))
        assert store.find_now(KeyKind.KM, an_id(number)) is not None
    assert len(memory._known) <= 2


@pytest.mark.parametrize("changes", [{"key": Secret.generate()}, {"source": CSE}], ids=["key", "client"])
async def test_a_kc_of_another_km_or_client_is_refused_though_the_km_is_remembered(store, changes):
    assert store.find_now(KeyKind.KM, an_id(1)) is not None
    key = changes.pop("key", KM)
    with pytest.raises(ParentGoneError, match="replaced"):
        await store.add(a_kc(2, **changes), parent_key=key)
    assert await store.records(KeyKind.KC) == []


async def test_in_a_group_those_that_are_refused_are_refused_alone(store):
    additions = [
        store.add(a_kc(2), parent_key=KM),
        store.add(a_kc(3, parent=9), parent_key=KM),
        store.add(a_kc(4), parent_key=KM),
        store.add(a_kc(2), parent_key=KM),
    ]
    first, gone, second, double = await asyncio.gather(*additions, return_exceptions=True)
    assert {type(first), type(double)} == {type(None), RecordExistsError}
    assert isinstance(gone, ParentGoneError)
    assert second is None
    assert {record.key_id for record in await store.records(KeyKind.KC)} == {an_id(2), an_id(4)}


async def test_a_km_that_is_removed_between_the_lookup_and_the_commit_leaves_no_kc(store, tmp_path):
    async with await Store.open(tmp_path) as other:
        for number in range(10, 30):
            await store.add(a_km(number))
            assert store.find_now(KeyKind.KM, an_id(number)) is not None
            adding = asyncio.ensure_future(store.add(a_kc(100 + number, number), parent_key=KM))
            await asyncio.gather(
                adding, other.trust.revoke(KeyKind.KM, an_id(number)), return_exceptions=True
            )
    assert await store.records(KeyKind.KC) == []


async def test_after_a_rekey_by_another_process_new_keys_are_sealed_under_the_new_key(store, tmp_path):
    await store.add(a_kc(2), parent_key=KM)
    async with await Store.open(tmp_path) as other:
        await other.rekey()
        await store.add(a_kc(3), parent_key=KM)
        assert store.find_now(KeyKind.KM, an_id(1)) == a_km()
        assert await other.rekey() == 3
        assert len(await other.records(KeyKind.KC)) == 2


async def test_a_lock_of_another_program_is_waited_for_by_the_worker(store, by_hand):
    by_hand.execute("BEGIN IMMEDIATE")
    adding = asyncio.ensure_future(store.add(a_kc(2), parent_key=KM))
    assert store.find_now(KeyKind.KM, an_id(1)) == a_km()  # whoever reads does not wait
    await asyncio.sleep(0.1)
    assert not adding.done()
    by_hand.execute("ROLLBACK")
    await adding
    assert store.find_now(KeyKind.KC, an_id(2)) is not None


async def test_a_damaged_connection_is_left_to_the_worker_and_opened_anew(store, monkeypatch, worker_jobs):
    store.find_now(KeyKind.KM, an_id(1))
    store._hot._connection._connection.close()
    assert store.find_now(KeyKind.KC, an_id(2)) is Later.LATER
    assert await store.find(KeyKind.KM, an_id(1)) == a_km()
    await store.add(a_kc(2), parent_key=KM)
    assert len(worker_jobs) == 1
    monkeypatch.setattr(store._hot._connection, "_rests_until", 0.0)
    assert store.find_now(KeyKind.KC, an_id(2)) is not None


async def test_what_was_begun_before_a_store_is_closed_is_done(tmp_path):
    store = await Store.open(tmp_path)
    await store.add(a_km())
    adding = [asyncio.ensure_future(store.add(a_kc(n), parent_key=KM)) for n in range(100, 120)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*adding) == [None] * 20
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.add(a_kc(2), parent_key=KM)
    async with await Store.open(tmp_path) as again:
        assert len(await again.records(KeyKind.KC)) == 20


# --- the log: whose sync it is, ours are the three things that SQLite did ---


async def test_nobody_is_told_before_the_log_is_synced(store, tmp_path, monkeypatch):
    told, synced = [], []
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    sync_data = log._sync_data

    def slowly(descriptor):
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        synced.append(os.fstat(descriptor).st_ino)
        sync_data(descriptor)

    monkeypatch.setattr(log, "_sync_data", slowly)
    store.add_soon(a_kc(2), KM, told.append)
    await eventually(lambda: store.find_now(KeyKind.KC, an_id(2)))  # committed: others see it
    await asyncio.sleep(0.05)
    assert told == synced == []
    gate.set()
    await eventually(lambda: told)
    assert told == [None]
    assert synced == [(tmp_path / "store.db-wal").stat().st_ino]


async def test_the_name_of_a_new_log_is_synced_once_before_anybody_is_told(store, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(log, "sync_directory", synced.append)
    for number in range(2, 5):
        await store.add(a_kc(number), parent_key=KM)
        assert synced == [tmp_path]


async def test_a_log_that_was_made_anew_is_synced_under_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(log, "sync_directory", synced.append)
    path = tmp_path / "db-wal"
    path.touch()
    kept = WriteAheadLog(tmp_path / "db")
    kept.sync()
    (tmp_path / "new").touch()
    (tmp_path / "new").rename(path)
    kept.sync()
    kept.sync()
    kept.close()
    assert synced == [tmp_path, tmp_path]


async def test_the_header_of_a_log_that_begins_anew_is_not_written_by_the_loop(store, tmp_path, monkeypatch):
    """The thread that wrote the log back commits before it reports: then the header is there, synced."""
    monkeypatch.setattr(log, "FRAMES_MAX", 20)
    store._hot._log._mark = 20
    relieved, relieve = [], WriteAheadLog.relieve

    def watched(kept, connection):
        before = (tmp_path / "store.db-wal").read_bytes()[12:24]
        relieve(kept, connection)
        relieved.append((before, (tmp_path / "store.db-wal").read_bytes()[12:24]))

    monkeypatch.setattr(WriteAheadLog, "relieve", watched)
    beginnings = [await sequence(tmp_path)]
    for number in range(100, 160):
        await store.add(a_kc(number), parent_key=KM)
        beginnings.append(await sequence(tmp_path))
    assert len(relieved) >= 3
    assert all(before != after for before, after in relieved)
    assert set(beginnings) <= {relieved[0][0], *(after for _, after in relieved)}


async def test_the_loop_does_not_commit_while_a_thread_writes_the_log_back(store):
    told = []
    with store._hot._log.turn:
        store.add_soon(a_kc(2), KM, told.append)
        for _ in range(5):
            await asyncio.sleep(0.001)
            assert store.find_now(KeyKind.KC, an_id(2)) is None
    await eventually(lambda: told)
    assert told == [None]


async def test_two_writers_keep_the_log_short(store, tmp_path):
    async with await Store.open(tmp_path) as other:
        for first in range(0, 2000, 100):
            adding = [(one, 1000 + first + n) for n, one in enumerate([store, other] * 50)]
            await asyncio.gather(*(one.add(a_kc(n), parent_key=KM) for one, n in adding))
        assert len(await store.records(KeyKind.KC)) == 2000
    assert (tmp_path / "store.db-wal").stat().st_size < 16_000_000


async def test_many_keys_of_the_worker_alone_keep_the_log_short(store, tmp_path):
    await store.add_many(a_km(number) for number in range(1000, 9000))
    # One transaction of a thousand is in the log at once, and is written back after it.
    assert (tmp_path / "store.db-wal").stat().st_size < 4 * FRAMES_MAX * 4120


async def test_a_sync_that_failed_is_final_for_the_store_that_saw_it(store, tmp_path, monkeypatch):
    sync_data = log._sync_data

    def fails(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(log, "_sync_data", fails)
    failed = await asyncio.gather(
        *(store.add(a_kc(n), parent_key=KM) for n in range(100, 103)), return_exceptions=True
    )
    assert all(isinstance(error, StoreUnavailableError) for error in failed)
    assert len({id(error) for error in failed}) == 3
    monkeypatch.setattr(log, "_sync_data", sync_data)
    for write in (
        lambda: store.add(a_kc(2), parent_key=KM),
        lambda: store.add(a_km(3)),
        lambda: store.remove(KeyKind.KM, an_id(1)),
    ):
        with pytest.raises(StoreUnavailableError, match="did not keep"):
            await write()
    assert await store.find(KeyKind.KM, an_id(1)) == a_km()  # reading goes on
    async with await Store.open(tmp_path) as anew:
        await anew.add(a_kc(2), parent_key=KM)


async def test_a_sync_that_failed_in_a_commit_of_the_worker_is_final_too(store):
    def fails(connection):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with pytest.raises(StoreUnavailableError):
        await store._worker.write(fails)
    with pytest.raises(StoreUnavailableError, match="did not keep"):
        await store.add(a_kc(2), parent_key=KM)
