"""The records that the store holds: keys, client registrations, a BSF's subscribers and bootstrappings.

Kpsa, Km, Kpm, Kc and Ke (TS-0003 clauses 8.2.2, 8.3.2, 10.3, 10.5, 10.6) differ in how they come about, not
in what must be known about them, so they share one record. Client registrations are those of clauses
8.8.2.3 (MAF) and 8.3.5.2.3 (MEF); subscribers and bootstrappings those of a BSF (8.3.2.3). An MEF keeps what
it commands its Enrolees (8.3.9), a device its enrolment and the last command that it carried out. These are
values: they never touch a database or a file.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

from ..credentials import Secret
from ..defaults import ENROLMENT_EXPIRY
from ..errors import CredentialError, IdentifierError
from ..gba.context import BootstrappedContext
from ..gba.subscriber import Guss, Subscriber
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..onem2m.commands import CommandDescription, CommandStatus
from ..release import DEFAULT_RELEASE, Release
from ..texts import IDENTITY_MAX_OCTETS, shown
from ..user_settings import Uss

DEFAULT_ENROLMENT_EXPIRY: Final = ENROLMENT_EXPIRY

_NO_OFFSET = timedelta(0)
_EXPIRY: Final = "enrolment-expiry="
_RELEASE: Final = "release="
_USS: Final = "uss="


class KeyKind(enum.Enum):
    """What a key is, by the standard's name for it."""

    KPSA = "kpsa"
    """Provisioned Secure Connection Key, Entity A to Entity B (8.2.2.1)."""
    KM = "km"
    """Master Credential, Entity A to MAF (8.2.2.3)."""
    KPM = "kpm"
    """Pre-Provisioned Symmetric Enrolee Key, Enrolee to MEF (8.3.2.1)."""
    KC = "kc"
    """M2M Secure Connection Key, Entity A to Entity B through the MAF (10.3.1, 10.3.5)."""
    OUTPUT = "output"
    """Output symmetric key, which an MEF distributes for its source (8.3.5.2.7)."""
    KE = "ke"
    """Enrolment Key, Enrolee to MEF (10.3.1, 10.3.4)."""
    ZN = "zn"
    """Key between a NAF and the BSF, for the reference point Zn (TS 33.220 clause 4.4.6)."""


class Later(enum.Enum):
    """In the place of an answer that has to be awaited."""

    LATER = "ask again, and await it"


PARENT_KIND: Final = {KeyKind.KC: KeyKind.KM, KeyKind.KE: KeyKind.KPM, KeyKind.OUTPUT: KeyKind.KPM}
"""What a key comes from, where its parent may be kept in the same store."""


def canonical_key_id(kind: KeyKind, key_id: KeyIdentifier) -> KeyIdentifier:
    """The spelling under which a key is kept: the relative part of a KmId is not case-sensitive (10.6)."""
    if kind is not KeyKind.KM or key_id.relative.islower():
        return key_id
    return KeyIdentifier(key_id.relative.lower(), key_id.fqdn)


