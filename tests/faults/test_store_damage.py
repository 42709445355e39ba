"""A database that is damaged, or on a disk that cannot be written: clear errors and no others."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from onem2m_security.errors import (
    ConfigurationError,
    SecurityFrameworkError,
    StoreError,
    StoreUnavailableError,
)
from onem2m_security.store import ClientRegistration, KeyKind, Store
from programs import m2msec
from requirements import lacks, needs
from store_support import AE, END, ISSUED, MAF, a_record, an_id

PAGE = 4096
RECORDS = 200


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A data directory with something of every sort in it, closed."""
    data = tmp_path_factory.mktemp("sound") / "data"

    async def fill() -> None:
        async with await Store.open(data) as store:
            await store.add_many(
                a_record(n, alias=an_id(n + 5000), parent=an_id(n + 9000), expires=END)
                for n in range(RECORDS)
            )
            await store.add_registration(ClientRegistration("reg1", AE, MAF, ISSUED))

    asyncio.run(fill())
    return data


@pytest.fixture
def data(tmp_path, sound) -> Path:
    return shutil.copytree(sound, tmp_path / "data")


async def use(data: Path) -> list[Exception]:
    """Do everything that a store can do; the errors that came of it."""
    errors: list[Exception] = []
    try:
        async with await Store.open(data, existing=True, busy_timeout=0.3) as store:
            for act in (
                lambda: store.records(KeyKind.KM),
                lambda: store.records(KeyKind.KM, source=AE),
                lambda: store.find(KeyKind.KM, an_id(3), now=ISSUED),
                lambda: store.find(KeyKind.KM, an_id(5003), now=ISSUED),
                lambda: store.find_registration("reg1", now=ISSUED),
                store.subscribers.all,
                lambda: store.add(a_record(900)),
                lambda: store.add(a_record(901), others=lambda _: ()),
                lambda: store.remove(KeyKind.KM, an_id(9005), descendants=True),
                store.rekey,
                lambda: store.purge_expired(END),
            ):
                try:
                    await act()
                except SecurityFrameworkError as error:
                    errors.append(error)
    except SecurityFrameworkError as error:
        errors.append(error)
    for error in errors:
        assert isinstance(error, StoreError | ConfigurationError)
        assert "\n" not in str(error)
    return errors


# --- damage ---


def truncated(octets: bytearray, chance: random.Random) -> None:
    del octets[chance.randrange(len(octets)) :]


def with_random_pages(octets: bytearray, chance: random.Random) -> None:
    for at in chance.sample(range(0, len(octets), PAGE), 3):
        octets[at : at + PAGE] = chance.randbytes(PAGE)


def with_empty_pages(octets: bytearray, chance: random.Random) -> None:
    for at in chance.sample(range(PAGE, len(octets), PAGE), 3):
        octets[at : at + PAGE] = bytes(PAGE)


def with_random_octets(octets: bytearray, chance: random.Random) -> None:
    for at in chance.sample(range(len(octets)), 50):
        octets[at] = chance.randrange(256)


def with_a_random_header(octets: bytearray, chance: random.Random) -> None:
    for at in chance.sample(range(100), 3):
        octets[at] = chance.randrange(256)


def with_swapped_pages(octets: bytearray, chance: random.Random) -> None:
    one, two = (slice(at, at + PAGE) for at in chance.sample(range(PAGE, len(octets), PAGE), 2))
    octets[one], octets[two] = octets[two], octets[one]


