"""What the peer sent and an engine has not taken yet, for a library that asks for it."""

from __future__ import annotations

from collections import deque
from typing import Final

from .records import datagram_fragments, split_datagram

MESSAGE_MAX_OCTETS: Final = 20 * 1024
"""A handshake message: the longest chain that a verifier takes, and some."""


class Inbox:
    """A queue of octets: of a stream, or of DTLS records.

    Attributes:
        taken: How many octets were taken, in all.
    """

    def __init__(self, *, datagram: bool) -> None:
        """An empty one."""
        self._datagram = datagram
        self._units: deque[memoryview] = deque()
        self.taken = 0

    def add(self, octets: bytes) -> None:
        """Octets of the peer: over TLS cut anywhere, over DTLS one datagram.

        Of a datagram whole records are kept, one by one: for the rest of one that was cut short the library
        would take the next datagram. A message that announces to be too long is dropped, since the library
        makes room for what is announced.
        """
        for unit in split_datagram(octets) if self._datagram else (octets,):
            fragments = datagram_fragments(unit) if self._datagram else ()
            if all(fragment.message_length <= MESSAGE_MAX_OCTETS for fragment in fragments):
                self._units.append(memoryview(unit))

    def take(self, room: int) -> memoryview | None:
        """At most so many octets, or the next record up to that; None when there is nothing."""
        if not self._units:
            return None
        head = self._units.popleft()
        if len(head) > room and not self._datagram:
            self._units.appendleft(head[room:])
        self.taken += min(len(head), room)
        return head[:room]

    def __len__(self) -> int:
        return len(self._units)
