"""Public key identifiers (TS-0003 clause 10.1.2, RFC 6920 section 2) and the Root of Trust (8.1.1.2.1).

Both are a SHA-256 over the DER form of the SubjectPublicKeyInfo. The seeds say only "cryptographic hash of
the Public Verification Key"; the SubjectPublicKeyInfo is what clause 10.1.2 and RFC 7250 hash, so one value
serves both (OURS). This module never sees a private key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from onem2m_security.errors import IdentifierError
from onem2m_security.texts import shown

if TYPE_CHECKING:
    from cryptography import x509

DIGEST_OCTETS = {"sha-256": 32, "sha-256-128": 16, "sha-256-120": 15}
"""The hash algorithms of clause 10.1.2, each with the length of its digest in octets."""

_NI_URI = re.compile(r"ni://[A-Za-z0-9.:-]*/(sha-256(?:-128|-120)?);([A-Za-z0-9_-]{1,43})")
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")


def subject_public_key_info(certificate: x509.Certificate) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, DER, with the point uncompressed."""
    # Who only names a key waits for no library that reads certificates.
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_hash(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the certificate's SubjectPublicKeyInfo, 32 octets: its Root of Trust value (8.1.1.2.1)."""
    return hashlib.sha256(subject_public_key_info(certificate)).digest()


@dataclass(frozen=True, slots=True)
class PublicKeyIdentifier:
    """A name for a public key: an algorithm of RFC 6920 and a digest.

    Attributes:
        algorithm: ``sha-256``, ``sha-256-128`` or ``sha-256-120``.
        digest: The leftmost 32, 16 or 15 octets of the SHA-256 of the SubjectPublicKeyInfo.
    """

    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ``ni:`` URI of any of the three algorithms, or a whole SHA-256 as 64 hex digits or base64.

        Base64 may be the standard or the URL alphabet, with or without padding.

        Raises:
            IdentifierError: None of these forms, or a digest of the wrong length.
        """
        if found := _NI_URI.fullmatch(text):
            algorithm, digest = found[1], _from_base64(found[2])
        elif _HEX.fullmatch(text):
            algorithm, digest = "sha-256", bytes.fromhex(text)
        elif _BASE64.fullmatch(text):
            algorithm, digest = "sha-256", _from_base64(text)
        else:
            algorithm, digest = "sha-256", b""
        if len(digest) != DIGEST_OCTETS[algorithm]:
            raise IdentifierError(
                f"{shown(text)} is not a public key identifier: give ni:///sha-256;… (or sha-256-128, "
                "sha-256-120), or a SHA-256 in 64 hex digits or in base64"
            )
        return cls(algorithm, digest)

    @classmethod
    def of(cls, spki: bytes, algorithm: str = "sha-256") -> Self:
        """Name the key of a DER SubjectPublicKeyInfo.

        Raises:
            IdentifierError: The algorithm is not one of clause 10.1.2.
        """
        octets = DIGEST_OCTETS.get(algorithm)
        if octets is None:
            raise IdentifierError(f"{shown(algorithm)}: use one of {', '.join(DIGEST_OCTETS)}")
        return cls(algorithm, hashlib.sha256(spki).digest()[:octets])

    def matches(self, spki: bytes) -> bool:
        """The check of clause 10.1.2: is this the identifier of that DER SubjectPublicKeyInfo?"""
        return hmac.compare_digest(self.digest, type(self).of(spki, self.algorithm).digest)

    def __str__(self) -> str:
        digest = base64.urlsafe_b64encode(self.digest).decode("ascii").rstrip("=")
        return f"ni:///{self.algorithm};{digest}"


def parse_root_of_trust(value: str | bytes) -> bytes:
    """A Root of Trust: 32 octets, or their text as hex, base64 or an ``ni:///sha-256;…`` URI.

    Raises:
        IdentifierError: Anything else; a truncated digest is not accepted here.
    """
    if isinstance(value, bytes):
        if len(value) != DIGEST_OCTETS["sha-256"]:
            raise IdentifierError(f"a Root of Trust is a SHA-256 of 32 octets, not {len(value)}")
        return value
    identifier = PublicKeyIdentifier.parse(value)
    if identifier.algorithm != "sha-256":
        raise IdentifierError(
            f"{shown(value)}: a Root of Trust is a whole sha-256, not {identifier.algorithm}"
        )
    return identifier.digest


def _from_base64(text: str) -> bytes:
    """Decode either alphabet; an encoding with stray bits is no identifier, so it gives nothing."""
    body = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        octets = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
    return octets if base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=") == body else b""
