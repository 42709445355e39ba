"""The one SQLite connection on the event loop's thread: a snapshot for each turn, and short transactions.

It does not wait for a lock, and does not sync what it commits. It knows when a credential was changed, by
whomever: two numbers of the database say so, asked for in each snapshot and each transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import SecurityFrameworkError
from .sealing import KeyRing

REST_SECONDS: Final = 1.0
"""How long the worker does everything after the connection failed."""

NOT_DONE: Final = (sqlite3.Error, ValueError, OverflowError, TypeError)
"""What goes wrong with a database, or with a value that it cannot hold or should not have."""

_CACHE_KIBIBYTES: Final = 65_536
_LOCKED: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is.

    Attributes:
        database: The SQLite file.
        ring: The file of the key ring.
    """

    database: Path
    ring: Path


class HotConnection:
    """Opened when it is first needed, and anew after it failed.

    Attributes:
        ring: The key ring, as this thread has it: that of the worker is not for two. There once it is open.
    """

    ring: KeyRing

    def __init__(
        self, place: Place, *, changed: Callable[[], None], retire: Callable[[sqlite3.Connection], None]
    ) -> None:
        """A connection to this store.

        Args:
            place: Where it is.
            changed: Told that a credential was changed.
            retire: Has the worker close a connection: that may take a checkpoint.
        """
        self._place = place
        self._changed = changed
        self._retire = retire
        self._loop = asyncio.get_running_loop()
        self._connection: sqlite3.Connection | None = None
        self._rests_until = 0.0
        self._looking = False
        self._seen: tuple[object, object] = (None, None)

    def reading(self) -> sqlite3.Connection | None:
        """The connection, in the snapshot of this turn of the loop; None if it is not to be had now.

        Raises:
            sqlite3.Error: The database cannot be read.
        """
        connection = self._connection or self._connect()
        if connection is not None and not self._looking:
            connection.execute("BEGIN")
            try:
                self._see_changes(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            self._looking = True
            self._loop.call_soon(self._end_look)
        return connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection | None]:
        """The connection in a transaction that writes; an error undoes all of it. None: not to be had now.

        Raises:
            sqlite3.Error: The database cannot be written; or not now, if somebody else is writing.
        """
        connection = self._connection or self._connect()
        if connection is None:
            yield None
            return
        self._end_look()
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._see_changes(connection)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def failed(self, error: Exception) -> None:
        """Rest for a while after this error, unless the database is only locked."""
        if is_locked(error):
            return
        self._rests_until = self._loop.time() + REST_SECONDS
        self._let_go()

    def close(self) -> None:
        """There is none any more."""
        self._rests_until = float("inf")
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        self._looking = False
        if connection is not None:
            self._retire(connection)

    def _end_look(self) -> None:
        """Let the snapshot go; the next turn, or what is stored, gets a new one."""
        if self._looking and self._connection is not None:
            self._looking = False
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                self.failed(error)

    def _see_changes(self, connection: sqlite3.Connection) -> None:
        """Look whether anybody else has committed since, and if so, whether a change to a credential."""
        version, generation = self._seen
        [(now,)] = connection.execute("PRAGMA data_version").fetchall()
        if now == version:
            return
        [(new,)] = connection.execute("SELECT generation FROM credential_state").fetchall()
        if new != generation:
            self._changed()
        self._seen = now, new

    def _connect(self) -> sqlite3.Connection | None:
        if self._loop.time() < self._rests_until:
            return None
        self._rests_until = self._loop.time() + REST_SECONDS
        try:
            connection = sqlite3.connect(
                self._place.database, timeout=0.0, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
            [(mode,)] = connection.execute("PRAGMA journal_mode").fetchall()
            self.ring = KeyRing.load(self._place.ring)
        except (sqlite3.Error, SecurityFrameworkError):
            return None
        if mode != "wal":
            self._retire(connection)
            return None
        self._rests_until = 0.0
        self._seen = (None, None)
        self._connection = connection
        return connection


def is_locked(error: BaseException) -> bool:
    """Whether it would go well at another moment."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED
