"""Value types for keys: a secret that does not print itself, and a key with what is known about it.

Nothing here performs I/O. A Secret compares in constant time, shows a fingerprint instead of its octets, and
refuses to be pickled or formatted.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn, Self

from .errors import CredentialError
from .identifiers import CredentialId, CredentialType, EntityId, KeyIdentifier, Suid
from .user_settings import Uss

SECRET_MAX_OCTETS = 256
"""The longest symmetric key accepted, in octets (the TLS engine takes no longer PSK)."""

_FINGERPRINT_TAG = b"onem2m-security key fingerprint"
_FINGERPRINT_MIN_OCTETS = 16


class Secret:
    """Secret octets. ``reveal()`` is the only way to them."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        if not 1 <= len(octets) <= SECRET_MAX_OCTETS:
            raise CredentialError(f"a key has 1 to {SECRET_MAX_OCTETS} octets, not {len(octets)}")
        self._octets = bytes(octets)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key as people write it: hex digits, base64, or ``text:`` and the octets themselves in ASCII.

        ``hex:`` or ``base64:`` before it decides; without a prefix, an even number of hex digits is hex.
        Surrounding white space is ignored, but after ``text:`` only the end of the line is.

        Raises:
            CredentialError: None of these, or not 1 to 256 octets. The message never shows the text.
        """
        form, colon, rest = text.strip("\r\n").lstrip().partition(":")
        advice = "a key is written in hex digits or in base64 (hex:… or base64:…), or as it is after text:"
        if colon and form not in {"hex", "base64", "text"}:
            raise CredentialError(advice)
        try:
            if colon and form == "text":
                return cls(rest.encode("ascii"))
            body = "".join((rest if colon else form).split())
            is_hex = form == "hex" if colon else bool(re.fullmatch(r"([0-9A-Fa-f]{2})+", body))
            return cls(bytes.fromhex(body) if is_hex else base64.b64decode(body, validate=True))
        except (ValueError, binascii.Error) as error:
            raise (error if isinstance(error, CredentialError) else CredentialError(advice)) from None

    @classmethod
    def generate(cls, octets: int = 32) -> Self:
        """A new random key, from the operating system's generator."""
        return cls(secrets.token_bytes(octets))

    def reveal(self) -> bytes:
        """The octets themselves."""
        return self._octets

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell keys apart without revealing them: truncated SHA-256 over tag and key.

        A key shorter than 16 octets could be guessed from a fingerprint; it gives ``short-key`` instead.
        """
        if len(self._octets) < _FINGERPRINT_MIN_OCTETS:
            return "short-key"
        return hashlib.sha256(_FINGERPRINT_TAG + self._octets).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._octets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash((type(self), self.fingerprint))

    def __repr__(self) -> str:
        return f"<Secret {self.fingerprint}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Framework(enum.Enum):
    """Which security framework made a session (TS-0003 clauses 8.2, 8.3, 8.7, 8.8)."""

    SAEF_PSK = "saef-psk"
    SAEF_CERTIFICATE = "saef-certificate"
    SAEF_MAF = "saef-maf"
    SAEF_GBA = "saef-gba"
    MAF_HANDSHAKE = "maf-handshake"
    MEF_HANDSHAKE = "mef-handshake"
    """An Enrolment Target or an MEF client with its own key, TS-0003 clause 8.3.5.2.2."""
    BOOTSTRAP_PSK = "bootstrap-psk"
    BOOTSTRAP_CERTIFICATE = "bootstrap-certificate"
    BOOTSTRAP_GBA = "bootstrap-gba"
    ESCERTKE = "escertke"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedKey:
    """A symmetric key and all that is known about it: the answer of a resolver.

    Attributes:
        key_id: The identifier under which it was asked for, in canonical form.
        key: The key.
        framework: The framework that a session made with it belongs to.
        credential_type: The type part of the Credential-ID that it stands for.
        peer: Whom it authenticates: the CSE-ID, AE-ID or FQDN at the other end; None when not configured.
        expires: When it ends (UTC); None for no end of its own.
        suid: What it may be used for; None when not constrained.
        targets: For whom keys derived from it may be.
        credential: The identifier under which the credential itself is kept, whatever it was asked for by (a
            KmId, for a KeId too); None for one that is kept elsewhere, such as at a BSF.
        user_settings: What whoever provided the key says of the peer beside its identity (USS).
        ask_again: When whoever provided the key is to be asked about it again, by the monotonic clock
            (seconds); None for a key of our own.
    """

    key_id: KeyIdentifier
    key: Secret = field(repr=False)
    framework: Framework
    credential_type: CredentialType
    peer: EntityId | None = None
    expires: datetime | None = None
    suid: Suid | None = None
    targets: tuple[EntityId, ...] = ()
    credential: KeyIdentifier | None = None
    user_settings: tuple[Uss, ...] = ()
    ask_again: float | None = field(default=None, compare=False)

    @property
    def credential_id(self) -> CredentialId:
        """The Credential-ID of this key (clause 10.4), from the canonical identifier."""
        return CredentialId(self.credential_type, str(self.credential or self.key_id))
