"""Provisioned symmetric key security association (TS-0003 clause 8.2.2.1).

Entity A and Entity B share Kpsa, which was pre-provisioned or derived from Ke. The psk_identity is KpsaId,
the psk is Kpsa; A associates the session with IdB, B with IdA or, where IdA is not configured, with the
Credential-ID alone. Kpc and KpcId are the names of Kpsa and KpsaId in the earliest text.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ..credentials import Framework, ResolvedKey, Secret
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..tls.endpoint import Endpoint
from .resolvers import ProvisionedKeys
from .steps import Initiator


def credential(
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
    return ResolvedKey(
        key_id=kpsa_id,
        key=kpsa,
        framework=Framework.SAEF_PSK,
        credential_type=CredentialType.KPSA_ID,
        peer=peer,
        expires=expires,
        suid=suid,
    )


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


def accept(keys: Iterable[ResolvedKey]) -> ProvisionedKeys:
    """Entity B's side: these keys, each with the peer that it authenticates."""
    return ProvisionedKeys(keys)


def initiate_with_function(
    framework: Framework, local: EntityId, function: Fqdn, key: ResolvedKey, identity: str | None = None
) -> Initiator:
    """The client's side of a handshake with a MAF, an MEF or a BSF by a key that both hold.

    Args:
        framework: The framework that the session belongs to.
        local: The identity that we assume.
        function: MAF-ID, MEF-ID or the BSF's FQDN; also the SNI host name.
        key: The key.
        identity: The psk_identity to show instead of the key's identifier.
    """
    return Initiator(
        framework,
        local,
        EntityId(str(function)),
        CLIENT_ENDPOINT,
        key,
        (identity or str(key.key_id)).encode(),
        server_name=function,
    )


CLIENT_ENDPOINT = Endpoint(server=False)
"""Every initiator with a pre-shared key uses the same suites; one engine context serves them all."""