DAMAGES = (
    truncated,
    with_random_pages,
    with_empty_pages,
    with_random_octets,
    with_a_random_header,
    with_swapped_pages,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_damaged_database_ends_in_errors_of_ours_alone(data, sound, damage):
    chance = random.Random(damage.__name__)
    failures = 0
    for _ in range(6):
        shutil.rmtree(data)
        shutil.copytree(sound, data)
        octets = bytearray((sound / "store.db").read_bytes())
        damage(octets, chance)
        (data / "store.db").write_bytes(octets)
        failures += bool(await use(data))
    assert failures  # it was damaged


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('0001')",
        "UPDATE alembic_version SET version_num = x'ff00'",
        "DROP TABLE alembic_version",
        "DROP TABLE key_records",
        "DROP TABLE sealing_state",
        "ALTER TABLE key_records DROP COLUMN admin_fqdn",
        "UPDATE sealing_state SET kek_id = 1099511627776",
        "UPDATE sealing_state SET kek_id = 'text'",
        "UPDATE key_records SET sealed = 1099511627776",
        "UPDATE key_records SET key_id = CAST(x'ff' || key_id AS TEXT)",
        "UPDATE key_records SET expires = x'00'",
        "UPDATE client_registrations SET labels = CAST(x'ff' AS TEXT)",
        "CREATE TRIGGER t BEFORE INSERT ON key_records BEGIN SELECT RAISE(ABORT, 'no'); END",
    ],
)
async def test_tables_that_were_tampered_with_end_in_errors_of_ours_alone(data, statement):
    connection = sqlite3.connect(data / "store.db")
    with connection:
        connection.execute(statement)
    connection.close()
    assert await use(data)


async def test_a_directory_in_the_place_of_the_database_is_refused(data):
    (data / "store.db").unlink()
    (data / "store.db").mkdir()
    [error] = await use(data)
    assert "store.db" in str(error) or "cannot be opened" in str(error)
    with pytest.raises(ConfigurationError, match=r"store\.db cannot be used"):
        await Store.open(data)


@pytest.mark.parametrize(
    "command",
    [
        ("maf", "clients"),
        ("maf", "serve", "--fqdn", "maf.example.com", "--listen", "127.0.0.1:0"),
    ],
    ids=["clients", "serve"],
)
def test_a_command_on_a_damaged_database_ends_with_one_line(data, command):
    octets = bytearray((data / "store.db").read_bytes())
    octets[PAGE:] = random.Random(1).randbytes(len(octets) - PAGE)
    (data / "store.db").write_bytes(octets)
    done = m2msec(*command, "--data", data, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("m2msec: ")
    assert done.stderr.count("\n") == 1
    assert "restore a backup" in done.stderr


# --- a disk that cannot be written ---


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, and the command that makes it read-only; needs the right to mount."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(mounted)]
    needs("mount")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        lacks("the right to mount a file system")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert not os.access(disk, os.W_OK)


async def read_all(data: Path) -> set[int]:
    async with await Store.open(data, existing=True) as store:
        found = {int(record.key_id.relative, 16) for record in await store.records(KeyKind.KM)}
        with pytest.raises(StoreUnavailableError, match="read-only"):
            await store.add(a_record(5000))
        return found


async def test_a_database_on_a_disk_that_cannot_be_written_is_read(disk, data):
    shutil.copytree(data, disk / "data?#%20ü")  # a name that would mean something in a URL
    make_read_only(disk)
    assert await read_all(disk / "data?#%20ü") == set(range(RECORDS))
    done = m2msec("maf", "clients", "--data", disk / "data?#%20ü", "--json")
    assert done.stdout.count('"km_id"') == RECORDS
    removing = m2msec(
        "maf", "remove-client", "--data", disk / "data?#%20ü", "--km-id", str(an_id(1)), check=False
    )
    assert "read-only" in removing.stderr


@pytest.mark.parametrize("index", [True, False], ids=["with the index", "without the index"])
async def test_what_is_only_in_the_log_of_a_database_is_read_too_or_refused(disk, data, index):
    """As a server leaves it that was killed: opening it in any other way would show an older state."""
    async with await Store.open(data) as store:
        await store.add(a_record(4000))
        shutil.copytree(data, disk / "data")
    if not index:
        (disk / "data/store.db-shm").unlink()
    make_read_only(disk)
    if index:
        assert await read_all(disk / "data") == {*range(RECORDS), 4000}
    else:
        with pytest.raises(ConfigurationError, match="copy the directory"):
            await Store.open(disk / "data", existing=True)
