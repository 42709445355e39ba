"""Keys in the worker's thread: many looked up with one query, many stored with one statement.

The handlers of the worker take what was asked for at the same time, and give an answer, or the error of that
one question, for each in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from ..credentials import Secret
from ..errors import ParentGoneError, RecordCorruptedError, RecordExistsError, StoreError
from ..identifiers import KeyIdentifier
from ..texts import shown
from . import queries
from .columns import microseconds
from .database import take_turn
from .keeper import RingKeeper
from .keys import KEYS
from .lookups import Lookups
from .records import PARENT_KIND, KeyKind, KeyRecord
from .worker import Outcome, result_of

Lookup = tuple[KeyKind, str, datetime]
"""What the key is, its key_id or alias as text, and the moment that decides what is expired."""

Count = tuple[KeyKind, str, bool, datetime]
"""What the keys are, whom they authenticate, whether by request, and the moment that counts."""

Revision = Callable[[Sequence[KeyRecord]], Iterable[KeyRecord]]
"""Given keys that are stored, those that stay, each as it is or changed. Runs in the worker's thread."""

PARENTS = tuple(dict.fromkeys(kind.value for kind in PARENT_KIND.values()))
"""The kinds of keys that others are stored under the lock of."""


@dataclass(frozen=True, slots=True)
class Addition:
    """A key to store.

    Attributes:
        record: The key.
        replace: Whether it takes the place of one of the same kind and key_id.
        parent_key: The key that the record's parent must still be; None for no such condition.
        others: What becomes of the other keys of this kind and source; None for nothing.
    """

    record: KeyRecord
    replace: bool = False
    parent_key: Secret | None = None
    others: Revision | None = None


