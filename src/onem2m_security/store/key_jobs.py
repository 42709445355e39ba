"""Keys in the worker's thread: many looked up with one query, many stored with one statement.

The handlers of the worker take what was asked for at the same time, and give an answer, or the error of that
one question, for each in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from ..errors import RecordCorruptedError, RecordExistsError
from ..identifiers import KeyIdentifier, shown
from . import queries, rows
from .keeper import RingKeeper
from .records import KeyKind, KeyRecord

Lookup = tuple[KeyKind, str, datetime]
"""What the key is, its key_id or alias as text, and the moment that decides what is expired."""
Addition = tuple[KeyRecord, bool]
"""A key, and whether it takes the place of another."""


class KeyJobs:
    """What the worker does with keys, under the key ring that the keeper holds."""

    def __init__(self, keeper: RingKeeper) -> None:
        self._keeper = keeper

    def find_all(
        self, connection: Connection, lookups: Sequence[Lookup]
    ) -> list[KeyRecord | RecordCorruptedError | None]:
        """The live key of each lookup, by key_id or else by alias (a handler)."""
        by_kind: defaultdict[KeyKind, list[int]] = defaultdict(list)
        for position, (kind, _, _) in enumerate(lookups):
            by_kind[kind].append(position)
        results: list[KeyRecord | RecordCorruptedError | None] = [None] * len(lookups)
        for kind, positions in by_kind.items():
            found = self.by_key_id(connection, kind, {lookups[at][1] for at in positions})
            for at in positions:
                results[at] = _unless_expired(found.get(lookups[at][1]), lookups[at][2])
            missing = [at for at in positions if results[at] is None]
            if missing:
                self._find_by_alias(connection, kind, missing, lookups, results)
        return results

    def by_key_id(
        self, connection: Connection, kind: KeyKind, texts: set[str]
    ) -> dict[str, KeyRecord | RecordCorruptedError]:
        """The keys of a kind under these key_ids, or the errors of those that do not open."""
        found = queries.keys_by_key_id(connection, kind.value, list(texts))
        return {row.key_id: self.opened(row) for row in found}

    def _find_by_alias(
        self,
        connection: Connection,
        kind: KeyKind,
        positions: list[int],
        lookups: Sequence[Lookup],
        results: list[KeyRecord | RecordCorruptedError | None],
    ) -> None:
        texts = list({lookups[at][1] for at in positions})
        earliest = min(lookups[at][2] for at in positions)
        candidates: defaultdict[str, list[Row[Any]]] = defaultdict(list)
        for row in queries.keys_by_alias(connection, kind.value, texts, rows.microseconds(earliest)):
            candidates[row.alias].append(row)
        for at in positions:
            _, text, now = lookups[at]
            live = (_unless_expired(self.opened(row), now) for row in candidates.get(text, ()))
            results[at] = next((record for record in live if record is not None), None)

    def add_all(
        self, connection: Connection, additions: Sequence[Addition]
    ) -> list[RecordExistsError | None]:
        """Store keys; each that exists already is refused alone (a handler)."""
        kek_id = self._keeper.kek_id(connection)
        results: list[RecordExistsError | None] = []
        for replace, run in _runs(additions):
            new = [rows.key_row(record, self._keeper.ring, kek_id) for record in run]
            if replace:
                queries.put_keys(connection, new, replace=True)
                results += [None] * len(new)
            else:
                added = queries.add_keys(connection, new)
                results += (None if (row["kind"], row["key_id"]) in added else _exists(row) for row in new)
        return results

    def put_batches(self, connection: Connection, batches: Sequence[Sequence[Addition]]) -> list[None]:
        """Store batches, the cheapest way; IntegrityError if a key exists already (a handler)."""
        kek_id = self._keeper.kek_id(connection)
        for batch in batches:
            new = [rows.key_row(record, self._keeper.ring, kek_id) for record, _ in batch]
            queries.put_keys(connection, new, replace=batch[0][1])
        return [None] * len(batches)

    def add_batches(self, connection: Connection, batches: Sequence[Sequence[Addition]]) -> list[None]:
        """Store batches like put_batches; RecordExistsError names the key that exists (a handler)."""
        for batch in batches:
            for error in self.add_all(connection, batch):
                if error is not None:
                    raise error  # and so the whole batch is rolled back
        return [None] * len(batches)

    def opened(self, row: Row[Any]) -> KeyRecord | RecordCorruptedError:
        """The record of a row, or the error of opening it."""
        try:
            return rows.key_record(row, self._keeper.ring)
        except RecordCorruptedError as error:
            return error


def _unless_expired(
    outcome: KeyRecord | RecordCorruptedError | None, now: datetime
) -> KeyRecord | RecordCorruptedError | None:
    return None if isinstance(outcome, KeyRecord) and outcome.expired(now) else outcome


def _exists(row: dict[str, Any]) -> RecordExistsError:
    return RecordExistsError(f"{row['kind']} {shown(row['key_id'])} is stored already: remove or replace it")


def _runs(additions: Sequence[Addition]) -> Iterable[tuple[bool, list[KeyRecord]]]:
    """Cut additions into runs that one INSERT can take: all plain or all replacing, and no key twice."""
    run: dict[tuple[KeyKind, KeyIdentifier], KeyRecord] = {}
    replacing = False
    for record, replace in additions:
        key = (record.kind, record.key_id)
        if run and (replace is not replacing or key in run):
            yield replacing, list(run.values())
            run = {}
        replacing = replace
        run[key] = record
    if run:
        yield replacing, list(run.values())
