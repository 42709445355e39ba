"""What a peer's certificate, or its raw public key, has proved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from onem2m_security.identifiers import CredentialId, EntityId
from onem2m_security.user_settings import Uss

from .configuration import AssociationConfiguration
from .flavours import Flavour


@dataclass(frozen=True, slots=True)
class VerifiedPeer:
    """What a peer's certificate has proved.

    Attributes:
        configuration: The Association Configuration that matched.
        peer: The authenticated identity; None when only the credential is known.
        credential_id: The Credential-ID (clause 10.4); None in Release 1 and for FQDN certificates.
        flavour: The certificate flavour; None for the Release 1 form.
        allowed_ae_ids: The AEs that the credential may act for; empty when ``peer`` says it all.
        targets: Enrolment Targets or MAF targets from the configuration.
        expires: The earliest end of a validity period on the path (UTC); None for a raw public key.
        fingerprint: SHA-256 of the end entity's certificate or raw public key, 64 hex digits.
    """

    configuration: AssociationConfiguration
    peer: EntityId | None
    credential_id: CredentialId | None
    flavour: Flavour | None
    allowed_ae_ids: tuple[EntityId, ...]
    targets: tuple[EntityId, ...]
    expires: datetime | None
    fingerprint: str

    @property
    def user_settings(self) -> tuple[Uss, ...]:
        """What the configuration says of the peer beside its identity (USS)."""
        return self.configuration.uss
