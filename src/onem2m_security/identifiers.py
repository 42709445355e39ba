"""Identifiers of the standard, parsed once at the edge into frozen, canonical types.

FQDNs (MAF-ID, MEF-ID, issuers), entity identifiers (CSE-ID, AE-ID: TS-0001 clause 7.2), key identifiers
(KmId, KpsaId, KpmId, KeId, KcId: TS-0003 clauses 10.3.4, 10.3.5, 10.5, 10.6), Credential-IDs (10.4) and
Security Usage Identifiers (TS-0004 clause 6.3.4.2.39). This module never performs I/O and never sees a key.
"""

from __future__ import annotations

import base64
import enum
import functools
import re
from dataclasses import dataclass, field, replace
from typing import Self

import idna

from .errors import IdentifierError
from .texts import nfkc, require_length, shown, utf8

RELATIVE_KEY_ID_OCTETS = 16
"""Length of RelativeKeId and RelativeKcId, in octets (TS-0003 clause 10.3.1)."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NAMED_RELATIVE = re.compile(r"[A-Za-z0-9._-]+")
_HEX_RELATIVE = re.compile(r"[0-9A-Fa-f]{32}")
_BASE64_RELATIVE = re.compile(r"[A-Za-z0-9+/]{22}==")
_CREDENTIAL_VALUE = re.compile(r"[A-Za-z0-9._@-]+")


@functools.lru_cache(maxsize=4096)
def _canonical_name(text: str) -> str:
    """The canonical form of a domain name; the same few names are parsed again and again."""
    name = nfkc(text).removesuffix(".").lower()
    try:
        ascii_name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise IdentifierError(f"{shown(text)} is not a domain name") from error
    labels = ascii_name.split(".")
    if not 1 <= len(ascii_name) <= 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise IdentifierError(f"{shown(text)} is not a domain name")
    return ascii_name


@dataclass(frozen=True, slots=True)
class Fqdn:
    """A fully qualified domain name in canonical form: IDNA A-labels, lower case, no trailing dot.

    Attributes:
        ascii: The canonical form, at most 253 octets; used on the wire, in SNI and to compare.
    """

    ascii: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a domain name as a person or a peer writes it.

        Mixed case, one trailing dot and internationalised names (UTS 46) are accepted; all spellings of
        one name give equal values.

        Raises:
            IdentifierError: The text is no domain name, or holds a wildcard.
        """
        return cls(_canonical_name(text))

    @property
    def unicode(self) -> str:
        """The form with U-labels: what the key derivations take (TS-0003 clause 10.3.2: UTF-8, NFKC)."""
        if "xn--" not in self.ascii:
            return self.ascii
        try:
            return nfkc(idna.decode(self.ascii))
        except (idna.IDNAError, UnicodeError):
            return self.ascii

    def __str__(self) -> str:
        return self.ascii


class EntityKind(enum.Enum):
    """What an entity identifier names, as far as its form tells."""

    CSE = "cse"
    AE = "ae"
    FUNCTION = "function"
    """A MAF, MEF or BSF, named by its FQDN."""


def _is_segment(segment: str) -> bool:
    return bool(segment) and all(c.isalnum() or c in "._~-" for c in segment)


