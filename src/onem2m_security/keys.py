"""Key export and key derivation, exact to the octet (TS-0003 clauses 10.3.1 to 10.3.7).

Pure functions from octets to octets. GBA's derivations are in ``gba``.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from .credentials import Secret
from .errors import CredentialError
from .identifiers import RELATIVE_KEY_ID_OCTETS, EntityId, Fqdn, KeyIdentifier, Suid
from .release import KM_ID_DERIVATION, Release
from .texts import nfkc

EXPORT_OCTETS = 48
"""Length of every TLS key export (10.3.1): 16 octets of relative identifier, then 32 of key."""

DERIVED_KEY_OCTETS = 32
"""Length of Ke, Kc, Km and Kpsa: one HMAC-SHA-256."""


class ExportLabel(enum.Enum):
    """RFC 5705 exporter labels; all are used without a context value (TS-0003 clause 10.3.1)."""

    BOOTSTRAP = b"EXPORTER-oneM2M-Bootstrap"
    CONNECTION = b"EXPORTER-oneM2M-Connection"
    ESCERTKE = b"EXPORTER-oneM2M-ESCertKE"


@dataclass(frozen=True, slots=True)
class ExportedKey:
    """The two parts of a TLS key export.

    Attributes:
        relative: RelativeKeId, RelativeKcId or pairwiseE2EKeyID, 16 octets.
        key: Ke, Kc or pairwiseE2EKey, 32 octets.
    """

    relative: bytes
    key: Secret = field(repr=False)

    @classmethod
    def split(cls, material: bytes) -> Self:
        """Split 48 exported octets: the 16 most significant identify, the 32 least significant are the key.

        Raises:
            CredentialError: The material is not 48 octets long.
        """
        if len(material) != EXPORT_OCTETS:
            raise CredentialError(f"a key export has {EXPORT_OCTETS} octets, not {len(material)}")
        return cls(material[:RELATIVE_KEY_ID_OCTETS], Secret(material[RELATIVE_KEY_ID_OCTETS:]))

    def key_id(self, fqdn: Fqdn) -> KeyIdentifier:
        """KeId (10.3.4) or KcId (10.3.5): the relative part at the MEF's or MAF's FQDN."""
        return KeyIdentifier.from_octets(self.relative, fqdn)


def _hmac_sha256(key: Secret, *parts: bytes) -> bytes:
    return hmac.new(key.reveal(), b"".join(parts), hashlib.sha256).digest()


def _octets(identifier: str) -> bytes:
    """Identifier to octets: NFKC, then UTF-8, no terminator (10.3.2)."""
    return nfkc(identifier).encode("utf-8")


def derive_km(ke: Secret, maf_id: Fqdn) -> Secret:
    """Km from Ke for one MAF: HMAC-SHA-256 over the constant and the MAF-ID; 32 octets (10.3.2)."""
    return Secret(
        _hmac_sha256(ke, b"oneM2M Enrolment Key to Master Credential derivation", _octets(maf_id.unicode))
    )


def derive_kpsa(ke: Secret, enrolee_b_id: EntityId) -> Secret:
    """Kpsa from Ke for one Enrolee B, by its CSE-ID or AE-ID; 32 octets (10.3.3)."""
    return Secret(
        _hmac_sha256(
            ke,
            b"oneM2M Enrolment Key to Provisioned Secure Connection Key derivation",
            _octets(str(enrolee_b_id)),
        )
    )


def derive_usage_constrained_key(ke: Secret, suid: Suid, enrolment_target_id: Fqdn) -> Secret:
    """A key for one usage and one Enrolment Target, by its FQDN; 32 octets (10.3.7, Release 3).

    The SUID enters as decimal ASCII (OURS: the clause leaves its encoding open).
    """
    return Secret(
        _hmac_sha256(
            ke,
            b"oneM2M Enrolment Key to Usage-Constrained Symmetric Key derivation",
            str(int(suid)).encode("ascii"),
            _octets(enrolment_target_id.unicode),
        )
    )


def km_for(release: Release, ke: Secret, maf_id: Fqdn) -> Secret:
    """Km as the release derives it: 10.3.2 in Release 1, 10.3.7 with SUID 21 in Release 3."""
    if release is Release.R1:
        return derive_km(ke, maf_id)
    return derive_usage_constrained_key(ke, Suid.PROVISIONED_MAF, maf_id)


PROVISIONED_SUIDS: Final = frozenset(
    {
        Suid.PROVISIONED_SAEF,
        Suid.PROVISIONED_ESPRIM,
        Suid.PROVISIONED_ESDATA_ENCRYPTION,
        Suid.PROVISIONED_ESDATA_SIGNATURE,
    }
)
"""The usages of keys that an Enrolee shares with a CSE or an AE; end-to-end ones are of Release 3."""


def kpsa_for(release: Release, ke: Secret, target: EntityId) -> Secret:
    """Kpsa as the release derives it: 10.3.3 in Release 1, 10.3.7 with SUID 22 in Release 3.

    Raises:
        CredentialError: Release 3 needs the target's FQDN representation, which only an absolute CSE-ID or
            AE-ID has.
    """
    return provisioned_key_for(release, ke, target, Suid.PROVISIONED_SAEF)


def provisioned_key_for(release: Release, ke: Secret, target: EntityId, suid: Suid) -> Secret:
    """The key that an Enrolee shares with a CSE or an AE for one usage, SUID 22 to 25 (10.3.3, 10.3.7).

    Raises:
        CredentialError: The SUID is another one, or of Release 3 only; or Release 3 needs the target's FQDN
            representation, which only an absolute CSE-ID or AE-ID has.
    """
    if suid not in PROVISIONED_SUIDS:
        raise CredentialError(f"SUID {int(suid)} is of no key that an Enrolee shares with a CSE or an AE")
    if release is Release.R1:
        if suid is not Suid.PROVISIONED_SAEF:
            raise CredentialError(f"Release 1 derives no key for SUID {int(suid)}")
        return derive_kpsa(ke, target)
    domain_name = target.domain_name
    if domain_name is None:
        raise CredentialError(
            f"{target}: Release 3 derives Kpsa for an absolute CSE-ID or AE-ID (//sp.example/…)"
        )
    return derive_usage_constrained_key(ke, suid, domain_name)


def can_derive_for(release: Release, target: EntityId) -> bool:
    """Whether the release derives a key for this Enrolment Target: Release 3 needs its FQDN form."""
    return release is Release.R1 or target.domain_name is not None


def km_id_of(km: Secret, maf_id: Fqdn) -> KeyIdentifier:
    """KmId of a remotely provisioned Km, which Enrolee and MAF compute alike (OURS, see release.py).

    The relative part is the first 16 octets of HMAC-SHA-256(Km, constant || MAF-ID), in hex.
    """
    return KeyIdentifier(_hmac_sha256(km, KM_ID_DERIVATION, _octets(maf_id.unicode))[:16].hex(), maf_id)
