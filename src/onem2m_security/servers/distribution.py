"""What a MAF and an MEF distribute: keys for these usages (TS-0003 tables 8.8.1-1 and 8.3.5.1-1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..identifiers import Suid
from ..onem2m.resources import MefSymmetricKeyRegistration, SymmetricKeyRegistration
from ..store.records import KeyKind


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a function distributes.

    Attributes:
        resource: Where and how it is registered.
        kind: As what it is kept.
        single_target: The usages of a key for exactly one target.
        many_targets: The usages of a key for one target or several.
    """

    resource: type[SymmetricKeyRegistration]
    kind: KeyKind
    single_target: frozenset[Suid]
    many_targets: frozenset[Suid]


BY_MAF: Final = Distribution(
    SymmetricKeyRegistration,
    KeyKind.KC,
    frozenset({Suid.MAF_SAEF, Suid.MAF_ESPRIM}),
    frozenset({Suid.MAF_ESDATA_ENCRYPTION, Suid.MAF_ESDATA_SIGNATURE}),
)
"""Table 8.8.1-1."""
BY_MEF: Final = Distribution(
    MefSymmetricKeyRegistration,
    KeyKind.OUTPUT,
    frozenset({Suid.PROVISIONED_MAF, Suid.PROVISIONED_SAEF, Suid.PROVISIONED_ESPRIM}),
    frozenset({Suid.PROVISIONED_ESDATA_ENCRYPTION, Suid.PROVISIONED_ESDATA_SIGNATURE}),
)
"""Table 8.3.5.1-1."""
