"""Bootstrap Instruction Configuration: what an Enrolee may be provisioned for (TS-0003 clause 8.3.2.1).

It says who the Enrolee is, for which Enrolment Targets, how long Ke lives (Enrolment Expiry, 10.7) and by
which release the keys are derived. How the Enrolee authenticates itself is not its business. With a
pre-provisioned Kpm it is part of that key's record, at the MEF and, with the MEF's address, at the Enrolee.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from ..credentials import ResolvedKey, Secret
from ..identifiers import EntityId, KeyIdentifier, Suid
from ..release import DEFAULT_RELEASE, Release
from ..store.records import KeyKind, KeyRecord
from . import bootstrap_psk, mef_handshake

DEFAULT_ENROLMENT_EXPIRY: Final = timedelta(days=30)

_EXPIRY: Final = "enrolment-expiry="
_RELEASE: Final = "release="


@dataclass(frozen=True, slots=True)
class BootstrapInstruction:
    """What an Enrolee may be provisioned for.

    Attributes:
        enrolee: Enrolee-ID: the CSE-ID or AE-ID that Enrolment Targets are to associate with it.
        targets: The Enrolment Targets: MAF-IDs, CSE-IDs, AE-IDs; at least one at an MEF.
        enrolment_expiry: How long Ke may be used, and whatever is derived from it.
        release: Which clauses derive Km and Kpsa: 10.3.2 and 10.3.3, or 10.3.7.
    """

    enrolee: EntityId
    targets: tuple[EntityId, ...]
    enrolment_expiry: timedelta = DEFAULT_ENROLMENT_EXPIRY
    release: Release = DEFAULT_RELEASE

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
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The part of the instruction for which a key record has no other place."""
        seconds = int(self.enrolment_expiry.total_seconds())
        return (f"{_EXPIRY}{seconds}", f"{_RELEASE}{self.release.value}")


def label(labels: Iterable[str], name: str) -> str | None:
    """What follows this name among the labels of a record."""
    return next((text.removeprefix(name) for text in labels if text.startswith(name)), None)


def enrolee_record(
    kpm_id: KeyIdentifier,
    kpm: Secret,
    instruction: BootstrapInstruction,
    *,
    expires: datetime | None = None,
    labels: tuple[str, ...] = (),
) -> KeyRecord:
    """Kpm with its instruction, as it is stored.

    Args:
        kpm_id: KpmId.
        kpm: Kpm.
        instruction: What the Enrolee may be provisioned for.
        expires: When Kpm itself ends (UTC), if it does.
        labels: Further labels.
    """
    return KeyRecord(
        kind=KeyKind.KPM,
        key_id=kpm_id,
        key=kpm,
        issued=datetime.now(UTC),
        source=instruction.enrolee,
        targets=instruction.targets,
        suid=Suid.PRE_PROVISIONED_MEF,
        expires=expires,
        labels=(*instruction.labels, *labels),
    )


def target_record(
    key_id: KeyIdentifier, key: Secret, target: EntityId, *, expires: datetime | None = None
) -> KeyRecord:
    """The key by which an Enrolment Target authenticates itself to the MEF, as it is stored.

    It names no Enrolment Target, and so no Ke comes of its handshakes.
    """
    return KeyRecord(
        kind=KeyKind.KPM,
        key_id=key_id,
        key=key,
        issued=datetime.now(UTC),
        source=target,
        suid=Suid.PRE_PROVISIONED_MEF,
        expires=expires,
    )


def as_credential(record: KeyRecord) -> ResolvedKey:
    """A stored Kpm, or a target's key, as a resolver answers with it."""
    if record.targets:
        return bootstrap_psk.credential(
            record.key_id, record.key, enrolee=record.source, targets=record.targets, expires=record.expires
        )
    return mef_handshake.credential(record.key_id, record.key, target=record.source, expires=record.expires)
