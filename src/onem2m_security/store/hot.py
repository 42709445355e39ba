"""The way that every handshake takes through the store, on the event loop's own thread (SQLite only).

A lookup is plain SQL on one connection, all those of one turn of the event loop in one snapshot. Keys to be
stored gather for a turn, go into one transaction, and are committed without a sync; ``log`` syncs in a
thread, and only then whoever waits is told. So the loop may wait for a page of a file, never for a sync.

What is remembered of credentials holds while nobody has committed a change to one.

Here is only what goes well. Whatever does not (a locked or damaged database, a key that exists, a parent
that is gone) is left to the worker, which does it again and says what is wrong.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from ..errors import RecordCorruptedError, StoreError, StoreUnavailableError
from .columns import microseconds
from .hot_connection import NOT_DONE, HotConnection, Place, is_locked
from .key_jobs import Addition
from .keys import KEYS
from .log import SyncThread, WriteAheadLog
from .lookups import Lookups
from .records import PARENT_KIND, KeyKind, KeyRecord, Later
from .remembered import Answer, Remembered
from .schema import key_records

Done = Callable[[BaseException | None], None]
"""Told that a key is durable, or why it is not stored."""

GROUP_MAX: Final = 500
"""The most keys in one transaction."""

GATHERING_SECONDS: Final = 0.003
"""How long keys gather at most, when there were several at once before. A lone one never waits."""

_RETRY_SECONDS: Final = 0.001
_RETRIES: Final = 25
"""How often a locked database is tried again before the worker waits for it."""

_REMEMBERED_KINDS: Final = frozenset({KeyKind.KM, KeyKind.KPM})
"""The kinds whose changes raise the generation."""

_BEFORE_ALL: Final = -(2**62)

_NAMES: Final = tuple(key_records.c.keys())
_COLUMNS: Final = ", ".join(_NAMES)
_KEY_ID, _ISSUED = _NAMES.index("key_id"), _NAMES.index("issued")
_FIND: Final = (
    f"SELECT {_COLUMNS} FROM key_records WHERE kind = ? AND key_id = ? "  # noqa: S608 - names of our schema
    f"UNION ALL SELECT {_COLUMNS} FROM key_records "
    "WHERE kind = ? AND alias = ? AND (expires IS NULL OR expires > ?)"
)
_INSERT: Final = f"INSERT INTO key_records ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608
_COUNT: Final = (
    "SELECT count(*) FROM key_records WHERE kind = ? AND source = ? "
    "AND (admin_fqdn IS NOT NULL) = ? AND (expires IS NULL OR expires > ?)"
)


@dataclass(slots=True, eq=False)
class _Waiting:
    addition: Addition
    done: Done


class HotKeys:
    """Keys on the event loop's thread; made on it."""

    def __init__(
        self,
        place: Place,
        log: WriteAheadLog,
        *,
        slowly: Callable[[Addition, Done], None],
        retire: Callable[[sqlite3.Connection], None],
    ) -> None:
        """Work on this store.

        Args:
            place: Where it is.
            log: Its log.
            slowly: Has the worker store a key.
            retire: Has the worker close a connection: that may take a checkpoint.
        """
        self._place = place
        self._log = log
        self._slowly = slowly
        self._loop = asyncio.get_running_loop()
        self._remembered = Remembered()
        self._connection = HotConnection(place, changed=self._remembered.forget, retire=retire)
        self._lookups = Lookups(self._connection)
        self._syncing: SyncThread | None = None
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._expected = 1
        self._tries = 0
        self._idle: asyncio.Future[None] | None = None
        self._closed = False

    # --- looking up -----------------------------------------------------------------------------------------

    def find(self, kind: KeyKind, text: str, now: datetime) -> KeyRecord | Later | None:
        """The live key under this key_id or alias; LATER if the worker has to look.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        try:
            connection = self._connection.reading()
            if connection is None:
                return Later.LATER
            answer = self._answer(connection, kind, text, now)
        except NOT_DONE as error:
            self._connection.failed(error)
            return Later.LATER
        if answer.kept is not None and not answer.kept.record.expired(now):
            try:
                opened = answer.kept.open(self._connection.ring)
            except RecordCorruptedError:  # the KEK of then is gone from the ring
                self._remembered.drop((kind.value, text))
                return self.find(kind, text, now)
            return opened if answer.rows else None
        if not answer.rows and kind in _REMEMBERED_KINDS:
            answer.kept = self._remembered.opened(*self._lookups.decoy())
            return None
        found = self._lookups.first_live(answer.rows, now)
        if isinstance(found, RecordCorruptedError):
            raise found
        if found is not None and answer.kept is None and str(found.key_id) == answer.rows[0][_KEY_ID]:
            answer.kept = self._remembered.opened(answer.rows[0], found)
        return found

    def count(self, kind: KeyKind, source: str, now: datetime, *, by_request: bool) -> int | Later:
        """How many live keys of a kind this entity has; LATER if the worker has to count."""
        try:
            connection = self._connection.reading()
            if connection is None:
                return Later.LATER
            asked = (kind.value, source, by_request, microseconds(now))
            [(count,)] = connection.execute(_COUNT, asked).fetchall()
        except NOT_DONE as error:
            self._connection.failed(error)
            return Later.LATER
        return int(count)

    def _answer(self, connection: sqlite3.Connection, kind: KeyKind, text: str, now: datetime) -> Answer:
        """What is under a name, in the snapshot or the transaction that is under way."""
        name = (kind.value, text)
        found = self._remembered.find(name) if kind in _REMEMBERED_KINDS else None
        if found is None:
            # What is remembered holds at any moment; which of it has ended is looked at each time.
            ended = _BEFORE_ALL if kind in _REMEMBERED_KINDS else microseconds(now)
            rows = connection.execute(_FIND, (*name, *name, ended)).fetchall()
            if len(rows) > 1:
                rows.sort(key=lambda row: (row[_KEY_ID] != text, -row[_ISSUED]))
            found = Answer(rows)
            if kind in _REMEMBERED_KINDS:
                self._remembered.keep(name, found)
        return found

    # --- storing --------------------------------------------------------------------------------------------

    def add(self, addition: Addition, done: Done) -> None:
        """Store a new key; one with a parent's key only while the parent is kept, with that key."""
        if self._closed:
            self._slowly(addition, done)
            return
        self._waiting.append(_Waiting(addition, done))
        self._gather()

    def _gather(self) -> None:
        """Commit soon, unless a sync is under way: then what waits is the next group.

        As many as were in the group before are waited for a little; they are likely to come.
        """
        if self._is_due or self._busy or not self._waiting:
            return
        if len(self._waiting) < self._expected and not self._closed:
            self._timer = self._timer or self._loop.call_later(GATHERING_SECONDS, self._flush)
        else:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Commit all that waits."""
        self._is_due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        group, rest = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
        try:
            left = self._commit(group)
        except (*NOT_DONE, StoreError) as error:
            if is_locked(error) and self._tries < _RETRIES and not self._closed:
                self._tries += 1
                self._is_due = True
                self._loop.call_later(_RETRY_SECONDS, self._flush)
                return
            if not isinstance(error, sqlite3.IntegrityError | StoreError):
                self._connection.failed(error)
            left = group
        self._tries = 0
        self._expected = len(group)
        self._waiting = rest
        stored = [one for one in group if one not in left] if left else group
        for one in left:
            self._slowly(one.addition, one.done)
        if stored:
            self._busy = True
            self._thread().sync(partial(self._synced, stored))
        else:
            self._gather()
            self._rest()

    def _commit(self, group: Sequence[_Waiting]) -> list[_Waiting]:
        """Commit a group, without a sync; gives back those that are left to the worker.

        Raises:
            sqlite3.Error: Nothing was stored.
            StoreUnavailableError: Nothing was stored: the ring cannot be used, or a sync has failed.
        """
        self._log.check()
        if not self._log.turn.acquire(blocking=False):
            raise _busy()
        try:
            with self._connection.writing() as connection:
                return list(group) if connection is None else self._insert(connection, group)
        finally:
            self._log.turn.release()

    def _insert(self, connection: sqlite3.Connection, group: Sequence[_Waiting]) -> list[_Waiting]:
        [(kek_id,)] = connection.execute("SELECT kek_id FROM sealing_state").fetchall()
        if not isinstance(kek_id, bytes):
            raise sqlite3.DataError("the database does not say what it is sealed with")
        rows: list[tuple[object, ...]] = []
        left: list[_Waiting] = []
        for one in group:
            if self._stands(connection, one.addition):
                rows.append(KEYS.values(one.addition.record, self._connection.ring, kek_id))
            else:
                left.append(one)
        connection.executemany(_INSERT, rows)
        return left

    def _stands(self, connection: sqlite3.Connection, addition: Addition) -> bool:
        """Whether the parent is kept as it was when the key was made of it."""
        record, key = addition.record, addition.parent_key
        if key is None:
            return True
        kind, text = PARENT_KIND[record.kind], str(record.parent)
        answer = self._answer(connection, kind, text, record.issued)
        if not answer.rows or answer.rows[0][_KEY_ID] != text:
            return False
        if answer.kept is None:
            parent = self._lookups.opened(answer.rows[0])
            if not isinstance(parent, KeyRecord):
                return False
            answer.kept = self._remembered.opened(answer.rows[0], parent)
        return answer.kept.record.source == record.source and self._remembered.is_of(answer.kept, key)

    def _synced(self, group: Sequence[_Waiting], error: StoreUnavailableError | None) -> None:
        self._busy = False
        self._gather()
        self._rest()
        for one in group:
            # Each is raised on its own.
            one.done(None if error is None else StoreUnavailableError(str(error)))

    def _thread(self) -> SyncThread:
        if self._syncing is None:
            self._syncing = SyncThread(self._log, self._place.database, self._loop)
        return self._syncing

    def _rest(self) -> None:
        """Tell who closes that nothing is under way any more."""
        if self._busy or self._waiting:
            return
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def close(self) -> None:
        """Finish what was begun, and let the database go; new questions go to the worker from now on."""
        self._closed = True
        if self._busy or self._waiting:
            self._idle = self._idle or self._loop.create_future()
            await asyncio.shield(self._idle)
        if self._syncing is not None:
            self._syncing.stop()
            self._syncing = None
        self._connection.close()


def _busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("the log begins anew")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
