"""MAF-based security association (TS-0003 clause 8.2.2.3; 8.2.3.1 in the earlier text).

1. Entity A and the MAF do a MAF Handshake (``maf_handshake``) with KmId and Km, or by certificate.
2. Both export Kc and RelativeKcId from it.
3. Entity A does a (D)TLS-PSK handshake with Entity B, showing KcId.
4. Entity B, in the middle of that handshake, retrieves Kc from the MAF that KcId names.
5. Both associate the session with each other's identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from ..association import PeerProof
from ..credentials import Framework, ResolvedKey, Secret
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..release import Release
from .maf_handshake import ConnectionKey
from .resolvers import REMEMBERED, Fetch, RemoteKeys
from .saef_psk import CLIENT_ENDPOINT
from .steps import Initiator


def credential(
    kc_id: KeyIdentifier,
    kc: Secret,
    *,
    peer: EntityId | KeyIdentifier | None,
    expires: datetime | None = None,
    suid: Suid | None = Suid.MAF_SAEF,
) -> ResolvedKey:
    """Kc as A exported it, or as B retrieved it.

    Args:
        kc_id: KcId.
        kc: Kc.
        peer: Whom it authenticates. Where the MAF names no IdA, the KmId that Kc came from: B associates the
            session with the Credential-ID of that (clause 8.2.2.3).
        expires: When it ends (UTC).
        suid: What it may be used for.
    """
    km_id = peer if isinstance(peer, KeyIdentifier) else None
    return ResolvedKey(
        key_id=kc_id,
        key=kc,
        framework=Framework.SAEF_MAF,
        credential_type=CredentialType.KPSA_ID if km_id is None else CredentialType.KM_ID,
        peer=peer if isinstance(peer, EntityId) else None,
        expires=expires,
        suid=suid,
        credential=km_id,
    )


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
    resolved = credential(key.kc_id, key.kc, peer=peer, expires=key.expires)
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


def accept(
    mafs: Mapping[Fqdn, Fetch], *, timeout: float = 5.0, remembered: timedelta = REMEMBERED
) -> RemoteKeys:
    """Entity B's side: the MAF at the FQDN of a KcId is asked for Kc, and asked again after a while."""
    return RemoteKeys(mafs, timeout=timeout, remembered=remembered)
