"""Whose message 3 is, known without touching any handshake state.

Message 3 carries a CertificateVerify: a signature over everything that was sent before it (RFC 5246 clause
7.4.8), and all of that is in the clear. So a Terminating End-Point can tell which exchange a message 3
belongs to before the TLS engine, which cannot go back, gets it. Who has not seen message 2 cannot make such a
signature, under whatever key. Whose key it is, and the Finished, are for the engine to check.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ..alerts import Alert
from ..certificates.path import PresentedCertificate
from ..errors import CertificateRejectedError, HandshakeError
from .messages import Reader, check_message

_SEQUENCE: Final = b"\x30"
_HASHES: Final[dict[bytes, hashes.HashAlgorithm]] = {
    b"\4\3": hashes.SHA256(),
    b"\5\3": hashes.SHA384(),
    b"\6\3": hashes.SHA512(),
}
"""SignatureAndHashAlgorithm: ECDSA with these (RFC 5246 clause 7.4.1.4.1)."""


def transcript(message_1: bytes, message_2: bytes) -> bytes:
    """What an exchange has sent so far, as the proofs cover it: the handshake messages without their records.

    Raises:
        HandshakeError: One of them has not the form of its number.
    """
    return b"".join((*check_message(1, message_1), *check_message(2, message_2)))


@dataclass(frozen=True, slots=True)
class ClientProof:
    """What a message 3 shows in the clear.

    Attributes:
        key: The public key of the certificate.
        signed: The handshake messages between the transcript and the signature.
        algorithm: The hash of the signature.
        signature: The signature, in DER.
    """

    key: ec.EllipticCurvePublicKey = field(repr=False)
    signed: bytes = field(repr=False)
    algorithm: hashes.HashAlgorithm
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, message_3: bytes) -> ClientProof:
        """Read a message 3.

        Raises:
            HandshakeError: It has not that form.
        """
        certificate, key_exchange, verify = check_message(3, message_3)
        reader = Reader("CertificateVerify", verify[4:])
        algorithm = _HASHES.get(reader.take(2))
        signature = reader.vector(2)
        reader.end()
        if algorithm is None:
            raise HandshakeError(
                "message 3 is signed by another algorithm than ECDSA with SHA-256, SHA-384 or SHA-512",
                alert=Alert.illegal_parameter,
            )
        return cls(_key_of(certificate), certificate + key_exchange, algorithm, signature)

    def belongs_to(self, sent: bytes) -> bool:
        """Was this transcript signed, with the key of the certificate that was shown?"""
        try:
            self.key.verify(self.signature, sent + self.signed, ec.ECDSA(self.algorithm))
        except InvalidSignature:
            return False
        return True


def _key_of(certificates: bytes) -> ec.EllipticCurvePublicKey:
    """The key of the first certificate in a Certificate message (RFC 5246 clause 7.4.2, RFC 7250 clause 3).

    A raw public key stands there without a length of its own: a SEQUENCE, as whose length 3 MB would be read.
    """
    shown = Reader("Certificate", certificates[4:]).vector(3)
    if not shown:
        raise HandshakeError("message 3 holds no certificate", alert=Alert.handshake_failure)
    is_raw = shown.startswith(_SEQUENCE)
    try:
        if is_raw:
            key = load_der_public_key(shown)
        else:
            der = Reader("Certificate", shown).vector(3)
            key = PresentedCertificate.parse(der).parsed.public_key()
    except CertificateRejectedError as rejection:
        raise HandshakeError(f"in message 3, {rejection}", alert=rejection.alert) from rejection
    except (UnsupportedAlgorithm, ValueError) as error:
        raise HandshakeError("in message 3, a key is malformed", alert=Alert.bad_certificate) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise HandshakeError(
            "the certificate in message 3 is not for ECDSA", alert=Alert.unsupported_certificate
        )
    return key
