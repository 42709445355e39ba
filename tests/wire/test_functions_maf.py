"""The MAF as a function over a store: the handshake, what it registers, who may ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from maf_sessions import shake_hands
from maf_support import A_OF_TWO, EVERYBODY, ID_A, ID_B, ID_C, MAF, A, B, Client, key_of, running_maf
from onem2m_security.credentials import Framework
from onem2m_security.errors import HandshakeError
from onem2m_security.identifiers import KeyIdentifier, Suid
from onem2m_security.keys import ExportLabel
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.onem2m.primitives import Operation, Rsc
from onem2m_security.servers.maf import DEFAULT_KC_LIFETIME, Maf
from onem2m_security.store import KeyKind, Store


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "data") as opened:
        await opened.add_many([client.record for client in EVERYBODY])
        yield opened


@pytest.fixture
async def maf(store) -> Maf:
    return Maf(store, MAF)


async def test_a_handshake_registers_the_kc_that_both_ends_export(maf, store):
    session = await shake_hands(maf, A)
    exported = session.client.export(ExportLabel.CONNECTION)
    [record] = await store.records(KeyKind.KC)
    assert record.key_id == exported.key_id(MAF)
    assert record.key == exported.key
    assert (record.source, record.targets, record.suid) == (ID_A, (ID_B,), Suid.MAF_SAEF)
    assert record.parent == A.km_id
    assert record.expires - record.issued == DEFAULT_KC_LIFETIME


async def test_the_session_is_associated_with_the_client(maf):
    session = await shake_hands(maf, A)
    association = session.here.association
    assert (str(association.local), association.peer) == (str(MAF), ID_A)
    assert association.framework is Framework.MAF_HANDSHAKE
    assert str(association.credential_id) == f"11-{A.km_id}"


async def test_every_handshake_makes_another_kc(maf, store):
    for _ in range(3):
        await shake_hands(maf, A)
    assert len({record.key for record in await store.records(KeyKind.KC)}) == 3


@pytest.mark.parametrize("client", [A_OF_TWO, B], ids=["two targets", "no target"])
async def test_without_exactly_one_target_a_handshake_registers_nothing(maf, store, client):
    assert await shake_hands(maf, client) is not None
    assert await store.records(KeyKind.KC) == []


async def test_a_km_id_is_found_in_any_case(maf):
    session = await shake_hands(maf, A, identity=f"A@{MAF}".upper())
    assert session.here.association.peer == ID_A


@pytest.mark.parametrize(
    "identity", ["nobody@maf.example.com", "a@mef.example.com", "a", "a@maf.example.com.evil"]
)
async def test_an_unknown_identity_resolves_to_nothing(maf, store, identity):
    assert await shake_hands(maf, A, identity=identity) is None
    assert await store.records(KeyKind.KC) == []


async def test_a_wrong_km_fails_and_registers_nothing(maf, store):
    assert await shake_hands(maf, A, km=key_of("another")) is None
    assert await store.records(KeyKind.KC) == []


async def test_an_expired_km_is_as_good_as_unknown(maf, store):
    ended = Client("ended", ID_A, (ID_B,), expires=datetime.now(UTC) - timedelta(seconds=1))
    await store.add(ended.record)
    assert await shake_hands(maf, ended) is None


async def test_kc_never_outlives_the_km_it_came_from(maf, store):
    ends = datetime.now(UTC) + timedelta(minutes=5)
    await store.add(Client("short", ID_A, (ID_B,), expires=ends).record)
    await shake_hands(maf, Client("short", ID_A, (ID_B,)))
    [record] = await store.records(KeyKind.KC)
    assert record.expires == ends


async def test_the_lifetime_of_kc_is_a_setting_and_an_expired_kc_is_not_handed_out(store):
    maf = Maf(store, MAF, kc_lifetime=timedelta(microseconds=1))
    await shake_hands(maf, A)
    [record] = await store.records(KeyKind.KC)
    b = await shake_hands(maf, B)
    response = await b.request(Operation.RETRIEVE, "symmKeyReg", record.key_id.relative)
    assert response.rsc is Rsc.NOT_FOUND
    assert await store.purge_expired(datetime.now(UTC)) == 1
    assert await store.records(KeyKind.KC) == []


async def test_removing_a_client_removes_the_keys_that_came_from_it(maf, store):
    await shake_hands(maf, A)
    assert await store.remove(KeyKind.KM, A.km_id, descendants=True)
    assert await store.records(KeyKind.KC) == []


async def test_a_client_that_is_removed_during_its_handshake_gets_no_kc(tmp_path):
    """Over the wire: it is removed after its Km was found and before Kc is stored, five times of five."""
    found, removed = asyncio.Event(), asyncio.Event()

    class Held:
        """The MAF's own resolver, with a pause after each answer."""

        def __init__(self, resolver):
            self.resolver = resolver

        async def resolve(self, identity, suite):
            key = await self.resolver.resolve(identity, suite)
            found.set()
            await removed.wait()
            return key

    async with running_maf(tmp_path) as running:
        running.maf.acceptor.resolver = Held(running.maf)
        for change in ("removed", "given another Km", "removed", "given another Km", "removed"):
            await running.store.add(A.record, replace=True)
            found.clear()
            removed.clear()
            handshake = asyncio.create_task(open_channel(Link(running.address), A.initiator()))
            await found.wait()
            if change == "removed":
                await running.store.remove(KeyKind.KM, A.km_id, descendants=True)
            else:
                await running.store.add(replace(A.record, key=key_of("another")), replace=True)
            removed.set()
            with pytest.raises(HandshakeError):
                await handshake
            assert await running.kcs() == {}


