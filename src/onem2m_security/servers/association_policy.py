"""Whom a MAF's Enrolees may have keys for: its own Association Configuration (TS-0003 clause 8.2.2.3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from ..identifiers import EntityId


@dataclass(frozen=True, slots=True)
class AssociationRule:
    """``IDB`` or ``ENROLEE=IDB``: whom every Enrolee, or one of them, may have keys for.

    Attributes:
        enrolee: The Enrolee, or None for all that no rule names.
        target: Entity B.
    """

    enrolee: EntityId | None
    target: EntityId

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``/in-cse`` or ``/in-cse/Cae=/in-cse``.

        Raises:
            IdentifierError: One of the two is not an entity identifier.
        """
        enrolee, _, target = text.rpartition("=")
        return cls(EntityId.parse(enrolee) if enrolee else None, EntityId.parse(target))


@dataclass(frozen=True, slots=True)
class AssociationPolicy:
    """Whom remotely provisioned clients may have keys for.

    Attributes:
        everyone: Entities B for every Enrolee that is not named below.
        by_enrolee: Entities B for one Enrolee.
    """

    everyone: tuple[EntityId, ...] = ()
    by_enrolee: Mapping[EntityId, tuple[EntityId, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Iterable[AssociationRule]) -> Self:
        """The policy that these rules describe."""
        everyone: list[EntityId] = []
        named: defaultdict[EntityId, list[EntityId]] = defaultdict(list)
        for rule in rules:
            (everyone if rule.enrolee is None else named[rule.enrolee]).append(rule.target)
        return cls(tuple(everyone), {enrolee: tuple(targets) for enrolee, targets in named.items()})

    def targets(self, enrolee: EntityId | None) -> tuple[EntityId, ...]:
        """The Entities B for which this Enrolee may have keys made."""
        return () if enrolee is None else self.by_enrolee.get(enrolee, self.everyone)
