"""Keeps the key ring and the database in agreement: when a store is opened, and when it is rekeyed.

The database says which KEK seals new records; the ring, a file, holds the KEKs. Whoever changes the ring
holds the database's write lock, so one process at a time does, and every step is durable before the next:
at any moment the ring holds every KEK that some record is sealed under.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from ..errors import ConfigurationError, StoreUnavailableError
from ..files import sync_directory
from . import queries
from .database import is_migrated, migrate, revision_of
from .sealed_table import SealedTable
from .sealing import KEK_ID_AT, KEK_ID_OCTETS, KeyRing

KEY_RING_FILE: Final = "keyring"
UNUSED_RING_FILE: Final = "keyring.unused"
"""What the ring of a new store is called until the database says that it is sealed with it."""


Adoption = Callable[[Connection, KeyRing, bytes, str], None]
"""What a migration must do that needs the ring: also given the KEK that seals new records, and the revision
that the tables had before."""


class RingKeeper:
    """The key ring of a data directory, for these tables. Its methods run in the worker's thread.

    Attributes:
        path: The file of the key ring.
        ring: The key ring; there once ``is_ready`` or ``make_ready`` succeeded.
    """

    ring: KeyRing

    def __init__(self, data: Path, sealed: Sequence[SealedTable[Any]], adopt: Adoption) -> None:
        self._sealed = sealed
        self._adopt = adopt
        self.path = self._path = data / KEY_RING_FILE
        self._unused = data / UNUSED_RING_FILE

    def is_ready(self, connection: Connection) -> bool:
        """Load the ring of an existing, up-to-date database, without any lock; False if make_ready must come.

        Raises:
            ConfigurationError: The ring is missing, open to others, damaged, or another database's.
        """
        if not is_migrated(connection) or (kek_id := queries.peek_kek_id(connection)) is None:
            return False
        self._load(kek_id)
        return True

    def make_ready(self, connection: Connection) -> None:
        """Migrate the database and, for a new one, make the ring; in a transaction that writes.

        After the commit ``is_ready`` must be called, which gives a new ring its name.

        Raises:
            ConfigurationError: As for is_ready, a newer release made the database, or it is empty while its
                ring has been used.
        """
        before = revision_of(connection)
        migrate(connection)
        kek_id = queries.kek_id(connection, change=True)
        if kek_id is not None:
            self._load(kek_id)
            self._adopt(connection, self.ring, kek_id, before)
        elif self._path.exists():
            raise ConfigurationError(
                f"the key ring {self._path} has been used, but its database is empty: restore the database "
                "from a backup, or begin anew in another directory"
            )
        elif queries.holds_records(connection):
            raise self._missing()
        else:
            # There may be one already, from an open that was interrupted before its commit.
            ring = KeyRing.load if self._unused.exists() else KeyRing.create
            queries.set_kek_id(connection, ring(self._unused).kek_ids[-1])

    def _load(self, kek_id: bytes) -> None:
        if not self._path.exists():
            self._take_into_use(kek_id)
        self.ring = KeyRing.load(self._path)
        if not self.ring.knows(kek_id):
            raise ConfigurationError(
                f"{self._path} is the key ring of another database: restore the one that belongs to this"
            )

    def _take_into_use(self, kek_id: bytes) -> None:
        """Give the ring of a new store its name; others may be doing the same."""
        try:
            if not KeyRing.load(self._unused).knows(kek_id):
                raise self._missing()
            self._unused.rename(self._path)
            sync_directory(self._path.parent)
        except (ConfigurationError, OSError):
            if not self._path.exists():
                raise self._missing() from None

    def _missing(self) -> ConfigurationError:
        return ConfigurationError(
            f"the database is sealed, but its key ring {self._path} is missing: restore it from a backup; "
            "without it the keys in the database are lost"
        )

    def kek_id(self, connection: Connection) -> bytes:
        """The KEK that seals new records, held still until the end of the transaction.

        Raises:
            StoreUnavailableError: The database does not say.
        """
        kek_id = queries.kek_id(connection)
        if kek_id is None:
            raise StoreUnavailableError("the database does not say what it is sealed with: restore a backup")
        return kek_id

    def reseal_all(self, connection: Connection) -> int:
        """Add a KEK to the ring and seal every record under it; the number of records.

        Raises:
            RecordCorruptedError: A record does not open; the transaction must be rolled back.
            StoreUnavailableError: The ring cannot be read or written.
        """
        self.retire_keks(connection)  # what a rekey that failed left over, so that the ring does not grow
        new = self.ring.rotate()

        def seal(sealed: SealedTable[Any]) -> int:
            return queries.reseal(connection, sealed.table, lambda row: sealed.reseal(row, self.ring, new))

        count = sum(map(seal, self._sealed))
        queries.set_kek_id(connection, new)
        return count

    def retire_keks(self, connection: Connection) -> None:
        """Drop every KEK that neither the database names nor any record is sealed under.

        Raises:
            StoreUnavailableError: The ring is not this database's, or cannot be read or written.
        """
        current = queries.kek_id(connection, change=True)
        self.ring.refresh()
        if current is None or not self.ring.knows(current):
            raise StoreUnavailableError(f"{self._path} is not the key ring of this database: restore it")
        self.ring.retire(keep={current} | queries.kek_ids_in_use(connection, KEK_ID_AT, KEK_ID_OCTETS))
