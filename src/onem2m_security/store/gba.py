"""Subscribers and bootstrappings in the store; and with them an HSS of our own, behind the interface of Zh.

A sequence number is on the disk before the vector that carries it leaves (TS 33.102 clause 6.3.2): the number
is raised in one transaction with reading it, so that it is never used twice, by whatever process, and never
goes back, whenever the machine fails. Vectors that are asked for together share one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, bindparam, delete, func, select, update

from ..errors import (
    AuthenticationError,
    CredentialError,
    MessageError,
    RecordCorruptedError,
    RecordExistsError,
    StoreError,
)
from ..gba.aka import AuthenticationVector, SequenceNumber
from ..gba.context import BootstrappedContext
from ..gba.keys import Impi, ks_of
from ..gba.subscriber import Guss, Subscriber
from ..identifiers import KeyIdentifier
from .bootstrappings import BOOTSTRAPPINGS
from .database import insert_into
from .keeper import RingKeeper
from .records import Bootstrapping, Subscription
from .schema import gba_contexts, gba_subscribers
from .subscribers import SUBSCRIBERS
from .worker import Worker

PAGE = 500

BOOTSTRAPPINGS_PER_SUBSCRIBER: Final = 64
"""Live ones; one more ends the oldest."""

_s = gba_subscribers.c
_c = gba_contexts.c
_SUBSCRIBERS = (
    select(gba_subscribers)
    .where(_s.impi.in_(bindparam("texts", expanding=True)))
    .order_by(_s.impi)  # one order of locking for everybody
)
_SUBSCRIBER_PAGE = select(gba_subscribers).where(_s.impi > bindparam("after")).order_by(_s.impi).limit(PAGE)
_SET_SQN = (
    update(gba_subscribers)
    .where(_s.impi == bindparam("b_impi"))
    .values(sqn=bindparam("b_sqn"), sealed=bindparam("b_sealed"))
)
_RANKED = (
    select(_c.b_tid, func.row_number().over(partition_by=_c.impi, order_by=_c.issued.desc()).label("rank"))
    .where(_c.impi.in_(bindparam("texts", expanding=True)))
    .subquery()
)
_DELETE_OLDEST = delete(gba_contexts).where(
    _c.b_tid.in_(select(_RANKED.c.b_tid).where(_RANKED.c.rank > BOOTSTRAPPINGS_PER_SUBSCRIBER))
)
_CONTEXTS = select(gba_contexts).where(_c.b_tid.in_(bindparam("texts", expanding=True)))

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request for a vector."""

    impi: Impi
    auts: bytes | None
    rand: bytes | None


_Refusal = AuthenticationError | CredentialError | MessageError


