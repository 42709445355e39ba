"""Limits against slow, greedy and hostile peers; each is a setting, with a default that suits a server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas
from ..telemetry import HALF_OPEN, HALF_OPEN_EVICTED


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may cost.

    Attributes:
        handshake_seconds: From the first octet to the end of the handshake, lookups included.
        idle_seconds: Without any application data.
        half_open: Unfinished handshakes in all; beyond that the oldest is dropped.
        half_open_per_address: The same for one address, so that one host cannot push out all others.
        connections: Connections in all; further ones are closed at once.
        head_octets: Longest head of an HTTP request.
        body_octets: Longest body of a request or an answer.
        request_seconds: For one request of ours to be answered.
        quotas: What one authenticated peer may have and do.
    """

    handshake_seconds: float = 10.0
    idle_seconds: float = 300.0
    half_open: int = 2000
    half_open_per_address: int = 1500
    connections: int = 20_000
    head_octets: int = 16 * 1024
    body_octets: int = 64 * 1024
    request_seconds: float = 5.0
    quotas: PeerQuotas = DEFAULT_QUOTAS


class HalfOpen:
    """The unfinished handshakes of one listener; under pressure the oldest goes, never the newest.

    A real client finishes within milliseconds, so among many half-open ones it is the newest.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all: OrderedDict[object, tuple[str, Callable[[], None]]] = OrderedDict()
        self._by_address: dict[str, OrderedDict[object, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, peer: object, address: str, drop: Callable[[], None]) -> None:
        """A handshake begins; ``drop`` ends it when room is needed."""
        self._all[peer] = (address, drop)
        siblings = self._by_address.setdefault(address, OrderedDict())
        siblings[peer] = None
        HALF_OPEN.inc()
        if len(siblings) > self._limits.half_open_per_address:
            self._evict(next(iter(siblings)))
        elif len(self._all) > self._limits.half_open:
            self._evict(next(iter(self._all)))

    def leave(self, peer: object) -> None:
        """The handshake ended, one way or the other."""
        entry = self._all.pop(peer, None)
        if entry is None:
            return
        HALF_OPEN.dec()
        siblings = self._by_address[entry[0]]
        siblings.pop(peer, None)
        if not siblings:
            del self._by_address[entry[0]]

    def _evict(self, peer: object) -> None:
        drop = self._all[peer][1]
        self.leave(peer)
        HALF_OPEN_EVICTED.inc()
        drop()
