"""The client's side of client registration at a MAF or an MEF (TS-0003 clauses 8.8.2.3 and 8.3.5.2.3 ff.)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ..errors import IdentifierError, ResolverUnavailableError
from ..identifiers import Fqdn, KeyIdentifier
from ..net.ports import RequestClient, expect
from ..onem2m.primitives import Operation, RefusedError, Rsc, parse_timestamp
from ..onem2m.resources import encode
from ..release import (
    CLIENT_REG,
    MAF_BASE,
    MEF_BASE,
    RESOURCE_NAME_MAF_CLIENT_REG,
    RESOURCE_NAME_MEF_CLIENT_REG,
    RESOURCE_TYPE_MAF_CLIENT_REG,
    RESOURCE_TYPE_MEF_CLIENT_REG,
    SHORT_NAMES,
)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a MAF or an MEF keeps of a registration.

    Attributes:
        registration_id: mafClientRegID or mefClientRegID.
        expires: When the registration ends (UTC).
        assigned_key_id: assignedSymmKeyID: the KmId of a remotely provisioned Km, at a MAF.
    """

    registration_id: str
    expires: datetime
    assigned_key_id: KeyIdentifier | None

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Self:
        """Read the resource from an answer.

        Raises:
            ResolverUnavailableError: It is none.
        """
        try:
            registration_id = body[SHORT_NAMES["clientRegID"]]
            if not isinstance(registration_id, str):
                raise ResolverUnavailableError("the answer's client registration identifier is not a text")
            assigned = body.get(SHORT_NAMES["assignedSymmKeyID"])
            return cls(
                registration_id,
                parse_timestamp(body[SHORT_NAMES["expirationTime"]]),
                None if assigned is None else KeyIdentifier.parse_km_id(assigned),
            )
        except (KeyError, TypeError, AttributeError, IdentifierError, RefusedError) as error:
            raise ResolverUnavailableError(f"the answer is no client registration: {error}") from None


class RegistrationClient:
    """Registers, and manages the registration, over the connections of a request client."""

    def __init__(self, client: RequestClient, fqdn: Fqdn, *, at_maf: bool) -> None:
        """A client of the MAF or the MEF at this FQDN."""
        self._client = client
        self._fqdn = fqdn
        self._path = ((MAF_BASE if at_maf else MEF_BASE).strip("/"), CLIENT_REG)
        self._name = RESOURCE_NAME_MAF_CLIENT_REG if at_maf else RESOURCE_NAME_MEF_CLIENT_REG
        self._type = RESOURCE_TYPE_MAF_CLIENT_REG if at_maf else RESOURCE_TYPE_MEF_CLIENT_REG

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
        content = encode(
            self._name, fqdn=self._fqdn, expirationTime=expires, adminFQDN=admin, labels=labels or None
        )
        response = await self._client.request(
            Operation.CREATE, self._path, content=content, resource_type=self._type
        )
        return Registered.decode(self._body(expect(response, Rsc.CREATED)))

    async def retrieve(self, registration_id: str) -> Registered:
        """What is registered.

        Raises:
            PeerRefusedError: There is no such registration of ours.
            ResolverUnavailableError: The function cannot be reached, or its answer cannot be used.
        """
        response = await self._client.request(Operation.RETRIEVE, (*self._path, registration_id))
        return Registered.decode(self._body(expect(response, Rsc.OK)))

    async def update(
        self, registration_id: str, *, expires: datetime | None = None, labels: tuple[str, ...] | None = None
    ) -> KeyIdentifier | None:
        """Change the end or the labels; returns the KmId of a new Km, if one was provisioned since.

        Raises:
            PeerRefusedError: The function refused.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
        """
        content = encode(self._name, expirationTime=expires, labels=labels)
        response = await self._client.request(
            Operation.UPDATE, (*self._path, registration_id), content=content
        )
        assigned = self._body(expect(response, Rsc.UPDATED)).get(SHORT_NAMES["assignedSymmKeyID"])
        try:
            return None if assigned is None else KeyIdentifier.parse_km_id(assigned)
        except (IdentifierError, TypeError, AttributeError) as error:
            raise ResolverUnavailableError(f"assignedSymmKeyID: {error}") from None

    async def deregister(self, registration_id: str) -> None:
        """End the registration.

        Raises:
            PeerRefusedError: There is no such registration of ours.
            ResolverUnavailableError: The function cannot be reached.
        """
        expect(await self._client.request(Operation.DELETE, (*self._path, registration_id)), Rsc.DELETED)

    def _body(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        body = content.get(self._name)
        if not isinstance(body, dict):
            raise ResolverUnavailableError(f"the answer is no {self._name}")
        return body
