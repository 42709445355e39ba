"""Bootstrappings in the store, each with the user security settings that held when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from ..credentials import Secret
from ..errors import AuthenticationError, RecordExistsError
from ..gba.context import BootstrappedContext
from ..gba.keys import Impi
from ..identifiers import EntityId, KeyIdentifier
from ..texts import shown
from . import gba_queries
from .columns import guss, key_identifier, microseconds, moment, optional, security_settings
from .keeper import RingKeeper
from .records import Bootstrapping, Subscription
from .schema import gba_contexts
from .sealed_table import SealedTable
from .subscribers import SUBSCRIBERS
from .worker import Outcome, Worker, outcome_of, result_of

BOOTSTRAPPINGS_PER_SUBSCRIBER: Final = 64
"""Live ones; one more ends the oldest."""


def _to_row(bootstrapping: Bootstrapping) -> tuple[object, ...]:
    context = bootstrapping.context
    return (
        str(context.b_tid),
        context.impi.text,
        microseconds(context.issued),
        microseconds(context.expires),
        int(context.gba_u),
        security_settings(bootstrapping.guss),
        optional(str, bootstrapping.entity),
    )


def _from_row(columns: Sequence[Any], secret: bytes) -> Bootstrapping:
    b_tid, impi, issued, expires, gba_u, settings, entity = columns
    context = BootstrappedContext(
        key_identifier(b_tid), Secret(secret), Impi(impi), moment(issued), moment(expires), bool(gba_u)
    )
    return Bootstrapping(context, guss(settings), optional(EntityId, entity))


BOOTSTRAPPINGS: Final[SealedTable[Bootstrapping]] = SealedTable(
    gba_contexts,
    "onem2m-security gba bootstrapping",
    to_row=_to_row,
    from_row=_from_row,
    secret_of=lambda bootstrapping: bootstrapping.context.ks.reveal(),
    name_of=lambda row: f"bootstrapping {shown(row[0])}",
    remedy="bootstrap again",
)


@dataclass(frozen=True, slots=True)
class _Addition:
    """A bootstrapping to keep, and whether its subscriber must be one of ours."""

    new: Bootstrapping
    is_ours: bool

    @property
    def impi(self) -> str:
        return self.new.context.impi.text

    @property
    def b_tid(self) -> str:
        return str(self.new.context.b_tid)


class Bootstrappings:
    """The bootstrappings of a BSF, in the store that made it.

    Every method raises StoreUnavailableError as those of the store do.
    """

    def __init__(self, keeper: RingKeeper, worker: Worker) -> None:
        """Work with the key ring and the thread of a store; see ``Store.bootstrappings``."""
        self._keeper = keeper
        self._worker = worker

    async def add(self, bootstrapping: Bootstrapping, *, is_ours: bool = False) -> None:
        """Keep a bootstrapping; it is on the disk when this returns.

        Of one subscriber BOOTSTRAPPINGS_PER_SUBSCRIBER are kept, the newest.

        Args:
            bootstrapping: What to keep.
            is_ours: Whether the subscriber must be one of ours; else it may be another HSS's.

        Raises:
            RecordExistsError: There is one with this B-TID.
            AuthenticationError: The subscriber is one of ours, and was barred, replaced or removed meanwhile.
        """
        await self._worker.submit(self._add_all, _Addition(bootstrapping, is_ours), write=True)

    async def find(self, b_tid: KeyIdentifier, *, now: datetime | None = None) -> Bootstrapping | None:
        """The bootstrapping with this B-TID, unless it has ended.

        Args:
            b_tid: Its identifier.
            now: The moment that decides (UTC); None for the present.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        found = await self._worker.submit(self._find_all, str(b_tid))
        return None if found is None or found.context.expires <= (now or self._worker.clock.now()) else found

    async def newest(self, impi: Impi) -> Bootstrapping | None:
        """The newest bootstrapping of a subscriber, ended or not.

        Raises:
            RecordCorruptedError: The record does not open.
        """

        def newest(connection: Connection) -> Bootstrapping | None:
            row = gba_queries.newest_bootstrapping(connection, impi.text)
            return None if row is None else BOOTSTRAPPINGS.open(row, self._keeper.ring)

        return await self._worker.read(newest)

    async def put_only(self, bootstrapping: Bootstrapping) -> None:
        """Keep a bootstrapping in place of every other of its subscriber: for a device, which needs one."""

        def put(connection: Connection) -> None:
            kek_id = self._keeper.kek_id(connection)
            gba_queries.end_bootstrappings(connection, bootstrapping.context.impi.text)
            row = BOOTSTRAPPINGS.row(bootstrapping, self._keeper.ring, kek_id)
            gba_queries.insert_bootstrappings(connection, [row])

        await self._worker.write(put)

    async def remove(self, b_tid: KeyIdentifier) -> bool:
        """Forget a bootstrapping; whether it was there."""
        return await self._worker.write(
            lambda connection: gba_queries.delete_bootstrapping(connection, str(b_tid))
        )

    def _add_all(self, connection: Connection, additions: Sequence[_Addition]) -> list[Outcome[None]]:
        """Keep those that belong to subscribers as they are now; each other is refused alone (a handler)."""
        ring, kek_id = self._keeper.ring, self._keeper.kek_id(connection)
        impis = {addition.impi for addition in additions}
        # Whoever bars or replaces one of them waits for us, and then ends what we add here.
        held = gba_queries.hold_subscribers(connection, impis)
        known: dict[str, Outcome[Subscription]] = {row.impi: SUBSCRIBERS.opened(row, ring) for row in held}
        checked = [outcome_of(_check, addition, known) for addition in additions]
        rows: dict[str, dict[str, Any]] = {}
        for addition, refusal in zip(additions, checked, strict=True):
            if refusal is None and addition.b_tid not in rows:
                rows[addition.b_tid] = BOOTSTRAPPINGS.row(addition.new, ring, kek_id)
        added = gba_queries.insert_bootstrappings(connection, list(rows.values()))
        if added:
            gba_queries.delete_oldest(connection, impis, BOOTSTRAPPINGS_PER_SUBSCRIBER)
        return [
            refusal or outcome_of(_claim, addition.b_tid, added)
            for addition, refusal in zip(additions, checked, strict=True)
        ]

    def _find_all(self, connection: Connection, b_tids: Sequence[str]) -> list[Outcome[Bootstrapping | None]]:
        rows = gba_queries.bootstrappings(connection, set(b_tids))
        found = {row.b_tid: BOOTSTRAPPINGS.opened(row, self._keeper.ring) for row in rows}
        return [found.get(b_tid) for b_tid in b_tids]


def _check(addition: _Addition, known: dict[str, Outcome[Subscription]]) -> None:
    if addition.impi in known:
        result_of(known[addition.impi]).subscriber.require_own(addition.new.context)
    elif addition.is_ours:
        raise AuthenticationError(f"{addition.impi} is no subscriber any more")


def _claim(b_tid: str, added: set[str]) -> None:
    """Of several with one B-TID, one was added: the first."""
    if b_tid not in added:
        raise RecordExistsError(f"{b_tid} is in use already")
    added.remove(b_tid)
