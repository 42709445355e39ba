"""Subscribers, sequence numbers and bootstrappings in the store, on SQLite and on PostgreSQL alike."""

import asyncio
import itertools
import random
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gba_support import AE, BSF, NAF, OTHER_NAF, Card, a_subscriber, a_subscription, an_impi
from onem2m_security.credentials import Secret
from onem2m_security.errors import (
    AuthenticationError,
    MessageError,
    RecordCorruptedError,
    RecordExistsError,
)
from onem2m_security.gba.aka import SequenceNumber, Success, SynchronisationFailure, build_auts
from onem2m_security.gba.context import BootstrappedContext
from onem2m_security.gba.keys import KeyChoice, ks_of
from onem2m_security.gba.subscriber import AlgorithmSet, Guss, NafSettings, Subscriber
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.store import Store
from onem2m_security.store.bootstrappings import BOOTSTRAPPINGS_PER_SUBSCRIBER
from onem2m_security.store.records import Bootstrapping, Subscription
from places import importing_support
from test_store_faults import sql

_names = itertools.count()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_bootstrapping(number: int = 1, **changes) -> Bootstrapping:
    rand = number.to_bytes(16)
    outputs = a_subscriber().functions.f2345(rand)
    given = {"ks": ks_of(outputs.ck, outputs.ik), "issued": NOW, "expires": NOW + HOUR} | changes
    context = BootstrappedContext(KeyIdentifier.from_octets(rand, BSF), impi=an_impi(), **given)
    return Bootstrapping(context, Guss((NafSettings(NAF),)), AE)


LIFETIMES = st.none() | st.integers(1, 10**7).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def subscriptions(draw):
    algorithm = draw(st.sampled_from(AlgorithmSet))
    k_octets = 16 if algorithm is AlgorithmSet.MILENAGE else draw(st.sampled_from([16, 32]))
    opc_octets = 16 if algorithm is AlgorithmSet.MILENAGE else 32
    gba_u = draw(st.booleans())
    choices = [choice for choice in KeyChoice if choice.is_gba_u is gba_u]
    nafs = tuple(
        NafSettings(naf, draw(st.booleans()), draw(st.sampled_from(choices)), draw(LIFETIMES))
        for naf in draw(st.lists(st.sampled_from([NAF, OTHER_NAF]), unique=True))
    )
    subscriber = Subscriber(
        an_impi(draw(st.integers(1, 99))),
        Secret(draw(st.binary(min_size=k_octets, max_size=k_octets))),
        Secret(draw(st.binary(min_size=opc_octets, max_size=opc_octets))),
        amf=draw(st.binary(min_size=2, max_size=2)),
        sqn=SequenceNumber(draw(st.integers(0, 2**48 - 1))),
        barred=draw(st.booleans()),
        algorithm=algorithm,
    )
    return Subscription(subscriber, Guss(nafs, gba_u, draw(LIFETIMES)), draw(st.none() | st.just(AE)))


@given(subscription=subscriptions())
@settings(max_examples=30)
def test_every_subscription_comes_back_equal(tmp_path_factory, subscription):
    async def round_trip():
        data = tmp_path_factory.mktemp("data")
        async with await Store.open(data) as store:
            await store.subscribers.add(subscription)
        async with await Store.open(data) as store:
            assert await store.subscribers.find(subscription.subscriber.impi) == subscription
            assert await store.subscribers.all() == [subscription]

    asyncio.run(round_trip())


async def test_a_subscriber_is_added_once_and_replaced_only_on_demand(store):
    await store.subscribers.add(a_subscription())
    with pytest.raises(RecordExistsError, match="subscriber already"):
        await store.subscribers.add(a_subscription())
    await store.bootstrappings.add(a_bootstrapping())
    await store.subscribers.vectors(an_impi())
    changed = a_subscription(entity=EntityId("//sp.example/elsewhere"))
    await store.subscribers.add(changed, replace_existing=True)
    found = await store.subscribers.find(an_impi())
    assert found.entity == changed.entity
    assert found.subscriber.sqn == SequenceNumber.from_parts(1, 1), "a sequence number never goes back"
    assert await store.bootstrappings.find(a_bootstrapping().context.b_tid, now=NOW) is None


