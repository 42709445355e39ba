"""The Enrolment Keys of an MEF: made by a bootstrap, handed on as Km or Kpsa (TS-0003 clause 8.3.2.1).

How an Enrolee authenticated itself does not matter here. An Enrolee uses one Ke: whoever bootstraps again
replaces it. But the last flight of that handshake may be lost, and then the Enrolee still holds the old one:
so an earlier Ke goes when a later one is first used, at the latest after ``SUPERSEDED_FOR``. Ke itself never
leaves; what is derived from it goes only to an Enrolment Target that the Enrolee's instructions name, for the
one usage that this target can have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey, Secret
from ..errors import CredentialError, IdentifierError
from ..frameworks.bootstrap_psk import export_enrolment_key
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import Established
from ..identifiers import EntityId, EntityKind, Fqdn, KeyIdentifier, Suid
from ..keys import PROVISIONED_SUIDS, km_for, provisioned_key_for
from ..onem2m.fetch_credentials import REFUSAL, FetchedCredential
from ..onem2m.paths import FETCH_CREDENTIALS
from ..onem2m.primitives import Operation, Request, Response, Rsc
from ..store.records import KeyKind, KeyRecord
from ..telemetry import KEYS_STORED, LOG
from ..texts import shown
from .function import Handler, Route

if TYPE_CHECKING:
    from ..store.store import Store

SUPERSEDED_FOR: Final = timedelta(days=1)
"""How long an earlier Ke may still be used while no later one is."""

SUPERSEDED_MAX: Final = 16
"""How many earlier Ke of one Enrolee are kept: the oldest, which was used last, and the newest."""


class Enrolments:
    """The Enrolment Keys of one MEF."""

    def __init__(self, store: Store, fqdn: Fqdn, *, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._store = store
        self._fqdn = fqdn

    def routes(self) -> dict[Route, Handler]:
        """The request that is answered."""
        return {(Operation.RETRIEVE, FETCH_CREDENTIALS, 2): self.fetch}

    async def enrol(
        self,
        established: Established,
        instruction: BootstrapInstruction,
        *,
        parent: KeyIdentifier | None = None,
        limit: datetime | None = None,
    ) -> KeyRecord:
        """Export Ke from this session and make it durable.

        Args:
            established: The finished Bootstrap Security Handshake.
            instruction: What this Enrolee may be provisioned for.
            parent: KpmId, where there is one: revoking it revokes Ke.
            limit: When the credential that authenticated the Enrolee ends (UTC): Ke does not outlive it.

        Raises:
            ParentGoneError: Kpm was removed or replaced during the handshake.
            StoreError: Ke could not be stored.
        """
        exported = export_enrolment_key(established, self._fqdn)
        kpm = established.credential.key if isinstance(established.credential, ResolvedKey) else None
        return await self.keep(exported.ke_id, exported.ke, instruction, parent=parent, kpm=kpm, limit=limit)

    async def keep(
        self,
        ke_id: KeyIdentifier,
        ke: Secret,
        instruction: BootstrapInstruction,
        *,
        parent: KeyIdentifier | None = None,
        kpm: Secret | None = None,
        limit: datetime | None = None,
    ) -> KeyRecord:
        """Make this Ke durable, and let those that the Enrolee had before end soon.

        Arguments as for ``enrol``; with kpm, it is kept only if its parent is there and is this key.
        """
        now = self._clock.now()
        ends = now + instruction.enrolment_expiry
        record = KeyRecord(
            kind=KeyKind.KE,
            key_id=ke_id,
            key=ke,
            issued=now,
            source=instruction.enrolee,
            targets=instruction.targets,
            expires=ends if limit is None else min(ends, limit),
            parent=parent,
            labels=instruction.labels,
        )

        def superseded(others: Sequence[KeyRecord]) -> list[KeyRecord]:
            live = [other for other in others if not other.expired(now)]
            live.sort(key=lambda other: other.issued)
            if len(live) > SUPERSEDED_MAX:
                live = [live[0], *live[1 - SUPERSEDED_MAX :]]
            return [_ending(other, now + SUPERSEDED_FOR) for other in live]

        await self._store.add(record, parent_key=kpm, others=superseded)
        KEYS_STORED.labels(KeyKind.KE.value).inc()
        LOG.info("enrolled", enrolee=str(record.source), ke_id=str(ke_id), fingerprint=ke.fingerprint)
        return record

    async def withdraw(self, established: Established) -> None:
        """Undo the bootstrap that this session's handshake seemed to be: it is for managing keys (8.3.5.2.2).

        The handshake looks the same. The Ke that it made goes, and the one before it lives as long as ever;
        an Enrolee that has no other keeps it, and so does one that has shown it to a target already.
        """
        made = export_enrolment_key(established, self._fqdn).ke_id
        kept = await self._store.find(KeyKind.KE, made)
        if kept is None:
            return
        of_enrolee = await self._store.records(KeyKind.KE, source=kept.source)
        live = [one for one in of_enrolee if one.issued < kept.issued and not one.expired(kept.issued)]
        instruction = BootstrapInstruction.of(kept)
        if not live or instruction is None:
            return
        newest = max(live, key=lambda one: one.issued)
        ends = newest.issued + instruction.enrolment_expiry
        limit = established.association.expires
        restored = dataclasses.replace(newest, expires=ends if limit is None else min(ends, limit))
        if restored.expired(self._clock.now()) or not await self._store.update(newest, restored):
            return
        await self._store.remove(KeyKind.KE, made, descendants=True)

    async def fetch(self, request: Request, established: Established) -> Response:
        """``GET /fetchCredentials/<KeID>/<SUID>`` (8.3.2.1): Km or Kpsa for the originator.

        One and the same answer goes to a KeID that is unknown, expired, replaced, or not for this target.
        That somebody shows this KeID proves that the Enrolee holds Ke: earlier ones are gone from now on.
        """
        target = established.association.peer
        found = None if target is None else await self._credential(request.to[-2], request.to[-1], target)
        if found is None:
            LOG.info("credential refused", target=str(target), ke_id=shown(request.to[-2]))
            return Response(Rsc.NOT_FOUND, REFUSAL)
        LOG.info(
            "credential handed out",
            target=str(target),
            enrolee=str(found.enrolee),
            ke_id=shown(request.to[-2]),
            fingerprint=found.credential.fingerprint,
        )
        return Response(Rsc.OK, found.encode())

    async def _credential(self, ke_id_text: str, suid: str, target: EntityId) -> FetchedCredential | None:
        try:
            ke_id = KeyIdentifier.parse(ke_id_text)
        except IdentifierError:
            return None
        record = await self._store.find(KeyKind.KE, ke_id)
        instruction = None if record is None else BootstrapInstruction.of(record)
        if record is None or instruction is None or target not in instruction.targets:
            return None
        if record.parent is not None and await self._store.find(KeyKind.KPM, record.parent) is None:
            return None  # revoked while the Enrolee was bootstrapping
        seconds = 0.0 if record.expires is None else (record.expires - self._clock.now()).total_seconds()
        try:
            credential = _derive(instruction, record.key, suid, target)
        except CredentialError as error:
            LOG.warning("no key can be derived", target=str(target), reason=str(error))
            return None
        if credential is None or seconds < 1:
            return None
        await self._remove_earlier(record)
        lifetime = timedelta(seconds=int(seconds))
        return FetchedCredential(credential, instruction.enrolee, lifetime, instruction.uss)

    async def _remove_earlier(self, used: KeyRecord) -> None:
        for other in await self._store.records(KeyKind.KE, source=used.source):
            if other.issued < used.issued:
                await self._store.remove(KeyKind.KE, other.key_id, descendants=True)


def _ending(record: KeyRecord, latest: datetime) -> KeyRecord:
    """The record, with an end at this moment (UTC) at the latest."""
    ends = latest if record.expires is None else min(record.expires, latest)
    return dataclasses.replace(record, expires=ends)


def _derive(instruction: BootstrapInstruction, ke: Secret, suid: str, target: EntityId) -> Secret | None:
    """Km for a MAF by SUID 21; for a CSE or an AE Kpsa by SUID 22, and end-to-end keys by 23 to 25.

    Raises:
        CredentialError: The instruction's release derives no such key.
    """
    maf = target.domain_name if target.kind is EntityKind.FUNCTION else None
    if maf is not None:
        return km_for(instruction.release, ke, maf) if suid == str(int(Suid.PROVISIONED_MAF)) else None
    asked = {str(int(one)): one for one in PROVISIONED_SUIDS}.get(suid)
    return None if asked is None else provisioned_key_for(instruction.release, ke, target, asked)
