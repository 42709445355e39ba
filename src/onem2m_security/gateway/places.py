"""Back-pressure: how many requests are under way at the CSE behind us, and how many wait for that."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from ..onem2m.primitives import RefusedError, Rsc

_FULL = "too many requests are under way: try again in a while"


class Places:
    """A bounded number of places, and of those who wait for one; nobody holds more than a part of them."""

    def __init__(self, under_way: int, waiting: int, each: int) -> None:
        """All places are free.

        Args:
            under_way: How many requests are under way at once.
            waiting: How many more wait for that.
            each: How many of one peer are under way or wait, at most.
        """
        self._free = asyncio.Semaphore(under_way)
        self._most = under_way + waiting
        self._each = each
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    @contextlib.asynccontextmanager
    async def place(self, peer: str) -> AsyncIterator[None]:
        """Wait for a place of this peer's, and hold it.

        Raises:
            RefusedError: TOO_MANY_REQUESTS: as many wait already, of this peer or of all.
        """
        if self._taken[peer] >= self._each or len(self) >= self._most:
            raise RefusedError(Rsc.TOO_MANY_REQUESTS, _FULL)
        self._taken[peer] += 1
        try:
            async with self._free:
                yield
        finally:
            self._taken[peer] -= 1
            if not self._taken[peer]:
                del self._taken[peer]
