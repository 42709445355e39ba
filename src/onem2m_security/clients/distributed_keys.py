"""A client's side of the keys that a MAF or an MEF distributes (TS-0003 clauses 8.8.2.7, 8.3.5.2.7 ff.).

A source registers a key, changes and withdraws it; its targets retrieve it. Its SUID says what it is for: an
association, or end-to-end security of primitives or data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ..clock import CLOCK, Clock
from ..credentials import Secret
from ..errors import IdentifierError, PeerRefusedError, ResolverUnavailableError
from ..frameworks.bootstrap_psk import EnrolmentKey
from ..frameworks.maf_handshake import export_connection_key
from ..identifiers import CredentialId, CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..keys import provisioned_key_for
from ..net.ports import expect
from ..net.request_client import RequestClient
from ..onem2m.primitives import Operation, Rsc
from ..onem2m.resources import SymmetricKeyRegistration
from ..release import Release
from .answers import answered
from .registration import RegistrationClient

CREDENTIAL_TYPES: Final = {
    Suid.PROVISIONED_MAF: CredentialType.KM_ID,
    Suid.PROVISIONED_SAEF: CredentialType.KPSA_ID,
    Suid.PROVISIONED_ESPRIM: CredentialType.ESPRIM_KEY_ID,
    Suid.PROVISIONED_ESDATA_ENCRYPTION: CredentialType.ESDATA_ENCRYPTION_KEY_ID,
    Suid.PROVISIONED_ESDATA_SIGNATURE: CredentialType.ESDATA_SIGNATURE_KEY_ID,
    Suid.MAF_SAEF: CredentialType.KPSA_ID,
    Suid.MAF_ESPRIM: CredentialType.ESPRIM_KEY_ID,
    Suid.MAF_ESDATA_ENCRYPTION: CredentialType.ESDATA_ENCRYPTION_KEY_ID,
    Suid.MAF_ESDATA_SIGNATURE: CredentialType.ESDATA_SIGNATURE_KEY_ID,
}
"""The type part of the Credential-ID of a key, by what it is for (TS-0003 clause 12.3.2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedKey:
    """A key as its source and its targets hold it.

    Attributes:
        key_id: Its identifier: RelativeKeyID at the function's FQDN (10.3.5).
        key: The key.
        suid: What it may be used for, and nothing else.
        source: Whose key it is: a CSE-ID or AE-ID or, where the function names none, the identifier of the
            credential that it came from; None at the source itself.
        expires: When it ends (UTC).
        targets: Who may retrieve it; empty at a target.
        admin: The administrating stakeholder.
        labels: Free texts.
    """

    key_id: KeyIdentifier
    key: Secret = field(repr=False)
    suid: Suid
    source: EntityId | KeyIdentifier | None = None
    expires: datetime | None = None
    targets: tuple[EntityId, ...] = ()
    admin: Fqdn | None = None
    labels: tuple[str, ...] = ()

    @property
    def credential_id(self) -> CredentialId:
        """Its Credential-ID (10.4)."""
        return CredentialId(CREDENTIAL_TYPES[self.suid], str(self.key_id))


def derived_key(ke: EnrolmentKey, release: Release, target: EntityId, suid: Suid) -> DistributedKey:
    """The key that an Enrolee shares with a CSE or an AE for one usage, as the Enrolee derives it (10.3.7).

    Raises:
        CredentialError: The release derives no such key, or none for this target.
    """
    key = provisioned_key_for(release, ke.ke, target, suid)
    return DistributedKey(key_id=ke.ke_id, key=key, suid=suid, expires=ke.expires, targets=(target,))


class KeyClient:
    """Registers keys with one function, and retrieves those of others."""

    def __init__(
        self,
        function: Fqdn,
        new_session: Callable[[], RequestClient],
        kept: RequestClient,
        *,
        resource: type[SymmetricKeyRegistration] = SymmetricKeyRegistration,
        at_maf: bool = True,
        clock: Clock = CLOCK,
    ) -> None:
        """A client of the keys of this function.

        Args:
            function: The MAF-ID or MEF-ID.
            new_session: Makes a request client with no session yet: one session exports one key.
            kept: The request client for everything else.
            resource: Where the keys are.
            at_maf: Whether the function is a MAF.
            clock: What ends client registrations.
        """
        self._clock = clock
        self._function = function
        self._new_session = new_session
        self._kept = kept
        self._resource = resource
        self._at_maf = at_maf
        self._registered: dict[Fqdn, datetime] = {}
        """Until when we are registered for a stakeholder, as far as this client knows."""

    async def register(
        self,
        *,
        expires: datetime,
        targets: tuple[EntityId, ...],
        admin: Fqdn,
        suid: Suid,
        key: Secret | None = None,
        labels: tuple[str, ...] = (),
    ) -> DistributedKey:
        """Key Registration (8.8.2.7): the function names the key and says until when it lives.

        We register as a client for the stakeholder first, when we have not done so yet.

        Args:
            expires: Proposed end (UTC).
            targets: Who may retrieve the key, by absolute CSE-IDs and AE-IDs; exactly one but for data.
            admin: FQDN of the administrating stakeholder.
            suid: What the key is for.
            key: A key of our own making; without one, the key is exported from the session, in a new session.
            labels: Free texts.

        Raises:
            PeerRefusedError: The function refused.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
            HandshakeError: It does not know us.
        """
        asked = self._resource(
            fqdn=self._function,
            expiration_time=expires,
            admin_fqdn=admin,
            suid=suid,
            target_ids=targets,
            key_value=key,
            labels=labels or None,
        )
        client = self._new_session()
        try:
            await self._register_for(admin, expires, client)
            response = await client.request(
                Operation.CREATE,
                self._resource.path,
                content=asked.encode(),
                resource_type=asked.resource_type,
            )
            if key is None:
                key = export_connection_key(client.established, self._function).kc
        finally:
            await client.close()
        if response.rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE:
            self._registered.pop(admin, None)
        made = answered(response, self._resource, Rsc.CREATED)
        return self._described(self._key_id(made), made, key, suid)

    async def _register_for(self, admin: Fqdn, expires: datetime, client: RequestClient) -> None:
        """Be registered for this stakeholder (8.8.2.3), until the key ends if we may be so long."""
        ends = self._registered.get(admin)
        if ends is None or ends <= self._clock.now():
            registration = RegistrationClient(client, self._function, at_maf=self._at_maf)
            self._registered[admin] = (await registration.register(expires=expires, admin=admin)).expires

    async def retrieve(self, key_id: KeyIdentifier) -> DistributedKey | None:
        """Key Retrieval (8.8.2.8), whatever the key is for; None when there is no such key for us.

        Raises:
            ResolverUnavailableError: The function cannot be reached, or its answer cannot be used.
        """
        response = await self._kept.request(Operation.RETRIEVE, self._path(key_id))
        if response.rsc is Rsc.NOT_FOUND:
            return None
        try:
            found = answered(response, self._resource, Rsc.OK)
        except PeerRefusedError as error:
            raise self._unusable(str(error)) from None
        if found.key_value is None or found.suid not in CREDENTIAL_TYPES:
            raise self._unusable("keyValue or SUID is missing, or the SUID is of no key that is distributed")
        return self._described(key_id, found, found.key_value, found.suid)

    async def update(
        self,
        key_id: KeyIdentifier,
        *,
        expires: datetime | None = None,
        labels: tuple[str, ...] | None = None,
        targets: tuple[EntityId, ...] | None = None,
    ) -> SymmetricKeyRegistration:
        """Key Registration Update (8.8.2.9); returns what was changed, as the function has it now.

        Raises:
            PeerRefusedError: The function refused: the key is not ours, or not there, or nothing changes.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
        """
        asked = self._resource(expiration_time=expires, labels=labels, target_ids=targets)
        response = await self._kept.request(Operation.UPDATE, self._path(key_id), content=asked.encode())
        return answered(response, self._resource, Rsc.UPDATED)

    async def deregister(self, key_id: KeyIdentifier) -> None:
        """Key De-Registration (8.8.2.10).

        Raises:
            PeerRefusedError: The function refused: the key is not ours, or not there.
        """
        expect(await self._kept.request(Operation.DELETE, self._path(key_id)), Rsc.DELETED)

    def _path(self, key_id: KeyIdentifier) -> tuple[str, ...]:
        return (*self._resource.path, key_id.relative_hex)

    def _described(
        self, key_id: KeyIdentifier, said: SymmetricKeyRegistration, key: Secret, suid: Suid
    ) -> DistributedKey:
        return DistributedKey(
            key_id=key_id,
            key=key,
            suid=suid,
            source=said.source_id,
            expires=said.expiration_time,
            targets=said.target_ids or (),
            admin=said.admin_fqdn,
            labels=said.labels or (),
        )

    def _key_id(self, made: SymmetricKeyRegistration) -> KeyIdentifier:
        try:
            return KeyIdentifier.parse(f"{made.relative_key_id or ''}@{self._function}")
        except IdentifierError as error:
            raise self._unusable(f"RelativeKeyID: {error}") from None

    def _unusable(self, why: str) -> ResolverUnavailableError:
        return ResolverUnavailableError(f"{self._function} answered with no usable key: {why}")
