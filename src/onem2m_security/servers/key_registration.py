"""Symmetric key registration, retrieval, update, de-registration (TS-0003 clauses 8.8.2.7 and 8.3.5.2.7 ff.).

A MAF and an MEF do the same by the same messages; what differs is for which usages (``Distribution``).

Whoever may not know of a key gets the same answer as for a key that does not exist.
"""

from __future__ import annotations

import dataclasses
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey, Secret
from ..errors import (
    CredentialError,
    IdentifierError,
    ParentGoneError,
    QuotaError,
    RecordExistsError,
    SecurityFrameworkError,
    StoreError,
)
from ..frameworks.maf_handshake import export_connection_key
from ..frameworks.steps import Done, Established
from ..identifiers import RELATIVE_KEY_ID_OCTETS, EntityId, EntityKind, Fqdn, KeyIdentifier, Suid
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from ..onem2m.resources import SymmetricKeyRegistration
from ..peer_quotas import DEFAULT_QUOTAS, Ceiling, PeerQuotas, Rate
from ..store.records import KeyKind, KeyRecord, Later
from ..telemetry import KEYS_STORED, LOG
from .allowance import Allowances
from .client_registration import ClientRegistrations
from .distribution import BY_MAF, Distribution
from .function import Handler, Route, asked_of

if TYPE_CHECKING:
    from ..store.store import Store


MIN_KEY_OCTETS = 16
"""A key that a client makes itself is not taken when it is shorter: it could be guessed."""


