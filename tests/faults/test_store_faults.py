"""What can go wrong under a store: killed processes, locks, full disks, altered rows, lost key rings."""

import asyncio
import dataclasses
import itertools
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from onem2m_security.errors import (
    ConfigurationError,
    RecordCorruptedError,
    StoreError,
    StoreUnavailableError,
)
from onem2m_security.identifiers import KeyIdentifier, Suid
from onem2m_security.store import ClientRegistration, KeyKind, KeyRing, Store
from onem2m_security.store.database import engine_for
from places import importing_support
from store_support import AE, CSE, END, ISSUED, MAF, a_record, an_id, postgres_server


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def sql(data: Path, statement: str, *parameters: object) -> list[tuple]:
    connection = sqlite3.connect(data / "store.db")
    try:
        with connection:
            return connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()


def kek_lines(data: Path) -> list[str]:
    return (data / "keyring").read_text().splitlines()[1:]


async def present(data: Path) -> set[int]:
    async with await Store.open(data) as store:
        return {int(record.key_id.relative, 16) for record in await store.records(KeyKind.KM)}


def child(program: str, data: Path, *arguments: object) -> subprocess.Popen:
    """Another Python process that runs ``main(store, *arguments)``."""
    wrapped = f"""
import asyncio, sys
from pathlib import Path
from store_support import *
from onem2m_security.errors import RecordExistsError
from onem2m_security.store import Store
{program}
async def run():
    async with await Store.open(Path(sys.argv[1]), busy_timeout=60) as store:
        await main(store, *map(int, sys.argv[2:]))
asyncio.run(run())
"""
    command = [sys.executable, "-c", wrapped, str(data), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=importing_support())


# --- killed processes ---

ADDER = """
async def main(store, seed):
    async def add(first):
        for number in range(first, first + 10**6):
            await store.add(a_record(number))
            print(number, flush=True)
    await asyncio.gather(*(add(10**6 * (8 * seed + n)) for n in range(8)))
"""


async def test_every_acknowledged_record_survives_a_kill(data):
    acknowledged = set()
    chance = random.Random(7)
    for seed in range(4):
        process = child(ADDER, data, seed)
        for _ in range(chance.randrange(1, 400)):
            acknowledged.add(int(process.stdout.readline()))
        process.kill()
        # The last line may have been cut short by the kill: only whole lines are acknowledgements.
        acknowledged |= {
            int(line) for line in process.stdout.read().splitlines(keepends=True) if line[-1] == "\n"
        }
        process.wait()
        process.stdout.close()
        assert acknowledged <= await present(data)
    assert len(acknowledged) >= 4


REKEYER = """
async def main(store):
    while True:
        print(await store.rekey(), flush=True)
"""


async def test_a_rekey_killed_at_any_moment_loses_nothing(data):
    records = [a_record(n) for n in range(1500)]
    async with await Store.open(data) as store:
        await store.add_many(records)
    chance = random.Random(11)
    for _ in range(6):
        process = child(REKEYER, data)
        assert process.stdout.readline() == "1500\n"
        await asyncio.sleep(chance.random() / 5)
        process.kill()
        process.communicate()
        async with await Store.open(data) as store:
            assert await store.records(KeyKind.KM) == records
    async with await Store.open(data) as store:
        await store.rekey()
        assert await store.records(KeyKind.KM) == records
    assert len(kek_lines(data)) == 1


async def test_a_rekey_that_ended_after_the_new_kek_was_written_is_harmless(data):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
    KeyRing.load(data / "keyring").rotate()
    assert len(kek_lines(data)) == 2
    async with await Store.open(data) as store:
        await store.add(a_record(2))
        assert await store.rekey() == 2
    assert len(kek_lines(data)) == 1
    assert await present(data) == {1, 2}


async def test_a_rekey_that_ended_before_the_old_kek_was_dropped_is_completed_by_the_next(data):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
        await store._worker.write(store._keeper.reseal_all)  # and not retire_keks
    assert len(kek_lines(data)) == 2
    async with await Store.open(data) as store:
        await store.add(a_record(2))
        assert await store.find(KeyKind.KM, an_id(1)) is not None
        assert await store.rekey() == 2
    assert len(kek_lines(data)) == 1
    assert await present(data) == {1, 2}


