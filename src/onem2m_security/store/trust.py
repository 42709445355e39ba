"""Whom the store's keys are trusted for, and who was removed: revocation, and its end.

The number of the last revocation tells every server on this store, whatever process revoked, that its open
sessions may rest on what is gone. A revoked key that others could provide anew (a Km that an MEF derives from
Ke) leaves a tombstone under the identifier that leads to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from ..identifiers import KeyIdentifier
from . import queries, revocations
from .columns import microseconds, moment, optional
from .key_jobs import PARENTS, Addition, KeyJobs, Revision
from .records import KeyKind, KeyRecord, Revocation, canonical_key_id
from .worker import Worker, result_of

TOMBSTONE_LIFETIME: Final = timedelta(days=366)
"""For a tombstone of a key without an end of its own."""


class Trust:
    """Revocation in the store that made it; methods raise StoreUnavailableError as those of the store do."""

    def __init__(self, keys: KeyJobs, worker: Worker) -> None:
        """Work with the thread of a store; see ``Store.trust``."""
        self._keys = keys
        self._worker = worker

    async def revision(self) -> int:
        """The number of the last revocation: while it is the same, no trusted key was removed or replaced."""
        return await self._worker.submit(_revisions, None)

    async def revoke(self, kind: KeyKind, key_id: KeyIdentifier) -> Revocation | None:
        """Remove a key and everything that came from it, and keep it from coming back under its alias.

        Args:
            kind: What the key is.
            key_id: Its identifier; an alias does not do.

        Returns:
            What there was to know; None when there was no such key.
        """
        text = str(canonical_key_id(kind, key_id))
        now = self._worker.clock.now()

        def revoke(connection: Connection) -> Revocation | None:
            revocations.note(connection)  # first: whoever provides the key anew at this moment is waited for
            found = queries.keys_by_key_id(connection, kind.value, [text])
            queries.delete_key(connection, kind.value, text)
            queries.delete_descendants(connection, text, parents=PARENTS)
            if not found:
                return None
            row = found[0]  # the columns: a record that does not open is removed as well
            if row.alias is not None:
                ends = row.expires or microseconds(now + TOMBSTONE_LIFETIME)
                revocations.bury(connection, kind.value, row.alias, text, ends=ends, now=microseconds(now))
            return Revocation(optional(KeyIdentifier.parse, row.alias), optional(moment, row.expires))

        return await self._worker.write(revoke)

    async def is_revoked(self, kind: KeyKind, key_id: KeyIdentifier) -> bool:
        """Whether a key must not come back under this identifier."""
        now = microseconds(self._worker.clock.now())
        return await self._worker.submit(_lying_under, (kind.value, str(key_id), now))

    async def add_unless_revoked(self, record: KeyRecord, *, others: Revision | None = None) -> bool:
        """Store a key that somebody else provided, in place of one with this key_id; False if it was revoked.

        Whether it was is decided in the transaction that stores it.

        Args:
            record: The key.
            others: What becomes of the other keys of this kind and source, as for ``Store.add``.
        """
        addition = Addition(record, replace=True, others=others)
        now = microseconds(self._worker.clock.now())

        def add(connection: Connection) -> bool:
            alias = str(record.alias)
            if revocations.lies_under(connection, record.kind.value, alias, now=now, hold=True):
                return False
            [outcome] = self._keys.supersede(connection, [addition])
            result_of(outcome)
            return True

        return await self._worker.write(add)

    async def readmit(self, kind: KeyKind, key_id: KeyIdentifier) -> bool:
        """Lift the tombstone under this identifier, or of the key that had it; whether there was one."""
        names = [str(canonical_key_id(kind, key_id)), str(key_id)]
        return await self._worker.write(lambda connection: revocations.lift(connection, kind.value, names))


def _revisions(connection: Connection, asked: Sequence[None]) -> list[int]:
    return [revocations.revision(connection)] * len(asked)


def _lying_under(connection: Connection, lookups: Sequence[tuple[str, str, int]]) -> list[bool]:
    return [revocations.lies_under(connection, kind, key_id, now=now) for kind, key_id, now in lookups]
