"""GBA-based remote provisioning (TS-0003 clause 8.3.2.3; 8.3.3.1 in the earlier text).

The MEF is the BSF. The Enrolee, the UE, bootstraps with it: Ke is Ks and KeId is B-TID. The Enrolment Target
is a NAF: Km (for a MAF) or Kpsa (for a CSE or an AE) is Ks_(ext/int)_NAF for the target's FQDN, and KmId or
KpsaId is KeId. The target obtains the key from the BSF in the middle of the handshake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from ..credentials import ResolvedKey
from ..gba.context import BootstrappedContext, NafKey
from ..gba.keys import KeyChoice, ua_security_protocol
from ..identifiers import EntityId, Fqdn, Suid
from ..tls.suites import Suite
from . import maf_handshake, saef_psk
from .resolvers import REMEMBERED
from .saef_gba import TLS_SUITE, FetchNafKey, NafKeys, endpoint_for, naf_of
from .steps import Initiator


def credential_at_maf(
    context: BootstrappedContext,
    maf: Fqdn,
    *,
    suite: Suite = TLS_SUITE,
    choice: KeyChoice | None = None,
) -> ResolvedKey:
    """Km as the Enrolee derives it for a MAF; its KmId is B-TID.

    Args:
        context: The bootstrapping.
        maf: The MAF-ID, the FQDN of the NAF.
        suite: The cipher suite of the MAF handshake, which the key depends on.
        choice: Which NAF key; by default Ks_NAF, or Ks_ext_NAF with GBA_U.

    Raises:
        CredentialError: The choice does not fit the bootstrapping.
    """
    key = context.naf_key(maf, ua_security_protocol(suite.code), choice)
    return maf_handshake.credential(context.b_tid, key, expires=context.expires, suid=Suid.PROVISIONED_MAF)


def initiate_at_maf(
    local: EntityId,
    maf: Fqdn,
    context: BootstrappedContext,
    *,
    suite: Suite = TLS_SUITE,
    choice: KeyChoice | None = None,
) -> Initiator:
    """The Enrolee's MAF Handshake with a key from GBA: show B-TID, prove Km."""
    km = credential_at_maf(context, maf, suite=suite, choice=choice)
    initiator = maf_handshake.initiate(local, maf, km, context.b_tid.base64)
    return replace(initiator, endpoint=endpoint_for(suite))


def accept_at_maf(
    bsfs: Mapping[Fqdn, FetchNafKey],
    targets: Callable[[EntityId | None], tuple[EntityId, ...]],
    *,
    timeout: float = 5.0,
    remembered: timedelta = REMEMBERED,
) -> NafKeys:
    """The MAF's side: Km for a B-TID.

    Args:
        bsfs: FQDN to the function that asks that BSF.
        targets: Whom an Enrolee may have keys for: the MAF's own policy (8.2.2.3).
        timeout: Seconds to wait for an answer.
        remembered: How long an answer counts.
    """

    def as_master_credential(found: NafKey) -> ResolvedKey:
        km = maf_handshake.credential(
            found.b_tid,
            found.key,
            client=found.entity,
            targets=targets(found.entity),
            expires=found.expires,
            suid=Suid.PROVISIONED_MAF,
        )
        return replace(km, user_settings=found.uss)

    return NafKeys(bsfs, as_master_credential, timeout=timeout, remembered=remembered)


def initiate(
    local: EntityId,
    peer: EntityId,
    context: BootstrappedContext,
    *,
    suite: Suite = TLS_SUITE,
    naf: Fqdn | None = None,
    choice: KeyChoice | None = None,
    server_name: Fqdn | None = None,
) -> Initiator:
    """The Enrolee's association with a CSE by a Kpsa from GBA: show B-TID as KpsaId, prove Kpsa.

    Arguments and errors as for ``saef_gba.initiate``.
    """
    naf = naf_of(peer, naf)
    key = context.naf_key(naf, ua_security_protocol(suite.code), choice)
    kpsa = saef_psk.credential(
        context.b_tid, key, peer=peer, expires=context.expires, suid=Suid.PROVISIONED_SAEF
    )
    initiator = saef_psk.initiate(local, peer, kpsa, server_name=server_name or naf)
    return replace(initiator, endpoint=endpoint_for(suite), identity=context.b_tid.base64.encode("ascii"))


def accept(bsfs: Mapping[Fqdn, FetchNafKey], *, timeout: float = 5.0) -> NafKeys:
    """The CSE's side: Kpsa for a B-TID."""
    return NafKeys(bsfs, _as_provisioned_key, timeout=timeout)


def _as_provisioned_key(found: NafKey) -> ResolvedKey:
    kpsa = saef_psk.credential(
        found.b_tid, found.key, peer=found.entity, expires=found.expires, suid=Suid.PROVISIONED_SAEF
    )
    return replace(kpsa, user_settings=found.uss)
