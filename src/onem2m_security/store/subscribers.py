"""Subscribers in the store; and with them an HSS of our own, behind the interface of Zh.

A sequence number is on the disk before the vector that carries it leaves (TS 33.102 clause 6.3.2): the number
is raised in one transaction with reading it, so that it is never used twice, by whatever process, and never
goes back, whenever the machine fails. Vectors that are asked for together share one transaction. Neither a
sequence number nor a user security setting can be edited in the database: the seal covers them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection

from ..credentials import Secret
from ..errors import AuthenticationError, RecordExistsError
from ..gba.aka import AuthenticationVector, SequenceNumber
from ..gba.algorithm import AMF_OCTETS
from ..gba.keys import Impi
from ..gba.subscriber import AlgorithmSet, Guss, Subscriber
from ..identifiers import EntityId
from ..texts import shown
from . import gba_queries
from .columns import guss, optional, security_settings
from .keeper import RingKeeper
from .records import Subscription
from .schema import gba_subscribers
from .sealed_table import SealedTable
from .worker import Outcome, Worker, outcome_of, result_of

_OPC_OCTETS = {AlgorithmSet.MILENAGE: 16, AlgorithmSet.TUAK: 32}


def _to_row(subscription: Subscription) -> tuple[object, ...]:
    subscriber = subscription.subscriber
    return (
        subscriber.impi.text,
        subscriber.algorithm.value,
        int.from_bytes(subscriber.amf),
        subscriber.sqn.value,
        int(subscriber.barred),
        security_settings(subscription.guss),
        optional(str, subscription.entity),
    )


def _from_row(columns: Sequence[Any], secret: bytes) -> Subscription:
    impi, algorithm, amf, sqn, barred, settings, entity = columns
    split = len(secret) - _OPC_OCTETS[AlgorithmSet(algorithm)]
    subscriber = Subscriber(
        Impi(impi),
        Secret(secret[:split]),
        Secret(secret[split:]),
        amf=amf.to_bytes(AMF_OCTETS),
        sqn=SequenceNumber(sqn),
        barred=bool(barred),
        algorithm=AlgorithmSet(algorithm),
    )
    return Subscription(subscriber, guss(settings), optional(EntityId, entity))


def _secret_of(subscription: Subscription) -> bytes:
    return subscription.subscriber.k.reveal() + subscription.subscriber.opc.reveal()


SUBSCRIBERS: Final[SealedTable[Subscription]] = SealedTable(
    gba_subscribers,
    "onem2m-security gba subscriber",
    to_row=_to_row,
    from_row=_from_row,
    secret_of=_secret_of,
    name_of=lambda row: f"subscriber {shown(row[0])}",
    remedy="remove it and provision it again",
)


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request for a vector."""

    impi: Impi
    auts: bytes | None
    rand: bytes | None


