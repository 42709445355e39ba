"""Bootstrap with a pre-provisioned symmetric Enrolee key (TS-0003 clause 8.3.2.1).

1. Enrolee and MEF do a (D)TLS-PSK handshake with KpmId and Kpm.
2. Both export Ke and RelativeKeId from it (10.3.1); KeId is RelativeKeId at the MEF's FQDN (10.3.4).
3. The Enrolee derives Km for a MAF (10.3.2) or Kpsa for a CSE (10.3.3; both 10.3.7 in Release 3) and shows
   KeId to it. That Enrolment Target, in the middle of the handshake, fetches the same key from the MEF.

The Enrolment Target meets the MEF in an MEF Handshake (``mef_handshake``). The export is the same for every
bootstrap that ends in a (D)TLS session.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..credentials import Framework, ResolvedKey, Secret
from ..identifiers import CredentialType, EntityId, Fqdn, KeyIdentifier, Suid
from ..keys import ExportLabel, km_for, km_id_of, kpsa_for
from ..release import Release
from . import maf_handshake, saef_psk
from .steps import Established, Initiator


def credential(
    kpm_id: KeyIdentifier,
    kpm: Secret,
    *,
    enrolee: EntityId | None = None,
    targets: tuple[EntityId, ...] = (),
    expires: datetime | None = None,
) -> ResolvedKey:
    """Kpm as Enrolee and MEF hold it.

    Args:
        kpm_id: KpmId (clause 10.5).
        kpm: Kpm.
        enrolee: Enrolee-ID, the CSE-ID or AE-ID that the key authenticates.
        targets: The Enrolment Targets that the Enrolee may be provisioned for.
        expires: When Kpm ends (UTC), if it does.
    """
    return ResolvedKey(
        key_id=kpm_id,
        key=kpm,
        framework=Framework.BOOTSTRAP_PSK,
        credential_type=CredentialType.KPM_ID,
        peer=enrolee,
        expires=expires,
        suid=Suid.PRE_PROVISIONED_MEF,
        targets=targets,
    )


def initiate(enrolee: EntityId, mef: Fqdn, kpm: ResolvedKey) -> Initiator:
    """The Enrolee's side of the Bootstrap Security Handshake: show KpmId, prove Kpm.

    Args:
        enrolee: Enrolee-ID.
        mef: The MEF-ID; also the SNI host name.
        kpm: Kpm.
    """
    return saef_psk.initiate_with_function(Framework.BOOTSTRAP_PSK, enrolee, mef, kpm)


@dataclass(frozen=True, slots=True)
class EnrolmentKey:
    """The Enrolment Key and what is derived from it.

    Attributes:
        ke_id: KeId: RelativeKeId at the MEF's FQDN (10.3.4).
        ke: Ke, 32 octets.
        expires: Enrolment Expiry (UTC): no derived key outlives it (10.7). None where nobody has said yet.
    """

    ke_id: KeyIdentifier
    ke: Secret = field(repr=False)
    expires: datetime | None = None

    def master_credential(self, release: Release, maf: Fqdn) -> ResolvedKey:
        """Km for a MAF, to be shown by its KeId; ``credential`` is its KmId (10.3.2, 10.3.7)."""
        km = km_for(release, self.ke, maf)
        return maf_handshake.credential(
            self.ke_id,
            km,
            expires=self.expires,
            credential=km_id_of(km, maf),
            suid=Suid.PROVISIONED_MAF,
        )

    def provisioned_key(self, release: Release, target: EntityId) -> ResolvedKey:
        """Kpsa for a CSE or AE, to be shown by its KeId (10.3.3, 10.3.7).

        Raises:
            CredentialError: Release 3 derives Kpsa for an absolute CSE-ID or AE-ID only.
        """
        kpsa = kpsa_for(release, self.ke, target)
        return saef_psk.credential(
            self.ke_id, kpsa, peer=target, expires=self.expires, suid=Suid.PROVISIONED_SAEF
        )


def export_enrolment_key(
    established: Established, mef: Fqdn, *, expires: datetime | None = None
) -> EnrolmentKey:
    """Ke and KeId from a finished Bootstrap Security Handshake, at either end (10.3.1, 10.3.4).

    Raises:
        CredentialError: A certificate session without Extended Master Secret.
    """
    exported = established.export(ExportLabel.BOOTSTRAP)
    return EnrolmentKey(exported.key_id(mef), exported.key, expires)