async def test_a_store_whose_making_ended_after_the_key_ring_is_made_all_the_same(data):
    data.mkdir(mode=0o700)
    ring = KeyRing.create(data / "keyring.unused")
    async with await Store.open(data) as store:
        await store.add(a_record(1))
    assert [line[:8] for line in kek_lines(data)] == [kek_id.hex() for kek_id in ring.kek_ids]
    assert await present(data) == {1}
    assert sorted(path.name for path in data.iterdir()) == ["keyring", "store.db"]


async def test_a_store_whose_making_ended_before_the_ring_got_its_name_is_opened_all_the_same(data):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
    (data / "keyring").rename(data / "keyring.unused")
    assert await present(data) == {1}
    assert (data / "keyring").exists()


@pytest.mark.parametrize("left", ["nothing", "an empty file", "empty tables"])
async def test_an_empty_database_beside_a_ring_that_has_been_used_is_refused(data, left):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
    before = kek_lines(data)
    if left == "empty tables":
        for table in ("key_records", "sealing_state"):
            sql(data, f"DELETE FROM {table}")
    else:
        (data / "store.db").unlink()
    if left == "an empty file":
        (data / "store.db").touch(mode=0o600)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="keyring has been used, but its database is empty"):
            await Store.open(data)
    assert kek_lines(data) == before


async def test_a_ring_that_was_never_used_does_not_pass_for_the_one_of_a_database(data):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
    (data / "keyring").unlink()
    KeyRing.create(data / "keyring.unused")
    with pytest.raises(ConfigurationError, match="keyring is missing"):
        await Store.open(data)


# --- several processes ---

CONTENDER = """
async def main(store, first):
    won = 0
    for number in range(100):
        await store.add(a_record(first + number))
        try:
            await store.add(a_record(number))
        except RecordExistsError:
            continue
        won += 1
    print(won)
"""


