"""MAF-based security association (TS-0003 clause 8.2.2.3; 8.2.3.1 in the earlier text).

1. Entity A and the MAF do a (D)TLS-PSK handshake with KmId and Km.
2. Both export Kc and RelativeKcId from it.
3. Entity A does a (D)TLS-PSK handshake with Entity B, showing KcId.
4. Entity B, in the middle of that handshake, retrieves Kc from the MAF that KcId names.
5. Both associate the session with each other's identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..association import PeerProof
from ..credentials import Framework, ResolvedKey, Secret
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..keys import ExportLabel
from ..release import Release
from .saef_psk import CLIENT_ENDPOINT
from .steps import REMEMBERED, Established, Fetch, Initiator, RemoteKeys


def master_credential(
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
        km_id,
        km,
        Framework.MAF_HANDSHAKE,
        CredentialType.KM_ID,
        client,
        expires,
        suid,
        targets,
        credential,
    )


def initiate_maf_handshake(
    local: EntityId, maf: Fqdn, km: ResolvedKey, identity: str | None = None
) -> Initiator:
    """The MAF Handshake (8.8.2.2): show KmId (or, in the given wire form, KeId), prove Km."""
    shown = identity or str(km.key_id)
    return Initiator(
        Framework.MAF_HANDSHAKE,
        local,
        EntityId(str(maf)),
        CLIENT_ENDPOINT,
        km,
        shown.encode(),
        server_name=maf,
    )


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


def connection_key(
    kc_id: KeyIdentifier,
    kc: Secret,
    *,
    peer: EntityId | None,
    expires: datetime | None = None,
    suid: Suid | None = Suid.MAF_SAEF,
) -> ResolvedKey:
    """Kc as A exported it, or as B retrieved it."""
    return ResolvedKey(kc_id, kc, Framework.SAEF_MAF, CredentialType.KPSA_ID, peer, expires, suid)


def initiate(
    local: EntityId,
    peer: EntityId,
    key: ConnectionKey,
    *,
    release: Release,
    server_name: Fqdn | None = None,
) -> Initiator:
    """Entity A's side of the Association Security Handshake: show KcId, prove Kc.

    Only somebody for whom the MAF keeps Kc can complete it. Whether that is this peer, A knows where the MAF
    has said so (Release 3); in Release 1 it relies on what the MAF has configured.
    """
    shown = release.wire(key.kc_id).encode()
    resolved = connection_key(key.kc_id, key.kc, peer=peer, expires=key.expires)
    return Initiator(
        Framework.SAEF_MAF,
        local,
        peer,
        CLIENT_ENDPOINT,
        resolved,
        shown,
        server_name=server_name,
        peer_proof=PeerProof.AUTHENTICATED if peer in key.targets else PeerProof.CONFIGURED,
    )


def resolver(
    mafs: Mapping[Fqdn, Fetch], *, timeout: float = 5.0, remembered: timedelta = REMEMBERED
) -> RemoteKeys:
    """Entity B's side: the MAF at the FQDN of a KcId is asked for Kc, and asked again after a while."""
    return RemoteKeys(mafs, timeout=timeout, remembered=remembered)
