"""The MAF Handshake (TS-0003 clause 8.8.2.2): a MAF and its client prove Km to each other.

A (D)TLS-PSK handshake with KmId, or with the KeId from which Km came; or one with certificates at both ends.
Either side exports Kc and RelativeKcId from it (10.3.1, 10.3.5); what A and B then do with Kc is the
MAF-based association (``saef_maf``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..certificates.local import LocalCertificate
from ..certificates.trust import Trust
from ..credentials import Framework, ResolvedKey, Secret
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..keys import ExportLabel
from . import saef_certificate, saef_psk
from .steps import Established, Initiator


def credential(
    km_id: KeyIdentifier,
    km: Secret,
    *,
    client: EntityId | None = None,
    targets: tuple[EntityId, ...] = (),
    expires: datetime | None = None,
    credential: KeyIdentifier | None = None,
    suid: Suid = Suid.PRE_PROVISIONED_MAF,
) -> ResolvedKey:
    """Km as a MAF and its client hold it.

    Args:
        km_id: The identifier shown in the handshake: KmId, or the KeId from which Km came.
        km: Km.
        client: The MAF client that it authenticates.
        targets: For whom the client may have keys made.
        expires: When it ends (UTC), if it does.
        credential: KmId, where km_id is a KeId.
        suid: 11 for a pre-provisioned Km, 21 for one that an MEF provided.
    """
    return ResolvedKey(
        key_id=km_id,
        key=km,
        framework=Framework.MAF_HANDSHAKE,
        credential_type=CredentialType.KM_ID,
        peer=client,
        expires=expires,
        suid=suid,
        targets=targets,
        credential=credential,
    )


def initiate(local: EntityId, maf: Fqdn, km: ResolvedKey, identity: str | None = None) -> Initiator:
    """The client's side: show KmId, prove Km.

    Args:
        local: Our CSE-ID or AE-ID.
        maf: The MAF-ID; also the SNI host name.
        km: The Master Credential.
        identity: The psk_identity to show instead of KmId: a KeId in its wire form.
    """
    return saef_psk.initiate_with_function(Framework.MAF_HANDSHAKE, local, maf, km, identity)


def initiate_by_certificate(
    local: EntityId, maf: Fqdn, certificate: LocalCertificate, trust: Trust
) -> Initiator:
    """The client's side without Km: by certificates at both ends.

    Args:
        local: Our CSE-ID or AE-ID.
        maf: The MAF-ID; also the SNI host name.
        certificate: Our certificate, chain and private signing key.
        trust: What the MAF's certificate must prove; its peer is the MAF-ID.

    Raises:
        ConfigurationError: The trust is in another peer than this MAF.
    """
    return saef_certificate.initiate_with_function(Framework.MAF_HANDSHAKE, local, maf, certificate, trust)


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """M2M Secure Connection Key (Kc) and its identifier (KcId).

    Attributes:
        kc_id: KcId: RelativeKcId at the MAF's FQDN (10.3.5).
        kc: Kc, 32 octets.
        expires: When the MAF said that it ends (UTC); None where the release has no message that says so.
        targets: For whom the MAF said that it is; empty where it did not say.
    """

    kc_id: KeyIdentifier
    kc: Secret
    expires: datetime | None = None
    targets: tuple[EntityId, ...] = ()


def export_connection_key(established: Established, maf: Fqdn) -> ConnectionKey:
    """Kc and KcId from a finished MAF handshake, at either end (10.3.1, 10.3.5)."""
    exported = established.export(ExportLabel.CONNECTION)
    return ConnectionKey(exported.key_id(maf), exported.key)
