"""The power fails at any moment: no key is lost that somebody was told of.

A process stores keys, and what it writes and syncs is put down. Then the disk is rebuilt as a cut leaves it:
what was synced, and of what was written since any part, torn. What SQLite does with it is SQLite's own.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from onem2m_security.store import Store
from places import importing_support
from power import Disk, Event, events, tracer
from store_support import a_record

CUTS = 1000
TOLD = "told"

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from store_support import *
from onem2m_security.store import Store, log

data, synced = Path(sys.argv[1]), sys.argv[2] == "synced"
log.FRAMES_MAX = 60  # the log begins anew again and again
if not synced:
    log._sync_data = lambda descriptor: None
told, at = os.open(data / "told", os.O_WRONLY | os.O_CREAT), 0

def tell(key_id):
    global at
    at += os.pwrite(told, key_id.relative.encode(), at)

async def handshakes(store, number, km):
    for n in range(50):
        kc = a_record(1000 * number + n, KeyKind.KC, parent=km.key_id)
        await store.add(kc, parent_key=km.key)
        tell(kc.key_id)
        if synced and n % 25 == 0:  # and what the worker's thread commits
            other = a_record(500 + 1000 * number + n)
            await store.add(other)
            tell(other.key_id)

async def main():
    async with await Store.open(data) as store:
        km = await store.find(KeyKind.KM, an_id(1))
        await asyncio.gather(*(handshakes(store, number, km) for number in range(1, 9)))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return tracer(tmp_path_factory.mktemp("power"))


async def a_trace(library: Path, tmp_path: Path, how: str) -> tuple[Disk, list[Event]]:
    """A disk before, and all that a process then did to it."""
    data, trace = tmp_path / "data", tmp_path / "trace"
    async with await Store.open(data) as store:
        await store.add(a_record(1))
    disk = Disk({"store.db": (data / "store.db").read_bytes()})
    environment = importing_support() | {"LD_PRELOAD": str(library), "TRACED": str(data), "TRACE": str(trace)}
    command = [sys.executable, "-c", PROGRAM, str(data), how]
    await asyncio.to_thread(subprocess.run, command, env=environment, check=True)
    return disk, list(events(trace))


def cuts(disk: Disk, done: list[Event], count: int, chance: random.Random) -> Iterator[tuple[set[str], dict]]:
    """What was told before each of so many cuts, and the files after it."""
    moments = sorted(chance.randrange(len(done)) for _ in range(count))
    told: set[str] = set()
    for moment, event in enumerate(done):
        while moments and moments[0] == moment:
            moments.pop(0)
            yield told, disk.cut(chance)
        if event.name == TOLD:
            told.add(event.octets.decode())
        elif not event.name.endswith("-shm"):
            disk.do(event)


def recovered(place: Path, files: dict[str, bytes]) -> set[str]:
    """The keys in the database, as whoever opens it next finds it."""
    for left in place.iterdir():
        left.unlink()
    for name, octets in files.items():
        (place / name).write_bytes(octets)
    with closing(sqlite3.connect(place / "store.db")) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # once is enough
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        return {
            key_id.partition("@")[0] for (key_id,) in connection.execute("SELECT key_id FROM key_records")
        }


@pytest.mark.random
async def test_a_thousand_power_cuts_lose_no_key_that_somebody_was_told_of(library, tmp_path, seed):
    disk, done = await a_trace(library, tmp_path, "synced")
    place = tmp_path / "place"
    place.mkdir()
    tested = 0
    for told, files in cuts(disk, done, CUTS, random.Random(seed)):
        tested += 1
        assert told <= recovered(place, files), f"cut {tested} (seed {seed})"
    assert tested == CUTS
    assert sum(event.name == TOLD for event in done) == 8 * 52
    began_anew = [e for e in done if e.name == "store.db-wal" and e.what == "w" and e.at == 0]
    assert len(began_anew) >= 5


async def test_without_the_sync_keys_would_be_lost(library, tmp_path):
    """The cuts are no formality: of a store that tells before it has synced they find the loss."""
    disk, done = await a_trace(library, tmp_path, "unsynced")
    place = tmp_path / "place"
    place.mkdir()
    found = cuts(disk, done, CUTS, random.Random(1))
    assert any(not told <= recovered(place, files) for told, files in found)
