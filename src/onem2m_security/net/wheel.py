"""Deadlines of many, few of which are ever met: one timer for all of a port.

Each handshake has a deadline and each session a moment at which it is looked at, and nearly all of them are
called off. So they stand in slots of time: to enter one and to leave it is to change a set.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

GRAIN_MAX_SECONDS: Final = 1.0
"""How late a deadline may be met, at most; never more than a sixteenth of the time until it."""

_GRAIN_MIN_SECONDS: Final = 0.001


class Deadline:
    """What is to be done at a certain time, unless it is called off."""

    __slots__ = ("_slot", "callback")

    def __init__(self, slot: set[Deadline], callback: Callable[[], None]) -> None:
        self._slot = slot
        self.callback = callback
        slot.add(self)

    def cancel(self) -> None:
        """Call it off; more calls change nothing."""
        self._slot.discard(self)


class Wheel:
    """The deadlines of one port, by the clock of the event loop."""

    def __init__(self) -> None:
        """None yet."""
        self._slots: dict[float, set[Deadline]] = {}
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Deadline:
        """Call this after so many seconds, or up to a sixteenth of them later; never before."""
        grain = max(min(seconds / 16, GRAIN_MAX_SECONDS), _GRAIN_MIN_SECONDS)
        time = math.ceil((asyncio.get_running_loop().time() + seconds) / grain) * grain
        slot = self._slots.get(time)
        if slot is None:
            slot = self._slots[time] = set()
            if time < self._next:
                self._wake_at(time)
        return Deadline(slot, callback)

    def _wake_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = time
        self._timer = None if time == math.inf else asyncio.get_running_loop().call_at(time, self._turn)

    def _turn(self) -> None:
        """Meet what is due; what one of them raises keeps no other from its turn."""
        # A loop may call a little early, by a grain of its own.
        now = max(self._next, asyncio.get_running_loop().time())
        try:
            for time in sorted(time for time in self._slots if time <= now):
                slot = self._slots[time]
                while slot:
                    slot.pop().callback()
                del self._slots[time]
        finally:
            self._wake_at(min(self._slots, default=math.inf))
