"""Subscribers and bootstrappings as records, and as sealed rows.

Like ``rows``: a row is opened before anything in it is believed, and the seal covers every column, so that
neither a sequence number nor a user security setting can be edited in the database. This module sees no
connection.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ..credentials import Secret
from ..errors import RecordCorruptedError
from ..gba.aka import SequenceNumber
from ..gba.algorithm import AMF_OCTETS
from ..gba.context import BootstrappedContext
from ..gba.keys import Impi, KeyChoice
from ..gba.subscriber import AlgorithmSet, Guss, NafSettings, Subscriber
from ..identifiers import EntityId, Fqdn, KeyIdentifier, shown
from .rows import microseconds, moment
from .schema import gba_contexts, gba_subscribers
from .sealing import KeyRing, associated_data

_SUBSCRIBER_COLUMNS = tuple(gba_subscribers.c.keys())
_CONTEXT_COLUMNS = tuple(gba_contexts.c.keys())
_SUBSCRIBER_SEAL = "onem2m-security gba subscriber"
_CONTEXT_SEAL = "onem2m-security gba bootstrapping"
_OPC_OCTETS = {AlgorithmSet.MILENAGE: 16, AlgorithmSet.TUAK: 32}


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscriber, and what the operator and the service provider agreed for it.

    Attributes:
        subscriber: The subscriber, with its secrets and its sequence number.
        guss: The GBA user security settings; by default no NAF gets a key.
        entity: The CSE-ID or AE-ID of the subscriber (Enrolee-ID, TS-0003 clause 8.3.2.3), told to NAFs.
    """

    subscriber: Subscriber
    guss: Guss = field(default_factory=Guss)
    entity: EntityId | None = None


@dataclass(frozen=True, slots=True)
class Bootstrapping:
    """A bootstrapping as the BSF keeps it: with the settings that held when it was made.

    Attributes:
        context: B-TID, Ks, IMPI and times.
        guss: The user security settings.
        entity: As in Subscription.
    """

    context: BootstrappedContext
    guss: Guss
    entity: EntityId | None = None


def subscriber_associated(row: Sequence[object]) -> bytes:
    """What the seal of a subscriber covers: every column but the seal itself, which is the last."""
    return associated_data((_SUBSCRIBER_SEAL, *row[:-1]))


def context_associated(row: Sequence[object]) -> bytes:
    """What the seal of a bootstrapping covers: every column but the seal itself, which is the last."""
    return associated_data((_CONTEXT_SEAL, *row[:-1]))


def subscriber_row(subscription: Subscription, ring: KeyRing, kek_id: bytes) -> dict[str, Any]:
    """The row of a subscriber, sealed under this KEK."""
    subscriber = subscription.subscriber
    columns = (
        subscriber.impi.text,
        subscriber.algorithm.value,
        int.from_bytes(subscriber.amf),
        subscriber.sqn.value,
        int(subscriber.barred),
        _guss_text(subscription.guss),
        None if subscription.entity is None else subscription.entity.text,
    )
    secret = subscriber.k.reveal() + subscriber.opc.reveal()
    sealed = ring.seal(kek_id, secret, associated_data((_SUBSCRIBER_SEAL, *columns)))
    return dict(zip(_SUBSCRIBER_COLUMNS, (*columns, sealed), strict=True))


def subscription(row: Sequence[Any], ring: KeyRing) -> Subscription:
    """Open a row of the table of subscribers, columns in the order of the schema.

    Raises:
        RecordCorruptedError: It does not open; the message names the IMPI.
    """
    try:
        secret = ring.open(row[-1], subscriber_associated(row))
    except RecordCorruptedError as error:
        raise RecordCorruptedError(
            f"subscriber {shown(row[0])}: {error}; remove it and provision it again"
        ) from None
    impi, algorithm, amf, sqn, barred, guss, entity, _ = row
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
    return Subscription(subscriber, _guss(guss), _entity(entity))


def context_row(bootstrapping: Bootstrapping, ring: KeyRing, kek_id: bytes) -> dict[str, Any]:
    """The row of a bootstrapping, sealed under this KEK."""
    context = bootstrapping.context
    columns = (
        str(context.b_tid),
        context.impi.text,
        microseconds(context.issued),
        microseconds(context.expires),
        int(context.gba_u),
        _guss_text(bootstrapping.guss),
        None if bootstrapping.entity is None else bootstrapping.entity.text,
    )
    sealed = ring.seal(kek_id, context.ks.reveal(), associated_data((_CONTEXT_SEAL, *columns)))
    return dict(zip(_CONTEXT_COLUMNS, (*columns, sealed), strict=True))


def bootstrapping(row: Sequence[Any], ring: KeyRing) -> Bootstrapping:
    """Open a row of the table of bootstrappings, columns in the order of the schema.

    Raises:
        RecordCorruptedError: It does not open; the message names the B-TID.
    """
    try:
        ks = ring.open(row[-1], context_associated(row))
    except RecordCorruptedError as error:
        raise RecordCorruptedError(f"bootstrapping {shown(row[0])}: {error}; bootstrap again") from None
    b_tid, impi, issued, expires, gba_u, guss, entity, _ = row
    relative, _, fqdn = b_tid.rpartition("@")
    context = BootstrappedContext(
        KeyIdentifier(relative, Fqdn(fqdn)),
        Secret(ks),
        Impi(impi),
        moment(issued),
        moment(expires),
        bool(gba_u),
    )
    return Bootstrapping(context, _guss(guss), _entity(entity))


def _guss_text(guss: Guss) -> str:
    nafs = [
        {
            "naf": str(settings.naf),
            "allowed": settings.allowed,
            "key": settings.key_choice.value,
            "lifetime": _seconds(settings.lifetime),
        }
        for settings in guss.nafs
    ]
    value = {"gba_u": guss.gba_u, "lifetime": _seconds(guss.lifetime), "nafs": nafs}
    return json.dumps(value, separators=(",", ":"))


def _guss(text: str) -> Guss:
    value = json.loads(text)
    nafs = tuple(
        NafSettings(Fqdn(naf["naf"]), naf["allowed"], KeyChoice(naf["key"]), _lifetime(naf["lifetime"]))
        for naf in value["nafs"]
    )
    return Guss(nafs, value["gba_u"], _lifetime(value["lifetime"]))


def _seconds(lifetime: timedelta | None) -> float | None:
    return None if lifetime is None else lifetime.total_seconds()


def _lifetime(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _entity(text: str | None) -> EntityId | None:
    return None if text is None else EntityId(text)
