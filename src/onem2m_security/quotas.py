"""Quotas: how often each of many peers may do something, and what an operator hears of those who do it more.

The time comes from the caller.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from .telemetry import LOG, OVER_QUOTA

_LOG_SECONDS: Final = 60.0
_LOGGED_MAX: Final = 10_000


class TokenBuckets:
    """A bucket of tokens for each peer, filled at a steady rate; an empty one tells how long to wait.

    Only buckets that are not full are remembered, ``capacity`` of them; beyond it the one that was used least
    recently is forgotten, which is as if it were full. So whoever has more addresses than there is room may
    win a burst for each; nobody is ever refused because of the others.
    """

    def __init__(self, rate: float, burst: int, capacity: int) -> None:
        """Make buckets, all full.

        Args:
            rate: Tokens a second, more than 0.
            burst: What a full bucket holds, at least 1.
            capacity: How many buckets are remembered, at least 1.

        Raises:
            ValueError: One of them is smaller.
        """
        if rate <= 0 or burst < 1 or capacity < 1:
            raise ValueError("rate is more than 0, burst and capacity are at least 1")
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        """Tokens at a moment, by key; the least recently used first."""

    def __len__(self) -> int:
        return len(self._left)

    def take(self, key: Hashable, now: float) -> float:
        """Take a token out of this key's bucket.

        Args:
            key: Whose bucket.
            now: Seconds, never going back.

        Returns:
            0 if there was one; else the seconds until there is one, and nothing was taken.
        """
        tokens = self._tokens(key, now)
        wait = max(0.0, (1.0 - tokens) / self._rate)
        self._left[key] = (tokens if wait else tokens - 1.0, now)
        self._left.move_to_end(key)
        self._forget(now)
        return wait

    def _tokens(self, key: Hashable, now: float) -> float:
        tokens, moment = self._left.get(key, (float(self._burst), now))
        return min(float(self._burst), tokens + (now - moment) * self._rate)

    def _forget(self, now: float) -> None:
        while self._left:
            oldest = next(iter(self._left))
            if len(self._left) <= self._capacity and self._tokens(oldest, now) < self._burst:
                return
            del self._left[oldest]


class OverQuota:
    """Counts what one quota refuses, and logs it, for each peer once a minute at most."""

    def __init__(self, quota: str) -> None:
        """Count under the name of this quota."""
        self._quota = quota
        self._lines = TokenBuckets(1 / _LOG_SECONDS, 1, _LOGGED_MAX)

    def note(self, peer: str, now: float) -> None:
        """A peer was refused something, at this moment in seconds that never go back."""
        OVER_QUOTA.labels(self._quota).inc()
        if not self._lines.take(peer, now):
            LOG.warning("over its quota", quota=self._quota, peer=peer)