async def test_several_processes_share_a_new_directory(data):
    processes = [child(CONTENDER, data, 1000 * n) for n in range(1, 4)]
    outputs = [await asyncio.to_thread(process.communicate) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(int(output) for output, _ in outputs) == 100
    assert await present(data) == {n + 1000 * m for n in range(100) for m in range(4)}


# --- locks, full disks, read-only files ---


def test_sqlite_syncs_every_commit(data):
    data.mkdir()
    engine = engine_for(data, None, 1.0)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


@pytest.fixture
def locked(data) -> Iterator[sqlite3.Connection]:
    """Another program that holds the write lock, once it is told BEGIN EXCLUSIVE."""
    data.mkdir(mode=0o700)
    connection = sqlite3.connect(data / "store.db", isolation_level=None)
    yield connection
    connection.close()


async def test_a_locked_database_is_unavailable_to_writers_and_then_works_again(data, locked):
    async with await Store.open(data, busy_timeout=0.2) as store:
        await store.add(a_record(1))
        locked.execute("BEGIN EXCLUSIVE")
        outcomes = await asyncio.gather(
            store.add(a_record(2)),
            store.remove(KeyKind.KM, an_id(1)),
            store.rekey(),
            store.add_many([a_record(3)]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 4
        assert "locked by another program" in str(outcomes[0])
        locked.execute("ROLLBACK")
        await store.add(a_record(4))
    assert await present(data) == {1, 4}


async def test_reads_go_on_while_writes_wait_for_a_lock(data, locked):
    async with await Store.open(data, busy_timeout=60) as store:
        await store.add(record := a_record(1))
        locked.execute("BEGIN EXCLUSIVE")
        add = asyncio.ensure_future(store.add(a_record(2)))
        for _ in range(20):
            assert await store.find(KeyKind.KM, an_id(1)) == record
        async with await Store.open(data, busy_timeout=60) as other:
            assert await other.records(KeyKind.KM) == [record]
        assert not add.done()
        locked.execute("ROLLBACK")
        await add
    assert await present(data) == {1, 2}


async def test_a_database_locked_to_readers_too_is_unavailable(data):
    await (await Store.open(data)).close()
    connection = sqlite3.connect(data / "store.db", isolation_level=None)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        await Store.open(data, busy_timeout=0.1)
    connection.execute("ROLLBACK")
    connection.close()
    assert await present(data) == set()


@pytest.fixture
def disk() -> Iterator[dict[str, int]]:
    """The size of the disk, in pages of the database: what SQLite itself takes for a full disk."""
    size = {"pages": 1 << 30}

    def limit(connection, _record) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(f"PRAGMA max_page_count={size['pages']}")

    event.listen(Engine, "connect", limit)
    yield size
    event.remove(Engine, "connect", limit)


async def test_a_full_disk_is_unavailable_and_nothing_is_half_done(data, disk):
    await (await Store.open(data)).close()
    disk["pages"] = 60
    async with await Store.open(data) as store:
        outcomes = []
        for first in range(0, 2000, 100):
            outcomes += await asyncio.gather(
                *(store.add(a_record(n)) for n in range(first, first + 100)), return_exceptions=True
            )
        stored = {n for n, outcome in enumerate(outcomes) if outcome is None}
        refused = {n for n, outcome in enumerate(outcomes) if isinstance(outcome, StoreUnavailableError)}
        assert stored
        assert refused == set(range(2000)) - stored
        assert "full" in str(outcomes[max(refused)])
        assert await store.find(KeyKind.KM, an_id(min(stored))) is not None
        with pytest.raises(StoreUnavailableError, match="full"):
            await store.add_many(a_record(n) for n in range(5000, 6000))
        disk["pages"] = 1 << 30
        await store.add(a_record(7000))
    assert await present(data) == stored | {7000}


async def test_a_file_that_cannot_grow_is_unavailable_and_keeps_what_was_acknowledged(data):
    """The operating system refuses to write (a real limit on the size of files, in another process)."""
    program = """
import resource, signal
from onem2m_security.errors import StoreUnavailableError
async def main(store):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    stored = []
    try:
        for number in range(10_000):
            await store.add(a_record(number))
            stored.append(number)
    except StoreUnavailableError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await store.add(a_record(20_000))
        print(len(stored), error)
"""
    process = child(program, data)
    output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    count, _, message = output.partition(" ")
    assert "nothing is half done" in message
    assert await present(data) == {*range(int(count)), 20_000}


async def test_a_read_only_database_is_read_and_unavailable_to_writers(data):
    async with await Store.open(data) as store:
        await store.add(record := a_record(1))
        url = f"sqlite:///file:{data}/store.db?mode=ro&uri=true"
        async with await Store.open(data, url=url) as other:
            assert await other.find(KeyKind.KM, an_id(1)) == record
            with pytest.raises(StoreUnavailableError, match="read-only"):
                await other.add(a_record(2))
            assert await other.find(KeyKind.KM, an_id(1)) == record


async def test_a_file_that_is_no_database_is_unavailable(data):
    data.mkdir(mode=0o700)
    (data / "store.db").write_bytes(b"not a database, " * 1000)
    with pytest.raises(StoreUnavailableError, match="restore a backup"):
        await Store.open(data)


# --- altered rows ---

FULL = {
    "alias": an_id(7),
    "targets": (CSE,),
    "suid": Suid.PROVISIONED_MAF,
    "expires": END,
    "parent": an_id(8),
    "admin_fqdn": MAF,
    "labels": ("a",),
}
EDITS = [
    ("source", "/attacker"),
    ("source", None),
    ("targets", '["/attacker"]'),
    ("targets", ""),
    ("targets", "not json"),
    ("alias", "00@maf.example.com"),
    ("suid", 22),
    ("suid", "21st"),
    ("suid", None),
    ("issued", 0),
    ("issued", "then"),
    ("expires", None),
    ("expires", 2**62),
    ("parent", None),
    ("admin_fqdn", "attacker.example"),
    ("labels", '["b"]'),
    ("labels", b"\xff"),
    ("sealed", b""),
    ("sealed", "text"),
    ("sealed", bytes(65)),
]


@pytest.mark.parametrize(("column", "value"), EDITS)
async def test_an_edited_row_is_detected_and_named_and_harms_no_other(data, column, value):
    async with await Store.open(data) as store:
        await store.add(a_record(1, **FULL))
        await store.add(other := a_record(2))
        sql(data, f"UPDATE key_records SET {column} = ? WHERE key_id = ?", value, str(an_id(1)))
        found = await asyncio.gather(
            store.find(KeyKind.KM, an_id(1), now=ISSUED),
            store.find(KeyKind.KM, an_id(2), now=ISSUED),
            return_exceptions=True,
        )
        assert isinstance(found[0], RecordCorruptedError)
        assert f"km '{an_id(1)}'" in str(found[0])
        assert found[1] == other
        with pytest.raises(RecordCorruptedError, match=an_id(1).relative):
            await store.records(KeyKind.KM)
        errors: list[RecordCorruptedError] = []
        assert await store.records(KeyKind.KM, on_corrupted=errors.append) == [other]
        assert [str(an_id(1)) in str(error) for error in errors] == [True]
        assert await store.remove(KeyKind.KM, an_id(1))
        assert await store.records(KeyKind.KM) == [other]


async def test_swapped_seals_are_detected(data):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
        await store.add(a_record(2))
        (one,), (two,) = sql(data, "SELECT sealed FROM key_records ORDER BY key_id")
        for seal, number in ((two, 1), (one, 2)):
            sql(data, "UPDATE key_records SET sealed = ? WHERE key_id = ?", seal, str(an_id(number)))
        for number in (1, 2):
            with pytest.raises(RecordCorruptedError):
                await store.find(KeyKind.KM, an_id(number))


@pytest.mark.parametrize(("column", "value"), [("kind", "kpsa"), ("key_id", str(an_id(5)))])
async def test_a_row_moved_to_another_place_is_detected(data, column, value):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
        sql(data, f"UPDATE key_records SET {column} = ?", value)
        kind = KeyKind.KPSA if column == "kind" else KeyKind.KM
        with pytest.raises(RecordCorruptedError, match=r"kpsa|05@maf"):
            await store.find(kind, an_id(5) if column == "key_id" else an_id(1))


async def test_a_row_given_another_alias_is_not_found_under_it(data):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
        sql(data, "UPDATE key_records SET alias = ?", str(an_id(9)))
        with pytest.raises(RecordCorruptedError):
            await store.find(KeyKind.KM, an_id(9))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("client", "/attacker"),
        ("labels", '["b"]'),
        ("expires", 2**62),
        ("assigned_key_id", "x@y"),
        ("sealed", b""),
    ],
)
async def test_an_edited_registration_is_detected(data, column, value):
    registration = ClientRegistration("reg1", AE, MAF, ISSUED, expires=END)
    async with await Store.open(data) as store:
        await store.add_registration(registration, now=ISSUED)
        sql(data, f"UPDATE client_registrations SET {column} = ?", value)
        with pytest.raises(RecordCorruptedError, match="reg1"):
            await store.find_registration("reg1", now=ISSUED)
        with pytest.raises(RecordCorruptedError, match="reg1"):
            await store.rekey()


async def test_a_rekey_stops_at_an_altered_row_and_changes_nothing(data):
    async with await Store.open(data) as store:
        await store.add_many(a_record(n) for n in range(700))
        sql(data, "UPDATE key_records SET source = '/attacker' WHERE key_id = ?", str(an_id(600)))
        before = sql(data, "SELECT key_id, sealed FROM key_records ORDER BY key_id")
        results = await asyncio.gather(
            store.rekey(), *(store.add(a_record(n)) for n in range(1000, 1010)), return_exceptions=True
        )
        assert isinstance(results[0], RecordCorruptedError)
        assert results[1:] == [None] * 10  # those that were asked for in the same moment do not suffer
        assert sql(data, "SELECT key_id, sealed FROM key_records ORDER BY key_id")[:700] == before
        for _ in range(3):
            with pytest.raises(RecordCorruptedError, match=an_id(600).relative):
                await store.rekey()
        assert len(kek_lines(data)) <= 2
        assert await store.remove(KeyKind.KM, an_id(600))
        assert await store.rekey() == 709
    assert len(kek_lines(data)) == 1


async def test_neither_file_shows_a_key(data):
    record = a_record(1)
    async with await Store.open(data) as store:
        await store.add(record)
        for file in data.iterdir():
            content = file.read_bytes()
            assert record.key.reveal() not in content
            assert record.key.reveal().hex().encode() not in content


# --- the key ring and the directory ---


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_stolen_database_opens_nothing_and_gets_no_new_ring(data, hidden):
    async with await Store.open(data) as store:
        await store.add(a_record(1))
    (data / "keyring").unlink()
    if hidden:
        sql(data, "DELETE FROM sealing_state")
    with pytest.raises(ConfigurationError, match=r"keyring is missing"):
        await Store.open(data)
    assert not (data / "keyring").exists()


async def test_the_ring_of_another_database_is_refused(data, tmp_path):
    for directory in (data, tmp_path / "other"):
        async with await Store.open(directory) as store:
            await store.add(a_record(1))
    (tmp_path / "other/keyring").replace(data / "keyring")
    with pytest.raises(ConfigurationError, match="another database"):
        await Store.open(data)


async def test_a_ring_open_to_others_is_refused(data):
    await (await Store.open(data)).close()
    (data / "keyring").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        await Store.open(data)


async def test_all_that_is_made_is_private_whatever_the_umask(data):
    before = os.umask(0)
    try:
        async with await Store.open(data) as store:
            await store.add(a_record(1))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in data.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("keyring", "store.db", "store.db-wal", "store.db-shm"), 0o600)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