@dataclass(frozen=True, slots=True)
class EntityId:
    """A CSE-ID, an AE-ID or the FQDN of a function (TS-0001 clause 7.2), NFKC-normalised.

    Accepted forms: ``/cse`` and ``//sp.example/cse`` (CSE-ID), ``Cstem``, ``Sstem``, ``/cse/Cstem`` and
    ``//sp.example/cse/Cstem`` (AE-ID), ``maf.example.com`` (a function).

    Attributes:
        text: The identifier; what is compared.
        declared_kind: What it names, where a credential or a configuration said so; never compared.
    """

    text: str
    declared_kind: EntityKind | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Parse an entity identifier; at most 255 octets of UTF-8.

        Raises:
            IdentifierError: It has none of the accepted forms.
        """
        given = text
        text = nfkc(utf8(text))
        require_length(text, given)
        if text.startswith("//"):
            sp_id, *segments = text[2:].split("/")
            text = "//" + "/".join([str(Fqdn.parse(sp_id)), *segments])
        elif text.startswith("/"):
            segments = text[1:].split("/")
        else:
            segments = [text]
            if "." in text and not text.startswith(("C", "S")):
                return cls(str(Fqdn.parse(text)))
        if not 1 <= len(segments) <= 2 or not all(map(_is_segment, segments)):
            raise IdentifierError(
                f"{shown(given)} is not an entity identifier: give a CSE-ID (/cse, //sp.example/cse), "
                "an AE-ID (Cstem, /cse/Cstem, //sp.example/cse/Cstem) or an FQDN"
            )
        require_length(text, given)  # A-labels are longer than what was given
        return cls(text)

    @property
    def kind(self) -> EntityKind:
        """CSE, AE or function: as declared, else by the form. ``/Sstem`` has the form of a CSE-ID."""
        if self.declared_kind is not None:
            return self.declared_kind
        if not self.text.startswith("/"):
            is_fqdn = "." in self.text and not self.text.startswith(("C", "S"))
            return EntityKind.FUNCTION if is_fqdn else EntityKind.AE
        depth = len(self.text.lstrip("/").split("/")) - self.text.startswith("//")
        return EntityKind.CSE if depth == 1 else EntityKind.AE

    @property
    def is_absolute(self) -> bool:
        """Whether it is an absolute CSE-ID or AE-ID (TS-0001 clause 7.2)."""
        return self.text.startswith("//")

    @property
    def is_surely_cse(self) -> bool:
        """Whether this can name nothing but a CSE.

        ``/Sstem`` and ``//sp.example/Sstem`` can be AE-IDs (TS-0001 table 7.2-1): a declaration decides.
        """
        is_ambiguous = self.declared_kind is None and self.text.rpartition("/")[2].startswith("S")
        return self.kind is EntityKind.CSE and not is_ambiguous

    def known_as(self, kind: EntityKind) -> EntityId:
        """The same identifier, with what it names declared."""
        return replace(self, declared_kind=kind)

    def seen_from(self, registrar: EntityId) -> EntityId:
        """The longest form that is known of this identifier where this CSE is (TS-0001 clause 7.2).

        An AE-ID-Stem that begins with ``C`` is one of the registrar's, one that begins with ``S`` one of its
        service provider's; an SP-relative identifier is one of its service provider's. All forms of one
        identity have one such form, and no two identities have the same. Where the registrar is known by an
        SP-relative identifier only, an absolute identifier is none of its service provider's.
        """
        provider = "/".join(registrar.text.split("/")[:3]) if registrar.text.startswith("//") else ""
        if self.text.startswith("//") or self.kind is EntityKind.FUNCTION:
            return self
        if self.text.startswith("/"):
            return replace(self, text=provider + self.text)
        home = provider if self.text.startswith("S") else registrar.text
        return replace(self, text=f"{home}/{self.text}")

    @property
    def domain_name(self) -> Fqdn | None:
        """The FQDN representation of an absolute identifier (TS-0001 clause 6.5.1.1), else None.

        ``//sp.example/cse`` is ``cse.sp.example``; ``//sp.example/cse/Cae`` is ``cae.cse.sp.example``.
        """
        if self.kind is EntityKind.FUNCTION:
            return Fqdn(self.text)
        if not self.text.startswith("//"):
            return None
        sp_id, *segments = self.text[2:].split("/")
        try:
            return Fqdn.parse(".".join([*reversed(segments), sp_id]))
        except IdentifierError:
            return None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class KeyIdentifier:
    """``relative@FQDN``: the one shape of KmId, KpsaId, KpmId, KeId, KcId and B-TID.

    An exported identifier (KeId, KcId, B-TID) has a relative part of 16 octets, which travels as base64
    (Release 1) or as hex digits (Release 3); both forms parse to equal values.

    Attributes:
        relative: The relative part; for exported identifiers 32 lower-case hex digits.
        fqdn: The FQDN of the function or stakeholder that issued the key.
    """

    relative: str
    fqdn: Fqdn

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Parse a key identifier; at most 255 octets.

        Raises:
            IdentifierError: Not of the form ``relative@FQDN``; the relative part may use letters, digits,
                ``.``, ``_`` and ``-`` (clauses 10.5, 10.6), or be 16 octets in base64 or hex.
        """
        given = text
        text = utf8(text)
        require_length(text, given)
        relative, at, domain = text.partition("@")
        if not at:
            raise IdentifierError(f"{shown(given)} is not a key identifier: relative@FQDN is expected")
        if _BASE64_RELATIVE.fullmatch(relative):
            octets = base64.b64decode(relative)
            if base64.b64encode(octets).decode("ascii") != relative:
                raise IdentifierError(f"{shown(given)} is not canonical base64")
            relative = octets.hex()
        elif _HEX_RELATIVE.fullmatch(relative):
            relative = relative.lower()
        elif not _NAMED_RELATIVE.fullmatch(relative):
            raise IdentifierError(
                f"{shown(given)} is not a key identifier: before the @ only letters, digits, '.', '_' "
                "and '-', or 16 octets in base64 or hex"
            )
        parsed = cls(relative, Fqdn.parse(domain))
        require_length(str(parsed), given)  # A-labels are longer than what was given
        return parsed

    @classmethod
    def parse_km_id(cls, text: str | bytes) -> Self:
        """Parse a KmId, whose relative part is not case-sensitive (TS-0003 clause 10.6)."""
        parsed = cls.parse(text)
        return cls(parsed.relative.lower(), parsed.fqdn)

    @classmethod
    def from_octets(cls, relative: bytes, fqdn: Fqdn) -> Self:
        """The identifier of an exported key, from its 16-octet relative part.

        Raises:
            IdentifierError: The relative part is not 16 octets long.
        """
        if len(relative) != RELATIVE_KEY_ID_OCTETS:
            raise IdentifierError(f"a relative key identifier has 16 octets, not {len(relative)}")
        return cls(relative.hex(), fqdn)

    @property
    def octets(self) -> bytes | None:
        """The 16-octet relative part of an exported identifier; None for a named one."""
        try:
            return bytes.fromhex(self.relative) if len(self.relative) == 32 else None
        except ValueError:
            return None

    @property
    def base64(self) -> str:
        """The Release 1 wire form (RFC 3548 base64 with padding); a named identifier is itself."""
        octets = self.octets
        encoded = None if octets is None else base64.b64encode(octets).decode("ascii")
        return str(self) if encoded is None else f"{encoded}@{self.fqdn}"

    @property
    def hex(self) -> str:
        """The Release 3 wire form (hexBinary, upper case as XML Schema writes it canonically)."""
        return f"{self.relative_hex}@{self.fqdn}"

    @property
    def relative_hex(self) -> str:
        """The relative part of ``hex``: RelativeKeyID as it is announced and asked for."""
        return self.relative if self.octets is None else self.relative.upper()

    def __str__(self) -> str:
        return f"{self.relative}@{self.fqdn}"


