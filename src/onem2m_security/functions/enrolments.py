"""The Enrolment Keys of an MEF: made by a bootstrap, handed on as Km or Kpsa (TS-0003 clause 8.3.2.1).

How an Enrolee authenticated itself does not matter here. An Enrolee has one Ke: whoever bootstraps again
replaces it, and the old one is refused from then on. Ke itself never leaves; what is derived from it goes
only to an Enrolment Target that the Enrolee's instructions name, for the one usage that this target can have.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from ..credentials import Secret
from ..errors import CredentialError, IdentifierError
from ..frameworks.base import Established
from ..frameworks.bootstrap_psk import export_enrolment_key
from ..identifiers import EntityId, EntityKind, Fqdn, KeyIdentifier, Suid, shown
from ..keys import km_for, kpsa_for
from ..release import FETCH_CREDENTIALS
from ..store.records import KeyKind, KeyRecord
from ..store.store import Store
from ..telemetry import KEYS_STORED, LOG
from .fetch_credentials import REFUSAL, FetchedCredential
from .function import Handler, Route
from .instructions import BootstrapInstruction
from .primitives import Operation, Request, Response, Rsc

_TURNS: Final = 512


class Enrolments:
    """The Enrolment Keys of one MEF."""

    def __init__(self, store: Store, fqdn: Fqdn) -> None:
        self._store = store
        self._fqdn = fqdn
        self._turns = [asyncio.Lock() for _ in range(_TURNS)]

    def routes(self) -> dict[Route, Handler]:
        """The request that is answered."""
        return {(Operation.RETRIEVE, (FETCH_CREDENTIALS.strip("/"),), 2): self.fetch}

    async def enrol(
        self,
        established: Established,
        instruction: BootstrapInstruction,
        *,
        parent: KeyIdentifier | None = None,
        limit: datetime | None = None,
    ) -> KeyRecord:
        """Export Ke from this session and make it durable; every earlier Ke of the Enrolee is gone then.

        Args:
            established: The finished Bootstrap Security Handshake.
            instruction: What this Enrolee may be provisioned for.
            parent: KpmId, where there is one: revoking it revokes Ke.
            limit: When the credential that authenticated the Enrolee ends (UTC): Ke does not outlive it.
        """
        exported = export_enrolment_key(established, self._fqdn)
        return await self.keep(exported.ke_id, exported.ke, instruction, parent=parent, limit=limit)

    async def keep(
        self,
        ke_id: KeyIdentifier,
        ke: Secret,
        instruction: BootstrapInstruction,
        *,
        parent: KeyIdentifier | None = None,
        limit: datetime | None = None,
    ) -> KeyRecord:
        """Make this Ke the Enrolee's one and only, durably; arguments as for ``enrol``."""
        # One at a time for each Enrolee: two simultaneous bootstraps must not remove each other's Ke.
        async with self._turns[hash(instruction.enrolee) % _TURNS]:
            now = datetime.now(UTC)
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
            await self._store.add(record)
            for older in await self._store.records(KeyKind.KE, source=instruction.enrolee):
                if older.key_id != ke_id and older.issued <= now:
                    await self._store.remove(KeyKind.KE, older.key_id, descendants=True)
        KEYS_STORED.labels(KeyKind.KE.value).inc()
        LOG.info("enrolled", enrolee=str(record.source), ke_id=str(ke_id), fingerprint=ke.fingerprint)
        return record

    async def fetch(self, request: Request, established: Established) -> Response:
        """``GET /fetchCredentials/<KeID>/<SUID>`` (8.3.2.1): Km or Kpsa for the originator.

        One and the same answer goes to a KeID that is unknown, expired, replaced, or not for this target.
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
        seconds = 0.0 if record.expires is None else (record.expires - datetime.now(UTC)).total_seconds()
        try:
            credential = _derive(instruction, record.key, suid, target)
        except CredentialError as error:
            LOG.warning("no key can be derived", target=str(target), reason=str(error))
            return None
        if credential is None or seconds < 1:
            return None
        return FetchedCredential(credential, instruction.enrolee, timedelta(seconds=int(seconds)))


def _derive(instruction: BootstrapInstruction, ke: Secret, suid: str, target: EntityId) -> Secret | None:
    """Km for a MAF by SUID 21, Kpsa for a CSE or an AE by SUID 22; nothing else is provisioned."""
    maf = target.domain_name if target.kind is EntityKind.FUNCTION else None
    if maf is not None:
        return km_for(instruction.release, ke, maf) if suid == str(int(Suid.PROVISIONED_MAF)) else None
    return kpsa_for(instruction.release, ke, target) if suid == str(int(Suid.PROVISIONED_SAEF)) else None
