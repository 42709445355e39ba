"""The certificate flavours (TS-0003 clause 8.1.2.1) and the globally unique identifier that each one carries.

An identifier is parsed once, here, into the canonical text under which configurations and certificates
meet. This module reads no certificate.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from typing import Final

from onem2m_security.errors import IdentifierError
from onem2m_security.identifiers import CredentialId, CredentialType, EntityId, EntityKind, Fqdn
from onem2m_security.texts import nfkc, shown

from .public_key_id import PublicKeyIdentifier

AE_ID_URI_SCHEME: Final = "m2m"
"""OURS: the scheme before the Absolute AE-ID in a certificate that we issue (clause 10.1.1.5 asks for a "full
URI representation"; RFC 5280 section 4.2.1.6 for a scheme). Any scheme is accepted."""

IDENTIFIER_MAX_OCTETS: Final = 255
"""The longest identifier of any flavour, in octets of UTF-8."""

_DOTTED_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){2,31}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s*]+")
_HIER_PART = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?(//[^?#@:]+)")


class Flavour(enum.Enum):
    """What a certificate identifies (clause 8.1.2.1)."""

    RAW_PUBLIC_KEY = "raw-public-key"
    DEVICE = "device"
    CSE_ID = "cse-id"
    AE_ID = "ae-id"
    NODE_ID = "node-id"
    FQDN = "fqdn"


_CREDENTIAL_TYPES = {
    Flavour.RAW_PUBLIC_KEY: CredentialType.RAW_PUBLIC_KEY,
    Flavour.DEVICE: CredentialType.DEVICE_CERTIFICATE,
    Flavour.CSE_ID: CredentialType.CSE_ID_CERTIFICATE,
    Flavour.AE_ID: CredentialType.AE_ID_CERTIFICATE,
    Flavour.NODE_ID: CredentialType.NODE_ID_CERTIFICATE,
}


def parse_identifier(flavour: Flavour, text: str) -> str:
    """The canonical text of a flavour's globally unique identifier (clause 8.1.2.4).

    Device: an M2M Device ID in dotted form (TS-0001 annex H). CSE-ID: an absolute CSE-ID or its public domain
    name; gives the domain name. AE-ID: an Absolute AE-ID, a URI scheme before it is dropped. Node-ID: a URI
    (TS-0004 m2m:nodeID) or a dotted OID. FQDN: a domain name. Raw public key: its public key identifier.

    Raises:
        IdentifierError: The text has not the form of the flavour.
    """
    match flavour:
        case Flavour.DEVICE:
            return _device_id(text)
        case Flavour.CSE_ID:
            return str(_cse_domain_name(text))
        case Flavour.AE_ID:
            return str(parse_ae_id_uri(text))
        case Flavour.NODE_ID:
            return _node_id(text)
        case Flavour.FQDN:
            return str(Fqdn.parse(text))
        case Flavour.RAW_PUBLIC_KEY:
            return str(PublicKeyIdentifier.parse(text))


def parse_ae_id_uri(text: str) -> EntityId:
    """The Absolute AE-ID that a URI stands for: its hier-part (TS-0001 table 7.2-1), whatever the scheme.

    Raises:
        IdentifierError: No Absolute AE-ID, or a URI with more than that (port, user, query, fragment).
    """
    found = _HIER_PART.fullmatch(text)
    ae_id = EntityId.parse(found[1]) if found else None
    host, slash, rest = (found[1] if found else "")[2:].partition("/")
    # An exact match (8.1.2.5): only the letter case of the host may differ.
    if ae_id is None or ae_id.text != f"//{host.lower()}{slash}{rest}" or not is_absolute_ae_id(ae_id):
        raise IdentifierError(f"{shown(text)} is not an Absolute AE-ID: //sp.example/cse/Cae is expected")
    return ae_id


def is_absolute_ae_id(entity: EntityId) -> bool:
    """Whether an absolute identifier can name an AE: ``//sp/cse/Cstem`` or ``//sp/Sstem``."""
    stem = entity.text.rpartition("/")[2]
    return entity.text.startswith("//") and (entity.kind is EntityKind.AE or stem.startswith("S"))


def cse_id_of(domain_name: Fqdn) -> EntityId:
    """The absolute CSE-ID of a public domain name: its first label at the rest (TS-0001 clause 6.5.1.1).

    Raises:
        IdentifierError: The name has one label only.
    """
    label, _, service_provider = domain_name.ascii.partition(".")
    if not service_provider:
        raise IdentifierError(
            f"{domain_name} is not the public domain name of a CSE: cse.sp.example is expected"
        )
    return EntityId.parse(f"//{service_provider}/{label}")


def credential_id(flavour: Flavour, identifier: str) -> CredentialId | None:
    """The Credential-ID of a certificate (clause 10.4); FQDN certificates have none.

    Clause 10.4 allows letters, digits, ``. _ - @`` only. OURS: every other octet, and ``_`` itself, is
    written ``_`` and two hex digits, so that different identifiers never share a Credential-ID.
    """
    credential_type = _CREDENTIAL_TYPES.get(flavour)
    if credential_type is None:
        return None
    value = "".join(
        chr(octet)
        if chr(octet).isascii() and (chr(octet).isalnum() or chr(octet) in ".-@")
        else f"_{octet:02X}"
        for octet in identifier.encode("utf-8")
    )
    return CredentialId(credential_type, value)


def nfc(text: str) -> str:
    """Canonical composition: one encoding of the same characters; unlike NFKC it maps no look-alikes."""
    return unicodedata.normalize("NFC", text)


def _device_id(text: str) -> str:
    if not _DOTTED_OID.fullmatch(text):
        raise IdentifierError(
            f"{shown(text)} is not an M2M Device ID: a dotted OID is expected (0.2.481.1.100.3030.10011)"
        )
    return text


def _cse_domain_name(text: str) -> Fqdn:
    entity = EntityId.parse(text) if text.startswith("/") else None
    domain_name = Fqdn.parse(text) if entity is None else entity.domain_name
    if domain_name is None or (entity is not None and entity.kind is not EntityKind.CSE):
        raise IdentifierError(
            f"{shown(text)}: give a CSE-ID (//sp.example/cse) or its public domain name (cse.sp.example)"
        )
    return domain_name


def _node_id(text: str) -> str:
    text = nfkc(text)
    if not (_DOTTED_OID.fullmatch(text) or _URI.fullmatch(text)) or not _fits(text):
        raise IdentifierError(
            f"{shown(text)} is not a Node-ID: give a URI (urn:gsma:imei:90420156-025763-0) or a dotted OID"
        )
    return text


def _fits(text: str) -> bool:
    return text.isascii() and len(text) <= IDENTIFIER_MAX_OCTETS
