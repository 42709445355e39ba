"""How octets travel: as a stream of TLS records, or as DTLS datagrams; a session is the same over either."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from ..alerts import Alert
from .engine import Engine
from .records import (
    CONTENT_ALERT,
    CONTENT_HANDSHAKE,
    DATAGRAM_RECORD_HEADER_OCTETS,
    RECORD_HEADER_OCTETS,
    alert_record,
    datagram_alert,
    epoch_of,
    sequence_of,
    split_datagram,
    take_record,
)

DEFAULT_MTU: Final = 1232
"""Octets of a datagram's content that every IPv6 path carries: 1280, less the headers of IPv6 and UDP."""

_QUEUED_OCTETS: Final = 16 * 1024
_QUEUED_DATAGRAMS: Final = 64
"""How much is kept while the handshake waits; UDP may lose the rest."""


class Framing(Protocol):
    """What a session needs to know of how its octets travel."""

    datagram: bool

    def configure(self, engine: Engine) -> None:
        """Let the engine make what can travel so."""

    def push(self, data: bytes) -> None:
        """Octets arrived."""

    def take(self) -> bytes | None:
        """The next unit to look at: a whole record, or a datagram; None when there is none."""

    def take_available(self) -> bytes | None:
        """As much as the engine takes at once: all of a stream, or a datagram; None when there is none."""

    def discard(self) -> None:
        """Forget what has arrived."""

    def put_back(self, unit: bytes) -> None:
        """Not yet: ``take`` returns it again."""

    def begin_last_flight(self) -> None:
        """The peer has all of our flights but the last."""

    def drop_repetitions(self) -> None:
        """The peer's last flight is complete: what it sent while it waited for ours asks for nothing."""

    def write(self, octets: bytes) -> None:
        """Octets that the engine made."""

    def alert_instead(self, alert: Alert) -> None:
        """Send this alert in the clear, and nothing of what waits to be sent."""

    def alert_sent(self) -> Alert | None:
        """The alert with which the waiting octets end, if they end with one in the clear."""

    def collect(self) -> list[bytes]:
        """What is to be sent, once; datagrams one by one."""


class StreamFraming:
    """TLS over TCP."""

    datagram = False

    def __init__(self) -> None:
        self._inbox = bytearray()
        self._outbox = bytearray()

    def configure(self, engine: Engine) -> None:
        """A stream carries everything."""

    def push(self, data: bytes) -> None:
        """Octets arrived, cut anywhere."""
        self._inbox += data

    def take(self) -> bytes | None:
        """The next whole record."""
        return take_record(self._inbox)

    def take_available(self) -> bytes | None:
        """Everything, in one piece."""
        data = bytes(self._inbox)
        self._inbox.clear()
        return data or None

    def discard(self) -> None:
        """Forget what has arrived."""
        self._inbox.clear()

    def put_back(self, unit: bytes) -> None:
        """Not yet."""
        self._inbox[:0] = unit

    def begin_last_flight(self) -> None:
        """Nothing is sent twice here."""

    def drop_repetitions(self) -> None:
        """Nothing is sent twice here."""

    def write(self, octets: bytes) -> None:
        """Octets that the engine made."""
        self._outbox += octets

    def alert_instead(self, alert: Alert) -> None:
        """Send this alert only."""
        self._outbox[:] = alert_record(alert)

    def alert_sent(self) -> Alert | None:
        """The alert at the end of what waits."""
        return _alert_in(bytes(self._outbox[-(RECORD_HEADER_OCTETS + 2) :]), RECORD_HEADER_OCTETS)

    def collect(self) -> list[bytes]:
        """What is to be sent, in one piece."""
        if not self._outbox:
            return []
        data = bytes(self._outbox)
        self._outbox.clear()
        return [data]


class DatagramFraming:
    """DTLS over UDP.

    The engine writes records into one run of octets; they are packed into datagrams of at most the MTU here.
    """

    datagram = True

    def __init__(self, mtu: int = DEFAULT_MTU) -> None:
        """Datagrams of at most ``mtu`` octets."""
        self.mtu = mtu
        self._inbox: deque[bytes] = deque()
        self._queued = 0
        self._outbox = bytearray()
        self._next_sequence = 0
        self._last_flight = False

    def configure(self, engine: Engine) -> None:
        """Records must fit the datagrams."""
        engine.limit_datagrams(self.mtu)

    def push(self, data: bytes) -> None:
        """A datagram arrived."""
        room = len(self._inbox) < _QUEUED_DATAGRAMS and self._queued + len(data) <= _QUEUED_OCTETS
        if room or not self._inbox:
            self._inbox.append(data)
            self._queued += len(data)

    def take(self) -> bytes | None:
        """The next datagram."""
        if not self._inbox:
            return None
        datagram = self._inbox.popleft()
        self._queued -= len(datagram)
        return datagram

    def take_available(self) -> bytes | None:
        """The next datagram: the engine takes them one by one."""
        return self.take()

    def discard(self) -> None:
        """Forget what has arrived."""
        self._inbox.clear()
        self._queued = 0

    def put_back(self, unit: bytes) -> None:
        """Not yet."""
        self._inbox.appendleft(unit)
        self._queued += len(unit)

    def begin_last_flight(self) -> None:
        """The client has proven that it has our other flights, by answering them.

        The engine does not know that time has passed, and would send them again beside the last one; some
        clients never recover from that.
        """
        self._last_flight = True

    def drop_repetitions(self) -> None:
        """The engine would answer each with the last flight again, though nothing of it was lost yet.

        No application data is among them: the client sends none before it has our last flight.
        """
        self.discard()

    def write(self, octets: bytes) -> None:
        """Octets that the engine made: whole records."""
        if epoch_of(octets):  # a flight begins in the clear, or has nothing in the clear
            self._outbox += octets
            return
        for record in split_datagram(octets):
            if epoch_of(record) == 0:
                self._next_sequence = max(self._next_sequence, sequence_of(record) + 1)
                if self._last_flight and record[0] == CONTENT_HANDSHAKE:
                    continue
            self._outbox += record

    def alert_instead(self, alert: Alert) -> None:
        """Send this alert only; its sequence number was never used, so that the peer takes it."""
        self._outbox[:] = datagram_alert(alert, self._next_sequence)
        self._next_sequence += 1

    def alert_sent(self) -> Alert | None:
        """The alert at the end of what waits."""
        octets = DATAGRAM_RECORD_HEADER_OCTETS + 2
        return _alert_in(bytes(self._outbox[-octets:]), DATAGRAM_RECORD_HEADER_OCTETS)

    def collect(self) -> list[bytes]:
        """Datagrams to be sent, each with as many records as the MTU allows."""
        if len(self._outbox) <= self.mtu:
            fitting = bytes(self._outbox)
            self._outbox.clear()
            return [fitting] if fitting else []
        datagrams: list[bytes] = []
        current = b""
        for record in split_datagram(bytes(self._outbox)):
            if current and len(current) + len(record) > self.mtu:
                datagrams.append(current)
                current = b""
            current += record
        self._outbox.clear()
        return [*datagrams, current] if current else datagrams


def _alert_in(tail: bytes, header: int) -> Alert | None:
    is_alert = len(tail) == header + 2 and tail[0] == CONTENT_ALERT and tail[header - 1] == 2
    return Alert.known(tail[-1]) if is_alert else None