class KeyJobs:
    """What the worker does with keys, under the key ring that the keeper holds."""

    def __init__(self, keeper: RingKeeper) -> None:
        self._keeper = keeper
        self._lookups = Lookups(keeper)

    def find_all(self, connection: Connection, lookups: Sequence[Lookup]) -> list[Outcome[KeyRecord | None]]:
        """The live key of each lookup, by key_id or else by alias (a handler).

        What is not there costs what is there costs: one statement, and one seal that is opened.
        """
        by_kind: defaultdict[KeyKind, list[int]] = defaultdict(list)
        for position, (kind, _, _) in enumerate(lookups):
            by_kind[kind].append(position)
        results: list[Outcome[KeyRecord | None]] = [None] * len(lookups)
        for kind, positions in by_kind.items():
            by_key_id, by_alias = self._named(connection, kind, [lookups[at] for at in positions])
            for at in positions:
                _, text, now = lookups[at]
                found = [row for row in (by_key_id.get(text), *by_alias.get(text, ())) if row is not None]
                results[at] = self._lookups.first_live(found, now)
        return results

    @staticmethod
    def _named(
        connection: Connection, kind: KeyKind, lookups: Sequence[Lookup]
    ) -> tuple[dict[str, Row[Any]], dict[str, list[Row[Any]]]]:
        """The rows under the key_ids, and those under the aliases, latest issued first."""
        texts = {text for _, text, _ in lookups}
        earliest = microseconds(min(now for _, _, now in lookups))
        by_key_id: dict[str, Row[Any]] = {}
        by_alias: defaultdict[str, list[Row[Any]]] = defaultdict(list)
        for row in queries.keys_by_name(connection, kind.value, list(texts), earliest):
            if row.key_id in texts:
                by_key_id[row.key_id] = row
            if row.alias in texts:
                by_alias[row.alias].append(row)
        return by_key_id, by_alias

    def count_all(self, connection: Connection, counts: Sequence[Count]) -> list[Outcome[int]]:
        """How many live keys each entity has (a handler).

        A key that ends while the questions gather still counts.
        """
        alike: defaultdict[tuple[KeyKind, bool], list[int]] = defaultdict(list)
        for position, (kind, _, by_request, _) in enumerate(counts):
            alike[kind, by_request].append(position)
        results: list[Outcome[int]] = [0] * len(counts)
        for (kind, by_request), positions in alike.items():
            sources = list({counts[at][1] for at in positions})
            now = microseconds(min(counts[at][3] for at in positions))
            live = queries.count_live(connection, kind.value, sources, now, by_request=by_request)
            for at in positions:
                results[at] = live.get(counts[at][1], 0)
        return results

    def by_key_id(
        self, connection: Connection, kind: KeyKind, texts: set[str]
    ) -> dict[str, KeyRecord | RecordCorruptedError]:
        """The keys of a kind under these key_ids, or the errors of those that do not open."""
        found = queries.keys_by_key_id(connection, kind.value, list(texts))
        return {row.key_id: self.opened(row) for row in found}

    def add_all(self, connection: Connection, additions: Sequence[Addition]) -> list[Outcome[None]]:
        """Store keys; each that exists already is refused alone (a handler)."""
        results: list[Outcome[None]] = []
        for replace, run in _runs(additions):
            if replace:
                self._put(connection, run)
                results += [None] * len(run)
            else:
                kek_id = self._keeper.kek_id(connection)
                new = [KEYS.row(record, self._keeper.ring, kek_id) for record in run]
                added = queries.add_keys(connection, new)
                results += (None if (row["kind"], row["key_id"]) in added else _exists(row) for row in new)
        return results

    def add_derived(self, connection: Connection, additions: Sequence[Addition]) -> list[Outcome[None]]:
        """Store those keys whose parents are kept and unaltered; each other is refused alone (a handler).

        The parents are held still until the commit: whoever removes one waits, and then removes these too.
        """
        wanted: defaultdict[KeyKind, set[str]] = defaultdict(set)
        for addition in additions:
            wanted[PARENT_KIND[addition.record.kind]].add(str(addition.record.parent))
        parents = {
            (kind, row.key_id): self.opened(row)
            for kind, texts in wanted.items()
            for row in queries.hold_keys(connection, kind.value, list(texts))
        }
        refusals = [_refusal(addition, parents) for addition in additions]
        standing = [addition for addition, refusal in zip(additions, refusals, strict=True) if not refusal]
        added = iter(self.add_all(connection, standing))
        return [refusal or next(added) for refusal in refusals]

    def supersede(self, connection: Connection, additions: Sequence[Addition]) -> list[Outcome[None]]:
        """Store each key and, with it, revise the others of its kind and source (a handler)."""
        results: dict[int, Outcome[None]] = {}
        # One order of taking turns for everybody.
        for at in sorted(range(len(additions)), key=lambda at: str(additions[at].record.source)):
            addition = additions[at]
            record = addition.record
            take_turn(connection, f"{record.kind.value} {record.source}")
            add = self.add_all if addition.parent_key is None else self.add_derived
            [results[at]] = add(connection, [addition])
            if results[at] is None and addition.others is not None:
                self._revise(connection, record, addition.others)
        return [results[at] for at in range(len(additions))]

    def _revise(self, connection: Connection, new: KeyRecord, revision: Revision) -> None:
        """One that does not open is left alone: it is of no use, and nobody can judge it."""
        found = queries.keys_of_source(connection, new.kind.value, str(new.source))
        opened = (self.opened(row) for row in found if row.key_id != str(new.key_id))
        others = [outcome for outcome in opened if isinstance(outcome, KeyRecord)]
        kept = {record.key_id: record for record in revision(others)}
        for other in others:
            if other.key_id not in kept:
                self.remove(connection, other.kind, str(other.key_id), descendants=True)
        changed = [kept[other.key_id] for other in others if kept.get(other.key_id, other) != other]
        if changed:
            self._put(connection, changed)

    def remove(self, connection: Connection, kind: KeyKind, text: str, *, descendants: bool) -> bool:
        """Remove a key and, if asked, what came of it; whether the key was there."""
        removed = queries.delete_key(connection, kind.value, text)
        if descendants:
            queries.delete_descendants(connection, text, parents=PARENTS)
        return removed

    def _put(self, connection: Connection, records: Sequence[KeyRecord]) -> None:
        """Store keys of which no two have one place, in the place of what is there.

        What came of another credential that had the place goes with it.
        """
        kek_id = self._keeper.kek_id(connection)
        gone = [text for kind in set(PARENT_KIND.values()) for text in self._ended(connection, kind, records)]
        new = [KEYS.row(record, self._keeper.ring, kek_id) for record in records]
        queries.put_keys(connection, new, replace=True)
        for text in gone:
            queries.delete_descendants(connection, text, parents=PARENTS)

    def _ended(self, connection: Connection, kind: KeyKind, records: Sequence[KeyRecord]) -> Iterable[str]:
        """The key_ids of the credentials of a kind that end because another takes their place."""
        new = {str(record.key_id): record for record in records if record.kind is kind}
        for row in queries.hold_keys(connection, kind.value, list(new), change=True) if new else ():
            old, record = self.opened(row), new[row.key_id]
            if not isinstance(old, KeyRecord) or not old.is_credential(record.key, record.source):
                yield row.key_id

    def put_batches(self, connection: Connection, batches: Sequence[Sequence[Addition]]) -> list[None]:
        """Store batches, the cheapest way; IntegrityError if a key exists already (a handler)."""
        kek_id = self._keeper.kek_id(connection)
        for batch in batches:
            if batch[0].replace:
                self.add_all(connection, batch)
            else:
                new = [KEYS.row(addition.record, self._keeper.ring, kek_id) for addition in batch]
                queries.put_keys(connection, new, replace=False)
        return [None] * len(batches)

    def add_batches(self, connection: Connection, batches: Sequence[Sequence[Addition]]) -> list[None]:
        """Store batches like put_batches; RecordExistsError names the key that exists (a handler)."""
        for batch in batches:
            for outcome in self.add_all(connection, batch):
                result_of(outcome)  # what is raised here undoes the whole batch
        return [None] * len(batches)

    def opened(self, row: Sequence[Any]) -> KeyRecord | RecordCorruptedError:
        """The record of a row, or the error of opening it."""
        return self._lookups.opened(row)


def _refusal(
    addition: Addition, parents: dict[tuple[KeyKind, str], KeyRecord | RecordCorruptedError]
) -> StoreError | None:
    record = addition.record
    found = parents.get((PARENT_KIND[record.kind], str(record.parent)))
    if isinstance(found, RecordCorruptedError):
        return found
    if found is None or addition.parent_key is None:
        return ParentGoneError(f"{record.parent} was removed meanwhile: nothing comes of it any more")
    if not found.is_credential(addition.parent_key, record.source):
        return ParentGoneError(
            f"{record.parent} was replaced meanwhile: nothing comes of the old one any more"
        )
    return None


def _exists(row: dict[str, Any]) -> RecordExistsError:
    return RecordExistsError(f"{row['kind']} {shown(row['key_id'])} is stored already: remove or replace it")


def _runs(additions: Sequence[Addition]) -> Iterable[tuple[bool, list[KeyRecord]]]:
    """Cut additions into runs that one INSERT can take: all plain or all replacing, and no key twice."""
    run: dict[tuple[KeyKind, KeyIdentifier], KeyRecord] = {}
    replacing = False
    for addition in additions:
        key = (addition.record.kind, addition.record.key_id)
        if run and (addition.replace is not replacing or key in run):
            yield replacing, list(run.values())
            run = {}
        replacing = addition.replace
        run[key] = addition.record
    if run:
        yield replacing, list(run.values())
