"""The write-ahead log of an SQLite database: who syncs it, and when it begins anew.

At FULL, SQLite syncs the log in each commit, on the thread that commits. The event loop commits at NORMAL,
without, and a thread syncs the log afterwards: then that commit is as durable as the other. What FULL does
besides is done here. The name of a new log is synced with it. The header that a log gets when it begins anew
is written, and synced, by a thread, right after its checkpoint. And once a sync has failed, no later one is
believed: the system reports a lost page once.

A second descriptor of the log does no harm. One of the database or of its index would: closing it drops the
locks of this process.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..errors import StoreUnavailableError
from ..files import sync_directory

FRAMES_MAX: Final = 1000
"""Frames (pages) in the log at which it is written back to the database, and begins anew."""

_HEADER_OCTETS: Final = 32
_FRAME_HEADER_OCTETS: Final = 24
_SALTS: Final = slice(16, 24)
_SALTS_OF_FRAME: Final = slice(8, 16)
_PAGE_SIZE: Final = slice(8, 12)
_VERSIONS: Final = 2**31
_PATIENCE: Final = 0.05
_LOCKED: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_sync_data: Final = getattr(os, "fdatasync", os.fsync)


class WriteAheadLog:
    """The log of one database, for all threads of this process that write it.

    Attributes:
        turn: Held by the thread that writes the log back and lets it begin anew; who commits on the event
            loop takes it without waiting, or tries again.
    """

    def __init__(self, database: Path) -> None:
        self.turn = threading.Lock()
        self._path = database.with_name(database.name + "-wal")
        self._descriptor: int | None = None
        self._mark = FRAMES_MAX
        self._failure: BaseException | None = None

    # --- syncing --------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Make all that was committed durable; for one thread.

        Raises:
            StoreUnavailableError: It could not be synced, now or before.
        """
        self.check()
        try:
            _sync_data(self._current())
        except OSError as error:
            self.fail(error)
            self.check()

    def check(self) -> None:
        """Go on only if no sync has failed.

        Raises:
            StoreUnavailableError: One has: what is written may be lost, whatever a later one says.
        """
        if self._failure is not None:
            raise StoreUnavailableError(
                f"the disk did not keep what was written ({self._failure}): check it, then start anew"
            )

    def fail(self, error: BaseException) -> None:
        """A sync failed: nothing that is written from now on is reported as durable."""
        self._failure = self._failure or error

    def _current(self) -> int:
        """A descriptor of the file that is the log now; of a new one the name is synced too."""
        if self._descriptor is not None:
            if os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
                return self._descriptor
            self.close()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        self._descriptor = descriptor
        sync_directory(self._path.parent)
        return descriptor

    def close(self) -> None:
        """Let the file go; for the thread that syncs."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # --- its length -----------------------------------------------------------------------------------------

    def is_long(self) -> bool:
        """Whether it has so many frames that it should be written back; two short reads."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False  # there is none, or whoever needs it says what is wrong with it
        try:
            header = os.pread(descriptor, _HEADER_OCTETS, 0)
            size = _FRAME_HEADER_OCTETS + int.from_bytes(header[_PAGE_SIZE])
            frame = os.pread(descriptor, _FRAME_HEADER_OCTETS, _HEADER_OCTETS + self._mark * size)
        finally:
            os.close(descriptor)
        # A log that began anew overwrites the old one, whose frames have other salts than its header.
        return len(frame) == _FRAME_HEADER_OCTETS and frame[_SALTS_OF_FRAME] == header[_SALTS]

    def relieve(self, connection: sqlite3.Connection) -> None:
        """Write the log back to the database, and let it begin anew with a commit of this thread.

        Where readers or writers are in the way, the log grows a little, and it is tried again.

        Args:
            connection: A connection of this thread, not in a transaction, that syncs its commits (FULL).

        Raises:
            sqlite3.Error: The database cannot be read or written.
        """
        with self.turn:
            try:
                [(blocked, _, _)] = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                if not blocked:
                    # Whoever commits first writes and syncs the new header: here, and not on the event loop.
                    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
                    connection.execute(f"PRAGMA user_version = {(version + 1) % _VERSIONS}")
            except sqlite3.Error as error:
                if is_failed_sync(error):
                    self.fail(error)
                if error.sqlite_errorcode & 0xFF not in _LOCKED:
                    raise
                blocked = True
        self._mark = self._mark + FRAMES_MAX // 4 if blocked else FRAMES_MAX


def is_failed_sync(error: BaseException | None) -> bool:
    """Whether SQLite says that the disk did not keep what was written."""
    failed = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}
    return getattr(error, "sqlite_errorcode", None) in failed


Told = Callable[[StoreUnavailableError | None], None]


class SyncThread:
    """Syncs the log for an event loop, and keeps it short."""

    def __init__(self, log: WriteAheadLog, database: Path, loop: AbstractEventLoop) -> None:
        self._log = log
        self._database = database
        self._loop = loop
        self._queue: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="onem2m-store-sync", daemon=True)
        self._thread.start()

    def sync(self, told: Told) -> None:
        """Sync what was committed until now; then the event loop is told whether it is durable."""
        self._queue.put(told)

    def stop(self) -> None:
        """End the thread, once it has done what it was asked; waits for it."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while (told := self._queue.get()) is not None:
            error: StoreUnavailableError | None = None
            try:
                self._log.sync()
                # What was synced is durable; a log that cannot be written back just now is long, and no loss.
                with contextlib.suppress(sqlite3.Error):
                    if self._log.is_long():
                        connection = connection or self._connect()
                        self._log.relieve(connection)
            except StoreUnavailableError as failed:
                error = failed
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(told, error)
        self._log.close()
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=_PATIENCE, isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        return connection
