"""By what an Entity B lets others prove who they are: any number of kinds, each in a file of its own."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass

from ...errors import ConfigurationError
from ...identifiers import EntityId
from .asked import Way
from .certificates import AcceptingCertificateOptions
from .credentials import Being, MafOptions, PartOptions, Parts
from .gba import NafOptions
from .grouping import OptionGroup
from .keys import KmOptions, KpsaOptions
from .mefs import MefOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions(OptionGroup):
    """By what an Entity B lets others prove themselves."""

    maf: MafOptions
    certificates: AcceptingCertificateOptions
    kpsa: KpsaOptions
    km: KmOptions
    mefs: MefOptions
    bsfs: NafOptions

    def parts(self, local: EntityId, way: Way) -> Parts:
        """All that was given.

        Raises:
            ConfigurationError: Nothing was, or options of it are missing.
        """
        being = Being(local, self.maf, way)
        kinds: tuple[PartOptions, ...] = (self.certificates, self.kpsa, self.km, self.mefs, self.bsfs)
        parts = functools.reduce(operator.or_, (kind.parts(being) for kind in kinds))
        if not parts.accept_somebody:
            raise ConfigurationError(
                "nobody could associate: give --maf, --km-id, --km-file, or --kpsa-id, --kpsa-file, or --mef "
                "or --bsf with its options, or --cert, --key and whose certificates to accept"
            )
        return parts
