"""The store: keys and client registrations, sealed, durable and shared by several processes.

One directory holds the key ring and, unless a URL names another, the database. Whoever awaits a write knows
that it is on the disk. Servers, and the command line beside them, open the same directory at once. The
store keeps what it is given: whether a key may be used, by whom and for what, is decided above it.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection

from ..clock import CLOCK, Clock
from ..credentials import Secret
from ..errors import (
    ConfigurationError,
    RecordCorruptedError,
    RecordExistsError,
)
from ..identifiers import EntityId, KeyIdentifier
from . import queries
from .bootstrappings import Bootstrappings
from .columns import microseconds
from .commands import MefCommands
from .database import DATABASE_FILE, engine_for, prepare_directory, writable_file
from .enrolment import OwnEnrolment, adopt
from .handshake_keys import HandshakeKeys
from .hot import HotKeys
from .hot_connection import Place
from .keeper import KEY_RING_FILE, UNUSED_RING_FILE, RingKeeper
from .key_jobs import Addition, Revision
from .keys import KEYS
from .log import WriteAheadLog
from .records import KeyKind, KeyRecord, canonical_key_id
from .registrations import RegisteredClients
from .sealed import SEALED
from .subscribers import Subscribers
from .trust import Trust
from .worker import Worker

BUSY_TIMEOUT: Final = 5.0
_BATCH = 1000


class Store(HandshakeKeys, RegisteredClients):
    """Keys and client registrations. Made by ``Store.open``; an asynchronous context manager.

    Every method raises StoreUnavailableError when the database is locked for longer than the busy timeout,
    full, read-only or out of reach, and when the store is closed. Nothing is half done then, and the store
    works again once the cause is gone. If the connection to a PostgreSQL server breaks during the commit
    itself, whether the write was done is only known by looking.

    Attributes:
        subscribers: The subscribers of a BSF; an HSS of our own.
        bootstrappings: What they bootstrapped with it.
        enrolment: The enrolment of a device.
        commands: What an MEF commands its Enrolees.
        trust: Revocation: what was removed on purpose, and the number by which others hear of it.
    """

    def __init__(self, keeper: RingKeeper, worker: Worker, hot: Callable[..., HotKeys] | None = None) -> None:
        super().__init__(keeper, worker, hot)
        self.subscribers = Subscribers(keeper, worker)
        self.bootstrappings = Bootstrappings(keeper, worker)
        self.enrolment = OwnEnrolment(keeper, self._keys, worker)
        self.commands = MefCommands(keeper, worker)
        self.trust = Trust(self._keys, worker)

    @classmethod
    async def open(
        cls,
        data: Path,
        *,
        url: str | None = None,
        existing: bool = False,
        busy_timeout: float = BUSY_TIMEOUT,
        clock: Clock = CLOCK,
    ) -> Self:
        """Open the store of a data directory; a new one is made, an older one is migrated.

        Args:
            data: The data directory, made with mode 0700 if it is not there.
            url: A SQLAlchemy URL (``postgresql://…``); None for the SQLite file in the data directory.
            existing: Whether there must be a store already. It may be on a disk that cannot be written: then
                it can be read.
            busy_timeout: Seconds to wait for a database that is locked.
            clock: What says what has ended.

        Raises:
            ConfigurationError: The directory, the key ring or the URL cannot be used, the key ring is
                missing or another database's, or a newer release made the database; or there is no store and
                one must exist.
            StoreUnavailableError: The database is locked, damaged, read-only or out of reach.
        """
        if existing and not cls.is_at(data):
            raise ConfigurationError(f"there is no store in {data}: is this the right directory?")
        prepare_directory(data, make=not existing)
        engine = engine_for(data, url, busy_timeout, existing=existing)
        keeper = RingKeeper(data, SEALED, adopt)
        database = writable_file(engine)
        log = None if database is None else WriteAheadLog(database)
        hot = None if database is None or log is None else partial(HotKeys, Place(database, keeper.path), log)
        store = cls(keeper, Worker(engine, busy_timeout, clock=clock, log=log), hot)
        try:
            # Opening an existing store takes no lock, and so succeeds while another process writes.
            if not await store._worker.read(store._keeper.is_ready):
                await store._worker.write(store._keeper.make_ready)
                await store._worker.read(store._keeper.is_ready)
        except BaseException:
            await store.close()
            raise
        return store

    @staticmethod
    def is_at(data: Path) -> bool:
        """Whether there is a store, or what is left of one, in this data directory."""
        return any((data / name).exists() for name in (KEY_RING_FILE, UNUSED_RING_FILE, DATABASE_FILE))

    async def close(self) -> None:
        """Finish what is under way and close the database. More calls change nothing."""
        if self._hot is not None:
            await self._hot.close()
        await self._worker.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()

    # --- keys -----------------------------------------------------------------------------------------------

    async def add(
        self,
        record: KeyRecord,
        *,
        replace: bool = False,
        parent_key: Secret | None = None,
        others: Revision | None = None,
    ) -> None:
        """Store a key; it is on the disk when this returns. All of it is one transaction.

        Args:
            record: The key.
            replace: Whether it takes the place of one of the same kind and key_id. If that was another
                credential, a Km or Kpm with another key or of another entity, what came of it goes with it.
            parent_key: For a Kc or a Ke whose parent, a Km or Kpm, is kept here: the key that it came from.
                The record is stored only if the parent is there, with this key, and of the same entity.
            others: What becomes of the other keys of this kind and source: given those that open, it gives
                back those that stay, unaltered or changed; the rest go, with all that came of them.

        Raises:
            RecordExistsError: There is one already, expired or not, and replace is not set.
            ParentGoneError: The parent was removed or replaced.
            RecordCorruptedError: The record of the parent does not open.
        """
        addition = Addition(record, replace, parent_key, others)
        if record.kind is KeyKind.KC and not replace and others is None:
            await self._added_soon(record, parent_key)
        else:
            await self._submit(addition)

    async def update(self, old: KeyRecord, new: KeyRecord) -> bool:
        """Put new in the place of old, if old is still there as it was; whether it was.

        One conditional statement: what was removed or changed meanwhile stays removed or changed.

        Args:
            old: The record as it was found.
            new: The record as it shall be, of the same kind and key_id.
        """

        def put(connection: Connection) -> bool:
            row = KEYS.row(new, self._keeper.ring, self._keeper.kek_id(connection))
            return queries.update_key(connection, KEYS.columns(old), row)

        return await self._worker.write(put)

    async def add_many(self, records: Iterable[KeyRecord], *, replace: bool = False) -> int:
        """Store many keys, in transactions of 1000, so that a server goes on meanwhile; how many.

        Raises:
            RecordExistsError: One is there already. Of its thousand none is stored, those before are.
        """
        remaining = iter(records)
        count = 0
        while batch := list(itertools.islice(remaining, _BATCH)):
            additions = [Addition(record, replace) for record in batch]
            try:
                await self._worker.submit(self._keys.put_batches, additions, write=True)
            except RecordExistsError:
                await self._worker.submit(self._keys.add_batches, additions, write=True)  # names the record
            count += len(batch)
        return count

    async def records(
        self,
        kind: KeyKind,
        *,
        source: EntityId | None = None,
        on_corrupted: Callable[[RecordCorruptedError], object] | None = None,
    ) -> list[KeyRecord]:
        """All keys of a kind, expired ones included, in the order in which they were issued.

        Keys that are added or removed meanwhile may be in the list or not.

        Args:
            kind: What the keys are.
            source: Only those that authenticate this entity.
            on_corrupted: Called for each record that does not open, and the list goes on without it.

        Raises:
            RecordCorruptedError: A record does not open, and on_corrupted is not given.
        """
        found: list[KeyRecord] = []
        pages = self.pages(kind) if source is None else self._pages_of(kind, source)
        async for outcome in (outcome async for page in pages for outcome in page):
            if isinstance(outcome, KeyRecord):
                found.append(outcome)
            elif on_corrupted is None:
                raise outcome
            else:
                on_corrupted(outcome)
        return sorted(found, key=lambda record: record.issued)

    async def pages(self, kind: KeyKind) -> AsyncIterator[list[KeyRecord | RecordCorruptedError]]:
        """All keys of a kind in the order of key_id, read a page at a time, or why one does not open."""
        after = ""

        def page(connection: Connection) -> list[tuple[str, KeyRecord | RecordCorruptedError]]:
            found = queries.key_page(connection, kind.value, after)
            return [(row.key_id, self._keys.opened(row)) for row in found]

        while found := await self._worker.read(page):
            yield [outcome for _, outcome in found]
            after = found[-1][0]

    async def remove(self, kind: KeyKind, key_id: KeyIdentifier, *, descendants: bool = False) -> bool:
        """Remove a key by its key_id (an alias does not do); whether it was there.

        Args:
            kind: What the key is.
            key_id: Its identifier.
            descendants: Whether to remove as well everything, of any kind, whose chain of parents leads here,
                even if the key itself is gone.
        """
        text = str(canonical_key_id(kind, key_id))
        return await self._worker.write(
            lambda connection: self._keys.remove(connection, kind, text, descendants=descendants)
        )

    async def purge_expired(self, now: datetime) -> int:
        """Remove whatever ended at or before this moment (UTC), for good; how many.

        It takes a few hundred in one transaction, so that others get their turn.
        """
        purge = partial(queries.delete_expired, now=microseconds(now))
        total = 0
        while removed := await self._worker.write(purge):
            total += removed
        return total

    async def keep_newest(self, kind: KeyKind, source: EntityId, keep: int) -> int:
        """Remove the oldest keys without an administrating stakeholder, but for so many; how many went."""
        delete = partial(queries.delete_oldest, kind=kind.value, source=source.text, keep=keep)
        return await self._worker.write(delete)

    # --- the key ring ---------------------------------------------------------------------------------------

    async def rekey(self) -> int:
        """Seal every record anew under a new KEK and drop the old ones; the number of records.

        It may be interrupted at any moment: the ring holds the new KEK before anything is sealed under it,
        all records change in one transaction, and the old KEKs go last; calling it again completes it.
        Others cannot write meanwhile.

        Raises:
            RecordCorruptedError: A record does not open; nothing was changed.
        """
        count = await self._worker.write(self._keeper.reseal_all)
        await self._worker.write(self._keeper.retire_keks)
        return count

    async def _pages_of(
        self, kind: KeyKind, source: EntityId
    ) -> AsyncIterator[list[KeyRecord | RecordCorruptedError]]:
        def key_ids(connection: Connection) -> Sequence[str]:
            return queries.key_ids_of_source(connection, kind.value, source.text)

        remaining = iter(await self._worker.read(key_ids))
        while texts := set(itertools.islice(remaining, queries.PAGE)):

            def page(
                connection: Connection, texts: set[str] = texts
            ) -> list[KeyRecord | RecordCorruptedError]:
                return list(self._keys.by_key_id(connection, kind, texts).values())

            yield await self._worker.read(page)
