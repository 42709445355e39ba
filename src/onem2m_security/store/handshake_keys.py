"""What a handshake asks of a store: at once where that can be, and awaited otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from ..credentials import Secret
from ..errors import StoreUnavailableError
from ..identifiers import EntityId, KeyIdentifier
from .hot import Done, HotKeys
from .keeper import RingKeeper
from .key_jobs import Addition, KeyJobs
from .records import KeyKind, KeyRecord, Later, canonical_key_id
from .worker import Worker


class HandshakeKeys:
    """That part of a store; methods raise StoreUnavailableError as all of the store do."""

    def __init__(self, keeper: RingKeeper, worker: Worker, hot: Callable[..., HotKeys] | None) -> None:
        """Work with the key ring and the thread of a store, and with the way on the event loop's thread."""
        self._keeper = keeper
        self._worker = worker
        self._keys = KeyJobs(keeper)
        self._hot = None if hot is None else hot(slowly=self._add_slowly, retire=self._retire)

    async def find(
        self, kind: KeyKind, key_id: KeyIdentifier, *, now: datetime | None = None
    ) -> KeyRecord | None:
        """The key of this kind under this key_id or, failing that, under this alias; never an expired one.

        Of several keys under one alias it is the one issued last.

        Args:
            kind: What the key is.
            key_id: Its identifier, in canonical form; a KmId in any case.
            now: The moment that decides what is expired (UTC); None for the present.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        moment = now or self._worker.clock.now()
        found = self.find_now(kind, key_id, now=moment)
        if not isinstance(found, Later):
            return found
        text = str(canonical_key_id(kind, key_id))
        return await self._worker.submit(self._keys.find_all, (kind, text, moment))

    def find_now(
        self, kind: KeyKind, key_id: KeyIdentifier, *, now: datetime | None = None
    ) -> KeyRecord | Later | None:
        """The same at once, if that needs no waiting but for a page of a file; LATER if it does.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        if self._hot is None:
            return Later.LATER
        text = str(canonical_key_id(kind, key_id))
        return self._hot.find(kind, text, now or self._worker.clock.now())

    async def count_keys(self, kind: KeyKind, source: EntityId, *, by_request: bool) -> int:
        """How many keys of a kind that authenticate this entity have not ended.

        Args:
            kind: What the keys are.
            source: The entity.
            by_request: Those with an administrating stakeholder; or those without, which come about by
                themselves.
        """
        found = self.count_now(kind, source, by_request=by_request)
        if not isinstance(found, Later):
            return found
        asked = (kind, source.text, by_request, self._worker.clock.now())
        return await self._worker.submit(self._keys.count_all, asked)

    def count_now(self, kind: KeyKind, source: EntityId, *, by_request: bool) -> int | Later:
        """The same at once, if that needs no waiting but for pages of a file; LATER if it does."""
        if self._hot is None:
            return Later.LATER
        return self._hot.count(kind, source.text, self._worker.clock.now(), by_request=by_request)

    def add_soon(self, record: KeyRecord, parent_key: Secret | None, done: Done) -> None:
        """Store a new key that comes of another; no task is needed for it.

        Args:
            record: The key.
            parent_key: As for ``add``.
            done: Told, later and once, that it is on the disk, or what ``add`` would raise.
        """
        (self._add_slowly if self._hot is None else self._hot.add)(
            Addition(record, parent_key=parent_key), done
        )

    def _added_soon(self, record: KeyRecord, parent_key: Secret | None) -> asyncio.Future[None]:
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.add_soon(record, parent_key, partial(_settle, stored))
        return stored

    def _add_slowly(self, addition: Addition, done: Done) -> None:
        try:
            stored = self._submit(addition)
        except StoreUnavailableError as error:
            asyncio.get_running_loop().call_soon(done, error)
        else:
            stored.add_done_callback(lambda stored: done(stored.exception()))

    def _submit(self, addition: Addition) -> asyncio.Future[None]:
        add = self._keys.add_all if addition.parent_key is None else self._keys.add_derived
        if addition.others is not None:
            add = self._keys.supersede
        return self._worker.submit(add, addition, write=True)

    def _retire(self, connection: sqlite3.Connection) -> None:
        """Close a connection in the worker's thread; a worker that has stopped leaves it to the process."""
        with contextlib.suppress(StoreUnavailableError):
            self._worker.submit(_close_each, connection)


def _settle(stored: asyncio.Future[None], error: BaseException | None) -> None:
    if stored.done():  # whoever asked waits no more
        return
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)


def _close_each(_: Connection, connections: Sequence[sqlite3.Connection]) -> list[None]:
    for connection in connections:
        connection.close()
    return [None] * len(connections)
