"""Texts of strangers that no database can hold: answered like what is not there, and at nobody's cost."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine, event

from maf_support import EVERYBODY, LOOPBACK, MAF, STAKEHOLDERS, A, B, client_of
from onem2m_security.onem2m.paths import MAF_CLIENT_REG, MAF_SYMM_KEY_REG
from onem2m_security.onem2m.primitives import Operation, Rsc
from onem2m_security.onem2m.resources import SHORT_NAMES, MafClientRegistration
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.run import Server
from onem2m_security.store import Store

TEXTS = ["\x00", "a\x00b", "\x00" * 100, "\x7f", "é", "x" * 300]


@pytest.fixture
async def running(tmp_path, postgres):
    """A MAF over PostgreSQL; its store, its address, and the connections that it made to the database."""
    made = []
    store = await Store.open(tmp_path / "maf", url=postgres.new_url())
    await store.add_many([client.record for client in EVERYBODY])
    async with Server(store, [Maf(store, MAF, stakeholders=STAKEHOLDERS)]) as server:
        address = await server.start(LOOPBACK)

        def connected(*_: object) -> None:
            made.append(1)

        event.listen(Engine, "connect", connected)
        yield address, made
        event.remove(Engine, "connect", connected)


async def test_paths_that_no_database_can_hold_are_not_found_and_cost_no_connection(running):
    address, made = running
    async with client_of(B, address) as hostile, client_of(A, address) as honest:
        for path in (MAF_CLIENT_REG, MAF_SYMM_KEY_REG):
            for text in TEXTS:
                answer = await hostile.request(Operation.RETRIEVE, (*path, text))
                assert answer.rsc in {Rsc.NOT_FOUND, Rsc.BAD_REQUEST}, (path, text)
        before = len(made)

        async def attack():
            for _ in range(20):
                await hostile.request(Operation.RETRIEVE, (*MAF_CLIENT_REG, "\x00"))

        async def work():
            for _ in range(20):
                answer = await honest.request(Operation.RETRIEVE, (*MAF_SYMM_KEY_REG, "0" * 32))
                assert answer.rsc is Rsc.NOT_FOUND

        await asyncio.gather(attack(), work())
    assert len(made) == before


async def test_labels_with_any_character_are_kept_as_they_are(running):
    address, _ = running
    labels = ["\x00", "a\x00b", "\x7f é 😀"]
    async with client_of(A, address) as client:
        attributes = {
            "fqdn": str(MAF),
            "expirationTime": "20990101T000000",
            "adminFQDN": "admin.example",
            "labels": labels,
        }
        content = {
            MafClientRegistration.resource_name: {SHORT_NAMES[name]: v for name, v in attributes.items()}
        }
        made = await client.request(
            Operation.CREATE,
            MAF_CLIENT_REG,
            content=content,
            resource_type=MafClientRegistration.resource_type,
        )
        assert made.rsc is Rsc.CREATED
        registered = made.content[MafClientRegistration.resource_name]
        path = (*MAF_CLIENT_REG, registered[SHORT_NAMES["clientRegID"]])
        found = await client.request(Operation.RETRIEVE, path)
        assert found.content[MafClientRegistration.resource_name][SHORT_NAMES["labels"]] == labels