async def test_all_subscribers_are_listed_page_by_page(store):
    for number in range(1, 504):
        await store.subscribers.add(a_subscription(number))
    found = await store.subscribers.all()
    assert [item.subscriber.impi for item in found] == [an_impi(number) for number in range(1, 504)]


async def test_vectors_asked_for_at_once_never_share_a_sequence_number(store):
    await store.subscribers.add(a_subscription())
    vectors = await asyncio.gather(*(store.subscribers.vectors(an_impi()) for _ in range(200)))
    card = Card(a_subscriber())
    functions = card.subscriber.functions
    sqns = set()
    for (vector,) in vectors:
        ak = functions.f2345(vector.rand).ak
        sqns.add(bytes(a ^ b for a, b in zip(vector.autn[:6], ak, strict=True)))
        assert isinstance(card.authenticate(vector.rand, vector.autn), Success)
    assert len(sqns) == 200
    assert max(map(int.from_bytes, sqns)) == (await store.subscribers.find(an_impi())).subscriber.sqn.value


async def test_two_processes_worth_of_stores_never_share_a_sequence_number(tmp_path, url):
    async with (
        await Store.open(tmp_path / "data", url=url) as one,
        await Store.open(tmp_path / "data", url=url, busy_timeout=30) as other,
    ):
        await one.subscribers.add(a_subscription())
        asked = [store.subscribers.vectors(an_impi()) for store in (one, other) for _ in range(50)]
        vectors = [vector for (vector,) in await asyncio.gather(*asked)]
        functions = a_subscriber().functions
        sqns = {
            bytes(a ^ b for a, b in zip(v.autn[:6], functions.f2345(v.rand).ak, strict=True)) for v in vectors
        }
        assert len(sqns) == 100


async def test_an_unknown_and_a_barred_subscriber_get_no_vector_and_disturb_nobody(store):
    await store.subscribers.add(a_subscription(1))
    await store.subscribers.add(a_subscription(2, subscriber=a_subscriber(2, barred=True)))
    asked = (store.subscribers.vectors(an_impi(number)) for number in (1, 2, 3))
    good, barred, unknown = await asyncio.gather(*asked, return_exceptions=True)
    assert len(good) == 1
    assert isinstance(barred, AuthenticationError)
    assert "barred" in str(barred)
    assert isinstance(unknown, AuthenticationError)
    assert (await store.subscribers.find(an_impi(2))).subscriber.sqn == SequenceNumber()
    assert await store.subscribers.guss(an_impi(3)) is None


async def test_auts_moves_the_counter_and_a_wrong_one_does_not(store):
    subscriber = a_subscriber()
    await store.subscribers.add(a_subscription())
    rand, ahead = bytes(16), SequenceNumber.from_parts(1000, 7)
    auts = build_auts(subscriber.functions, rand=rand, sqn_ms=ahead)
    with pytest.raises(AuthenticationError, match="MAC-S"):
        await store.subscribers.vectors(an_impi(), auts=bytes([auts[0] ^ 1]) + auts[1:], rand=rand)
    with pytest.raises(MessageError):
        await store.subscribers.vectors(an_impi(), auts=auts, rand=None)
    assert (await store.subscribers.find(an_impi())).subscriber.sqn == SequenceNumber()
    await store.subscribers.vectors(an_impi(), auts=auts, rand=rand)
    assert (await store.subscribers.find(an_impi())).subscriber.sqn == ahead.next()


async def test_barring_ends_bootstrappings_and_stops_one_that_is_under_way(store):
    await store.subscribers.add(a_subscription())
    await store.bootstrappings.add(a_bootstrapping(1))
    assert await store.subscribers.set_barred(an_impi(), barred=True)
    assert await store.bootstrappings.find(a_bootstrapping(1).context.b_tid, now=NOW) is None
    with pytest.raises(AuthenticationError, match="barred"):
        await store.bootstrappings.add(a_bootstrapping(2))
    assert await store.subscribers.set_barred(an_impi(), barred=False)
    await store.bootstrappings.add(a_bootstrapping(2))
    assert not await store.subscribers.set_barred(an_impi(9), barred=True)


