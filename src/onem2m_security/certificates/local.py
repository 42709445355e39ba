"""An entity's own certificate, chain and private signing key (Credential Configuration: 8.1.1.2.1, 8.1.2.3).

Or its key pair alone: a raw public key (RFC 7250).

Loaded once and checked once, so that a mistake shows when the entity starts and not in a handshake. The
private key stays inside the cryptography library's object; it is never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from onem2m_security.errors import CredentialError
from onem2m_security.tls.engine import CertificateType

from .files import read_private, read_public
from .profile import MALFORMED, algorithm_findings, purpose_findings, usage_findings
from .public_key_id import PublicKeyIdentifier, key_hash
from .verification import CHAIN_MAX_CERTIFICATES

_NO_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LocalCertificate:
    """What the TLS floor presents.

    Attributes:
        certificate_chain: DER certificates, our own first, each certifying the one before it. In Release 1
            the root's certificate is the last, because the peer knows only its key hash. Of a raw public key
            its SubjectPublicKeyInfo alone.
        private_key: The P-256 key of the first.
        certificate_type: Whether these are certificates, or a raw public key.
    """

    certificate_chain: tuple[bytes, ...]
    private_key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)
    certificate_type: CertificateType = CertificateType.X509

    @classmethod
    def load(cls, certificates: Path | None, private_key: Path, *, password: bytes | None = None) -> Self:
        """Read a chain (PEM, or one DER certificate) and a private key (PEM or DER) from files.

        Without certificates it is a raw public key.

        Raises:
            ConfigurationError: A file cannot be read.
            CredentialError: The key file is open to others, or see ``from_octets``.
        """
        if certificates is None:
            return cls.raw_public_key(read_private(private_key), password=password)
        return cls.from_octets(read_public(certificates), read_private(private_key), password=password)

    @classmethod
    def raw_public_key(cls, private_key: bytes, *, password: bytes | None = None) -> Self:
        """A key pair without a certificate, by its private key.

        Raises:
            CredentialError: Malformed, or not of the profile.
        """
        key = parse_private_key(private_key, password=password)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls((spki,), key, CertificateType.RAW_PUBLIC_KEY)

    @classmethod
    def from_octets(cls, certificates: bytes, private_key: bytes, *, password: bytes | None = None) -> Self:
        """Parse and check a chain and its key.

        Raises:
            CredentialError: Malformed, key and certificate do not belong together, the chain is out of order,
                or the certificate does not meet the profile of clause 10.1.1.
        """
        chain = parse_certificates(certificates)
        key = parse_private_key(private_key, password=password)
        if key.public_key() != chain[0].public_key():
            raise CredentialError("the private key does not belong to the (first) certificate")
        if len(chain) > CHAIN_MAX_CERTIFICATES:
            raise CredentialError(
                f"the chain has {len(chain)} certificates: peers accept {CHAIN_MAX_CERTIFICATES}"
            )
        findings = [finding for certificate in chain for finding in algorithm_findings(certificate)]
        findings += usage_findings(chain[0], required=False) + purpose_findings(chain[0])
        if findings:
            raise CredentialError(
                f"the certificate does not meet the profile of clause 10.1.1: {findings[0]}"
            )
        for certificate, issuer in pairwise(chain):
            try:
                certificate.verify_directly_issued_by(issuer)
            except (InvalidSignature, ValueError, TypeError) as error:
                raise CredentialError(
                    "the chain is out of order: put your own certificate first, then the issuer of each"
                ) from error
        return cls(tuple(certificate.public_bytes(Encoding.DER) for certificate in chain), key)

    @property
    def public_key_id(self) -> PublicKeyIdentifier:
        """The public key identifier of our key (10.1.2): what a peer is to configure for a raw public key."""
        spki = self.private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKeyIdentifier.of(spki)

    @property
    def certificate(self) -> x509.Certificate:
        """Our own certificate, parsed.

        Raises:
            CredentialError: It is a raw public key.
        """
        if self.certificate_type is CertificateType.RAW_PUBLIC_KEY:
            raise CredentialError("a raw public key has no certificate")
        return x509.load_der_x509_certificate(self.certificate_chain[0])

    @property
    def expires(self) -> datetime:
        """When the first certificate of the chain ends (UTC): no peer accepts it any longer.

        A raw public key does not end, which RFC 5280 clause 4.1.2.5 writes as the end of the year 9999.
        """
        if self.certificate_type is CertificateType.RAW_PUBLIC_KEY:
            return _NO_END
        return min(x509.load_der_x509_certificate(der).not_valid_after_utc for der in self.certificate_chain)

    @property
    def root_of_trust(self) -> bytes:
        """The Release 1 Root of Trust that a peer is to configure, 32 octets: hash of the last one's key."""
        return key_hash(x509.load_der_x509_certificate(self.certificate_chain[-1]))


def parse_certificates(octets: bytes) -> Sequence[x509.Certificate]:
    """Parse PEM certificates, or one DER certificate.

    Raises:
        CredentialError: There is none.
    """
    try:
        if b"-----BEGIN" in octets:
            chain = x509.load_pem_x509_certificates(octets)
        else:
            chain = [x509.load_der_x509_certificate(octets)]
        for certificate in chain:
            _ = certificate.extensions, certificate.subject, certificate.issuer
    except MALFORMED as error:
        raise CredentialError("no certificate in PEM or DER form") from error
    return chain


def parse_private_key(octets: bytes, *, password: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """Parse a P-256 private key in PEM or DER form; the error shows nothing of it.

    Raises:
        CredentialError: No private key, a wrong or missing password, or another kind of key.
    """
    load = load_pem_private_key if b"-----BEGIN" in octets else load_der_private_key
    try:
        key = load(octets, password)
    except TypeError:
        raise CredentialError(
            "the private key is encrypted and needs its password, or is not and has one"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialError("no private key in PEM or DER form, or the wrong password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialError("the private key is not on P-256 (secp256r1), which clause 10.1.1.1 requires")
    return key
