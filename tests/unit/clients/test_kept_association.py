"""An association that is kept: when it is opened, renewed, and tried again, by a clock that the test sets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import ID_A, ID_B, MAF, key_of
from onem2m_security.association import Association, Role
from onem2m_security.clients.connection_keys import KeysInMemory
from onem2m_security.clients.kept_association import LONGEST_PAUSE_SECONDS, BackOff, KeptAssociation
from onem2m_security.clients.through_maf import ThroughMaf
from onem2m_security.clock import Clock
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import maf_handshake, saef_psk
from onem2m_security.frameworks.maf_handshake import ConnectionKey
from onem2m_security.frameworks.steps import Established
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.release import Release

LINK = Link(Address("127.0.0.1", 1))
AT_MAF = maf_handshake.initiate(ID_A, MAF, maf_handshake.credential(KeyIdentifier("a", MAF), key_of("a")))
KPSA = saef_psk.initiate(
    ID_A, ID_B, saef_psk.credential(KeyIdentifier.parse("k@issuer.example"), key_of("k"), peer=ID_B)
)
LIFE = timedelta(hours=10)


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.since = datetime(2026, 1, 1, tzinfo=UTC)
        self.seconds = 0.0
        self.clock = Clock(lambda: self.since + timedelta(seconds=self.seconds), lambda: self.seconds)

    def move(self, by: timedelta) -> None:
        self.seconds += by.total_seconds()


@dataclass
class Session:
    established: Established


class EntityB:
    """What opens sessions, and refuses for as long as it is told to; it notes by which credential."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.refuses = False
        self.attempts = 0

    async def open(self, initiator) -> Session:
        self.attempts += 1
        if self.refuses:
            raise HandshakeError("nobody is there")
        credential = initiator.credential
        self.shown.append(str(credential.key_id))
        association = Association(
            Role.ENTITY_A, initiator.framework, initiator.local, initiator.peer,
            credential.credential_id, "a suite", "TLSv1.2", credential.expires,
        )  # fmt: skip
        return Session(Established(association, credential, None))


