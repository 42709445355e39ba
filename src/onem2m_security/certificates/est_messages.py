"""What travels in EST (RFC 7030), octets to values and back: CSR attributes, requests, certs-only answers.

Bodies are base64 (clause 4, RFC 8951 clause 3). Nothing here decides whether a request is granted.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AttributeOID

from onem2m_security.credentials import Secret
from onem2m_security.errors import CredentialError, MessageError

from .profile import MALFORMED

REQUEST: Final = "application/pkcs10"
CERTIFICATES: Final = "application/pkcs7-mime"
ATTRIBUTES: Final = "application/csrattrs"
"""The media types of RFC 7030 (table in clause 3.2.4)."""

REQUEST_MAX_OCTETS: Final = 8 * 1024
"""The longest signing request that is read, in octets of DER; one on P-256 takes some hundreds."""

CERTIFICATES_MAX: Final = 16
"""The most certificates that are taken from one answer."""

_CHALLENGE_MAX: Final = 255
"""pkcs-9-ub-challengePassword (RFC 2985 clause 5.4.1), in characters."""

_SEQUENCE, _SET, _OID, _OCTET_STRING, _BOOLEAN = 0x30, 0x31, 0x06, 0x04, 0x01
_UTF8_STRING, _PRINTABLE_STRING, _IA5_STRING = 0x0C, 0x13, 0x16
_CHALLENGE_PASSWORD: Final = bytes.fromhex("2a864886f70d010907")
_EXTENSION_REQUEST: Final = bytes.fromhex("2a864886f70d01090e")
_SUBJECT_ALT_NAME: Final = bytes.fromhex("551d11")
_EC_PUBLIC_KEY: Final = bytes.fromhex("2a8648ce3d0201")
_PRIME256V1: Final = bytes.fromhex("2a8648ce3d030107")
_ECDSA_WITH_SHA256: Final = bytes.fromhex("2a8648ce3d040302")
_WHITE_SPACE: Final = re.compile(rb"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class CsrAttributes:
    """What a signing request is to hold (RFC 7030 clause 4.5.2, TS-0003 clause 8.3.6.2.2 step 2).

    Beside these it asks for a key on P-256 and a signature with ECDSA and SHA-256 (clause 10.1.1).

    Attributes:
        challenge: The challengePassword, 1 to 255 octets of ASCII; None where none is asked for.
        names: The subjectAltName, DER; None where the server leaves it to the client.
    """

    challenge: Secret | None = None
    names: bytes | None = None

    def encode(self) -> bytes:
        """DER: CsrAttrs."""
        parts = [_attribute(_EC_PUBLIC_KEY, _tlv(_OID, _PRIME256V1)), _tlv(_OID, _ECDSA_WITH_SHA256)]
        if self.names is not None:
            extension = _tlv(_SEQUENCE, _tlv(_OID, _SUBJECT_ALT_NAME) + _tlv(_OCTET_STRING, self.names))
            parts.insert(0, _attribute(_EXTENSION_REQUEST, _tlv(_SEQUENCE, extension)))
        if self.challenge is not None:
            text = _tlv(_PRINTABLE_STRING, self.challenge.reveal())
            parts.insert(0, _attribute(_CHALLENGE_PASSWORD, text))
        return _tlv(_SEQUENCE, b"".join(parts))

    @classmethod
    def decode(cls, der: bytes) -> Self:
        """Read what we know of; other attributes are advice that is not followed.

        Raises:
            MessageError: It is no CsrAttrs.
        """
        challenge, names = None, None
        for tag, content in _items(_only(der, _SEQUENCE)):
            if tag == _OID:
                continue
            if tag != _SEQUENCE:
                raise MessageError("a CSR attribute is neither an attribute nor an object identifier")
            match _items(content):
                case [(0x06, oid), (0x31, values)] if oid == _CHALLENGE_PASSWORD and values:
                    challenge = _challenge(_items(values)[0])
                case [(0x06, oid), (0x31, values)] if oid == _EXTENSION_REQUEST and values:
                    names = _requested_names(values) or names
                case [(0x06, _), (0x31, _)]:
                    pass
                case _:
                    raise MessageError("a CSR attribute is not a type with values")
        return cls(challenge, names)


def encode_body(der: bytes) -> bytes:
    """A body: base64, in lines of 76 characters."""
    return base64.encodebytes(der)


def decode_body(body: bytes) -> bytes:
    """The octets of a body.

    Raises:
        MessageError: It is not base64.
    """
    try:
        return base64.b64decode(_WHITE_SPACE.sub(b"", body), validate=True)
    except binascii.Error:
        raise MessageError("the body is not base64") from None


def decode_request(der: bytes) -> x509.CertificateSigningRequest:
    """A certificate signing request (RFC 2986), whose signature is its key's.

    Raises:
        MessageError: It is too long, malformed, or not signed with its own key.
    """
    if len(der) > REQUEST_MAX_OCTETS:
        raise MessageError(f"the signing request has more than {REQUEST_MAX_OCTETS} octets")
    try:
        request = x509.load_der_x509_csr(der)
        _ = request.extensions, request.subject, request.public_key(), request.attributes
        is_signed = request.is_signature_valid
    except MALFORMED:
        raise MessageError("the body is no certificate signing request that can be read") from None
    if not is_signed:
        raise MessageError("the signing request is not signed with its own key")
    return request


def challenge_of(request: x509.CertificateSigningRequest) -> Secret | None:
    """The challengePassword of a request; None when it has none that can be one."""
    try:
        value = request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value
        return Secret(value) if len(value) <= _CHALLENGE_MAX else None
    except (x509.AttributeNotFound, CredentialError, *MALFORMED):
        return None


def encode_certificates(certificates: Iterable[x509.Certificate]) -> bytes:
    """A certs-only CMC Simple PKI Response, DER (RFC 7030 clauses 4.1.3, 4.2.3)."""
    return pkcs7.serialize_certificates(list(certificates), Encoding.DER)


def decode_certificates(der: bytes) -> list[x509.Certificate]:
    """The certificates of a certs-only answer, in the order in which they come.

    Raises:
        MessageError: It is none, is empty, or holds more than ``CERTIFICATES_MAX``.
    """
    try:
        with warnings.catch_warnings():  # BER is what the libraries of others write
            warnings.simplefilter("ignore", UserWarning)
            found = pkcs7.load_der_pkcs7_certificates(der)
        for certificate in found:
            _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.public_key()
    except MALFORMED:
        raise MessageError("the answer holds no certificates in PKCS #7") from None
    if not 1 <= len(found) <= CERTIFICATES_MAX:
        raise MessageError(f"the answer holds {len(found)} certificates: 1 to {CERTIFICATES_MAX} are taken")
    return found


# --- DER, as much of it as CSR attributes take --------------------------------------------------------------


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _attribute(oid: bytes, value: bytes) -> bytes:
    return _tlv(_SEQUENCE, _tlv(_OID, oid) + _tlv(_SET, value))


def _items(content: bytes) -> list[tuple[int, bytes]]:
    """The elements that stand in a constructed one.

    Raises:
        MessageError: The lengths do not fit.
    """
    found, at = [], 0
    while at < len(content):
        head = content[at : at + 2]
        if len(head) < 2:
            raise MessageError("DER ends in the middle of an element")
        tag, size = head
        at += 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 3 or at + count > len(content):
                raise MessageError("DER has a length that cannot be")
            size = int.from_bytes(content[at : at + count], "big")
            at += count
        if at + size > len(content):
            raise MessageError("DER ends in the middle of an element")
        found.append((tag, content[at : at + size]))
        at += size
    return found


def _only(der: bytes, tag: int) -> bytes:
    """The content of the one element that these octets are."""
    match _items(der):
        case [(found, content)] if found == tag:
            return content
    raise MessageError("DER is not the one element that is expected")


def _challenge(value: tuple[int, bytes]) -> Secret:
    tag, content = value
    if tag not in {_UTF8_STRING, _PRINTABLE_STRING, _IA5_STRING} or not 1 <= len(content) <= _CHALLENGE_MAX:
        raise MessageError("the challengePassword is no text of 1 to 255 octets")
    return Secret(content)


def _requested_names(values: bytes) -> bytes | None:
    """The subjectAltName among the extensions that are asked for; some servers only name their types."""
    [tag, extensions], *_ = _items(values)
    if tag != _SEQUENCE:
        return None
    for tag, extension in _items(extensions):
        parts = [part for part in _items(extension) if part[0] != _BOOLEAN] if tag == _SEQUENCE else []
        match parts:
            case [(0x06, oid), (0x04, names)] if oid == _SUBJECT_ALT_NAME:
                return names
            case [(0x06, _), (0x04, _)]:
                pass
            case _:
                raise MessageError("an extension that is asked for is malformed")
    return None
