"""Bootstrap Instruction Configuration: what an Enrolee may be provisioned for (TS-0003 clause 8.3.2.1).

It says who the Enrolee is, for which Enrolment Targets, how long Ke lives (Enrolment Expiry, 10.7) and by
which release the keys are derived. How the Enrolee authenticates itself is not its business. With a
pre-provisioned Kpm the MEF keeps it in that key's record; the Enrolee keeps it in its ``Enrolment``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey, Secret
from ..errors import ConfigurationError
from ..identifiers import EntityId, KeyIdentifier, Suid
from ..keys import can_derive_for
from ..store.records import DEFAULT_ENROLMENT_EXPIRY, BootstrapInstruction, KeyKind, KeyRecord
from . import bootstrap_psk, mef_handshake

__all__ = [
    "DEFAULT_ENROLMENT_EXPIRY",
    "BootstrapInstruction",
    "as_credential",
    "enrolee_record",
    "require_derivable",
    "target_record",
]


def require_derivable(instruction: BootstrapInstruction) -> None:
    """Refuse an instruction that can never be followed, before a device bootstraps by it.

    Raises:
        ConfigurationError: For an Enrolment Target no key can be derived by the instruction's release.
    """
    for target in instruction.targets:
        if not can_derive_for(instruction.release, target):
            raise ConfigurationError(
                f"{target}: Release 3 derives keys for a MAF-ID, or an absolute CSE-ID or AE-ID "
                "(//sp.example/…): name the target so, or take Release 1"
            )


def enrolee_record(
    kpm_id: KeyIdentifier,
    kpm: Secret,
    instruction: BootstrapInstruction,
    *,
    expires: datetime | None = None,
    clock: Clock = CLOCK,
) -> KeyRecord:
    """Kpm with its instruction, as it is stored.

    Args:
        kpm_id: KpmId.
        kpm: Kpm.
        instruction: What the Enrolee may be provisioned for.
        expires: When Kpm itself ends (UTC), if it does.
        clock: What says that it is issued now.

    Raises:
        ConfigurationError: No key can be derived for one of the Enrolment Targets.
    """
    require_derivable(instruction)
    return KeyRecord(
        kind=KeyKind.KPM,
        key_id=kpm_id,
        key=kpm,
        issued=clock.now(),
        source=instruction.enrolee,
        targets=instruction.targets,
        suid=Suid.PRE_PROVISIONED_MEF,
        expires=expires,
        labels=instruction.labels,
    )


def target_record(
    key_id: KeyIdentifier,
    key: Secret,
    target: EntityId,
    *,
    expires: datetime | None = None,
    clock: Clock = CLOCK,
) -> KeyRecord:
    """The key by which an Enrolment Target authenticates itself to the MEF, as it is stored.

    It names no Enrolment Target, and so no Ke comes of its handshakes.
    """
    return KeyRecord(
        kind=KeyKind.KPM,
        key_id=key_id,
        key=key,
        issued=clock.now(),
        source=target,
        suid=Suid.PRE_PROVISIONED_MEF,
        expires=expires,
    )


def as_credential(record: KeyRecord) -> ResolvedKey:
    """A stored Kpm, or a target's key, as a resolver answers with it."""
    if not record.targets:
        return mef_handshake.credential(
            record.key_id, record.key, target=record.source, expires=record.expires
        )
    kpm = bootstrap_psk.credential(
        record.key_id, record.key, enrolee=record.source, targets=record.targets, expires=record.expires
    )
    return replace(kpm, credential=record.key_id)