async def test_a_directory_that_others_write_into_is_refused(data):
    data.mkdir()
    data.chmod(0o770)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        await Store.open(data)


async def test_a_directory_that_is_a_file_is_refused(data):
    data.write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await Store.open(data)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "mysql://user:hunter2@host/db",
        "postgresql+asyncpg://user:hunter2@host/db",
        "nosuch://user:hunter2@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://user:hunter2@host:port/db",
    ],
)
async def test_a_url_that_cannot_work_is_refused_without_showing_it(data, url):
    with pytest.raises(ConfigurationError) as caught:
        await Store.open(data, url=url)
    assert "hunter2" not in str(caught.value)


# --- a PostgreSQL server that goes away ---


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server


async def test_a_lost_connection_is_unavailable_and_then_works_again(data, postgres):
    async with await Store.open(data, url=postgres.url("postgres")) as store:
        await store.add(record := a_record(1))
        await asyncio.to_thread(
            postgres.run,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres' "
            "AND pid <> pg_backend_pid()",
        )
        with pytest.raises(StoreUnavailableError):
            await store.find(KeyKind.KM, an_id(1))
        assert await store.find(KeyKind.KM, an_id(1)) == record
        await store.add(a_record(2))

        await asyncio.to_thread(postgres.stop)
        for attempt in (store.find(KeyKind.KM, an_id(1)), store.add(a_record(3))):
            with pytest.raises(StoreUnavailableError):
                await attempt
        await asyncio.to_thread(postgres.start)
        await store.add(a_record(4))
        assert [int(found.key_id.relative, 16) for found in await store.records(KeyKind.KM)] == [1, 2, 4]


