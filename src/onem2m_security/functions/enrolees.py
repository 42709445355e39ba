"""A MAF's Enrolees: clients whose Master Credential an MEF provides (TS-0003 clauses 8.3.1.2, 8.2.2.3).

A first handshake shows a KeId; the MEF that it names is asked for Km in the middle of it. Km is durable,
under its KmId with the KeId as a second name, before that handshake goes on, so that both identifiers work
from then on, without the MEF. A newer Km of the same Enrolee from the same MEF replaces the older one and the
keys that came from it.

The MEF's answer says who the Enrolee is, not whom it may reach: that is the MAF's own Association
Configuration (8.2.2.3), kept here as a policy. It holds at each handshake, not from the day of enrolment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Self

from ..credentials import ResolvedKey
from ..errors import ResolverUnavailableError
from ..frameworks.base import Fetch, RemoteKeys, Resolver, ResolverChain
from ..frameworks.saef_maf import master_credential
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..keys import km_id_of
from ..store.records import KeyKind, KeyRecord
from ..store.store import Store
from ..telemetry import KEYS_STORED, LOG

FETCH_SECONDS = 8.0
"""For an MEF to answer, waiting for our other questions included; below the time that a handshake has."""


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


class Enrolees:
    """The remotely provisioned clients of one MAF."""

    def __init__(self, store: Store, fqdn: Fqdn, policy: AssociationPolicy) -> None:
        self._store = store
        self._fqdn = fqdn
        self._policy = policy

    def resolver(self, mefs: Mapping[Fqdn, Fetch], *, timeout: float = FETCH_SECONDS) -> Resolver:
        """Asks the MEF that a KeId names; what it answers is durable before the handshake goes on.

        Handshakes with one KeId share one request. Each MEF has its own places, so that one that hangs does
        not hold up another. Nothing is kept in memory: the store is where it is looked up.
        """
        return ResolverChain(
            RemoteKeys({mef: partial(self._provision, fetch)}, timeout=timeout, capacity=0)
            for mef, fetch in mefs.items()
        )

    async def _provision(self, fetch: Fetch, ke_id: KeyIdentifier) -> ResolvedKey | None:
        fetched = await fetch(ke_id)
        if fetched is None:
            return None
        if fetched.peer is None:
            raise ResolverUnavailableError(f"{ke_id.fqdn} did not say whose {ke_id} is")
        record = KeyRecord(
            kind=KeyKind.KM,
            key_id=km_id_of(fetched.key, self._fqdn),
            key=fetched.key,
            issued=datetime.now(UTC),
            source=fetched.peer,
            alias=ke_id,
            suid=Suid.PROVISIONED_MAF,
            expires=fetched.expires,
            parent=ke_id,
        )
        await self._store.add(record, replace=True, others=partial(_without_older, ke_id.fqdn))
        KEYS_STORED.labels(KeyKind.KM.value).inc()
        LOG.info(
            "remotely provisioned",
            enrolee=str(record.source),
            ke_id=str(ke_id),
            km_id=str(record.key_id),
            fingerprint=record.key.fingerprint,
        )
        return self.as_credential(record, ke_id)

    def as_credential(self, record: KeyRecord, key_id: KeyIdentifier) -> ResolvedKey:
        """A remotely provisioned Km, as it was asked for, with the targets that the policy allows now."""
        return master_credential(
            key_id,
            record.key,
            client=record.source,
            targets=self._policy.targets(record.source),
            expires=record.expires,
            credential=record.key_id,
            suid=Suid.PROVISIONED_MAF,
        )


def _without_older(mef: Fqdn, others: Sequence[KeyRecord]) -> list[KeyRecord]:
    """The other Km of an Enrolee, without those that this MEF provided."""
    return [
        record
        for record in others
        if not is_provisioned(record) or record.parent is None or record.parent.fqdn != mef
    ]


def is_provisioned(record: KeyRecord) -> bool:
    """Did an MEF provide this Km?"""
    return record.suid is Suid.PROVISIONED_MAF