class Subscribers:
    """The subscribers of a BSF, in the store that made it; it is an ``Hss``.

    Every method raises StoreUnavailableError as those of the store do.
    """

    def __init__(self, keeper: RingKeeper, worker: Worker) -> None:
        """Work with the key ring and the thread of a store; see ``Store.subscribers``."""
        self._keeper = keeper
        self._worker = worker

    async def add(self, subscription: Subscription, *, replace_existing: bool = False) -> None:
        """Provision a subscriber; it is on the disk when this returns.

        Args:
            subscription: The subscriber and its settings.
            replace_existing: Whether it takes the place of one with this IMPI. The bootstrappings of that
                one end, and the sequence number never goes back.

        Raises:
            RecordExistsError: There is one already, and replace_existing is not set.
        """
        impi = subscription.subscriber.impi.text

        def put(connection: Connection) -> None:
            kek_id = self._keeper.kek_id(connection)
            held = gba_queries.hold_subscribers(connection, [impi], change=True)
            if held and not replace_existing:
                raise RecordExistsError(f"{impi} is a subscriber already: replace or remove it")
            new = subscription
            for row in held:
                # The column, not the sealed record: one that does not open any more can be replaced too.
                sqn = max(new.subscriber.sqn, SequenceNumber(row.sqn))
                new = replace(new, subscriber=replace(new.subscriber, sqn=sqn))
                gba_queries.delete_subscriber(connection, impi)
            gba_queries.insert_subscriber(connection, SUBSCRIBERS.row(new, self._keeper.ring, kek_id))

        await self._worker.write(put)

    async def find(self, impi: Impi) -> Subscription | None:
        """The subscriber of this IMPI.

        Raises:
            RecordCorruptedError: The record does not open.
        """

        def find(connection: Connection) -> Subscription | None:
            row = gba_queries.subscriber(connection, impi.text)
            return None if row is None else SUBSCRIBERS.open(row, self._keeper.ring)

        return await self._worker.read(find)

    async def all(self) -> list[Subscription]:
        """All subscribers, in the order of their IMPIs.

        Raises:
            RecordCorruptedError: A record does not open.
        """
        return [result_of(outcome) async for page in self.pages() for outcome in page]

    async def pages(self) -> AsyncIterator[list[Outcome[Subscription]]]:
        """All subscribers in the order of their IMPIs, read a page at a time, or why one does not open."""
        after = ""

        def page(connection: Connection) -> list[tuple[str, Outcome[Subscription]]]:
            rows = gba_queries.subscriber_page(connection, after)
            return [(row.impi, SUBSCRIBERS.opened(row, self._keeper.ring)) for row in rows]

        while found := await self._worker.read(page):
            yield [outcome for _, outcome in found]
            after = found[-1][0]

    async def set_barred(self, impi: Impi, *, barred: bool) -> bool:
        """Bar a subscriber, which ends its bootstrappings, or lift it; False if there is none.

        Raises:
            RecordCorruptedError: The record does not open.
        """

        def change(connection: Connection) -> bool:
            kek_id = self._keeper.kek_id(connection)
            held = gba_queries.hold_subscribers(connection, [impi.text], change=True)
            for row in held:
                found = SUBSCRIBERS.open(row, self._keeper.ring)
                new = replace(found, subscriber=replace(found.subscriber, barred=barred))
                gba_queries.update_subscriber(connection, SUBSCRIBERS.row(new, self._keeper.ring, kek_id))
                if barred:
                    gba_queries.end_bootstrappings(connection, impi.text)
            return bool(held)

        return await self._worker.write(change)

    async def remove(self, impi: Impi) -> bool:
        """Remove a subscriber and its bootstrappings; whether it was there."""
        return await self._worker.write(
            lambda connection: gba_queries.delete_subscriber(connection, impi.text)
        )

    async def vectors(
        self, impi: Impi, *, auts: bytes | None = None, rand: bytes | None = None
    ) -> tuple[AuthenticationVector, ...]:
        """One fresh vector; see ``Hss.vectors``. Its sequence number is on the disk when this returns.

        Raises:
            AuthenticationError: Unknown or barred subscriber, or an AUTS that does not verify.
            MessageError: AUTS or the RAND that it answers has the wrong length.
            CredentialError: The sequence numbers of the subscriber are used up.
        """
        return (await self._worker.submit(self._answer, _Ask(impi, auts, rand), write=True),)

    async def guss(self, impi: Impi) -> Guss | None:
        """The user security settings; see ``Hss.guss``."""
        found = await self.find(impi)
        return None if found is None else found.guss

    async def entity(self, impi: Impi) -> EntityId | None:
        """The subscriber's CSE-ID or AE-ID; see ``Hss.entity``."""
        found = await self.find(impi)
        return None if found is None else found.entity

    def _answer(self, connection: Connection, asks: Sequence[_Ask]) -> list[Outcome[AuthenticationVector]]:
        """Answer in order (a handler); whoever asks twice in one group gets two numbers."""
        ring, kek_id = self._keeper.ring, self._keeper.kek_id(connection)
        held = gba_queries.hold_subscribers(connection, {ask.impi.text for ask in asks}, change=True)
        known: dict[str, Outcome[Subscription]] = {row.impi: SUBSCRIBERS.opened(row, ring) for row in held}
        changed: dict[str, Subscription] = {}

        def answer(ask: _Ask) -> AuthenticationVector:
            name = ask.impi.text
            if name not in known:
                raise AuthenticationError(f"{ask.impi} is not a subscriber")
            found = result_of(known[name])
            subscriber, vector = found.subscriber.asked(auts=ask.auts, rand=ask.rand)
            known[name] = changed[name] = replace(found, subscriber=subscriber)
            return vector

        outcomes = [outcome_of(answer, ask) for ask in asks]
        rows = [SUBSCRIBERS.row(new, ring, kek_id) for new in changed.values()]
        gba_queries.set_sequence_numbers(connection, rows)
        return outcomes
