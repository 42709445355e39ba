"""The client's side of client registration at a MAF or an MEF (TS-0003 clauses 8.8.2.3 and 8.3.5.2.3 ff.)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from ..errors import ResolverUnavailableError
from ..identifiers import Fqdn, KeyIdentifier
from ..net.ports import expect
from ..net.request_client import RequestClient
from ..onem2m.primitives import Operation, Rsc
from ..onem2m.resources import (
    ClientRegistration,
    MafClientRegistration,
    MefClientCommand,
    MefClientRegistration,
)
from .answers import answered


@dataclass(frozen=True, slots=True)
class Registered:
    """What a MAF or an MEF keeps of a registration.

    Attributes:
        registration_id: mafClientRegID or mefClientRegID.
        expires: When the registration ends (UTC).
        assigned_key_id: assignedSymmKeyID: the KmId of a remotely provisioned Km, at a MAF.
        commands: Where the commands are that the MEF has for us: the segments of a path; None at a MAF, and
            where there are none.
    """

    registration_id: str
    expires: datetime
    assigned_key_id: KeyIdentifier | None
    commands: tuple[str, ...] | None = None

    @classmethod
    def of(cls, answer: ClientRegistration) -> Self:
        """What a whole answer says.

        Raises:
            ResolverUnavailableError: It lacks the identifier or the end.
        """
        if answer.client_reg_id is None or answer.expiration_time is None:
            raise ResolverUnavailableError("the answer lacks the registration's identifier or its end")
        below = answer.child_resources or ()
        commands = [one.path for one in below if one.resource_type == MefClientCommand.resource_type]
        return cls(
            answer.client_reg_id,
            answer.expiration_time,
            answer.assigned_symm_key_id,
            commands[0] if commands else None,
        )


class RegistrationClient:
    """Registers, and manages the registration, over the connections of a request client."""

    def __init__(self, client: RequestClient, fqdn: Fqdn, *, at_maf: bool) -> None:
        """A client of the MAF or the MEF at this FQDN."""
        self._client = client
        self._fqdn = fqdn
        self._resource = MafClientRegistration if at_maf else MefClientRegistration
        self._path = self._resource.path

    async def register(self, *, expires: datetime, admin: Fqdn, labels: tuple[str, ...] = ()) -> Registered:
        """Register, or renew our registration for this administrating stakeholder.

        Args:
            expires: The proposed end (UTC); the function decides.
            admin: The FQDN of the administrating stakeholder.
            labels: Free labels.

        Raises:
            PeerRefusedError: The function refused.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
        """
        asked = self._resource(
            fqdn=self._fqdn, expiration_time=expires, admin_fqdn=admin, labels=labels or None
        )
        response = await self._client.request(
            Operation.CREATE, self._path, content=asked.encode(), resource_type=asked.resource_type
        )
        return Registered.of(answered(response, self._resource, Rsc.CREATED))

    async def retrieve(self, registration_id: str) -> Registered:
        """What is registered.

        Raises:
            PeerRefusedError: There is no such registration of ours.
            ResolverUnavailableError: The function cannot be reached, or its answer cannot be used.
        """
        response = await self._client.request(Operation.RETRIEVE, (*self._path, registration_id))
        return Registered.of(answered(response, self._resource, Rsc.OK))

    async def update(
        self, registration_id: str, *, expires: datetime | None = None, labels: tuple[str, ...] | None = None
    ) -> KeyIdentifier | None:
        """Change the end or the labels; returns the KmId of a new Km, if one was provisioned since.

        Raises:
            PeerRefusedError: The function refused.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
        """
        asked = self._resource(expiration_time=expires, labels=labels)
        response = await self._client.request(
            Operation.UPDATE, (*self._path, registration_id), content=asked.encode()
        )
        return answered(response, self._resource, Rsc.UPDATED).assigned_symm_key_id

    async def deregister(self, registration_id: str) -> None:
        """End the registration.

        Raises:
            PeerRefusedError: There is no such registration of ours.
            ResolverUnavailableError: The function cannot be reached.
        """
        expect(await self._client.request(Operation.DELETE, (*self._path, registration_id)), Rsc.DELETED)