class GbaStore:
    """The subscribers and bootstrappings of a BSF, in the store that made it; it is an ``Hss``.

    Every method raises StoreUnavailableError as those of the store do.
    """

    def __init__(self, keeper: RingKeeper, worker: Worker) -> None:
        """Work with the key ring and the thread of a store; see ``Store.gba``."""
        self._keeper = keeper
        self._worker = worker

    # --- subscribers ----------------------------------------------------------------------------------------

    async def add_subscriber(self, subscription: Subscription, *, replace_existing: bool = False) -> None:
        """Provision a subscriber; it is on the disk when this returns.

        Args:
            subscription: The subscriber and its settings.
            replace_existing: Whether it takes the place of one with this IMPI. The bootstrappings of that
                one end, and the sequence number never goes back.

        Raises:
            RecordExistsError: There is one already, and replace_existing is not set.
        """
        text = subscription.subscriber.impi.text

        def put(connection: Connection) -> RecordExistsError | None:
            kek_id = self._keeper.kek_id(connection)
            row = connection.execute(_SUBSCRIBERS.with_for_update(), {"texts": [text]}).first()
            if row is not None and not replace_existing:
                return RecordExistsError(f"{text} is a subscriber already: replace or remove it")
            new = subscription
            if row is not None:
                # The column, not the sealed record: one that does not open any more can be replaced too.
                sqn = max(new.subscriber.sqn, SequenceNumber(row.sqn))
                new = replace(new, subscriber=replace(new.subscriber, sqn=sqn))
                connection.execute(delete(gba_subscribers).where(_s.impi == text))
                connection.execute(delete(gba_contexts).where(_c.impi == text))
            columns = SUBSCRIBERS.row(new, self._keeper.ring, kek_id)
            connection.execute(insert_into(connection.dialect.name, gba_subscribers), columns)
            return None

        await self._write(put)

    async def find_subscriber(self, impi: Impi) -> Subscription | None:
        """The subscriber of this IMPI.

        Raises:
            RecordCorruptedError: The record does not open.
        """

        def find(connection: Connection) -> Subscription | RecordCorruptedError | None:
            row = connection.execute(_SUBSCRIBERS, {"texts": [impi.text]}).first()
            return None if row is None else self._opened(row)

        return await self._read(find)

    async def subscribers(self) -> list[Subscription]:
        """All subscribers, in the order of their IMPIs.

        Raises:
            RecordCorruptedError: A record does not open.
        """
        found: list[Subscription] = []
        after = ""
        while True:

            def page(connection: Connection, after: str = after) -> list[Subscription | RecordCorruptedError]:
                return [self._opened(row) for row in connection.execute(_SUBSCRIBER_PAGE, {"after": after})]

            opened = [_raised(outcome) for outcome in await self._read(page)]
            if not opened:
                return found
            found += opened
            after = opened[-1].subscriber.impi.text

    async def set_barred(self, impi: Impi, *, barred: bool) -> bool:
        """Bar a subscriber, which ends its bootstrappings, or lift it; False if there is none.

        Raises:
            RecordCorruptedError: The record does not open.
        """

        def change(connection: Connection) -> bool | RecordCorruptedError:
            kek_id = self._keeper.kek_id(connection)
            row = connection.execute(_SUBSCRIBERS.with_for_update(), {"texts": [impi.text]}).first()
            if row is None:
                return False
            found = self._opened(row)
            if isinstance(found, RecordCorruptedError):
                return found
            new = replace(found, subscriber=replace(found.subscriber, barred=barred))
            columns = SUBSCRIBERS.row(new, self._keeper.ring, kek_id)
            connection.execute(update(gba_subscribers).where(_s.impi == impi.text).values(columns))
            if barred:
                connection.execute(delete(gba_contexts).where(_c.impi == impi.text))
            return True

        return await self._write(change)

    async def remove_subscriber(self, impi: Impi) -> bool:
        """Remove a subscriber and its bootstrappings; whether it was there."""

        def remove(connection: Connection) -> bool:
            connection.execute(delete(gba_contexts).where(_c.impi == impi.text))
            return connection.execute(delete(gba_subscribers).where(_s.impi == impi.text)).rowcount > 0

        return await self._write(remove)

    # --- the HSS (Zh) ---------------------------------------------------------------------------------------

    async def vectors(
        self, impi: Impi, *, auts: bytes | None = None, rand: bytes | None = None
    ) -> tuple[AuthenticationVector, ...]:
        """One fresh vector; see ``Hss.vectors``. Its sequence number is on the disk when this returns.

        Raises:
            AuthenticationError: Unknown or barred subscriber, or an AUTS that does not verify.
            MessageError: AUTS or the RAND that it answers has the wrong length.
            CredentialError: The sequence numbers of the subscriber are used up.
        """
        outcome: AuthenticationVector | _Refusal = await self._worker.submit(
            self._vectors, _Ask(impi, auts, rand), write=True
        )
        if isinstance(outcome, Exception):
            raise outcome
        return (outcome,)

    async def guss(self, impi: Impi) -> Guss | None:
        """The user security settings; see ``Hss.guss``."""
        found = await self.find_subscriber(impi)
        return None if found is None else found.guss

    def _vectors(
        self, connection: Connection, asks: Sequence[_Ask]
    ) -> list[AuthenticationVector | _Refusal | StoreError]:
        """Answer in order; whoever asks twice in one group gets two numbers."""
        kek_id = self._keeper.kek_id(connection)
        texts = {ask.impi.text for ask in asks}
        found = connection.execute(_SUBSCRIBERS.with_for_update(), {"texts": list(texts)})
        known = {row.impi: self._opened(row) for row in found}
        changed: dict[str, Subscription] = {}
        outcomes: list[AuthenticationVector | _Refusal | StoreError] = []
        for ask in asks:
            subscription = known.get(ask.impi.text)
            if subscription is None:
                outcomes.append(AuthenticationError(f"{ask.impi} is not a subscriber"))
            elif isinstance(subscription, RecordCorruptedError):
                outcomes.append(subscription)
            else:
                try:
                    subscriber, vector = _next_vector(subscription.subscriber, ask)
                except (AuthenticationError, CredentialError, MessageError) as error:
                    outcomes.append(error)
                    continue
                known[ask.impi.text] = changed[ask.impi.text] = replace(subscription, subscriber=subscriber)
                outcomes.append(vector)
        self._keep_sequence_numbers(connection, changed, kek_id)
        return outcomes

    def _keep_sequence_numbers(
        self, connection: Connection, changed: dict[str, Subscription], kek_id: bytes
    ) -> None:
        rows = [SUBSCRIBERS.row(new, self._keeper.ring, kek_id) for new in changed.values()]
        if rows:
            parameters = [
                {"b_impi": row["impi"], "b_sqn": row["sqn"], "b_sealed": row["sealed"]} for row in rows
            ]
            connection.execute(_SET_SQN, parameters)

    # --- bootstrappings -------------------------------------------------------------------------------------

    async def add_bootstrapping(self, bootstrapping: Bootstrapping, *, is_ours: bool = False) -> None:
        """Keep a bootstrapping; it is on the disk when this returns.

        Of one subscriber BOOTSTRAPPINGS_PER_SUBSCRIBER are kept, the newest.

        Args:
            bootstrapping: What to keep.
            is_ours: Whether the subscriber must be one of ours; else it may be another HSS's.

        Raises:
            RecordExistsError: There is one with this B-TID.
            AuthenticationError: The subscriber is one of ours, and was barred, replaced or removed meanwhile.
        """
        outcome = await self._worker.submit(self._add_bootstrappings, (bootstrapping, is_ours), write=True)
        if outcome is not None:
            raise outcome

    async def find_bootstrapping(
        self, b_tid: KeyIdentifier, *, now: datetime | None = None
    ) -> Bootstrapping | None:
        """The bootstrapping with this B-TID, unless it has ended.

        Args:
            b_tid: Its identifier.
            now: The moment that decides (UTC); None for the present.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        found = await self._worker.submit(self._find_bootstrappings, str(b_tid))
        return None if found is None or found.context.expires <= (now or datetime.now(UTC)) else found

    async def remove_bootstrapping(self, b_tid: KeyIdentifier) -> bool:
        """Forget a bootstrapping; whether it was there."""
        return await self._write(
            lambda connection: (
                connection.execute(delete(gba_contexts).where(_c.b_tid == str(b_tid))).rowcount > 0
            )
        )

    def _add_bootstrappings(
        self, connection: Connection, jobs: Sequence[tuple[Bootstrapping, bool]]
    ) -> list[AuthenticationError | StoreError | None]:
        kek_id = self._keeper.kek_id(connection)
        # Whoever bars or replaces one of them waits for us, and then ends what we add here.
        texts = {new.context.impi.text for new, _ in jobs}
        held = connection.execute(_SUBSCRIBERS.with_for_update(read=True), {"texts": list(texts)})
        known = {row.impi: self._opened(row) for row in held}
        refusals = [
            _refusal(new.context, known.get(new.context.impi.text), is_ours=is_ours) for new, is_ours in jobs
        ]
        rows = {
            str(new.context.b_tid): BOOTSTRAPPINGS.row(new, self._keeper.ring, kek_id)
            for (new, _), refusal in zip(jobs, refusals, strict=True)
            if refusal is None
        }
        added = self._insert_contexts(connection, list(rows.values()))
        if added:
            connection.execute(_DELETE_OLDEST, {"texts": list(texts)})
        results: list[AuthenticationError | StoreError | None] = []
        for (new, _), refusal in zip(jobs, refusals, strict=True):
            text = str(new.context.b_tid)
            if refusal is None and text not in added:
                results.append(RecordExistsError(f"{text} is in use already"))
            else:
                results.append(refusal)
                added.discard(text)
        return results

    @staticmethod
    def _insert_contexts(connection: Connection, rows: list[dict[str, Any]]) -> set[str]:
        if not rows:
            return set()
        statement = insert_into(connection.dialect.name, gba_contexts).on_conflict_do_nothing()
        return set(connection.execute(statement.returning(_c.b_tid), rows).scalars())

    def _find_bootstrappings(
        self, connection: Connection, texts: Sequence[str]
    ) -> list[Bootstrapping | RecordCorruptedError | None]:
        rows = connection.execute(_CONTEXTS, {"texts": list(set(texts))})
        found = {row.b_tid: BOOTSTRAPPINGS.opened(row, self._keeper.ring) for row in rows}
        return [found.get(text) for text in texts]

    # --- in the worker's thread -----------------------------------------------------------------------------

    def _opened(self, row: Sequence[Any]) -> Subscription | RecordCorruptedError:
        return SUBSCRIBERS.opened(row, self._keeper.ring)

    async def _read(self, function: Callable[[Connection], _Result | StoreError]) -> _Result:
        return await self._worker.submit(_call_each, function)

    async def _write(self, function: Callable[[Connection], _Result | StoreError]) -> _Result:
        """Do a write; its refusal is a result, so that it does not undo what others write with it."""
        return await self._worker.submit(_call_each, function, write=True)


def _next_vector(subscriber: Subscriber, ask: _Ask) -> tuple[Subscriber, AuthenticationVector]:
    if ask.auts is not None:
        subscriber = subscriber.resynchronised(rand=ask.rand or b"", auts=ask.auts)
    return subscriber.next_vector()


def _refusal(
    context: BootstrappedContext, known: Subscription | RecordCorruptedError | None, *, is_ours: bool
) -> AuthenticationError | RecordCorruptedError | None:
    """Why the subscriber, as it is now, may not have this bootstrapping."""
    if isinstance(known, RecordCorruptedError):
        return known
    if known is None:
        return AuthenticationError(f"{context.impi} is no subscriber any more") if is_ours else None
    if known.subscriber.barred:
        return AuthenticationError(f"{context.impi} is barred")
    outputs = known.subscriber.functions.f2345(context.rand)
    if ks_of(outputs.ck, outputs.ik) != context.ks:
        return AuthenticationError(f"{context.impi} has another key meanwhile")
    return None


def _call_each(
    connection: Connection, functions: Sequence[Callable[[Connection], _Result | StoreError]]
) -> list[_Result | StoreError]:
    return [function(connection) for function in functions]


def _raised(outcome: _Result | StoreError) -> _Result:
    if isinstance(outcome, StoreError):
        raise outcome
    return outcome