class KeyRegistrations:
    """The registered keys of one MAF or MEF."""

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        *,
        clients: ClientRegistrations,
        lifetime: timedelta,
        distribution: Distribution = BY_MAF,
        quotas: PeerQuotas = DEFAULT_QUOTAS,
        clock: Clock = CLOCK,
    ) -> None:
        """Keep the keys in the store; none outlives ``lifetime`` or the credential it came from.

        Args:
            store: Where they are kept.
            fqdn: The function's FQDN.
            clients: Who is registered, and so may register keys.
            lifetime: How long a key may be used.
            distribution: What is distributed.
            quotas: What one client may have and do.
            clock: From when lifetimes count.
        """
        self._clock = clock
        self._clients = clients
        self._distributes = distribution
        self._rate = Rate("key registrations", quotas.key_registrations_per_second, clock=clock.monotonic)
        self._live = Ceiling("live keys", quotas.live_keys, clock=clock.monotonic)
        self._allowances = Allowances(quotas.live_keys)
        self._store = store
        self._fqdn = fqdn
        self._lifetime = lifetime

    def routes(self) -> dict[Route, Handler]:
        """The requests that are answered."""
        path = self._distributes.resource.path
        return {
            (Operation.CREATE, path, 0): self.register,
            (Operation.RETRIEVE, path, 1): self.retrieve,
            (Operation.UPDATE, path, 1): self.update,
            (Operation.DELETE, path, 1): self.deregister,
        }

    async def register_export(self, established: Established, target: EntityId) -> KeyRecord:
        """Register the Kc of this very session, for one target (Release 1: part of every MAF handshake).

        Beyond the quota of live keys, the oldest one that came about like this gives way.

        Raises:
            QuotaError: The client makes keys too often: the handshake is to fail.
        """
        peer = established.holder
        if self._rate.wait(peer):
            raise QuotaError(f"{peer} makes keys too often")
        await self._make_room(established.association.peer, peer)
        record = self._exported(established, target)
        await self._add(record, established)
        return record

    def register_export_soon(self, established: Established, target: EntityId, done: Done) -> bool:
        """The same without a task; False, and nothing was begun, if keys have to be counted or make room.

        Raises:
            QuotaError: As there.
        """
        peer = established.holder
        if not self._has_room(established.association.peer):
            return False
        if self._rate.wait(peer):
            raise QuotaError(f"{peer} makes keys too often")
        record = self._exported(established, target)

        def stored(error: BaseException | None) -> None:
            done(self._outcome(record, error))

        self._store.add_soon(record, _kept_key(established), stored)
        return True

    def _exported(self, established: Established, target: EntityId) -> KeyRecord:
        exported = export_connection_key(established, self._fqdn)
        return self._record(established, exported.kc_id, exported.kc, Suid.MAF_SAEF, (target,))

    async def register(self, request: Request, established: Established) -> Response:
        """Key Registration (8.8.2.7, 8.3.5.2.7): of a key value of the client's, or the session's export."""
        asked = asked_of(request, self._distributes.resource)
        if asked.expiration_time is None or asked.suid is None or asked.admin_fqdn is None:
            raise RefusedError(Rsc.BAD_REQUEST, "expirationTime, adminFQDN and SUID are required")
        if asked.fqdn not in {None, self._fqdn}:
            raise RefusedError(Rsc.BAD_REQUEST, "the FQDN is not this function's")
        targets = self._allowed_targets(established, asked.suid, asked.target_ids)
        await self._clients.require(established.association.peer, asked.admin_fqdn, asked.suid)
        await self._check_quotas(established)
        if asked.key_value is not None and len(asked.key_value) < MIN_KEY_OCTETS:
            raise RefusedError(Rsc.BAD_REQUEST, f"the key value has fewer than {MIN_KEY_OCTETS} octets")
        if asked.key_value is not None:
            kc_id = KeyIdentifier.from_octets(secrets.token_bytes(RELATIVE_KEY_ID_OCTETS), self._fqdn)
            kc = asked.key_value
        else:
            exported = export_connection_key(established, self._fqdn)
            kc_id, kc = exported.kc_id, exported.kc
        record = self._limited(self._record(established, kc_id, kc, asked.suid, targets), asked)
        existing = await self._store.find(self._distributes.kind, kc_id)
        if existing is not None and not _gives_way(existing, record):
            raise RefusedError(
                Rsc.CONFLICT, "the key of this session is registered: open a new session, or send a key value"
            )
        try:
            if existing is None:
                await self._add(record, established)
            elif not await self._store.update(existing, record):
                raise _changed()
        except CredentialError as error:
            raise RefusedError(Rsc.CONFLICT, str(error)) from error
        except ParentGoneError as error:
            raise RefusedError(Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, str(error)) from error
        described = self._describe(record, with_key=False)
        created = (*self._distributes.resource.path, record.key_id.relative_hex)
        return Response(Rsc.CREATED, described.encode(), created)

    async def retrieve(self, request: Request, established: Established) -> Response:
        """Key Retrieval (8.8.2.8, 8.3.5.2.8): only a target that the source named gets the key."""
        record = await self._find(request)
        if record is None or established.association.peer not in record.targets:
            raise _not_found()
        LOG.info(
            "key handed out",
            kc_id=str(record.key_id),
            source=str(record.source),
            target=str(established.association.peer),
            fingerprint=record.key.fingerprint,
        )
        return Response(Rsc.OK, self._describe(record, with_key=True).encode())

    async def update(self, request: Request, established: Established) -> Response:
        """Key Registration Update (8.8.2.9, 8.3.5.2.9): only by the source."""
        found = record = await self._find_own(request, established)
        asked = asked_of(request, self._distributes.resource)
        if asked.expiration_time is None and asked.labels is None and asked.target_ids is None:
            raise RefusedError(
                Rsc.BAD_REQUEST, "at least one of expirationTime, labels and targetIDs is required"
            )
        if asked.suid is not None or asked.key_value is not None or asked.admin_fqdn is not None:
            raise RefusedError(Rsc.BAD_REQUEST, "SUID, key value and adminFQDN cannot be changed")
        if asked.target_ids is not None:
            suid = record.suid or Suid.MAF_SAEF  # nothing else was there before SUIDs were
            targets = self._allowed_targets(established, suid, asked.target_ids)
            record = dataclasses.replace(record, targets=targets)
        record = self._limited(record, asked)
        if not await self._store.update(found, record):
            raise _changed()
        changed = self._distributes.resource(
            expiration_time=record.expires if asked.expiration_time is not None else None,
            labels=record.labels if asked.labels is not None else None,
            target_ids=record.targets if asked.target_ids is not None else None,
        )
        return Response(Rsc.UPDATED, changed.encode())

    async def deregister(self, request: Request, established: Established) -> Response:
        """Key De-Registration (8.8.2.10, 8.3.5.2.10): only by the source; nobody gets the key any more."""
        record = await self._find_own(request, established)
        await self._store.remove(record.kind, record.key_id)
        return Response(Rsc.DELETED)

    # --- quotas -------------------------------------------------------------------------------------------

    async def _check_quotas(self, established: Established) -> None:
        peer = established.holder
        if self._rate.wait(peer):
            raise RefusedError(Rsc.TOO_MANY_REQUESTS, "too many key registrations: wait a second")
        source = established.association.peer
        if source is not None:
            count = await self._store.count_keys(self._distributes.kind, source, by_request=True)
            if self._live.is_reached(peer, count):
                raise RefusedError(
                    Rsc.TOO_MANY_REQUESTS, f"{count} keys of this client are live: de-register some"
                )

    async def _make_room(self, source: EntityId | None, peer: str) -> None:
        if source is None or self._allowances.take(source):
            return
        count = await self._store.count_keys(KeyKind.KC, source, by_request=False)
        self._allowances.counted(source, count + 1)
        if self._live.is_reached(peer, count):
            await self._store.keep_newest(KeyKind.KC, source, self._live.most - 1)

    def _has_room(self, source: EntityId | None) -> bool:
        """Whether a further key of this client is within its quota, as far as can be said at once."""
        if source is None or self._allowances.take(source):
            return True
        count = self._store.count_now(KeyKind.KC, source, by_request=False)
        if isinstance(count, Later) or count >= self._live.most:
            return False
        self._allowances.counted(source, count + 1)
        return True

    # --- inside -------------------------------------------------------------------------------------------

    def _record(
        self,
        established: Established,
        kc_id: KeyIdentifier,
        kc: Secret,
        suid: Suid,
        targets: tuple[EntityId, ...],
    ) -> KeyRecord:
        now = self._clock.now()
        credential = established.credential
        ends = now + self._lifetime
        if credential is not None and credential.expires is not None:
            ends = min(ends, credential.expires)
        parent = (credential.credential or credential.key_id) if isinstance(credential, ResolvedKey) else None
        return KeyRecord(
            kind=self._distributes.kind,
            key_id=kc_id,
            key=kc,
            issued=now,
            source=established.association.peer,
            targets=targets,
            suid=suid,
            expires=ends,
            parent=parent,
        )

    def _limited(self, record: KeyRecord, asked: SymmetricKeyRegistration) -> KeyRecord:
        """What the client proposes, within what is allowed."""
        limit = record.issued + self._lifetime if record.expires is None else record.expires
        ends = limit if asked.expiration_time is None else min(asked.expiration_time, limit)
        if ends <= self._clock.now():
            raise RefusedError(Rsc.BAD_REQUEST, "the expirationTime is in the past")
        return dataclasses.replace(
            record,
            expires=ends,
            labels=record.labels if asked.labels is None else asked.labels,
            admin_fqdn=asked.admin_fqdn or record.admin_fqdn,
        )

    def _allowed_targets(
        self, established: Established, suid: Suid, asked: tuple[EntityId, ...] | None
    ) -> tuple[EntityId, ...]:
        """Targets are those that the client's credential was configured with, or some of them."""
        configured = () if established.credential is None else established.credential.targets
        targets = configured if asked is None else asked
        single, many = self._distributes.single_target, self._distributes.many_targets
        if suid not in single | many:
            served = ", ".join(str(int(one)) for one in sorted(single | many))
            raise RefusedError(Rsc.BAD_REQUEST, f"keys are distributed here for the SUIDs {served} only")
        if not targets or (suid in single and len(targets) != 1):
            raise RefusedError(
                Rsc.BAD_REQUEST, "at least one targetID, and exactly one but for keys of data (ESData)"
            )
        if not all(_is_target(target, suid) for target in targets):
            raise RefusedError(
                Rsc.BAD_REQUEST,
                "targetIDs are absolute CSE-IDs or AE-IDs (//sp.example/…), and MAF-IDs for SUID 21",
            )
        if not set(targets) <= set(configured):
            raise RefusedError(
                Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, "a targetID is not among those allowed to this client"
            )
        return targets

    async def _add(self, record: KeyRecord, established: Established) -> None:
        """Only while the Km that it comes from is kept here as it was; that of a BSF's subscriber is not."""
        try:
            await self._store.add(record, parent_key=_kept_key(established))
        except RecordExistsError as error:
            raise CredentialError(f"{record.key_id} is registered already") from error
        KEYS_STORED.labels(record.kind.value).inc()

    @staticmethod
    def _outcome(record: KeyRecord, error: BaseException | None) -> SecurityFrameworkError | None:
        """What came of storing a key, as ``_add`` would tell it."""
        if error is None:
            KEYS_STORED.labels(record.kind.value).inc()
        elif isinstance(error, RecordExistsError):
            return CredentialError(f"{record.key_id} is registered already")
        elif not isinstance(error, SecurityFrameworkError):
            return StoreError(f"the store failed: {error!r}")
        return error

    async def _find(self, request: Request) -> KeyRecord | None:
        try:
            key_id = KeyIdentifier.parse(f"{request.to[-1]}@{self._fqdn}")
        except IdentifierError:
            return None
        return await self._store.find(self._distributes.kind, key_id)

    async def _find_own(self, request: Request, established: Established) -> KeyRecord:
        record = await self._find(request)
        if record is None or record.source is None or record.source != established.association.peer:
            raise _not_found()
        return record

    def _describe(self, record: KeyRecord, *, with_key: bool) -> SymmetricKeyRegistration:
        return self._distributes.resource(
            relative_key_id=record.key_id.relative_hex,
            expiration_time=record.expires,
            source_id=record.source or record.parent,
            labels=record.labels or None,
            admin_fqdn=record.admin_fqdn or self._fqdn,
            suid=record.suid,
            target_ids=None if with_key else record.targets,
            key_value=record.key if with_key else None,
        )


