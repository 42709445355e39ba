"""The clocks of the machine, and whether the one on the wall may be believed.

A wall clock can be set wrong for a minute, by hand, by a bad time server or by an empty battery; what is
removed in that minute because it seems to have ended is gone for good. The other clock only counts seconds
and cannot be set: while the two run evenly, nobody has touched the first. ``ClockGuard`` is given readings
and never looks at a clock itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

TOLERANCE: Final = timedelta(minutes=1)
"""How far the two clocks may drift apart before that counts as a jump of the wall clock."""

SETTLING: Final = timedelta(hours=1)
"""How long the two must have run evenly before the wall clock is believed."""


def utc_now() -> datetime:
    """The wall clock (UTC)."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from: given to whoever needs it, so that a test can give another.

    Attributes:
        now: The time of day (UTC), for what ends at a date.
        monotonic: Seconds, never going back, for how long something lasts.
    """

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic


CLOCK: Final = Clock()
"""Those of the machine."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment.

    Attributes:
        wall: What time it is said to be (UTC).
        elapsed: Seconds since some moment in the past, which no setting of the wall clock changes.
    """

    wall: datetime
    elapsed: float


def read_clocks() -> Reading:
    """Both clocks now; the second one counts while the machine is suspended too, where the system can."""
    counting = getattr(time, "CLOCK_BOOTTIME", None)
    elapsed = time.monotonic() if counting is None else time.clock_gettime(counting)
    return Reading(utc_now(), elapsed)


class ClockGuard:
    """Tells whether the wall clock may be believed, from readings in the order in which they were taken."""

    def __init__(self, first: Reading) -> None:
        self._base = first
        self._latest = first

    def observe(self, reading: Reading) -> timedelta | None:
        """Take a further reading; by how much the wall clock jumped, or None if it did not.

        A jump is the new base: from there the clocks have to run evenly again.
        """
        even = timedelta(seconds=reading.elapsed - self._base.elapsed)
        drift = reading.wall - self._base.wall - even
        self._latest = reading
        if abs(drift) <= TOLERANCE:
            return None
        self._base = reading
        return drift

    @property
    def is_settled(self) -> bool:
        """Whether the clocks have run evenly for long enough, up to the latest reading."""
        return self._latest.elapsed - self._base.elapsed >= SETTLING.total_seconds()
