"""Full disks, locked databases and altered rows under a running MAF: clear errors, and no key lost.

Every test ends with real clients that do the main job on the same server.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import sqlite3
import subprocess

import pytest

from logged import capture_logs
from maf_support import (
    MAF,
    A,
    B,
    C,
    client_of,
    provision,
    running_maf,
    the_main_job,
)
from onem2m_security.errors import HandshakeError
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.onem2m.primitives import Operation, Rsc
from requirements import lacks, needs


async def handshake_with(server) -> KeyIdentifier:
    return (await A.maf_client(Address("127.0.0.1", server.port)).handshake()).kc_id


async def kc_ids_in(data) -> set[KeyIdentifier]:
    async with running_maf(data) as running:
        return set(await running.kcs())


async def fails_until_mended_and_loses_nothing(programs, data, spoil, mend, reason: str) -> None:
    """Handshakes succeed; then the disk is spoiled and they fail clearly; then it is mended: they succeed."""
    server = programs.start_maf(data, "--verbose")
    got = [await handshake_with(server) for _ in range(3)]
    spoil(server)
    alerts: list[str | None] = []
    for _ in range(400):
        try:
            got.append(await handshake_with(server))
        except HandshakeError as error:
            alerts.append(error.alert and error.alert.name)
        if len(alerts) == 3:
            break
    assert alerts == ["internal_error"] * 3
    assert re.search(r"could not be made durable.*" + reason, server.errors)
    mend(server)
    got += [await handshake_with(server) for _ in range(3)]
    await the_main_job(Address("127.0.0.1", server.port))
    assert server.stop() == 0
    assert await kc_ids_in(data) >= set(got)


async def test_files_that_cannot_grow_fail_handshakes_clearly_and_lose_nothing(programs, tmp_path):
    data = tmp_path / "data"
    await provision(data, (A, B))

    def spoil(server):
        size = max(path.stat().st_size for path in data.iterdir())
        assert size < 2**20
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 40_000, resource.RLIM_INFINITY))

    def mend(server):
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    await fails_until_mended_and_loses_nothing(programs, data, spoil, mend, "nothing is half done")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 2 MiB; needs the right to mount."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = [needs("mount"), "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(mounted)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        lacks("the right to mount a file system")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


async def test_a_full_disk_fails_handshakes_clearly_and_loses_nothing(programs, small_disk):
    data = small_disk / "data"
    await provision(data, (A, B))
    filler = small_disk / "filler"

    def spoil(server):
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass

    await fails_until_mended_and_loses_nothing(
        programs, data, spoil, lambda _: filler.unlink(), "disk is full"
    )


async def test_a_locked_database_fails_handshakes_clearly_and_loses_nothing(maf, tmp_path):
    before = (await A.maf_client(maf.address).handshake()).kc_id
    other = sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with capture_logs() as logged, pytest.raises(HandshakeError) as caught:
            await A.maf_client(maf.address).handshake()
        assert caught.value.alert.name == "internal_error"
        assert any("locked by another program" in entry.get("error", "") for entry in logged)
        # Reading goes on: B has no target, so that its handshake stores nothing.
        found = await B.maf_client(maf.address).retrieve(before)
        assert found is not None
        other.execute("ROLLBACK")
    finally:
        other.close()
    after = (await A.maf_client(maf.address).handshake()).kc_id
    assert set(await maf.kcs()) == {before, after}


async def test_a_short_lock_delays_a_handshake_and_fails_none(tmp_path):
    async with running_maf(tmp_path / "data", busy_timeout=20.0) as running:
        other = sqlite3.connect(tmp_path / "data" / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(A.maf_client(running.address).handshake())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        other.execute("ROLLBACK")
        other.close()
        key = await waiting
        assert (await running.kcs())[key.kc_id] == key.kc


def alter(data, statement: str, *parameters: object) -> None:
    with contextlib.closing(sqlite3.connect(data / "store.db")) as connection, connection:
        assert connection.execute(statement, parameters).rowcount == 1


@pytest.mark.parametrize(
    "change",
    ["source = '//sp.example/in-cse/Cthief'", "targets = '[\"//sp.example/other-cse\"]'", "sealed = x'00'"],
)
async def test_a_corrupted_client_is_refused_and_named_and_others_go_on(maf, tmp_path, change):
    alter(
        tmp_path / "data", f"UPDATE key_records SET {change} WHERE kind = 'km' AND key_id = ?", str(A.km_id)
    )
    with capture_logs() as logged, pytest.raises(HandshakeError) as caught:
        await A.maf_client(maf.address).handshake()
    assert caught.value.alert.name == "internal_error"
    [entry] = [entry for entry in logged if "could not be found" in entry["event"]]
    assert str(A.km_id) in entry["error"]
    assert "provision it again" in entry["error"]
    assert (await B.maf_client(maf.address).retrieve(KeyIdentifier.parse(f"{'0' * 32}@{MAF}"))) is None
    await provision(tmp_path / "data", (A,))


async def test_a_corrupted_kc_is_handed_to_nobody(maf, tmp_path):
    key = await A.maf_client(maf.address).handshake()
    other = await A.maf_client(maf.address).handshake()
    alter(
        tmp_path / "data",
        "UPDATE key_records SET targets = '[\"//sp.example/other-cse\"]' WHERE kind = 'kc' AND key_id = ?",
        str(key.kc_id),
    )
    async with client_of(C, maf.address) as client:
        response = await client.request(Operation.RETRIEVE, ("maf", "symmKeyReg", key.kc_id.relative))
    assert response.rsc is Rsc.INTERNAL_SERVER_ERROR
    assert key.kc.reveal().hex() not in str(response.content)
    found = await B.maf_client(maf.address).retrieve(other.kc_id)
    assert found is not None
    assert found.key == other.kc