class Watched:
    """What a store asks of its database: connections made, and statements."""

    def __init__(self) -> None:
        self.connections = self.statements = 0

    def connected(self, *_: object) -> None:
        self.connections += 1

    def executed(self, *_: object) -> None:
        self.statements += 1


@pytest.fixture
def watched() -> Iterator[Watched]:
    counts = Watched()
    event.listen(Engine, "connect", counts.connected)
    event.listen(Engine, "before_cursor_execute", counts.executed)
    yield counts
    event.remove(Engine, "connect", counts.connected)
    event.remove(Engine, "before_cursor_execute", counts.executed)


@pytest.mark.parametrize("bad", ["\x00", "\ud800"], ids=["NUL", "half a surrogate pair"])
@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
async def test_a_value_that_the_database_cannot_hold_fails_alone_and_drops_no_connection(
    data, postgres, watched, bad, write
):
    records = [a_record(n) for n in range(256)]
    wrong = KeyIdentifier(bad, MAF)  # as no parser gives it
    async with await Store.open(data, url=postgres.new_url()) as store:
        await store.add_many(records)
        before = watched.connections, watched.statements
        if write:
            ask = [
                store.add(dataclasses.replace(record, labels=("new",)), replace=True) for record in records
            ]
            ask.insert(100, store.add(a_record(key_id=wrong)))
        else:
            ask = [store.find(KeyKind.KM, record.key_id) for record in records]
            ask.insert(100, store.find(KeyKind.KM, wrong))
        outcomes = await asyncio.gather(*ask, return_exceptions=True)
        error = outcomes.pop(100)
        assert type(error) is StoreError
        assert "cannot hold" in str(error)
        assert outcomes == ([None] * 256 if write else records)
        assert watched.connections == before[0]
        assert watched.statements - before[1] < 150  # in halves: not once for each of the 256


async def test_an_unreachable_server_is_unavailable_and_its_password_is_not_shown(data, tmp_path):
    with pytest.raises(StoreUnavailableError) as caught:
        await Store.open(data, url=f"postgresql://user:hunter2@/db?host={tmp_path}")
    errors: list[BaseException | None] = [caught.value]
    while errors[-1] is not None:
        errors.append(errors[-1].__cause__ or errors[-1].__context__)
    assert not any("hunter2" in str(error) for error in itertools.takewhile(bool, errors))
