"""When the wall clock may be believed: by readings that are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.clock import SETTLING, TOLERANCE, ClockGuard, Reading, read_clocks

START = datetime(2024, 5, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
YEAR_AHEAD = timedelta(days=400)


def reading(elapsed: timedelta, jump: timedelta = timedelta()) -> Reading:
    return Reading(START + elapsed + jump, 1000.0 + elapsed.total_seconds())


def test_a_wall_clock_is_not_believed_until_it_has_run_evenly_for_a_while():
    guard = ClockGuard(reading(timedelta()))
    assert not guard.is_settled
    assert guard.observe(reading(SETTLING - MINUTE)) is None
    assert not guard.is_settled
    assert guard.observe(reading(SETTLING)) is None
    assert guard.is_settled


def test_a_jump_is_told_once_and_the_clock_has_to_settle_again():
    guard = ClockGuard(reading(timedelta()))
    guard.observe(reading(SETTLING))
    assert guard.observe(reading(SETTLING + MINUTE, YEAR_AHEAD)) == YEAR_AHEAD
    assert not guard.is_settled
    assert guard.observe(reading(SETTLING + 2 * MINUTE)) == -YEAR_AHEAD
    assert guard.observe(reading(2 * SETTLING)) is None
    assert not guard.is_settled
    assert guard.observe(reading(2 * SETTLING + 2 * MINUTE)) is None
    assert guard.is_settled


def test_a_clock_that_was_put_right_for_good_is_believed_after_a_while():
    guard = ClockGuard(reading(timedelta()))
    assert guard.observe(reading(MINUTE, YEAR_AHEAD)) == YEAR_AHEAD
    assert guard.observe(reading(MINUTE + SETTLING, YEAR_AHEAD)) is None
    assert guard.is_settled


def test_small_steps_do_not_creep_past_the_guard():
    guard = ClockGuard(reading(timedelta()))
    jumps = [
        guard.observe(reading(MINUTE * n, TOLERANCE * 0.6 * n)) for n in range(1, int(SETTLING / MINUTE) * 3)
    ]
    assert not guard.is_settled
    assert sum(jump is not None for jump in jumps) > len(jumps) / 3


@given(steps=st.lists(st.floats(0.1, 600), min_size=1, max_size=50), drift=st.floats(-0.9, 0.9))
def test_an_even_clock_never_jumps(steps, drift):
    guard = ClockGuard(reading(timedelta()))
    elapsed = 0.0
    for step in steps:
        elapsed += step
        assert guard.observe(reading(timedelta(seconds=elapsed), TOLERANCE * drift)) is None


def test_the_machine_s_own_clocks_run_forward():
    first, second = read_clocks(), read_clocks()
    assert second.elapsed >= first.elapsed
    assert first.wall.tzinfo is UTC
