"""Provisioned symmetric key security association (TS-0003 clause 8.2.2.1).

Entity A and Entity B share Kpsa, which was pre-provisioned or derived from Ke. The psk_identity is KpsaId,
the psk is Kpsa; A associates the session with IdB, B with IdA or, where IdA is not configured, with the
Credential-ID alone. Kpc and KpcId are the names of Kpsa and KpsaId in the earliest text.
"""

from __future__ import annotations

from datetime import datetime

from ..credentials import Framework, ResolvedKey, Secret
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..tls.endpoint import Endpoint
from .steps import Initiator


def provisioned_key(
    kpsa_id: KeyIdentifier,
    kpsa: Secret,
    *,
    peer: EntityId | None = None,
    expires: datetime | None = None,
    suid: Suid = Suid.PRE_PROVISIONED_SAEF,
) -> ResolvedKey:
    """Kpsa as either side is configured with it.

    Args:
        kpsa_id: KpsaId (clause 10.5).
        kpsa: Kpsa; 1 to 256 octets.
        peer: The identity to associate with the session: IdB at A, IdA at B.
        expires: When it ends (UTC), if it does.
        suid: 12 for a pre-provisioned key, 22 for one from an RSPF.
    """
    return ResolvedKey(kpsa_id, kpsa, Framework.SAEF_PSK, CredentialType.KPSA_ID, peer, expires, suid)


def initiate(
    local: EntityId, peer: EntityId, key: ResolvedKey, *, server_name: Fqdn | None = None
) -> Initiator:
    """Entity A's side: show KpsaId, prove Kpsa."""
    return Initiator(
        Framework.SAEF_PSK,
        local,
        peer,
        CLIENT_ENDPOINT,
        key,
        str(key.key_id).encode(),
        server_name=server_name,
    )


CLIENT_ENDPOINT = Endpoint(server=False)
"""Every initiator with a pre-shared key uses the same suites; one engine context serves them all."""
