"""``kill -9`` of the MEF at random moments under load: every Ke that an Enrolee got outlives it."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

import pytest

from forked_server import ForkedServer
from maf_support import MAF, eventually
from mef_support import MEF, THE_MAF, Device, provision_mef
from onem2m_security.credentials import Secret
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks.bootstrap_psk import EnrolmentKey
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.keys import derive_km
from onem2m_security.net.address import Address
from onem2m_security.store import KeyKind, KeyRecord, Store

KILLS = 50
RETURNING = [Device(f"returning{n}") for n in range(4)]
FRESH = [Device(f"fresh{n}") for n in range(4000)]


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
            server = ForkedServer("mef", MEF, data, tmp_path / "output")
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
        server = ForkedServer("mef", MEF, data, tmp_path / "output")
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
