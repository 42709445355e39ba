"""A table whose rows are sealed: how a record becomes a row, and how a row is believed.

The seal of a row encrypts the record's secret and covers every column but itself, which is the last. A row is
opened before anything in it is believed: once the seal matches, its columns are the ones that were written,
and need no second parsing. This module sees no connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Table

from ..errors import RecordCorruptedError
from .sealing import KeyRing, associated_data

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class SealedTable(Generic[Record]):
    """One kind of record, and the table that holds it.

    Attributes:
        table: The table; its last column is ``sealed``.
        tag: The name of the kind in the seal, so that no row passes for one of another table. It never
            changes: it is part of every seal on every disk.
        to_row: The columns of a record but for its seal, in the order of the schema.
        from_row: A record from its columns, the seal left out, and its secret.
        secret_of: What the seal encrypts; no octets when it only binds.
        name_of: A row, named for an error message.
        remedy: What to do about a row that does not open.
    """

    table: Table
    tag: str
    to_row: Callable[[Record], tuple[object, ...]] = field(repr=False)
    from_row: Callable[[Sequence[Any], bytes], Record] = field(repr=False)
    secret_of: Callable[[Record], bytes] = field(repr=False)
    name_of: Callable[[Sequence[Any]], str] = field(repr=False)
    remedy: str
    _names: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", tuple(self.table.c.keys()))

    def columns(self, record: Record) -> dict[str, Any]:
        """The columns of a record but for its seal: what tells whether a row is still this record's."""
        return dict(zip(self._names[:-1], self.to_row(record), strict=True))

    def row(self, record: Record, ring: KeyRing, kek_id: bytes) -> dict[str, Any]:
        """The row of a record, sealed under this KEK."""
        return dict(zip(self._names, self.values(record, ring, kek_id), strict=True))

    def values(self, record: Record, ring: KeyRing, kek_id: bytes) -> tuple[object, ...]:
        """The same without the names, in the order of the schema."""
        columns = self.to_row(record)
        return (*columns, ring.seal(kek_id, self.secret_of(record), self.associated(columns)))

    def open(self, row: Sequence[Any], ring: KeyRing) -> Record:
        """The record of a row, columns in the order of the schema.

        Raises:
            RecordCorruptedError: It does not open; the message names the row and what to do.
        """
        *columns, sealed = row
        try:
            secret = ring.open(sealed, self.associated(columns))
        except RecordCorruptedError as error:
            raise RecordCorruptedError(f"{self.name_of(row)}: {error}; {self.remedy}") from None
        return self.from_row(columns, secret)

    def opened(self, row: Sequence[Any], ring: KeyRing) -> Record | RecordCorruptedError:
        """The record of a row, or the error of opening it: for rows that are looked at together."""
        try:
            return self.open(row, ring)
        except RecordCorruptedError as error:
            return error

    def reseal(self, row: Sequence[Any], ring: KeyRing, kek_id: bytes) -> bytes:
        """The seal of a row under another KEK; the row is proved first.

        Raises:
            RecordCorruptedError: It does not open.
        """
        record = self.open(row, ring)
        return ring.seal(kek_id, self.secret_of(record), self.associated(row[:-1]))

    def associated(self, columns: Sequence[object]) -> bytes:
        """What a seal covers: these columns, the seal left out, of a row of this table."""
        return associated_data((self.tag, *columns))
