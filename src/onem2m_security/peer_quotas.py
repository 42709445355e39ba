"""What one authenticated peer may have and do, so that none takes everything from the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .clock import CLOCK
from .quotas import OverQuota, TokenBuckets

BURST_SECONDS: Final = 20.0
"""How many seconds' worth of a rate a peer may use at once."""

_PEERS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class PeerQuotas:
    """What one peer may have and do, by its identity, whatever its address.

    Attributes:
        live_keys: Kc that it registered with a MAF by request and that have not ended; a further one is
            refused. The same number again of those that Release 1 makes by handshakes: there the oldest one
            gives way, so that a device that reconnects often never locks itself out.
        client_registrations: At a MAF or an MEF, one for each administrating stakeholder.
        key_registrations_per_second: Kc at a MAF, by request or by handshake, and Ke at an MEF.
        connections: Established ones at one port; beyond it the one that was silent for longest is closed,
            so that a device whose connections were lost gets in.
        requests_per_second: At one port.
    """

    live_keys: int = 1000
    client_registrations: int = 100
    key_registrations_per_second: float = 10.0
    connections: int = 100
    requests_per_second: float = 200.0


DEFAULT_QUOTAS: Final = PeerQuotas()


class Rate:
    """How often each peer may do one thing: in the long run, and ``BURST_SECONDS`` worth of it at once."""

    def __init__(self, name: str, per_second: float, *, clock: Callable[[], float] = CLOCK.monotonic) -> None:
        """Count and log under this name whoever does it more often."""
        self._buckets = TokenBuckets(per_second, max(1, int(per_second * BURST_SECONDS)), _PEERS_MAX)
        self._over = OverQuota(name)
        self._clock = clock

    def wait(self, peer: str) -> float:
        """0 if this peer may do it now, which counts; else the seconds until it may."""
        now = self._clock()
        seconds = self._buckets.take(peer, now)
        if seconds:
            self._over.note(peer, now)
        return seconds


class Ceiling:
    """How much of one thing each peer may have; whoever counts asks whether that is too much."""

    def __init__(self, name: str, most: int, *, clock: Callable[[], float] = CLOCK.monotonic) -> None:
        """Count and log under this name whoever would have more."""
        self.most = most
        self._over = OverQuota(name)
        self._clock = clock

    def is_reached(self, peer: str, count: int) -> bool:
        """Whether a peer that has so many may have no more."""
        if count < self.most:
            return False
        self._over.note(peer, self._clock())
        return True
