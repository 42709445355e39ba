"""How many more keys a client may have made before somebody counts again those that it has."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..identifiers import EntityId

_CLIENTS_MAX: Final = 50_000
_PART: Final = 16
"""The part of a client's room that is given at once: so many processes may make keys at the same time."""


class Allowances:
    """For each client, a part of the room that it had when its live keys were last counted.

    To count takes longer the more there are, and a handshake that stores one is not to wait for it each time.
    Other processes on the same store give room too, each by its own count; the parts are so small that
    ``_PART`` of them do not exceed it together, and near the end of the room every key is counted for.
    """

    def __init__(self, most: int) -> None:
        """Give room for so many live keys."""
        self._most = most
        self._left: OrderedDict[EntityId, int] = OrderedDict()

    def counted(self, client: EntityId, count: int) -> None:
        """So many live keys were counted, with the one that is made now: it may have a part of the rest."""
        room = self._most - count
        self._left.pop(client, None)
        if room > 0:
            self._left[client] = max(1, room // _PART)
        if len(self._left) > _CLIENTS_MAX:
            self._left.popitem(last=False)

    def take(self, client: EntityId) -> bool:
        """Whether one more may be made without counting; it is taken."""
        left = self._left.get(client, 0)
        if left <= 0:
            return False
        self._left[client] = left - 1
        return True
