"""What ended is removed when that is certain, and never because a clock was wrong for a while."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from logged import capture_logs
from onem2m_security.clock import SETTLING, Reading
from onem2m_security.servers.housekeeping import PURGE_GRACE, Housekeeping
from onem2m_security.store import KeyKind, Store
from requirements import needs
from store_support import a_record

NOW = datetime.now(UTC)
MINUTE = timedelta(minutes=1)
YEAR_AHEAD = timedelta(days=400)
ENDS = NOW + timedelta(days=30)


class Clocks:
    """Clocks that the test moves."""

    def __init__(self) -> None:
        self.elapsed = timedelta()
        self.jump = timedelta()

    def __call__(self) -> Reading:
        return Reading(NOW + self.elapsed + self.jump, self.elapsed.total_seconds())


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def store(tmp_path):
    async with await Store.open(tmp_path) as opened:
        await opened.add(a_record(1, expires=ENDS))
        await opened.add(a_record(2))
        yield opened


async def left(store) -> int:
    return len(await store.records(KeyKind.KM))


async def test_what_ended_is_purged_after_the_grace_period_and_not_before(store, clocks):
    housekeeping = Housekeeping([store], clocks=clocks)
    for elapsed, expected in (
        (ENDS - NOW, 2),
        (ENDS - NOW + PURGE_GRACE - MINUTE, 2),
        (ENDS - NOW + PURGE_GRACE, 1),
    ):
        clocks.elapsed = elapsed
        await housekeeping.purge()
        assert await left(store) == expected


async def test_a_clock_that_is_far_ahead_for_a_minute_purges_nothing_and_is_logged(store, clocks):
    housekeeping = Housekeeping([store], clocks=clocks)
    clocks.elapsed = SETTLING
    await housekeeping.purge()
    with capture_logs() as logs:
        for jump in (YEAR_AHEAD, YEAR_AHEAD, timedelta(), timedelta()):
            clocks.elapsed += MINUTE
            clocks.jump = jump
            await housekeeping.purge()
    assert await left(store) == 2
    assert [entry["jump_seconds"] for entry in logs] == [400 * 86400, -400 * 86400]


async def test_a_server_that_starts_with_a_wrong_clock_purges_nothing(store, clocks):
    clocks.jump = YEAR_AHEAD
    housekeeping = Housekeeping([store], clocks=clocks)
    await housekeeping.purge()
    clocks.elapsed = 10 * MINUTE
    await housekeeping.purge()
    clocks.jump = timedelta()
    await housekeeping.purge()
    assert await left(store) == 2


async def test_a_store_that_fails_is_logged_and_the_next_one_is_purged(tmp_path, store, clocks):
    closed = await Store.open(tmp_path / "closed")
    await closed.close()
    housekeeping = Housekeeping([closed, store], clocks=clocks)
    clocks.elapsed = ENDS - NOW + PURGE_GRACE
    with capture_logs() as logs:
        await housekeeping.purge()
    assert await left(store) == 1
    assert [entry["event"] for entry in logs] == ["expired records not purged", "expired records purged"]


@pytest.mark.long
async def test_a_real_server_under_a_clock_that_is_400_days_ahead_keeps_every_key(tmp_path, programs):
    async with await Store.open(tmp_path / "maf") as store:
        await store.add(a_record(1, expires=ENDS))
    ahead = {"LD_PRELOAD": needs("faketime"), "FAKETIME": "+400d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    arguments = ("maf", "serve", "--data", tmp_path / "maf", "--fqdn", "maf.example.com")
    server = programs.start(
        *arguments, "--listen", "127.0.0.1:0", "--verbose", environment=dict(os.environ) | ahead
    )
    assert server.stop() == 0
    async with await Store.open(tmp_path / "maf") as store:
        assert await left(store) == 1