def _kept_key(established: Established) -> Secret | None:
    """The key that the credential must still be kept with here; None for one that another party keeps."""
    credential = established.credential
    is_kept = isinstance(credential, ResolvedKey) and credential.credential is not None
    return credential.key if is_kept and isinstance(credential, ResolvedKey) else None


def _is_target(target: EntityId, suid: Suid) -> bool:
    """Whether an identifier can name a target of a key for this usage."""
    return target.kind is EntityKind.FUNCTION if suid is Suid.PROVISIONED_MAF else target.is_absolute


def _gives_way(existing: KeyRecord, record: KeyRecord) -> bool:
    """Whether a registration of a session's key may take the place of the one that is there.

    The one of every handshake of Release 1 may become one for another usage: which release a client speaks,
    it shows by asking. But a key that one target may have already is never given to another.
    """
    is_automatic = existing.admin_fqdn is None
    return existing.targets == record.targets and (is_automatic or existing.suid == record.suid)


def _changed() -> RefusedError:
    return RefusedError(Rsc.CONFLICT, "the key was changed or removed by another request at this moment")


def _not_found() -> RefusedError:
    """One answer for a key that is not there, has expired, or is none of the originator's business."""
    return RefusedError(Rsc.NOT_FOUND, "no such key for this originator")