async def test_a_bootstrapping_under_the_key_that_a_subscriber_had_before_is_refused(store):
    await store.subscribers.add(a_subscription())
    new_card = replace(a_subscriber(), k=a_subscriber(2).k)
    await store.subscribers.add(a_subscription(subscriber=new_card), replace_existing=True)
    with pytest.raises(AuthenticationError, match="another key"):
        await store.bootstrappings.add(a_bootstrapping())
    assert await store.bootstrappings.find(a_bootstrapping().context.b_tid, now=NOW) is None


async def test_of_one_subscriber_a_bounded_number_of_bootstrappings_is_kept_the_newest(store):
    await store.subscribers.add(a_subscription())
    count = BOOTSTRAPPINGS_PER_SUBSCRIBER + 3
    made = [a_bootstrapping(n, issued=NOW - HOUR + timedelta(seconds=n)) for n in range(1, count + 1)]
    await asyncio.gather(*map(store.bootstrappings.add, made[:-1]))
    await store.bootstrappings.add(made[-1])
    kept = [await store.bootstrappings.find(one.context.b_tid, now=NOW) for one in made]
    assert [one is None for one in kept] == [True] * 3 + [False] * BOOTSTRAPPINGS_PER_SUBSCRIBER


async def test_a_bootstrapping_of_a_subscriber_who_was_removed_is_refused_unless_it_is_another_hss_s(store):
    with pytest.raises(AuthenticationError, match="no subscriber any more"):
        await store.bootstrappings.add(a_bootstrapping(), is_ours=True)
    await store.bootstrappings.add(a_bootstrapping())


async def test_removing_a_subscriber_ends_its_bootstrappings(store):
    await store.subscribers.add(a_subscription())
    await store.bootstrappings.add(a_bootstrapping())
    assert await store.subscribers.remove(an_impi())
    assert await store.bootstrappings.find(a_bootstrapping().context.b_tid, now=NOW) is None
    assert not await store.subscribers.remove(an_impi())


async def test_a_bootstrapping_comes_back_equal_until_it_ends_and_is_then_purged(store):
    kept = a_bootstrapping(gba_u=True)
    await store.bootstrappings.add(kept)
    with pytest.raises(RecordExistsError):
        await store.bootstrappings.add(kept)
    b_tid = kept.context.b_tid
    assert await store.bootstrappings.find(b_tid, now=NOW + HOUR - timedelta(seconds=1)) == kept
    assert await store.bootstrappings.find(b_tid, now=NOW + HOUR) is None
    assert await store.purge_expired(NOW) == 0
    assert await store.purge_expired(NOW + HOUR) == 1
    assert not await store.bootstrappings.remove(b_tid)


async def test_a_rekey_seals_subscribers_and_bootstrappings_anew(store, tmp_path, url):
    subscription, kept = a_subscription(), a_bootstrapping()
    await store.subscribers.add(subscription)
    await store.bootstrappings.add(kept)
    assert await store.rekey() == 2
    async with await Store.open(tmp_path / "data", url=url) as again:
        assert await again.subscribers.find(an_impi()) == subscription
        assert await again.bootstrappings.find(kept.context.b_tid, now=NOW) == kept


@pytest.mark.parametrize(
    "change",
    [
        "sqn = 0",
        "barred = 0",
        "guss = replace(guss, '\"allowed\":false', '\"allowed\":true')",
        "entity = NULL",
    ],
)
async def test_an_edited_subscriber_does_not_open(tmp_path, change):
    data = tmp_path / "data"
    settings_ = Guss((NafSettings(NAF, allowed=False),))
    subscriber = a_subscriber(sqn=SequenceNumber(99), barred=True)
    async with await Store.open(data) as store:
        await store.subscribers.add(a_subscription(subscriber=subscriber, guss=settings_))
        sql(data, f"UPDATE gba_subscribers SET {change}")
        with pytest.raises(RecordCorruptedError, match=r"001010000000001@"):
            await store.subscribers.find(an_impi())
        with pytest.raises(RecordCorruptedError):
            await store.subscribers.vectors(an_impi())
        await store.subscribers.add(a_subscription(subscriber=subscriber), replace_existing=True)
        assert (await store.subscribers.find(an_impi())).subscriber == subscriber


