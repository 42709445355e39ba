"""The certificate profile (TS-0003 clause 10.1.1): what may be said of one certificate by itself.

P-256 with the named curve and an uncompressed point, ECDSA with SHA-256, keyUsage digitalSignature, no
wildcards; a certificate authority's certificate says so. Nothing here knows a peer or a trust anchor.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from .names import CertificateNames
from .public_key_id import subject_public_key_info

EC_PUBLIC_KEY = x509.ObjectIdentifier("1.2.840.10045.2.1")
CLIENT_AUTH: Final = ExtendedKeyUsageOID.CLIENT_AUTH
"""The key purpose of whoever initiates a handshake: Entity A, a MAF's or MEF's client."""

SERVER_AUTH: Final = ExtendedKeyUsageOID.SERVER_AUTH
"""The key purpose of whoever accepts it: Entity B, a MAF, an MEF."""

_PURPOSES = {CLIENT_AUTH: "TLS client", SERVER_AUTH: "TLS server"}

MALFORMED = (
    ValueError,
    TypeError,  # a list of something that is not what it should be
    LookupError,  # a number that stands for nothing
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,  # where warnings are errors
)
"""What reading a certificate, a request or a list raises for octets that are none of RFC 5280."""


def algorithm_findings(certificate: x509.Certificate) -> list[str]:
    """What clauses 10.1.1.1 and 10.1.1.3 do not allow about version, key and signature algorithm."""
    findings = []
    if certificate.version is not x509.Version.v3:
        findings.append("it is no X.509 version 3 certificate")
    if certificate.public_key_algorithm_oid != EC_PUBLIC_KEY:
        findings.append("its key is no elliptic curve key: id-ecPublicKey on P-256 is required")
    else:
        try:
            key = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            findings.append("its key is on another curve: secp256r1 (P-256) is required")
        elif subject_public_key_info(certificate) not in certificate.tbs_certificate_bytes:
            findings.append("its public key is no named curve with an uncompressed point")
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        findings.append("it is not signed with ECDSA and SHA-256")
    return findings


def usage_findings(certificate: x509.Certificate, *, required: bool) -> list[str]:
    """What the key usage extension forbids: signing in a handshake (10.1.1.1, RFC 5280 4.2.1.3).

    Args:
        certificate: An end entity's certificate, or an authority's.
        required: Whether the extension must be there; Release 1 does not ask for it.
    """
    usage = key_usage(certificate)
    if usage is None:
        return ["it has no key usage extension: digitalSignature is required"] if required else []
    return [] if usage.digital_signature else ["its key usage lacks digitalSignature"]


def purpose_findings(
    certificate: x509.Certificate, purpose: x509.ObjectIdentifier | None = None
) -> list[str]:
    """What an extended key usage that is there does not allow (RFC 5280 clause 4.2.1.12).

    Args:
        certificate: An end entity's certificate, or that of an authority, which limits those below it.
        purpose: CLIENT_AUTH or SERVER_AUTH; None where it may be either.
    """
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    wanted = [purpose] if purpose is not None else list(_PURPOSES)
    if {*wanted, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        return []
    named = " nor ".join(_PURPOSES[one] for one in wanted)
    return [f"its extended key usage does not allow {named} authentication"]


def authority_findings(certificate: x509.Certificate) -> list[str]:
    """What keeps a certificate from certifying others (RFC 5280 clauses 4.2.1.3, 4.2.1.9 and 6.1.4 k, n)."""
    findings = []
    if not is_authority(certificate):
        findings.append("it is not the certificate of a certificate authority (basic constraints CA)")
    usage = key_usage(certificate)
    if usage is not None and not usage.key_cert_sign:
        findings.append("its key usage lacks keyCertSign")
    return findings


def constraint_findings(certificate: x509.Certificate) -> list[str]:
    """What RFC 5280 clause 4.2.1.10 does not allow about name constraints: others might not obey these."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return []
    findings = []
    if not is_authority(certificate):
        findings.append("it has name constraints, but is no certificate authority's")
    if not extension.critical:
        findings.append("its name constraints are not critical")
    return findings


def anchor_findings(certificate: x509.Certificate) -> list[str]:
    """What keeps a certificate from being a trust anchor: the profile holds for it too (10.1.1.3)."""
    findings = algorithm_findings(certificate) + authority_findings(certificate)
    return findings + constraint_findings(certificate)


def profile_findings(certificate: x509.Certificate) -> list[str]:
    """Everything that clause 10.1.1 does not allow, in plain words; an empty list if it meets the profile."""
    findings = algorithm_findings(certificate) + usage_findings(certificate, required=True)
    findings += purpose_findings(certificate) + constraint_findings(certificate)
    if is_authority(certificate):
        findings += authority_findings(certificate)
    if CertificateNames.of(certificate).wildcards:
        findings.append("a name in it holds a wildcard")
    return findings


def key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    """The key usage extension; None if it is absent."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether basic constraints say CA."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
