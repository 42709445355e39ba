"""The one value that every framework ends with: who is at the other end, by which framework, until when."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .clock import CLOCK
from .credentials import Framework
from .errors import IdentifierError
from .identifiers import CredentialId, EntityId
from .user_settings import Uss, as_list


class Role(enum.Enum):
    """Which end of the session this is; Entity A is the (D)TLS client, Entity B the server (8.2.1)."""

    ENTITY_A = "entity-a"
    ENTITY_B = "entity-b"


class PeerProof(enum.Enum):
    """How the identity of the other end is known."""

    AUTHENTICATED = "authenticated"
    """By what authenticated the session: a key that was made or configured for it, or its certificate."""
    CONFIGURED = "configured"
    """It is whom we meant to reach. Whoever it is was authorised by the MAF, which did not tell us whom."""


@dataclass(frozen=True, slots=True)
class Association:
    """An established security association, seen from one end.

    Attributes:
        role: Entity A (initiating) or Entity B (accepting).
        framework: The framework that made it.
        local: The identity assumed at this end.
        peer: The authenticated identity of the other end; None when only its credential is known.
        credential_id: The credential that authenticated the session (TS-0003 clause 10.4).
        cipher_suite: The negotiated suite, by its OpenSSL name.
        protocol: ``TLSv1.2`` or ``DTLSv1.2``.
        expires: When the association ends at the latest (UTC); None for the end of the session.
        server_name: The SNI host name that the client sent, or None.
        allowed_ae_ids: For a credential that stands for several AEs, the AE-IDs it may act for.
        peer_proof: How ``peer`` is known.
        user_settings: What is said of the peer beside its identity (USS): by an MEF or a BSF or, of one with
            a certificate, by the configuration that names it.
    """

    role: Role
    framework: Framework
    local: EntityId
    peer: EntityId | None
    credential_id: CredentialId | None
    cipher_suite: str
    protocol: str
    expires: datetime | None = None
    server_name: str | None = None
    allowed_ae_ids: tuple[EntityId, ...] = ()
    peer_proof: PeerProof = PeerProof.AUTHENTICATED
    user_settings: tuple[Uss, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The association as plain JSON values; times are RFC 3339 in UTC."""
        return {
            "role": self.role.value,
            "framework": self.framework.value,
            "local": str(self.local),
            "peer": None if self.peer is None else str(self.peer),
            "credential_id": None if self.credential_id is None else str(self.credential_id),
            "cipher_suite": self.cipher_suite,
            "protocol": self.protocol,
            "expires": None if self.expires is None else self.expires.isoformat(),
            "server_name": self.server_name,
            "allowed_ae_ids": [str(ae_id) for ae_id in self.allowed_ae_ids],
            "peer_proof": None if self.peer is None else self.peer_proof.value,
            "user_settings": as_list(self.user_settings),
        }

    @property
    def seconds_left(self) -> float:
        """Until the association ends, by the wall clock as it is now; not more than 0 once it has ended."""
        return math.inf if self.expires is None else (self.expires - CLOCK.now()).total_seconds()

    def authenticates(self, originator: str) -> bool:
        """The registrar's check (TS-0003 clause 7.2.1): may a request with this From come over this session?

        Applies to AEs only: a CSE forwards the requests of others. A peer that may be either, by the form of
        its identifier (``/Sstem``), is held to the check until its kind is declared. The registrar is
        ``local``: the AE-ID-Stem, SP-relative and absolute forms of one identity are equal there (TS-0001
        clause 7.2), so the stem of an AE of another CSE is none of its identities. A request refused here is
        answered with ORIGINATOR_NOT_AUTHENTICATED.
        """
        return self.is_with_cse or any(self._names(ae_id, originator) for ae_id in self.ae_ids)

    @property
    def is_with_cse(self) -> bool:
        """Whether the other end is a CSE for sure, which passes the requests of others on."""
        return self.peer is not None and self.peer.is_surely_cse

    @property
    def ae_ids(self) -> tuple[EntityId, ...]:
        """As which AEs the other end has proven itself; empty when only its credential is known."""
        return self.allowed_ae_ids or (() if self.peer is None else (self.peer,))

    def _names(self, ae_id: EntityId, originator: str) -> bool:
        try:
            said = EntityId.parse(originator)
        except IdentifierError:
            return False
        # What is not written in canonical form, a CSE behind us could take for somebody else's identity.
        is_canonical = said.text == originator
        return is_canonical and said.seen_from(self.local) == ae_id.seen_from(self.local)