def _require_utc(name: str, moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() != _NO_OFFSET:
        raise CredentialError(
            f"{name}: {moment.isoformat()} is not a time in UTC; give it with the offset +00:00"
        )


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key and everything that is known about it.

    Attributes:
        kind: What the key is.
        key_id: KpsaId, KmId, KpmId, KcId or KeId; a KmId is kept in lower case.
        key: The key itself, 1 to 256 octets.
        source: Whom the key authenticates; None when not configured.
        targets: Kc and output keys: who may retrieve it; Km: for whom a Kc may be made; Kpm and Ke: the
            Enrolment Targets; Zn: the FQDNs for which the NAF may have keys.
        alias: A second identifier for the key, such as the KeId by which a Km is first asked for (8.3.2.1).
        suid: What the key may be used for; None when not constrained.
        issued: When the key was made or provisioned (UTC).
        expires: When it ends (UTC); None for no end of its own.
        parent: The credential it came from: Kc's KmId, Km's and Kpsa's KeId, KpmId of Ke and of output keys.
        admin_fqdn: The FQDN of the administrating stakeholder (8.8.2.7); None when there is none.
        labels: Free labels (8.8.2.7).

    Raises:
        CredentialError: A time without a time zone, or in another one than UTC.
    """

    kind: KeyKind
    key_id: KeyIdentifier
    key: Secret = field(repr=False)
    issued: datetime
    source: EntityId | None = None
    targets: tuple[EntityId, ...] = ()
    alias: KeyIdentifier | None = None
    suid: Suid | None = None
    expires: datetime | None = None
    parent: KeyIdentifier | None = None
    admin_fqdn: Fqdn | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_utc("issued", self.issued)
        _require_utc("expires", self.expires)
        object.__setattr__(self, "key_id", canonical_key_id(self.kind, self.key_id))
        if self.parent is not None and self.kind in PARENT_KIND:
            object.__setattr__(self, "parent", canonical_key_id(PARENT_KIND[self.kind], self.parent))

    def with_key(self, key: Secret) -> KeyRecord:
        """The same with another key. What was checked when this was made is not checked again."""
        new = object.__new__(KeyRecord)
        for name in _FIELDS:
            object.__setattr__(new, name, getattr(self, name))
        object.__setattr__(new, "key", key)
        return new

    def is_credential(self, key: Secret, source: EntityId | None) -> bool:
        """Whether it is this key of this entity: the same identifier with another is another credential."""
        return self.key == key and self.source == source

    def expired(self, now: datetime) -> bool:
        """Whether the key is at or past its end at this moment (UTC)."""
        return self.expires is not None and self.expires <= now


_FIELDS: Final = tuple(field.name for field in fields(KeyRecord))


def is_registration_id(text: str) -> bool:
    """Whether this has the form of a ClientRegID: 1 to 255 printable octets of ASCII, no space, no ``/``."""
    return 1 <= len(text) <= IDENTITY_MAX_OCTETS and all("!" <= c <= "~" and c != "/" for c in text)


@dataclass(frozen=True, slots=True)
class ClientRegistration:
    """A client that registered with the MAF (8.8.2.3) or with the MEF (8.3.5.2.3).

    A client has at most one registration for each administrating stakeholder.

    Attributes:
        registration_id: ClientRegID, 1 to 255 octets of printable ASCII without spaces or ``/``.
        client: The identity of the client, as authenticated.
        admin_fqdn: The FQDN of the administrating stakeholder.
        labels: Free labels.
        issued: When it registered (UTC).
        expires: When the registration ends (UTC); None for no end.
        assigned_key_id: The KmId or KpmId that was assigned to the client; None when there is none.

    Raises:
        CredentialError: A time without a time zone, or in another one than UTC.
        IdentifierError: The registration_id is not as above.
    """

    registration_id: str
    client: EntityId
    admin_fqdn: Fqdn
    issued: datetime
    labels: tuple[str, ...] = ()
    expires: datetime | None = None
    assigned_key_id: KeyIdentifier | None = None

    def __post_init__(self) -> None:
        _require_utc("issued", self.issued)
        _require_utc("expires", self.expires)
        if not is_registration_id(self.registration_id):
            raise IdentifierError(
                f"{shown(self.registration_id)} is not a registration identifier: 1 to 255 printable octets"
            )

    def expired(self, now: datetime) -> bool:
        """Whether the registration is at or past its end at this moment (UTC)."""
        return self.expires is not None and self.expires <= now


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


@dataclass(frozen=True, slots=True)
class BootstrapInstruction:
    """What an Enrolee may be provisioned for (TS-0003 clause 8.3.2.1).

    Attributes:
        enrolee: Enrolee-ID: the CSE-ID or AE-ID that Enrolment Targets are to associate with it.
        targets: The Enrolment Targets: MAF-IDs, CSE-IDs, AE-IDs; at least one at an MEF.
        enrolment_expiry: How long Ke may be used, and whatever is derived from it.
        release: Which clauses derive Km and Kpsa: 10.3.2 and 10.3.3, or 10.3.7.
        uss: What Enrolment Targets are told of the Enrolee beside its identity.
    """

    enrolee: EntityId
    targets: tuple[EntityId, ...]
    enrolment_expiry: timedelta = DEFAULT_ENROLMENT_EXPIRY
    release: Release = DEFAULT_RELEASE
    uss: tuple[Uss, ...] = ()

    @classmethod
    def of(cls, record: KeyRecord) -> Self | None:
        """The instruction in the record of a Kpm or a Ke; None in that of an Enrolment Target's own key."""
        if record.source is None or not record.targets:
            return None
        expiry = label(record.labels, _EXPIRY)
        release = label(record.labels, _RELEASE)
        return cls(
            record.source,
            record.targets,
            DEFAULT_ENROLMENT_EXPIRY if expiry is None else timedelta(seconds=int(expiry)),
            DEFAULT_RELEASE if release is None else Release.parse(release),
            uss_in(record.labels),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The part of the instruction for which a key record, at an MEF, has no other place."""
        seconds = int(self.enrolment_expiry.total_seconds())
        return (f"{_EXPIRY}{seconds}", f"{_RELEASE}{self.release.value}", *uss_labels(self.uss))


def uss_labels(uss: Iterable[Uss]) -> tuple[str, ...]:
    """User security settings as the labels of a record, which its seal covers."""
    return tuple(_USS + json.dumps(one.as_dict(), separators=(",", ":")) for one in uss)


def uss_in(labels: Iterable[str]) -> tuple[Uss, ...]:
    """The user security settings among the labels of a record."""
    told = (text.removeprefix(_USS) for text in labels if text.startswith(_USS))
    return tuple(Uss.of_dict(json.loads(text)) for text in told)


def label(labels: Iterable[str], name: str) -> str | None:
    """What follows this name among the labels of a record."""
    return next((text.removeprefix(name) for text in labels if text.startswith(name)), None)


@dataclass(frozen=True, slots=True)
class ByCertificate:
    """An Enrolee meets its MEF by a certificate (8.3.2.2), of which nothing else is kept.

    Attributes:
        ends: When the certificate ends (UTC): Ke does not outlive it.
    """

    ends: datetime

    def __post_init__(self) -> None:
        _require_utc("ends", self.ends)


@dataclass(frozen=True, slots=True)
class ByCard:
    """An Enrolee meets its MEF, which is its BSF, by a software card (8.3.2.3).

    Attributes:
        card: The card's file.
    """

    card: Path


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a device knows of its own enrolment; it has one.

    Attributes:
        mef: The MEF-ID.
        address: Where the MEF listens, as ``HOST:PORT``. It and transport are None for an Enrolee by
            certificate whose enrolment is of a release that did not keep them.
        transport: ``tls`` or ``dtls``; None for an Enrolee by card, which meets its MEF over Ub.
        instruction: Who the Enrolee is, for which Enrolment Targets, for how long, by which release.
        by: How it meets the MEF: the KpmId of a Kpm in the same store, a certificate, or a card.
    """

    mef: Fqdn
    address: str | None
    transport: str | None
    instruction: BootstrapInstruction
    by: KeyIdentifier | ByCertificate | ByCard


@dataclass(frozen=True, slots=True)
class MefCommand:
    """A command of an MEF for one of its Enrolees, and how it stands (8.3.9).

    Attributes:
        command_id: cmdID.
        enrolee: The client that it is for, as it authenticates itself.
        description: What is to be done.
        queued: When it was given (UTC).
        number: Its place among the commands of this Enrolee; the store says it.
        status: cmdStatus; None while it has not been issued.
        issued: When it was issued first (UTC).
        reissued: When it was issued again, the last time (UTC).
        ended: When the Enrolee said what came of it (UTC).
    """

    command_id: str
    enrolee: EntityId
    description: CommandDescription
    queued: datetime
    number: int = 0
    status: CommandStatus | None = None
    issued: datetime | None = None
    reissued: datetime | None = None
    ended: datetime | None = None

    @property
    def history(self) -> tuple[tuple[CommandStatus, datetime], ...]:
        """The statuses that it has had, and since when (UTC)."""
        had = (
            (CommandStatus.ISSUED, self.issued),
            (CommandStatus.REISSUED, self.reissued),
            (self.status, self.ended),
        )
        return tuple((status, since) for status, since in had if status is not None and since is not None)


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """The last command that a device carried out.

    Attributes:
        mef: The MEF-ID.
        command_id: cmdID.
        status: What came of it.
    """

    mef: Fqdn
    command_id: str
    status: CommandStatus


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that was removed on purpose.

    Attributes:
        alias: A second identifier that led to it, and leads to it no more; None when it had none.
        ends: Until when (UTC); None when it had none.
    """

    alias: KeyIdentifier | None = None
    ends: datetime | None = None
