"""Raw public keys (RFC 7250): whom a key authenticates, by its identifier (TS-0003 clause 10.1.2).

There is no issuer to ask, no name to compare, and no end: the Association Configuration says which key it is,
and whose. That the peer holds the private key is the handshake's part.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from ..alerts import Alert
from ..errors import CertificateRejectedError, ConfigurationError
from .configuration import AssociationConfiguration
from .flavours import Flavour, credential_id
from .public_key_id import DIGEST_OCTETS, PublicKeyIdentifier
from .verified_peer import VerifiedPeer

_PEM = b"-----BEGIN PUBLIC KEY-----"

SPKI_MAX_OCTETS = 1024
"""The longest SubjectPublicKeyInfo that is looked at, in octets; of a P-256 key it has 91."""


class RawPublicKeys:
    """The keys that are configured, by their identifiers of any length."""

    def __init__(self) -> None:
        self._configured: dict[str, AssociationConfiguration] = {}

    def __bool__(self) -> bool:
        return bool(self._configured)

    def add(self, configuration: AssociationConfiguration) -> None:
        """Accept this one's key.

        Raises:
            ConfigurationError: It is another one's already.
        """
        identifier = configuration.peer_id or ""
        if self._configured.setdefault(identifier, configuration) is not configuration:
            raise ConfigurationError(f"two association configurations name the public key {identifier}")

    def verify(self, spki: bytes) -> VerifiedPeer:
        """Whose key it is, by its longest identifier that is configured.

        Args:
            spki: The SubjectPublicKeyInfo that the peer showed, DER.

        Raises:
            CertificateRejectedError: Nobody's, or it is no key of the profile (10.1.1.1).
        """
        if not is_profiled(spki):
            raise CertificateRejectedError(
                "the raw public key is not on P-256 (secp256r1), uncompressed, as clause 10.1.1.1 requires",
                alert=Alert.unsupported_certificate,
            )
        identifiers = [str(PublicKeyIdentifier.of(spki, algorithm)) for algorithm in DIGEST_OCTETS]
        identifier = next((one for one in identifiers if one in self._configured), None)
        if identifier is None:
            raise CertificateRejectedError(
                f"no association names the raw public key {identifiers[0]}", alert=Alert.bad_certificate
            )
        configuration = self._configured[identifier]
        return VerifiedPeer(
            configuration=configuration,
            peer=configuration.peer,
            credential_id=credential_id(Flavour.RAW_PUBLIC_KEY, identifier),
            flavour=Flavour.RAW_PUBLIC_KEY,
            allowed_ae_ids=configuration.allowed_ae_ids,
            targets=configuration.targets,
            expires=None,
            fingerprint=hashlib.sha256(spki).hexdigest(),
        )


def is_public_key(octets: bytes) -> bool:
    """Is this a SubjectPublicKeyInfo? A certificate never is one: its second part is another type."""
    if len(octets) > SPKI_MAX_OCTETS:
        return False
    try:
        load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def public_key_in(octets: bytes) -> bytes | None:
    """The SubjectPublicKeyInfo, DER, that a file holds in PEM or DER; None if it holds something else."""
    if _PEM in octets:
        try:
            return load_pem_public_key(octets).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except (ValueError, UnsupportedAlgorithm):
            return None
    return octets if is_public_key(octets) else None


def is_profiled(spki: bytes) -> bool:
    """Is it a key of the profile, in the one form that it has in DER, over which identifiers are made?"""
    if len(spki) > SPKI_MAX_OCTETS:
        return False
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return False
    is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    return is_p256 and key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki
