"""Deadlines that stand in slots of time, by the clock of an event loop that the test turns."""

from __future__ import annotations

import asyncio

import pytest

from onem2m_security.net.wheel import GRAIN_MAX_SECONDS, Wheel


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes on when there is nothing to do."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.calls = 0

    def time(self):
        return self.now

    def call_at(self, when, callback, *args, context=None):  # type: ignore[override]
        self.calls += 1
        return super().call_at(when, callback, *args, context=context)

    def pass_on(self, seconds):
        """Let so many seconds pass, a hundredth at a time."""

        async def turn():
            await asyncio.sleep(0)

        for _ in range(round(seconds * 100)):
            self.now += 0.01
            self.run_until_complete(turn())


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def wheel(loop):
    return Wheel()


def in_loop(loop, function, *arguments):
    async def call():
        return function(*arguments)

    return loop.run_until_complete(call())


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 10.0, 300.0])
def test_a_deadline_is_met_in_its_time_and_never_before(loop, wheel, seconds):
    met = []
    loop.now = 1234.567
    in_loop(loop, wheel.call_later, seconds, lambda: met.append(loop.now - 1234.567))
    loop.pass_on(seconds + min(seconds / 16, GRAIN_MAX_SECONDS) + 0.03)
    assert len(met) == 1
    assert seconds <= met[0] <= seconds + min(seconds / 16, GRAIN_MAX_SECONDS) + 0.03


def test_what_was_called_off_is_not_done(loop, wheel):
    met = []
    for number in range(3):
        deadline = in_loop(loop, wheel.call_later, 1.0, lambda number=number: met.append(number))
        if number == 1:
            deadline.cancel()
            deadline.cancel()
    loop.pass_on(2)
    assert sorted(met) == [0, 2]


def test_deadlines_are_met_in_order_whatever_their_order_of_entry(loop, wheel):
    met = []
    for seconds in (3.0, 1.0, 2.0):
        in_loop(loop, wheel.call_later, seconds, lambda seconds=seconds: met.append(seconds))
    loop.pass_on(4)
    assert met == [1.0, 2.0, 3.0]


def test_one_that_fails_keeps_no_other_from_its_turn(loop, wheel):
    met, failed = [], []
    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))

    def fail():
        raise ZeroDivisionError

    for callback in (lambda: met.append(1), fail, lambda: met.append(2), fail):
        in_loop(loop, wheel.call_later, 1.0, callback)
    loop.pass_on(2)
    assert sorted(met) == [1, 2]
    assert [type(error) for error in failed] == [ZeroDivisionError] * 2


def test_what_a_deadline_enters_or_calls_off_holds(loop, wheel):
    met = []

    def first():
        other.cancel()
        wheel.call_later(1.0, lambda: met.append("again"))

    in_loop(loop, wheel.call_later, 1.0, first)
    other = in_loop(loop, wheel.call_later, 1.5, lambda: met.append("other"))
    loop.pass_on(4)
    assert met == ["again"]


def test_many_deadlines_take_one_timer(loop, wheel):
    before = loop.calls
    deadlines = [in_loop(loop, wheel.call_later, 10.0, lambda: None) for _ in range(1000)]
    assert loop.calls - before == 1
    for deadline in deadlines:
        deadline.cancel()
    loop.pass_on(12)
    assert loop.calls - before == 1
