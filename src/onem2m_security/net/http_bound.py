"""The bound on what of HTTP messages is not body, at either end of a connection.

A parser keeps a head, a trailer, a chunk extension whole, however long it is, and does not tell where in its
input a message ended. So it gets its octets in pieces, and what of them was not body counts.
"""

from __future__ import annotations

from typing import Final

PIECE_OCTETS: Final = 1024
"""The parser gets no more than this at once."""


class HeadBound:
    """Counts what of the messages of one connection is not body: each may have so many octets of it.

    Attributes:
        in_body: The head of the present message is complete, and the message is not.
    """

    def __init__(self, most: int) -> None:
        """Allow so many octets for each message."""
        self.in_body = False
        self._most = most
        self._octets = self._body_octets = 0
        self._begun = self._ended = False

    @property
    def next_octets(self) -> int:
        """How much the parser may have now: never more of a head than is left to it; 0 if nothing is."""
        left = self._most - self._octets
        if left <= 0:
            return PIECE_OCTETS if self.in_body else 0
        return min(left, PIECE_OCTETS)

    @property
    def in_message(self) -> bool:
        """Something came that belongs to no message before it."""
        return self.in_body or self._octets > 0

    def fed(self, octets: int) -> bool:
        """The parser had a piece of so many octets, and told what it found: whether the bound holds."""
        head_octets = octets - self._body_octets
        ended, self._ended, self._body_octets = self._ended, False, 0
        if self._octets + head_octets > self._most:
            return False
        if not ended:
            self._octets += head_octets
        else:  # where in the piece it ended is not known: one that began after it is charged with all
            self._octets = head_octets if self._begun else 0
        return True

    def begins(self) -> None:
        """A message begins."""
        self._begun = True

    def head_ends(self) -> None:
        """A head is complete."""
        self.in_body = True

    def has_body(self, octets: int) -> None:
        """So many octets were body."""
        self._body_octets += octets

    def ends(self) -> None:
        """A message is complete."""
        self._begun, self._ended, self.in_body = False, True, False
