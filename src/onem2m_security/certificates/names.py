"""The names in a certificate: what "a value in a name field" is (seed clause 8.1.1.2.2, TS-0003 8.1.2.5).

Name fields are every attribute value of the Subject and, in the Subject Alternative Name, dNSName, URI,
rfc822Name, iPAddress, registeredID, otherName and the attribute values of a directoryName. Values are
compared as they stand, in canonical composition (NFC): case, look-alikes and compatibility characters differ.
Only dNSName compares as a canonical Fqdn. Nothing here decides whether a certificate is trusted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from cryptography import x509

from onem2m_security.errors import IdentifierError
from onem2m_security.identifiers import Fqdn

from .flavours import Flavour, nfc, parse_ae_id_uri
from .public_key_id import parse_root_of_trust

_UTF8_STRING, _PRINTABLE_STRING, _IA5_STRING, _RELATIVE_OID = 0x0C, 0x13, 0x16, 0x0D
_TEXT_TAGS = {_UTF8_STRING: "utf-8", _PRINTABLE_STRING: "ascii", _IA5_STRING: "ascii"}


def der_value(der: bytes, tag: int) -> bytes | None:
    """The content of one short DER value (at most 127 octets) of the given tag; None if it is not that."""
    is_it = len(der) >= 2 and der[0] == tag and der[1] < 0x80 and der[1] == len(der) - 2
    return der[2:] if is_it else None


def relative_arcs(der: bytes) -> tuple[int, ...] | None:
    """The arcs of a DER RELATIVE-OID, at most 127 octets long; None if it is no such value."""
    content = der_value(der, _RELATIVE_OID)
    if not content or content[-1] & 0x80:
        return None
    arcs: list[int] = []
    arc, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:  # X.690 clause 8.20.2: the fewest octets possible
            return None
        arc = arc << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    return tuple(arcs)


def encode_relative_arcs(arcs: tuple[int, ...]) -> bytes:
    """The DER RELATIVE-OID of some arcs; the reverse of relative_arcs.

    Raises:
        IdentifierError: No arcs, or more than 127 octets of them.
    """
    content = bytearray()
    for arc in arcs:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    if not 1 <= len(content) <= 127:
        raise IdentifierError(f"{'.'.join(map(str, arcs))}: 1 to 127 octets of arcs are possible")
    return bytes([_RELATIVE_OID, len(content)]) + bytes(content)


def device_id_of(other_name: x509.OtherName) -> str | None:
    """The M2M Device ID in an otherName: type-id, then the arcs of its value (clause 10.1.1.4.1).

    OURS: the value is a DER RELATIVE-OID, the ASN.1 type for "the remainder of the object identifier".
    """
    arcs = relative_arcs(other_name.value)
    return None if arcs is None else ".".join([other_name.type_id.dotted_string, *map(str, arcs)])


def encode_device_id(device_id: str, indication_id: str) -> x509.OtherName:
    """The otherName of an M2M Device ID, split after its M2M Device Indication ID (the higher arc).

    Raises:
        IdentifierError: The device id does not begin with the indication id.
    """
    if not device_id.startswith(f"{indication_id}."):
        raise IdentifierError(f"the device id {device_id} is not under the indication id {indication_id}")
    arcs = tuple(map(int, device_id.removeprefix(f"{indication_id}.").split(".")))
    return x509.OtherName(x509.ObjectIdentifier(indication_id), encode_relative_arcs(arcs))


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The name fields of one certificate.

    Attributes:
        texts: Every value of every name field as text, NFC.
        domain_names: The dNSName values that are domain names, canonical.
        uris: The URI values, as they stand.
        device_ids: M2M Device IDs of otherName values, dotted.
        object_ids: registeredID values, dotted.
        wildcards: Whether a dNSName or URI value holds a ``*``.
    """

    texts: frozenset[str]
    domain_names: frozenset[Fqdn] = frozenset()
    uris: frozenset[str] = frozenset()
    device_ids: frozenset[str] = frozenset()
    object_ids: frozenset[str] = frozenset()
    wildcards: bool = False

    @classmethod
    def of(cls, certificate: x509.Certificate | x509.CertificateSigningRequest) -> Self:
        """Read the name fields.

        Raises:
            ValueError: An extension is malformed (cryptography's own exceptions included).
        """
        subject = _attribute_values(certificate.subject)
        return cls.of_general_names(subject_alternative_names(certificate), subject)

    @classmethod
    def of_general_names(cls, names: Iterable[x509.GeneralName], subject: Iterable[str] = ()) -> Self:
        """The same from the names of a Subject Alternative Name and the attribute values of a Subject."""
        texts = set(subject)
        dns, uris, device_ids, object_ids = set[str](), set[str](), set[str](), set[str]()
        for name in names:
            match name:
                case x509.DNSName():
                    dns.add(name.value)
                case x509.UniformResourceIdentifier():
                    uris.add(name.value)
                case x509.OtherName():
                    device_id = device_id_of(name)
                    device_ids |= {device_id} if device_id else set()
                    texts |= _other_name_text(name)
                case x509.RegisteredID():
                    object_ids.add(name.value.dotted_string)
                case x509.DirectoryName():
                    texts |= _attribute_values(name.value)
                case x509.RFC822Name() | x509.IPAddress():
                    texts.add(str(name.value))
        return cls(
            texts=frozenset(map(nfc, texts | dns | uris | device_ids | object_ids)),
            domain_names=frozenset(_domain_names(dns)),
            uris=frozenset(uris),
            device_ids=frozenset(device_ids),
            object_ids=frozenset(object_ids),
            wildcards=any("*" in value for value in dns | uris),
        )

    def identifiers(self, flavour: Flavour) -> set[str]:
        """The canonical identifiers of a flavour that the Subject Alternative Name carries (8.1.2.5)."""
        match flavour:
            case Flavour.DEVICE:
                return set(self.device_ids)
            case Flavour.CSE_ID:
                return {name.ascii for name in self.domain_names}
            case Flavour.FQDN:
                return {name.ascii for name in self.domain_names} | {
                    name.ascii for name in _domain_names(uri for uri in self.uris if ":" not in uri)
                }
            case Flavour.AE_ID:
                return set(_ae_ids(self.uris))
            case Flavour.NODE_ID:
                return set(self.uris) | self.device_ids | self.object_ids
            case Flavour.RAW_PUBLIC_KEY:
                return set()

    def key_hashes(self) -> set[bytes]:
        """The values that are a whole SHA-256 in hex, base64 or ni-URI form (self-signed: 8.1.1.2.1)."""
        found = set()
        for text in self.texts:
            with contextlib.suppress(IdentifierError):
                found.add(parse_root_of_trust(text))
        return found


def subject_alternative_names(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
) -> list[x509.GeneralName]:
    """The general names of the Subject Alternative Name extension; none if it is absent."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def _attribute_values(name: x509.Name) -> set[str]:
    return {attribute.value for attribute in name if isinstance(attribute.value, str)}


def _other_name_text(name: x509.OtherName) -> set[str]:
    for tag, encoding in _TEXT_TAGS.items():
        content = der_value(name.value, tag)
        if content is not None:
            try:
                return {content.decode(encoding)}
            except UnicodeDecodeError:
                return set()
    return set()


def _domain_names(values: Iterable[str]) -> set[Fqdn]:
    found = set()
    for value in values:
        with contextlib.suppress(IdentifierError):  # a wildcard or no domain name: it matches nothing
            name = Fqdn.parse(value)
            # Letter case is all that may differ: "evil.example." would slip past a name constraint.
            if name.ascii == value.lower():
                found.add(name)
    return found


def _ae_ids(uris: frozenset[str]) -> set[str]:
    found = set()
    for uri in uris:
        with contextlib.suppress(IdentifierError):  # a URI for something else
            found.add(str(parse_ae_id_uri(uri)))
    return found
