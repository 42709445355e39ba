"""An unknown identity costs what a known one does: counted here, timed in benchmarks/lookup_time.py."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, event

from maf_support import MAF, A
from mef_support import DEVICE, MEF
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.servers.bsf import Bsf
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.service import MafService
from onem2m_security.store import KeyKind, KeyRing, Store, hot_connection
from onem2m_security.store.records import Later
from onem2m_security.tls.suites import BY_OPENSSL_NAME
from store_support import a_record, an_id

SUITE = BY_OPENSSL_NAME["PSK-AES128-GCM-SHA256"]
BSF = Fqdn("bsf.example.com")
NOW = datetime.now(UTC)
UNKNOWN = KeyIdentifier("nobody", MAF)
AN_UNKNOWN = KeyIdentifier("nobody-else", MAF)


class Costs:
    """Statements that read keys, by whichever way, and seals that were opened."""

    def __init__(self) -> None:
        self.statements = self.opened = 0

    def executed(self, _connection, _cursor, statement, *_: object) -> None:
        self.statements += "FROM key_records" in statement

    def traced(self, statement: str) -> None:
        self.statements += "FROM key_records" in statement

    def connect(self, *arguments, **options):
        connection = sqlite3.connect(*arguments, **options)
        connection.set_trace_callback(self.traced)
        return connection

    def take(self) -> tuple[int, int]:
        taken = self.statements, self.opened
        self.statements = self.opened = 0
        return taken


@pytest.fixture
def costs(monkeypatch):
    counted = Costs()
    original = KeyRing.open

    def counting(ring, *arguments):
        counted.opened += 1
        return original(ring, *arguments)

    monkeypatch.setattr(KeyRing, "open", counting)
    counting_sqlite = SimpleNamespace(**vars(sqlite3) | {"connect": counted.connect})
    monkeypatch.setattr(hot_connection, "sqlite3", counting_sqlite)
    event.listen(Engine, "before_cursor_execute", counted.executed)
    yield counted
    event.remove(Engine, "before_cursor_execute", counted.executed)


@pytest.fixture
async def store(tmp_path, costs):
    async with await Store.open(tmp_path) as opened:
        await opened.add(A.record)
        await opened.add(DEVICE.record)
        await opened.add(a_record(1, alias=an_id(7), issued=NOW))
        await opened.add(a_record(2, issued=NOW, expires=NOW - timedelta(days=1)))
        await opened.add(
            a_record(key_id=KeyIdentifier("naf", BSF), kind=KeyKind.ZN, targets=(EntityId("naf"),))
        )
        yield opened


@pytest.mark.parametrize(
    ("make", "known", "unknown"),
    [
        (lambda store: Maf(store, MAF), [A.km_id, an_id(1), an_id(7)], [UNKNOWN, an_id(99), an_id(2)]),
        (lambda store: Mef(store, MEF), [DEVICE.kpm_id], [KeyIdentifier("nobody", MEF), UNKNOWN]),
        (lambda store: Bsf(store, BSF), [KeyIdentifier("naf", BSF)], [KeyIdentifier("nobody", BSF), UNKNOWN]),
    ],
    ids=["MAF", "MEF", "BSF"],
)
async def test_an_identity_costs_one_statement_and_one_seal_whether_it_is_known_or_not(
    store, costs, make, known, unknown
):
    """Only the first time, where credentials are remembered; and again when one was changed."""
    function = make(store)
    await function.resolve(str(AN_UNKNOWN).encode(), SUITE)  # what is made once is made
    for _ in range(2):
        await store.add(a_record(50), replace=True)
        costs.take()
        again = 1 if isinstance(function, Bsf) else 0
        for statements in (1, again, again):
            for key_id in (*known, *unknown):
                found = await function.resolve(str(key_id).encode(), SUITE)
                assert (found is not None) == (key_id in known)
                assert costs.take() == (statements, 1), key_id


async def test_it_stays_so_after_a_rekey(store, costs):
    assert await store.find(KeyKind.KM, UNKNOWN) is None
    await store.rekey()
    assert await store.find(KeyKind.KM, UNKNOWN) is None
    costs.take()
    for _ in range(2):
        assert await store.find(KeyKind.KM, UNKNOWN) is None
        assert costs.take() == (0, 1)


async def test_many_lookups_at_once_open_a_seal_for_each(store, costs):
    names = [A.km_id, an_id(7), UNKNOWN, an_id(98), an_id(99)]
    await store.find(KeyKind.KM, UNKNOWN)
    costs.take()
    found = await asyncio.gather(*(store.find(KeyKind.KM, name) for name in names))
    assert [record is not None for record in found] == [True, True, False, False, False]
    _, opened = costs.take()
    assert opened == len(names)


async def test_clients_that_are_counted_at_once_by_the_worker_are_counted_by_one_statement(
    store, costs, monkeypatch
):
    """Each MAF Handshake asks how many keys its client has: a statement for each made them a third dearer."""
    monkeypatch.setattr(store, "count_now", lambda *_, **__: Later.LATER)  # as with PostgreSQL
    clients = [EntityId(f"Cclient{number}") for number in range(20)]
    await store.count_keys(KeyKind.KC, clients[0], by_request=False)
    costs.take()
    await asyncio.gather(*(store.count_keys(KeyKind.KC, client, by_request=False) for client in clients))
    assert costs.take() == (1, 0)


async def test_clients_that_are_counted_together_are_counted_each_for_itself(store):
    one, two, none = (EntityId(f"Cclient{number}") for number in range(3))
    for number, source in ((10, one), (11, one), (12, two)):
        await store.add(a_record(number, kind=KeyKind.ZN, source=source, issued=NOW))
    await store.add(a_record(13, kind=KeyKind.ZN, source=one, issued=NOW, expires=NOW - timedelta(days=1)))
    await store.add(a_record(14, kind=KeyKind.ZN, source=one, issued=NOW, admin_fqdn=MAF))
    asked = [(one, False), (two, False), (none, False), (one, True), (two, True), (one, False)]
    counts = await asyncio.gather(
        *(store.count_keys(KeyKind.ZN, source, by_request=by_request) for source, by_request in asked)
    )
    assert counts == [2, 1, 0, 1, 0, 2]


def calls_of(function, identity: KeyIdentifier) -> int:
    """How many calls it takes to resolve an identity."""
    count = 0

    def called(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(called)
    try:
        function.resolve_now(str(identity).encode(), SUITE)
    finally:
        sys.setprofile(None)
    return count


async def test_a_maf_takes_as_many_calls_for_an_unknown_identity_as_for_a_known_one(store, tmp_path):
    """As ``m2msec`` runs it: who is asked for an unknown identity alone can be seen in the time it takes."""
    service = MafService(MAF, tmp_path, Address("127.0.0.1", 0))
    maf = service.build(store)
    for key_id in (A.km_id, UNKNOWN):
        for _ in range(2):
            maf.resolve_now(str(key_id).encode(), SUITE)
    known, unknown = calls_of(maf, A.km_id), calls_of(maf, UNKNOWN)
    assert abs(known - unknown) <= 15, (known, unknown)
