"""The MEF Handshake (TS-0003 clause 8.3.5.2.2): an Enrolment Target and its MEF prove a key of the target's.

A (D)TLS-PSK handshake of which nothing is exported: over it the target, a MAF or a CSE, fetches the Km or the
Kpsa of an Enrolee.
"""

from __future__ import annotations

from datetime import datetime

from ..certificates.local import LocalCertificate
from ..certificates.trust import Trust
from ..credentials import Framework, ResolvedKey, Secret
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from . import saef_certificate, saef_psk
from .steps import Initiator


def credential(
    key_id: KeyIdentifier, key: Secret, *, target: EntityId | None = None, expires: datetime | None = None
) -> ResolvedKey:
    """The key by which an Enrolment Target authenticates itself to the MEF, as both hold it.

    Args:
        key_id: Its identifier (clause 10.5); its FQDN is the MEF-ID.
        key: 1 to 256 octets.
        target: The MAF-ID, CSE-ID or AE-ID that it authenticates.
        expires: When it ends (UTC), if it does.
    """
    return ResolvedKey(
        key_id=key_id,
        key=key,
        framework=Framework.MEF_HANDSHAKE,
        credential_type=CredentialType.KPM_ID,
        peer=target,
        expires=expires,
        suid=Suid.PRE_PROVISIONED_MEF,
    )


def initiate(local: EntityId, mef: Fqdn, key: ResolvedKey) -> Initiator:
    """The Enrolment Target's side.

    Args:
        local: Our MAF-ID, CSE-ID or AE-ID.
        mef: The MEF-ID; also the SNI host name.
        key: The target's key.
    """
    return saef_psk.initiate_with_function(Framework.MEF_HANDSHAKE, local, mef, key)


def initiate_by_certificate(
    local: EntityId, mef: Fqdn, certificate: LocalCertificate, trust: Trust
) -> Initiator:
    """The Enrolment Target's side without a key: by certificates at both ends.

    Args:
        local: Our MAF-ID, CSE-ID or AE-ID.
        mef: The MEF-ID; also the SNI host name.
        certificate: Our certificate, chain and private signing key.
        trust: What the MEF's certificate must prove; its peer is the MEF-ID.

    Raises:
        ConfigurationError: The trust is in another peer than this MEF.
    """
    return saef_certificate.initiate_with_function(Framework.MEF_HANDSHAKE, local, mef, certificate, trust)
