"""What a running server does by itself: it removes records that ended, once that is certain.

An expired record is never found, so nothing hurries. It is removed when it ended more than ``PURGE_GRACE``
ago, by a wall clock that has run evenly with the machine's other clock for a while (``clock.ClockGuard``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ..clock import SETTLING, ClockGuard, Reading, read_clocks
from ..errors import StoreError
from ..telemetry import LOG

if TYPE_CHECKING:
    from ..store.store import Store

PURGE_INTERVAL: Final = timedelta(minutes=1)
PURGE_GRACE: Final = timedelta(days=1)
"""How long a record stays after its end."""


class Housekeeping:
    """Keeps stores tidy."""

    def __init__(self, stores: Iterable[Store], *, clocks: Callable[[], Reading] = read_clocks) -> None:
        """Keep these stores tidy, by these clocks."""
        self._stores = tuple(stores)
        self._clocks = clocks
        self._guard = ClockGuard(clocks())

    async def run(self) -> None:
        """Purge again and again, until cancelled."""
        while True:
            await asyncio.sleep(PURGE_INTERVAL.total_seconds())
            await self.purge()

    async def purge(self) -> None:
        """Remove what ended more than the grace period ago, unless the wall clock is in doubt."""
        reading = self._clocks()
        jump = self._guard.observe(reading)
        if jump is not None:
            LOG.warning(
                "the wall clock jumped: nothing is purged until it has run evenly for a while",
                jump_seconds=round(jump.total_seconds()),
                now=reading.wall.isoformat(),
                for_seconds=round(SETTLING.total_seconds()),
            )
        elif self._guard.is_settled:
            for store in self._stores:
                await self._purge(store, reading.wall - PURGE_GRACE)

    @staticmethod
    async def _purge(store: Store, ended_before: datetime) -> None:
        try:
            purged = await store.purge_expired(ended_before)
        except StoreError as error:
            LOG.warning("expired records not purged", error=str(error))
        else:
            if purged:
                LOG.info("expired records purged", records=purged)
