"""What happens to one key at the same moment: nothing that was removed comes back, on either database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from onem2m_security.credentials import Secret
from onem2m_security.errors import ParentGoneError, RecordCorruptedError, RecordExistsError
from onem2m_security.store import KeyKind
from store_support import AE, CSE, ISSUED, a_record, an_id

KM, OTHER_KEY = Secret.generate(), Secret.generate()


def a_km(number: int = 1, **changes):
    return a_record(number, **({"key": KM} | changes))


def a_kc(number: int, parent: int = 1, **changes):
    return a_record(number, KeyKind.KC, parent=an_id(parent), **changes)


async def numbers(store, kind) -> set[int]:
    return {int(record.key_id.relative, 16) for record in await store.records(kind)}


# --- a key is stored only if the one it came from is there ---


async def test_a_kc_is_stored_while_its_km_is_there(store):
    await store.add(a_km())
    await store.add(kc := a_kc(2), parent_key=KM)
    assert await store.find(KeyKind.KC, an_id(2)) == kc
    with pytest.raises(RecordExistsError):
        await store.add(a_kc(2), parent_key=KM)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (None, "removed"),
        (a_km(key=OTHER_KEY), "replaced"),
        (a_km(source=CSE), "replaced"),
        (a_record(1, KeyKind.KPM, key=KM), "removed"),
    ],
    ids=["gone", "another key", "another client", "another kind"],
)
async def test_a_kc_whose_km_is_not_the_one_it_came_from_is_refused(store, now, reason):
    if now is not None:
        await store.add(now)
    with pytest.raises(ParentGoneError, match=reason):
        await store.add(a_kc(2), parent_key=KM)
    assert await store.records(KeyKind.KC) == []


async def test_of_many_keys_at_once_only_those_without_their_parent_are_refused(store):
    await store.add_many([a_km(n) for n in range(50)])
    outcomes = await asyncio.gather(
        *(store.add(a_kc(n + 1000, n), parent_key=KM) for n in range(100)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 50 + [ParentGoneError] * 50
    assert await numbers(store, KeyKind.KC) == set(range(1000, 1050))


async def test_a_removal_takes_with_it_every_kc_that_was_on_its_way(store, other):
    """Whatever the order in which the two processes come to it, no Kc is left without its Km."""
    await store.add_many([a_km(n) for n in range(60)])

    refused = []

    async def derive(km):
        for kc in range(1000 + 20 * km, 1020 + 20 * km):
            try:
                await store.add(a_kc(kc, km), parent_key=KM)
            except ParentGoneError:
                refused.append(kc)

    async def remove(km):
        await asyncio.sleep(km / 1000)
        assert await other.remove(KeyKind.KM, an_id(km), descendants=True)

    await asyncio.gather(*(derive(km) for km in range(60)), *(remove(km) for km in range(0, 60, 2)))
    assert refused  # otherwise nothing raced
    left = await store.records(KeyKind.KC)
    kms = await numbers(store, KeyKind.KM)
    assert kms == set(range(1, 60, 2))
    assert {int(kc.parent.relative, 16) for kc in left} == kms
    assert len(left) == 20 * len(kms)


async def test_removing_an_enrolee_takes_what_is_derived_two_generations_below(store, other):
    """An MEF and a MAF may share a store: Kpm, Ke, Km, Kc."""
    for n in range(30):
        await store.add(a_record(n, KeyKind.KPM))
        await store.add(a_record(100 + n, KeyKind.KE, parent=an_id(n)))
        await store.add(a_km(200 + n, parent=an_id(100 + n)))
    derived = (
        store.add(a_kc(1000 + 10 * n + m, 200 + n), parent_key=KM) for m in range(5) for n in range(30)
    )
    removed = (other.remove(KeyKind.KPM, an_id(n), descendants=True) for n in range(30))
    await asyncio.gather(*derived, *removed, return_exceptions=True)
    for kind in (KeyKind.KPM, KeyKind.KE, KeyKind.KM, KeyKind.KC):
        assert await store.records(kind) == []


async def test_a_km_that_does_not_open_is_named(store, tmp_path, url):
    await store.add(a_km())

    def damage(connection):
        connection.exec_driver_sql("UPDATE key_records SET labels = 'x'")

    await store._worker.write(damage)
    with pytest.raises(RecordCorruptedError, match=an_id(1).relative):
        await store.add(a_kc(2), parent_key=KM)


# --- replacing a credential ---


async def test_what_came_of_a_replaced_credential_goes_with_it(store):
    await store.add_many([a_km(1), a_km(2), a_km(3)])
    for n in (1, 2, 3):
        await store.add(a_kc(10 + n, n), parent_key=KM)
    await store.add(a_km(1, key=OTHER_KEY), replace=True)
    await store.add_many([a_km(2, source=CSE)], replace=True)
    await store.add(a_km(3, labels=("renamed",)), replace=True)
    assert await numbers(store, KeyKind.KC) == {13}


# --- updates ---


async def test_an_update_changes_a_key_that_is_as_it_was_found(store):
    await store.add(old := a_kc(2, labels=("old",), expires=ISSUED + timedelta(days=9)))
    new = replace(old, labels=("new",), targets=(CSE,), expires=None)
    assert await store.update(old, new)
    assert await store.records(KeyKind.KC) == [new]
    assert not await store.update(old, replace(old, labels=("newer",)))
    assert await store.records(KeyKind.KC) == [new]


async def test_an_update_does_not_bring_back_what_was_removed(store, other):
    kcs = [a_kc(n, expires=ISSUED + timedelta(days=9)) for n in range(60)]
    await store.add_many(kcs)
    await asyncio.gather(
        *(store.update(kc, replace(kc, labels=("new",))) for kc in kcs),
        *(other.remove(KeyKind.KC, kc.key_id) for kc in kcs),
    )
    assert await store.records(KeyKind.KC) == []


async def test_of_two_updates_at_once_one_is_done_whole(store, other):
    await store.add(old := a_kc(2))
    changed = [replace(old, labels=("one",)), replace(old, labels=("two",))]
    outcomes = await asyncio.gather(store.update(old, changed[0]), other.update(old, changed[1]))
    assert sorted(outcomes) == [False, True]
    assert await store.records(KeyKind.KC) == [changed[outcomes.index(True)]]


# --- superseding ---


def nobody(_):
    return ()


async def test_with_a_new_key_the_others_of_its_kind_and_source_are_revised(store):
    await store.add_many([a_km(n) for n in (1, 2, 3)])
    await store.add_many([a_km(4, source=CSE), a_record(5, KeyKind.KPSA)])
    for n in (1, 2, 4):
        await store.add(a_kc(10 + n, n, source=CSE if n == 4 else AE), parent_key=KM)

    def revise(others):
        assert {int(record.key_id.relative, 16) for record in others} == {1, 2, 3}
        return [
            replace(record, labels=("kept",)) if record.key_id == an_id(3) else record
            for record in others
            if record.key_id != an_id(2)
        ]

    await store.add(a_km(9), others=revise)
    assert await numbers(store, KeyKind.KM) == {1, 3, 4, 9}
    assert await numbers(store, KeyKind.KC) == {11, 14}
    assert (await store.find(KeyKind.KM, an_id(3))).labels == ("kept",)
    assert await numbers(store, KeyKind.KPSA) == {5}


async def test_a_key_that_is_refused_revises_nothing(store):
    await store.add(a_record(1, KeyKind.KE))
    await store.add(a_record(2, KeyKind.KE))
    with pytest.raises(RecordExistsError):
        await store.add(a_record(2, KeyKind.KE), others=nobody)
    with pytest.raises(ParentGoneError):
        await store.add(a_record(3, KeyKind.KE, parent=an_id(7)), parent_key=KM, others=nobody)
    assert await numbers(store, KeyKind.KE) == {1, 2}


async def test_keys_that_supersede_each_other_at_once_leave_one_of_each_source(store, other):
    """Each removes the others: neither are both gone, nor do both stay."""
    additions = [
        (one, a_km(100 * n + 10 * who + whose, source=source))
        for n in range(1, 30)
        for who, one in enumerate((store, other))
        for whose, source in enumerate((AE, CSE))
    ]
    await asyncio.gather(*(one.add(record, others=nobody) for one, record in additions))
    left = await store.records(KeyKind.KM)
    assert sorted(str(record.source) for record in left) == sorted(map(str, (AE, CSE)))
