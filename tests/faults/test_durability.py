"""``kill -9`` of the MAF at random moments under load: every Kc that a client got outlives it."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

import pytest

from forked_server import ForkedServer
from maf_support import ID_B, MAF, A, B, Client, eventually, provision
from onem2m_security.credentials import Secret
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks.maf_handshake import ConnectionKey, export_connection_key
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.channel import open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.peer_quotas import DEFAULT_QUOTAS
from onem2m_security.store import KeyKind, Store

KILLS = 50
CLIENTS = tuple(Client(f"a{n}", EntityId.parse(f"Csensor{n}"), (ID_B,)) for n in range(8))
KEPT = DEFAULT_QUOTAS.live_keys // 2
PATIENT = Limits(handshake_seconds=30.0)


class Load:
    """Clients that do one MAF Handshake after the other, and remember every Kc that they got."""

    def __init__(self) -> None:
        self.by_client: dict[Client, dict[KeyIdentifier, Secret]] = {}
        self.address: Address | None = None

    @property
    def got(self) -> dict[KeyIdentifier, Secret]:
        """The newest of each client: beyond its quota, the oldest gives way."""
        newest = (list(kept.items())[-KEPT:] for kept in self.by_client.values())
        return dict(itertools.chain.from_iterable(newest))

    @property
    def count(self) -> int:
        return sum(map(len, self.by_client.values()))

    async def run(self, client: Client) -> None:
        got = self.by_client.setdefault(client, {})
        while True:
            if self.address is None:
                await asyncio.sleep(0.005)
                continue
            try:
                async with await open_channel(
                    Link(self.address, limits=PATIENT), client.initiator()
                ) as channel:
                    # The client's handshake is complete: from here on it believes in this Kc.
                    key: ConnectionKey = export_connection_key(channel.established, MAF)
                    got[key.kc_id] = key.kc
            except HandshakeError:
                await asyncio.sleep(0.005)


async def stored(data: Path) -> dict[KeyIdentifier, Secret]:
    async with await Store.open(data) as store:
        return {record.key_id: record.key for record in await store.records(KeyKind.KC)}


@pytest.mark.random
async def test_every_kc_that_a_client_got_outlives_fifty_kills(tmp_path, seed):
    data = tmp_path / "data"
    await provision(data, (*CLIENTS, A, B))
    chance = random.Random(seed)
    load = Load()
    running = [asyncio.create_task(load.run(client)) for client in CLIENTS]
    try:
        for round_number in range(KILLS):
            server = ForkedServer("maf", MAF, data, tmp_path / "output")
            before = load.count
            load.address = await server.ready()
            await eventually(lambda before=before: load.count > before)
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            server.kill()
            load.address = None
            there = await stored(data)
            lost = [str(kc_id) for kc_id, kc in load.got.items() if there.get(kc_id) != kc]
            assert not lost, f"after kill {round_number} (seed {seed})"
        server = ForkedServer("maf", MAF, data, tmp_path / "output")
        b = B.maf_client(await server.ready())
        got = load.got
        sample = chance.sample(sorted(got, key=str), 50)
        for kc_id in sample:
            found = await b.retrieve(kc_id)
            assert found is not None
            assert found.key == got[kc_id]
        await b.close()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        server.kill()
    assert load.count >= KILLS


async def test_a_graceful_stop_under_load_loses_nothing_and_exits_with_0(tmp_path, programs):
    data = tmp_path / "data"
    await provision(data, CLIENTS)
    server = await asyncio.to_thread(programs.start_maf, data)
    load = Load()
    load.address = Address("127.0.0.1", server.port)
    running = [asyncio.create_task(load.run(client)) for client in CLIENTS]
    await eventually(lambda: load.count >= 50)
    assert await asyncio.to_thread(server.stop) == 0
    for task in running:
        task.cancel()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    there = await stored(data)
    assert all(there.get(kc_id) == kc for kc_id, kc in load.got.items())
    assert "Traceback" not in server.errors