async def test_a_key_id_other_than_km_is_no_master_credential(maf, store):
    session = await shake_hands(maf, A)
    kc_id = session.client.export(ExportLabel.CONNECTION).key_id(MAF)
    assert await store.find(KeyKind.KC, kc_id) is not None
    assert await maf.resolve(str(kc_id).encode(), session.client.session.suite) is None


@pytest.mark.parametrize("originator", ["", str(ID_C), "Csensor", "/", str(ID_A).upper()])
async def test_a_request_under_another_name_is_refused(maf, originator):
    session = await shake_hands(maf, A)
    response = await session.request(Operation.RETRIEVE, "symmKeyReg", "0" * 32, originator=originator)
    assert response.rsc is Rsc.ORIGINATOR_NOT_AUTHENTICATED


@pytest.mark.parametrize(
    ("operation", "path", "rsc"),
    [
        (Operation.RETRIEVE, ("symmKeyReg",), Rsc.OPERATION_NOT_ALLOWED),
        (Operation.CREATE, ("symmKeyReg", "x"), Rsc.OPERATION_NOT_ALLOWED),
        (Operation.NOTIFY, ("symmKeyReg", "x"), Rsc.OPERATION_NOT_ALLOWED),
        (Operation.UPDATE, (), Rsc.OPERATION_NOT_ALLOWED),
        (Operation.RETRIEVE, ("symmKeyReg", "a", "b"), Rsc.NOT_FOUND),
        (Operation.RETRIEVE, ("SYMMKEYREG", "x"), Rsc.NOT_FOUND),
    ],
)
async def test_a_path_without_a_route_is_not_found_and_a_route_without_the_operation_refuses_it(
    maf, operation, path, rsc
):
    session = await shake_hands(maf, A)
    assert (await session.request(operation, *path)).rsc is rsc


async def test_a_function_that_the_store_fails_answers_without_internals(maf, store):
    session = await shake_hands(maf, B)
    await store.close()
    response = await session.request(Operation.RETRIEVE, "symmKeyReg", "0" * 32)
    assert response.rsc is Rsc.INTERNAL_SERVER_ERROR
    assert "store" not in str(response.content).lower()
    assert KeyIdentifier.parse(f"{'0' * 32}@{MAF}").relative not in str(response.content)
