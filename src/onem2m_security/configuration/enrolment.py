"""``[[enrolment]]``: what we are as an Enrolee, the Bootstrap Instruction Configuration (8.3.2.1)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY, BootstrapInstruction
from ..identifiers import EntityId
from ..release import Release
from .values import DurationSetting, EntitySetting, FileSetting, FqdnSetting, Table


class EnrolmentSettings(Table):
    """``[enrolment]``, or ``[[enrolment]]`` for several: with which MEF we enrol, and for whom.

    Attributes:
        mef: The MEF, by its FQDN: it is a peer, whose ``release`` counts.
        targets: The Enrolment Targets: MAFs by FQDN, CSEs and AEs by identity.
        enrolment_expiry: How long Ke may be used, and every key that comes from it.
        data: The data directory that keeps this enrolment and no other; needed where there is no
            ``[store]``.
    """

    mef: FqdnSetting
    targets: Annotated[tuple[EntitySetting, ...], Field(min_length=1)]
    enrolment_expiry: DurationSetting = DEFAULT_ENROLMENT_EXPIRY
    data: FileSetting

    def instruction(self, enrolee: EntityId, release: Release) -> BootstrapInstruction:
        """The same as an Enrolee takes it."""
        return BootstrapInstruction(enrolee, self.targets, self.enrolment_expiry, release)
