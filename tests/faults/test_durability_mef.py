"""``kill -9`` of the MEF at random moments under load: every Ke that an Enrolee got outlives it."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import random
import re
import sys
from pathlib import Path

import pytest

from maf_support import MAF, eventually
from mef_support import MEF, THE_MAF, Device, provision_mef
from onem2m_security.credentials import Secret
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks.bootstrap_psk import EnrolmentKey
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.keys import derive_km
from onem2m_security.net.address import Address
from onem2m_security.store import KeyKind, KeyRecord, Store

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["onem2m_security.cli"])  # fifty starts, but one import of everything
KILLS = 50
RETURNING = [Device(f"returning{n}") for n in range(4)]
FRESH = [Device(f"fresh{n}") for n in range(4000)]


def m2msec(arguments: list[str], output: Path) -> None:
    """What the ``m2msec`` command does, with its output in a file."""
    from onem2m_security.cli import main

    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["m2msec", *arguments]
    main()


class MefProcess:
    """``m2msec mef serve`` in a process of its own."""

    def __init__(self, data: Path, output: Path) -> None:
        self._output = output
        arguments = ["mef", "serve", "--data", data, "--fqdn", MEF, "--listen", "127.0.0.1:0"]
        self.process = FORKING.Process(target=m2msec, args=(list(map(str, arguments)), output), daemon=True)
        output.write_text("")
        self.process.start()

    async def ready(self) -> Address:
        await eventually(lambda: "listening on" in self.output or not self.process.is_alive(), seconds=60)
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.output)
        assert found, self.output
        return Address("127.0.0.1", int(found.group(1)))

    @property
    def output(self) -> str:
        return self._output.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


class Load:
    """Enrolees that bootstrap, and remember every Ke that they got."""

    def __init__(self) -> None:
        self.got: dict[KeyIdentifier, Secret] = {}
        self.newest: dict[Device, EnrolmentKey] = {}
        self.address: Address | None = None

    async def run(self, devices) -> None:
        for device in devices:
            while not await self._enrols(device):  # noqa: ASYNC110 - the MEF comes back by itself
                await asyncio.sleep(0.005)

    async def _enrols(self, device: Device) -> bool:
        if self.address is None:
            return False
        try:
            key = await device.enrol(self.address)
        except HandshakeError:
            return False
        # The Enrolee's handshake is complete: from here on it believes in this Ke.
        if device in RETURNING:
            self.newest[device] = key
        else:
            self.got[key.ke_id] = key.ke
        return True


async def stored(data: Path) -> list[KeyRecord]:
    async with await Store.open(data) as store:
        return await store.records(KeyKind.KE)


@pytest.mark.random
async def test_every_ke_that_an_enrolee_got_outlives_fifty_kills(tmp_path, seed):
    data = tmp_path / "mef"
    await provision_mef(data, [*RETURNING, *FRESH], [THE_MAF])
    chance = random.Random(seed)
    load = Load()
    fresh = iter(FRESH)  # shared: each bootstraps once, so that nobody may lose its Ke
    running = [asyncio.create_task(load.run(fresh)) for _ in range(4)]
    running += [asyncio.create_task(load.run(itertools.repeat(device))) for device in RETURNING]
    try:
        for round_number in range(KILLS):
            server = MefProcess(data, tmp_path / "output")
            before = len(load.got)
            load.address = await server.ready()
            await eventually(lambda before=before: len(load.got) > before)
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            server.kill()
            load.address = None
            records = await stored(data)
            there = {record.key_id: record.key for record in records}
            where = f"after kill {round_number} (seed {seed})"
            assert not [str(ke_id) for ke_id, ke in load.got.items() if there.get(ke_id) != ke], where
            # A later bootstrap, of which the kill may have kept its Enrolee, takes nothing from it.
            assert all(there.get(key.ke_id) == key.ke for key in load.newest.values()), where
        server = MefProcess(data, tmp_path / "output")
        maf = THE_MAF.client(await server.ready())
        for ke_id in chance.sample(sorted(load.got, key=str), 50):
            km = await maf.fetch_km(ke_id)
            assert km is not None
            assert km.key == derive_km(load.got[ke_id], MAF)
        await maf.close()
    finally:
        for task in running:
            task.cancel()
        server.kill()
    assert load.newest.keys() == set(RETURNING)