class Maf:
    """What makes Kc, one after the other, and fails for as long as it is told to."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.made = 0
        self.is_away = False

    async def make(self) -> ConnectionKey:
        if self.is_away:
            raise HandshakeError("the MAF cannot be reached")
        self.made += 1
        kc_id = KeyIdentifier(f"kc{self.made}", MAF)
        return ConnectionKey(kc_id, key_of(str(kc_id)), self.hands.clock.now() + LIFE)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def b() -> EntityB:
    return EntityB()


@pytest.fixture
def maf(hands) -> Maf:
    return Maf(hands)


@pytest.fixture
def kept(hands, maf, monkeypatch) -> KeptAssociation:
    async def there(link):
        """Entity B answers; whether it does is tried over the wire."""

    monkeypatch.setattr("onem2m_security.clients.entity_a.require_answer", there)
    keys = KeysInMemory(clock=hands.clock)
    how = ThroughMaf(ID_B, MAF, AT_MAF, maf.make, keys, release=Release.R1)
    return KeptAssociation(LINK, how, clock=hands.clock, back_off=BackOff(lambda: 1.0))


async def test_every_session_is_opened_by_the_one_credential_until_it_ends(kept, b, maf, hands):
    await asyncio.gather(*(kept.open(b.open) for _ in range(5)))
    hands.move(LIFE / 2)
    session = await kept.open(b.open)
    assert kept.serves(session.established)
    assert (maf.made, set(b.shown)) == (1, {"kc1@maf.example.com"})
    hands.move(LIFE / 2)
    assert not kept.serves(session.established)
    assert kept.serves((await kept.open(b.open)).established)
    assert maf.made == 2


async def test_what_cannot_be_opened_is_tried_again_after_a_pause_and_not_sooner(kept, b, hands):
    b.refuses = True
    with pytest.raises(HandshakeError, match=r"^nobody is there$"):
        await kept.open(b.open)
    for _ in range(3):
        with pytest.raises(HandshakeError, match=r"nobody is there \(tried again in 0\.5 s\)"):
            await kept.open(b.open)
    assert b.attempts == 1
    hands.move(timedelta(seconds=0.5))
    b.refuses = False
    await kept.open(b.open)
    assert b.attempts == 2


def test_each_pause_is_twice_as_long_up_to_a_minute_and_after_a_success_short_again():
    pauses, back_off = [], BackOff(lambda: 1.0)
    for now in range(10):
        back_off.failed(now)
        pauses.append(back_off.seconds(now))
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, *[LONGEST_PAUSE_SECONDS] * 3]
    back_off.succeeded()
    assert back_off.seconds(0) == 0
    back_off.failed(0)
    assert back_off.seconds(0) == 0.5


def test_devices_that_fail_together_do_not_come_back_together():
    early, late = BackOff(lambda: 0.0), BackOff(lambda: 0.5)
    for each in (early, late):
        each.failed(0)
    assert (early.seconds(0), late.seconds(0)) == (0.25, 0.375)


async def test_a_credential_is_renewed_before_it_ends_and_only_then(kept, b, maf, hands):
    first = await kept.open(b.open)
    hands.move(LIFE * 0.89)
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert maf.made == 1
    hands.move(LIFE * 0.02)
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert maf.made == 2
    assert b.shown[-1] == "kc2@maf.example.com"
    assert not kept.serves(first.established)
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert maf.made == 2


async def test_while_the_maf_is_away_the_association_goes_on_until_its_end(kept, b, maf, hands):
    first = await kept.open(b.open)
    hands.move(LIFE * 0.95)
    maf.is_away = True
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert kept.serves(first.established)
    assert kept.serves((await kept.open(b.open)).established)
    maf.is_away = False
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert maf.made == 1, "too early to try again"
    hands.move(timedelta(seconds=1))
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert maf.made == 2


async def test_an_entity_b_that_cannot_take_the_new_credential_yet_is_served_by_the_one_before(
    kept, b, maf, hands
):
    first = await kept.open(b.open)
    hands.move(LIFE * 0.95)
    b.refuses = True
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert kept.serves(first.established)
    b.refuses = False
    hands.move(timedelta(seconds=1))
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert not kept.serves(first.established)
    assert maf.made == 2, "one new credential, however often it is tried"


async def test_a_key_without_an_end_is_never_renewed(b, hands):
    kept = KeptAssociation(LINK, KPSA, clock=hands.clock)
    session = await kept.open(b.open)
    hands.move(timedelta(days=1000))
    await kept.renew_if_due(lambda: kept.open(b.open))
    assert kept.serves(session.established)
    assert b.attempts == 1


async def test_a_way_that_gives_nothing_newer_is_asked_once(b, hands):
    credential = replace(KPSA.credential, expires=hands.clock.now() + LIFE)
    asked = []

    async def how():
        asked.append(hands.seconds)
        return replace(KPSA, credential=credential)

    kept = KeptAssociation(LINK, how, clock=hands.clock)
    session = await kept.open(b.open)
    hands.move(LIFE * 0.95)
    for _ in range(3):
        await kept.renew_if_due(lambda: kept.open(b.open))
    assert len(asked) == 2
    assert kept.serves(session.established)


async def test_it_is_opened_at_the_start_as_soon_as_that_succeeds_and_then_renewed(kept, b, maf, hands):
    b.refuses = True
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        hands.move(timedelta(seconds=seconds))
        b.refuses = len(pauses) < 4
        if maf.made == 3:
            enough.set()
        await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(kept.keep(lambda: kept.open(b.open), at_start=True, sleep=sleep))
        await enough.wait()
        keeping.cancel()
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert b.attempts == 4 + 3
    assert max(pauses) == 60, "the wall clock is looked at each minute: somebody may set it"


async def test_who_serves_the_way_back_hears_by_what_each_session_was_opened(b, hands):
    heard = []
    kept = KeptAssociation(LINK, KPSA, clock=hands.clock, opened=heard.append)
    b.refuses = True
    with pytest.raises(HandshakeError):
        await kept.open(b.open)
    assert heard == []
    hands.move(timedelta(minutes=1))
    b.refuses = False
    await kept.open(b.open)
    assert heard == [KPSA]


async def test_without_a_use_nothing_is_opened(kept, b):
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(kept.keep(lambda: kept.open(b.open), at_start=False))
        for _ in range(3):
            await asyncio.sleep(0)
        keeping.cancel()
    assert b.attempts == 0