class CredentialType(enum.IntEnum):
    """The type part of a Credential-ID (TS-0003 clauses 10.4 and 12.3.2.1, sec:credIDTypeID)."""

    KPM_ID = 10
    KM_ID = 11
    KPSA_ID = 12
    """KpsaId or KcId."""
    ESPRIM_KEY_ID = 13
    """pairwiseESPrimKeyID."""
    ESDATA_ENCRYPTION_KEY_ID = 14
    ESDATA_WRAPPING_KEY_ID = 15
    ESDATA_SIGNATURE_KEY_ID = 16
    RAW_PUBLIC_KEY = 30
    DEVICE_CERTIFICATE = 31
    CSE_ID_CERTIFICATE = 32
    AE_ID_CERTIFICATE = 33
    NODE_ID_CERTIFICATE = 34
    ESDATA_ENCRYPTION_RAW_PUBLIC_KEY = 41
    ESDATA_ENCRYPTION_DEVICE_CERTIFICATE = 42
    ESDATA_ENCRYPTION_CSE_ID_CERTIFICATE = 43
    ESDATA_ENCRYPTION_AE_ID_CERTIFICATE = 44
    ESDATA_ENCRYPTION_NODE_ID_CERTIFICATE = 45
    ESDATA_SIGNATURE_RAW_PUBLIC_KEY = 51
    ESDATA_SIGNATURE_DEVICE_CERTIFICATE = 52
    ESDATA_SIGNATURE_CSE_ID_CERTIFICATE = 53
    ESDATA_SIGNATURE_AE_ID_CERTIFICATE = 54
    ESDATA_SIGNATURE_NODE_ID_CERTIFICATE = 55


@dataclass(frozen=True, slots=True)
class CredentialId:
    """``type-value``: globally names a credential (TS-0003 clause 10.4)."""

    type: CredentialType
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``11-km@maf.example.com``.

        Raises:
            IdentifierError: Unknown type part, or characters other than letters, digits, ``. _ - @``.
        """
        type_part, dash, value = text.partition("-")
        if not dash or not type_part.isascii() or not type_part.isdigit() or len(type_part) > 4:
            raise IdentifierError(f"{shown(text)} is not a Credential-ID: type-value is expected")
        try:
            credential_type = CredentialType(int(type_part))
        except ValueError as error:
            raise IdentifierError(f"{shown(text)}: no Credential-ID has the type {type_part}") from error
        if not _CREDENTIAL_VALUE.fullmatch(value):
            raise IdentifierError(f"{shown(text)} is not a Credential-ID: letters, digits, '. _ - @' only")
        return cls(credential_type, value)

    def __str__(self) -> str:
        return f"{self.type.value}-{self.value}"


class Suid(enum.IntEnum):
    """Security Usage Identifier: what a key may be used for (TS-0004 clause 6.3.4.2.39)."""

    PRE_PROVISIONED_MEF = 10
    PRE_PROVISIONED_MAF = 11
    PRE_PROVISIONED_SAEF = 12
    PRE_PROVISIONED_ESPRIM = 13
    PRE_PROVISIONED_ESDATA_ENCRYPTION = 14
    PRE_PROVISIONED_ESDATA_SIGNATURE = 15
    PROVISIONED_MAF = 21
    PROVISIONED_SAEF = 22
    PROVISIONED_ESPRIM = 23
    PROVISIONED_ESDATA_ENCRYPTION = 24
    PROVISIONED_ESDATA_SIGNATURE = 25
    MAF_SAEF = 32
    MAF_ESPRIM = 33
    MAF_ESDATA_ENCRYPTION = 34
    MAF_ESDATA_SIGNATURE = 35
    CERTIFICATE_MEF = 40
    CERTIFICATE_MAF = 41
    CERTIFICATE_SAEF = 42
    CERTIFICATE_ESPRIM = 43
    CERTIFICATE_ESDATA_ENCRYPTION = 44
    CERTIFICATE_ESDATA_SIGNATURE = 45