async def test_an_edited_bootstrapping_does_not_open(tmp_path):
    async with await Store.open(tmp_path / "data") as store:
        await store.bootstrappings.add(a_bootstrapping())
        sql(tmp_path / "data", "UPDATE gba_contexts SET expires = expires * 2")
        with pytest.raises(RecordCorruptedError, match="bootstrap again"):
            await store.bootstrappings.find(a_bootstrapping().context.b_tid)


async def test_no_key_of_a_subscriber_is_in_the_database_in_the_clear(tmp_path):
    data = tmp_path / "data"
    subscriber = a_subscriber()
    async with await Store.open(data) as store:
        await store.subscribers.add(a_subscription())
        await store.bootstrappings.add(a_bootstrapping())
    kept = b"".join(path.read_bytes() for path in data.iterdir())
    for secret in (subscriber.k, subscriber.opc, a_bootstrapping().context.ks):
        assert secret.reveal() not in kept
        assert secret.reveal().hex().encode() not in kept


# --- killed processes ---------------------------------------------------------------------------------------

VECTORS = """
import asyncio, sys
from pathlib import Path
from gba_support import a_subscriber, an_impi
from onem2m_security.store import Store

async def main():
    functions = a_subscriber().functions
    async with await Store.open(Path(sys.argv[1])) as store:
        async def ask():
            while True:
                (vector,) = await store.subscribers.vectors(an_impi())
                ak = functions.f2345(vector.rand).ak
                print(bytes(a ^ b for a, b in zip(vector.autn[:6], ak)).hex(), flush=True)
        await asyncio.gather(*(ask() for _ in range(8)))

asyncio.run(main())
"""


def vectors_of_a_killed_process(data: Path, *, after: int) -> list[str]:
    command = [sys.executable, "-c", VECTORS, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=importing_support()) as process:
        assert process.stdout is not None
        left = [process.stdout.readline() for _ in range(after)]
        process.kill()
        return left + process.stdout.readlines()


@pytest.mark.long
async def test_a_killed_process_never_lets_a_sequence_number_come_twice_or_go_back(tmp_path):
    """kill -9 at any moment: every vector that left has its number on the disk."""
    data = tmp_path / "data"
    async with await Store.open(data) as store:
        await store.subscribers.add(a_subscription())
    seen: set[int] = set()
    chance = random.Random(6)
    for _ in range(6):
        left = vectors_of_a_killed_process(data, after=chance.randrange(1, 60))
        numbers = [int(line, 16) for line in left if re.fullmatch(r"[0-9a-f]{12}\n", line)]
        assert numbers
        assert len(set(numbers)) == len(numbers)
        assert min(numbers) > max(seen, default=-1)
        seen.update(numbers)
        async with await Store.open(data) as store:
            assert (await store.subscribers.find(an_impi())).subscriber.sqn.value >= max(seen)
    card = Card(a_subscriber())
    async with await Store.open(data) as store:
        (vector,) = await store.subscribers.vectors(an_impi())
        assert isinstance(card.authenticate(vector.rand, vector.autn), Success)


async def test_a_database_put_back_is_mended_by_the_card(tmp_path):
    """A restored backup repeats numbers; the card refuses them, and its AUTS brings the counter up."""
    data = tmp_path / "data"
    card = Card(a_subscriber())
    async with await Store.open(data) as store:
        await store.subscribers.add(a_subscription())
        for _ in range(40):
            (vector,) = await store.subscribers.vectors(an_impi())
            assert isinstance(card.authenticate(vector.rand, vector.autn), Success)
        await store.subscribers.remove(an_impi())
        await store.subscribers.add(replace(a_subscription(), subscriber=a_subscriber()))
        (vector,) = await store.subscribers.vectors(an_impi())
        refused = card.authenticate(vector.rand, vector.autn)
        assert isinstance(refused, SynchronisationFailure)
        (vector,) = await store.subscribers.vectors(an_impi(), auts=refused.auts, rand=vector.rand)
        assert isinstance(card.authenticate(vector.rand, vector.autn), Success)
