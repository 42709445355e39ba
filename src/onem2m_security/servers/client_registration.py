"""Client registration at a MAF or an MEF (TS-0003 clauses 8.8.2.3 to 6 and 8.3.5.2.3 to 6).

A client confirms that it is willing to use the function for an administrating stakeholder. At a MAF it learns
the KmId of a remotely provisioned Km by it (assignedSymmKeyID). A client has one registration for each
stakeholder: registering again renews it under its identifier, so that a device that lost its memory is not
locked out. What belongs to another client is answered like what does not exist.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey
from ..errors import RecordExistsError
from ..frameworks.steps import Established
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..onem2m import resources
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from ..peer_quotas import DEFAULT_QUOTAS, Ceiling, PeerQuotas
from ..store.records import ClientRegistration
from .function import Handler, Route, asked_of
from .stakeholders import Stakeholders

if TYPE_CHECKING:
    from ..store.store import Store

MAX_REGISTRATION: Final = timedelta(days=366)


class ClientRegistrations:
    """The registered clients of one MAF or MEF."""

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        resource: type[resources.ClientRegistration],
        *,
        children: Iterable[Callable[[str], resources.ChildReference]] = (),
        stakeholders: Stakeholders,
        lifetime: timedelta = MAX_REGISTRATION,
        quotas: PeerQuotas = DEFAULT_QUOTAS,
        clock: Clock = CLOCK,
    ) -> None:
        """Keep the registrations in the store.

        Args:
            store: Where they are kept.
            fqdn: The function's FQDN.
            resource: <mafClientReg> or <mefClientReg>.
            children: What is below each registration, by its identifier.
            stakeholders: For whom clients may register.
            lifetime: The longest registration; none outlives the credential it was made with.
            quotas: What one client may have.
            clock: From when lifetimes count.
        """
        self._clock = clock
        self._ceiling = Ceiling("client registrations", quotas.client_registrations, clock=clock.monotonic)
        self._store = store
        self._fqdn = fqdn
        self._resource = resource
        self._children = tuple(children)
        self._lifetime = lifetime
        self._stakeholders = stakeholders

    def routes(self) -> dict[Route, Handler]:
        """The requests that are answered."""
        path = self._resource.path
        return {
            (Operation.CREATE, path, 0): self.register,
            (Operation.RETRIEVE, path, 1): self.retrieve,
            (Operation.UPDATE, path, 1): self.update,
            (Operation.DELETE, path, 1): self.deregister,
        }

    async def register(self, request: Request, established: Established) -> Response:
        """Client Registration (8.8.2.3, 8.3.5.2.3)."""
        asked = asked_of(request, self._resource)
        client = established.association.peer
        self._check_fqdn(asked)
        if client is None or None in {asked.fqdn, asked.expiration_time, asked.admin_fqdn}:
            raise RefusedError(
                Rsc.BAD_REQUEST, "the function's FQDN, expirationTime and adminFQDN are required"
            )
        assert asked.admin_fqdn is not None  # noqa: S101 - just checked
        self._stakeholders.require(asked.admin_fqdn)
        new = ClientRegistration(
            registration_id=secrets.token_hex(16),
            client=client,
            admin_fqdn=asked.admin_fqdn,
            issued=self._clock.now(),
            labels=asked.labels or (),
            expires=self._expires(asked, established),
            assigned_key_id=_assigned(established),
        )
        kept = await self._keep(client, new)
        return Response(Rsc.CREATED, self._describe(kept), (*self._resource.path, kept.registration_id))

    async def retrieve(self, request: Request, established: Established) -> Response:
        """What is registered; this implementation has no further configuration for a client (8.8.2.4)."""
        return Response(Rsc.OK, self._describe(await self.find_own(request.to[-1], established)))

    async def update(self, request: Request, established: Established) -> Response:
        """Client Registration Update (8.8.2.5): the end, the labels, and a new Km if there is one."""
        registration = await self.find_own(request.to[-1], established)
        asked = asked_of(request, self._resource)
        self._check_fqdn(asked)
        if asked.admin_fqdn is not None:
            raise RefusedError(Rsc.BAD_REQUEST, "the adminFQDN cannot be changed")
        if asked.expiration_time is None and asked.labels is None:
            raise RefusedError(Rsc.BAD_REQUEST, "at least one of expirationTime and labels is required")
        assigned = _assigned(established)
        changed = dataclasses.replace(
            registration,
            labels=registration.labels if asked.labels is None else asked.labels,
            expires=self._expires(asked, established) if asked.expiration_time else registration.expires,
            assigned_key_id=assigned or registration.assigned_key_id,
        )
        if not await self._store.update_registration(changed):
            raise _not_found()
        is_new = assigned is not None and assigned != registration.assigned_key_id
        answer = self._resource(
            expiration_time=changed.expires if asked.expiration_time is not None else None,
            labels=changed.labels if asked.labels is not None else None,
            assigned_symm_key_id=assigned if is_new else None,
            child_resources=self._below(changed),
        )
        return Response(Rsc.UPDATED, answer.encode())

    async def deregister(self, request: Request, established: Established) -> Response:
        """Client De-Registration (8.8.2.6)."""
        registration = await self.find_own(request.to[-1], established)
        await self._store.remove_registration(registration.registration_id)
        return Response(Rsc.DELETED)

    async def find_own(self, registration_id: str, established: Established) -> ClientRegistration:
        """The registration of this identifier, if it is that of the client who asks, and has not ended.

        Raises:
            RefusedError: NOT_FOUND, whatever the reason.
        """
        found = await self._store.find_registration(registration_id)
        if found is None or found.client != established.association.peer:
            raise _not_found()
        return found

    async def require(self, client: EntityId | None, admin: Fqdn, suid: Suid) -> None:
        """Refuse a client that has not confirmed that it uses this function for this stakeholder.

        That is the precondition of a key registration (8.8.2.7, 8.3.5.2.7).

        Raises:
            RefusedError: ORIGINATOR_HAS_NO_PRIVILEGE.
        """
        self._stakeholders.require(admin, suid)
        if client is None or await self._store.find_registration_of(client, admin) is None:
            raise RefusedError(
                Rsc.ORIGINATOR_HAS_NO_PRIVILEGE,
                "this client is not registered for this adminFQDN: a client registration comes first",
            )

    # --- inside -------------------------------------------------------------------------------------------

    def _check_fqdn(self, asked: resources.ClientRegistration) -> None:
        if asked.fqdn not in {None, self._fqdn}:
            raise RefusedError(Rsc.BAD_REQUEST, "the FQDN is not this function's")

    def _expires(self, asked: resources.ClientRegistration, established: Established) -> datetime:
        """What the client proposes, within what is allowed."""
        now = self._clock.now()
        limits = [now + self._lifetime]
        if asked.expiration_time is not None:
            limits.append(asked.expiration_time)
        if established.association.expires is not None:
            limits.append(established.association.expires)
        if min(limits) <= now:
            raise RefusedError(Rsc.BAD_REQUEST, "the expirationTime is in the past")
        return min(limits)

    async def _keep(self, client: EntityId, new: ClientRegistration) -> ClientRegistration:
        """Store a new registration, or renew the one that the client has for this stakeholder."""
        old = await self._store.find_registration_of(client, new.admin_fqdn)
        if old is not None:
            renewed = dataclasses.replace(new, registration_id=old.registration_id)
            if await self._store.update_registration(renewed):
                return renewed
        count = await self._store.count_registrations(client)
        if self._ceiling.is_reached(str(client), count):
            raise RefusedError(
                Rsc.TOO_MANY_REQUESTS, f"this client is registered {count} times: de-register some"
            )
        try:
            await self._store.add_registration(new)
        except RecordExistsError as error:
            raise RefusedError(Rsc.CONFLICT, "this client is registering elsewhere at this moment") from error
        return new

    def _describe(self, registration: ClientRegistration) -> dict[str, object]:
        described = self._resource(
            client_reg_id=registration.registration_id,
            labels=registration.labels or None,
            expiration_time=registration.expires,
            client_id=registration.client,
            admin_fqdn=registration.admin_fqdn,
            assigned_symm_key_id=registration.assigned_key_id,
            child_resources=self._below(registration),
        )
        return described.encode()

    def _below(self, registration: ClientRegistration) -> tuple[resources.ChildReference, ...] | None:
        return tuple(child(registration.registration_id) for child in self._children) or None


def _assigned(established: Established) -> KeyIdentifier | None:
    """KmId, where Km was remotely provisioned (table 8.8.2.3-2)."""
    credential = established.credential
    is_provisioned = isinstance(credential, ResolvedKey) and credential.suid is Suid.PROVISIONED_MAF
    return credential.credential if isinstance(credential, ResolvedKey) and is_provisioned else None


def _not_found() -> RefusedError:
    return RefusedError(Rsc.NOT_FOUND, "no such registration of this client")
