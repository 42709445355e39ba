"""How an Enrolee meets its MEF: one value, whichever framework made it (TS-0003 clause 8.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from ..frameworks import bootstrap_psk
from ..frameworks.instructions import as_credential
from ..frameworks.steps import Initiator
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.link import Link
from ..store.records import KeyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class AtMef:
    """An MEF, the way to it, and how we prove ourselves to it.

    Attributes:
        mef: The MEF-ID.
        initiator: How we prove ourselves; None while our credential is not here: the Ke that is kept serves.
        link: Where it listens; None when that is not known.
        ends: When our credential ends (UTC): Ke does not outlive it; None for one without an end.
        parent: The key in the store with which Ke goes; None where the store keeps nothing of our credential.
    """

    mef: Fqdn
    initiator: Initiator | None = None
    link: Link | None = None
    ends: datetime | None = None
    parent: KeyIdentifier | None = None

    @classmethod
    def by_key(cls, enrolee: EntityId, kpm: KeyRecord, link: Link) -> Self:
        """By a Pre-Provisioned Symmetric Enrolee Key that the store keeps (8.3.2.1).

        Args:
            enrolee: Enrolee-ID.
            kpm: Kpm; the FQDN of its identifier is the MEF-ID.
            link: Where the MEF listens.
        """
        mef = kpm.key_id.fqdn
        initiator = bootstrap_psk.initiate(enrolee, mef, as_credential(kpm))
        return cls(mef=mef, initiator=initiator, link=link, parent=kpm.key_id)
