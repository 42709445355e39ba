"""Which of the rows under a name is the key that was meant; an unknown name costs what a known one does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from ..credentials import Secret
from ..errors import RecordCorruptedError
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from .keys import KEYS
from .records import KeyKind, KeyRecord
from .sealing import KeyRing

Row = Sequence[Any]
"""The columns of a key, in the order of the schema."""


class HasRing(Protocol):
    """Who holds the key ring."""

    ring: KeyRing


class Lookups:
    """Opens what was found; for one thread."""

    def __init__(self, keeper: HasRing) -> None:
        self._keeper = keeper
        self._decoy: Row | None = None

    def opened(self, row: Row) -> KeyRecord | RecordCorruptedError:
        """The record of a row, or the error of opening it."""
        return KEYS.opened(row, self._keeper.ring)

    def first_live(self, rows: Iterable[Row], now: datetime) -> KeyRecord | RecordCorruptedError | None:
        """Of the rows under one name, the first that has not ended; None when there is none.

        Args:
            rows: The row with this key_id first, then those with this alias, issued last first.
            now: The moment that decides.
        """
        is_known = False
        for row in rows:
            is_known = True
            found = self.opened(row)
            if not isinstance(found, KeyRecord) or not found.expired(now):
                return found
        if not is_known:
            self.decoy()
        return None

    def decoy(self) -> tuple[Row, KeyRecord]:
        """A row of nobody, opened for nothing; it is made anew when its KEK is gone from the ring."""
        opened = None if self._decoy is None else self.opened(self._decoy)
        if self._decoy is None or not isinstance(opened, KeyRecord):
            opened, ring = _a_decoy(), self._keeper.ring
            self._decoy = KEYS.values(opened, ring, ring.kek_ids[-1])
        return self._decoy, opened


def _a_decoy() -> KeyRecord:
    """A record of the usual size, which no database holds."""
    name = "nobody.invalid"
    return KeyRecord(
        kind=KeyKind.KM,
        key_id=KeyIdentifier("0" * 32, Fqdn(name)),
        key=Secret.generate(),
        issued=datetime(2024, 1, 1, tzinfo=UTC),
        source=EntityId(f"//{name}/nobody"),
        targets=(EntityId(f"//{name}/nowhere"),),
    )
