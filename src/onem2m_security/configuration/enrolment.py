"""``[[enrolment]]``: what we are as an Enrolee, the Bootstrap Instruction Configuration (8.3.2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..errors import ConfigurationError
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY, BootstrapInstruction
from ..identifiers import EntityId, Fqdn
from ..release import Release
from .complaints import nearest
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


def chosen(enrolments: Sequence[EnrolmentSettings], mef: Fqdn | None, file: Path) -> EnrolmentSettings:
    """The enrolment with this MEF, or the one that there is.

    Raises:
        ConfigurationError: There is none in the file, or there are several.
    """
    known = {str(one.mef): one for one in enrolments}
    if mef is None and len(known) == 1:
        return enrolments[0]
    if mef is not None and str(mef) in known:
        return known[str(mef)]
    if not known:
        asked = "with whom do we enrol, and for whom? Give [enrolment] with mef and targets"
        raise ConfigurationError(f"{file}: {asked}")
    if mef is None:
        raise ConfigurationError(f"{file}: with which MEF? {' or '.join(known)}")
    raise ConfigurationError(f"{file}: there is no [enrolment] with {mef}{nearest(str(mef), known)}")
