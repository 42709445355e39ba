"""What the peer sent and an engine has not taken yet, for a library that asks for it."""

from __future__ import annotations

from collections import deque


class Inbox:
    """A queue of octets: of a stream, or of datagrams.

    Attributes:
        taken: How many octets were taken, in all.
    """

    def __init__(self, *, datagram: bool) -> None:
        """An empty one."""
        self._datagram = datagram
        self._units: deque[memoryview] = deque()
        self.taken = 0

    def add(self, octets: bytes) -> None:
        """Octets of the peer: over TLS cut anywhere, over DTLS one datagram."""
        self._units.append(memoryview(octets))

    def take(self, room: int) -> memoryview | None:
        """At most so many octets, or the next datagram up to that; None when there is nothing."""
        if not self._units:
            return None
        head = self._units.popleft()
        if len(head) > room and not self._datagram:
            self._units.appendleft(head[room:])
        self.taken += min(len(head), room)
        return head[:room]

    def __len__(self) -> int:
        return len(self._units)
