"""The sealed table of subscribers: neither a sequence number nor a setting can be edited in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..credentials import Secret
from ..gba.aka import SequenceNumber
from ..gba.algorithm import AMF_OCTETS
from ..gba.keys import Impi
from ..gba.subscriber import AlgorithmSet, Subscriber
from ..identifiers import EntityId, shown
from .columns import guss, optional, security_settings
from .records import Subscription
from .schema import gba_subscribers
from .sealed_table import SealedTable

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
