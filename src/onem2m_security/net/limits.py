"""Limits against slow, greedy and hostile peers; each is a setting, with a default that suits a server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from ..errors import ConfigurationError
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas
from ..telemetry import HALF_OPEN, HALF_OPEN_EVICTED
from ..tls.framing import DEFAULT_MTU

DATAGRAM_OCTETS_LEAST: Final = 260
DATAGRAM_OCTETS_MOST: Final = 16 * 1024
"""Within these the TLS engine can send every message; the longest is one record of the greatest length."""

RESERVED_DESCRIPTORS: Final = 64
"""Of a process, at least: for stores, logs, ports, and connections of our own to others."""

_BURSTS: Final = 4
"""How many backlogs full may have been accepted before the first of their connections is seen and closed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may cost.

    Attributes:
        handshake_seconds: From the first octet to the end of the handshake, lookups included.
        idle_seconds: Without any application data.
        close_seconds: From the end of a connection until it is cut off: for what was written to leave, and
            for the peer to close too.
        half_open: Unfinished handshakes in all; beyond that the oldest is dropped.
        half_open_per_address: The same for one address, so that one host cannot push out all others; an
            IPv6 /64 is one address.
        connections: Connections in all; further ones are closed at once.
        connections_per_address: The same for one address, where peers are not authenticated (Ub).
        backlog: Connections that wait to be accepted; so many are accepted in one go.
        head_octets: Longest head of an HTTP request, trailers and everything else that is not body included.
        body_octets: Longest body of a request or an answer.
        request_seconds: For one request of ours to be answered.
        datagram_octets: Longest UDP payload that is sent over DTLS; at least DATAGRAM_OCTETS_LEAST.
        quotas: What one authenticated peer may have and do.
    """

    handshake_seconds: float = 10.0
    idle_seconds: float = 300.0
    close_seconds: float = 5.0
    half_open: int = 2000
    half_open_per_address: int = 1500
    connections: int = 20_000
    connections_per_address: int = 256
    backlog: int = 2048
    head_octets: int = 16 * 1024
    body_octets: int = 64 * 1024
    request_seconds: float = 5.0
    datagram_octets: int = DEFAULT_MTU
    quotas: PeerQuotas = DEFAULT_QUOTAS

    def fitted(self, descriptors: int, ports: int = 1) -> Limits:
        """These limits, lowered to what a process with so many descriptors can hold at each of its ports.

        A sixteenth of the descriptors, and ``RESERVED_DESCRIPTORS``, stay free for everything else.
        Unfinished handshakes get half of a port's connections, and one address three quarters of that:
        silence alone never takes every place.

        Args:
            descriptors: How many files the process may have open.
            ports: How many TCP ports share them.

        Raises:
            ConfigurationError: That is too few to serve anybody.
        """
        share = (descriptors - descriptors // 16 - RESERVED_DESCRIPTORS) // max(1, ports)
        backlog = min(self.backlog, share // (4 * _BURSTS))
        if backlog < 1:
            raise ConfigurationError(
                f"{descriptors} open files are too few for {ports} ports: raise the limit (ulimit -n)"
            )
        connections = min(self.connections, share - _BURSTS * backlog)
        half_open = min(self.half_open, max(1, connections // 2))
        return replace(
            self,
            backlog=backlog,
            connections=connections,
            half_open=half_open,
            half_open_per_address=min(self.half_open_per_address, max(1, half_open * 3 // 4)),
        )


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which one host may fill.

    Args:
        address: As a socket tells it; what is no IP address counts as it is.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False))


class HalfOpen:
    """The connections of one port that have no session: the handshake is not over, or the end has begun.

    Under pressure the oldest goes, never the newest: a real client finishes within milliseconds, so among
    many half-open ones it is the newest.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all: OrderedDict[object, tuple[str, Callable[[], None]]] = OrderedDict()
        self._by_address: dict[str, OrderedDict[object, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, peer: object, address: str, drop: Callable[[], None]) -> None:
        """A handshake, or an end, begins; ``drop`` cuts it short when room is needed."""
        if peer in self._all:
            return
        network = network_of(address)
        self._all[peer] = (network, drop)
        siblings = self._by_address.setdefault(network, OrderedDict())
        siblings[peer] = None
        HALF_OPEN.inc()
        if len(siblings) > self._limits.half_open_per_address:
            self._evict(next(iter(siblings)))
        elif len(self._all) > self._limits.half_open:
            self._evict(next(iter(self._all)))

    def make_room(self) -> bool:
        """Drop the oldest; whether there was one."""
        if not self._all:
            return False
        self._evict(next(iter(self._all)))
        return True

    def leave(self, peer: object) -> None:
        """The handshake is over, or nothing is left to end."""
        entry = self._all.pop(peer, None)
        if entry is None:
            return
        HALF_OPEN.dec()
        siblings = self._by_address[entry[0]]
        siblings.pop(peer, None)
        if not siblings:
            del self._by_address[entry[0]]

    def _evict(self, peer: object) -> None:
        HALF_OPEN_EVICTED.inc()
        self._all[peer][1]()  # it stands here until it is dropped: its end is no new entry
        self.leave(peer)
