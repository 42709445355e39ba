"""Several processes store Kc on one database, while another removes Km: nothing is lost or comes back."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from onem2m_security.store import KeyKind, Store
from onem2m_security.store.log import FRAMES_MAX
from places import importing_support
from store_support import a_record, an_id

CLIENTS = 6

# One process makes keys for all clients until their Km are gone, and says how many were stored.
MAKER = """
import asyncio, sys
from pathlib import Path
from store_support import *
from onem2m_security.errors import ParentGoneError
from onem2m_security.store import Store

async def make(store, client, first):
    stored = 0
    km = await store.find(KeyKind.KM, an_id(client))
    for number in range(first, first + 10**6):
        try:
            await store.add(a_record(number, KeyKind.KC, parent=km.key_id), parent_key=km.key)
        except ParentGoneError:
            return stored
        stored += 1
        if stored == 20:
            print("going", flush=True)

async def main():
    async with await Store.open(Path(sys.argv[1]), busy_timeout=60) as store:
        clients = range(1, int(sys.argv[2]) + 1)
        first = int(sys.argv[3])
        stored = await asyncio.gather(*(make(store, n, first + n * 10**7) for n in clients))
        print(*stored, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def makers(tmp_path):
    def make(first: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MAKER, str(tmp_path / "data"), str(CLIENTS), str(first)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=importing_support())

    started: list[subprocess.Popen[str]] = []
    yield lambda first: started.append(make(first)) or started[-1]
    for process in started:
        process.kill()
        process.communicate()


async def two_that_store(store, makers):
    """Two processes that store Kc of every client, and have begun with each."""
    for client in range(1, CLIENTS + 1):
        await store.add(a_record(client))
    processes = [makers(number * 10**9) for number in (1, 2)]
    for process in processes:
        for _ in range(CLIENTS):
            assert await asyncio.to_thread(process.stdout.readline) == "going\n"
    return processes


async def test_what_was_revoked_does_not_come_back_and_the_log_stays_short(tmp_path, makers):
    data = tmp_path / "data"
    async with await Store.open(data, busy_timeout=60) as store:
        processes = await two_that_store(store, makers)
        for client in range(1, CLIENTS + 1):
            assert store.find_now(KeyKind.KM, an_id(client)) is not None
            await store.trust.revoke(KeyKind.KM, an_id(client))
            assert store.find_now(KeyKind.KM, an_id(client)) is None
        stored = [await asyncio.to_thread(process.stdout.readline) for process in processes]
        assert all(int(count) >= 20 for line in stored for count in line.split())
        assert [await asyncio.to_thread(process.wait) for process in processes] == [0, 0]
        assert await store.records(KeyKind.KC) == []
        assert (data / "store.db-wal").stat().st_size < 4 * FRAMES_MAX * 4120


async def test_every_kc_of_two_processes_is_there(tmp_path, makers):
    data = tmp_path / "data"
    async with await Store.open(data, busy_timeout=60) as store:
        processes = await two_that_store(store, makers)
        before = await store.records(KeyKind.KC)
        assert len(before) >= 2 * CLIENTS * 20
        for client in range(1, CLIENTS + 1):
            await store.remove(KeyKind.KM, an_id(client))  # without what came of it
        stored = [await asyncio.to_thread(process.stdout.readline) for process in processes]
        counts = [int(count) for line in stored for count in line.split()]
        assert len(await store.records(KeyKind.KC)) == sum(counts)
