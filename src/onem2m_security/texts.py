"""Texts of strangers: normalised, bounded, and made safe to show."""

from __future__ import annotations

import unicodedata
from typing import Final

from .errors import IdentifierError

IDENTITY_MAX_OCTETS: Final = 255
"""The longest psk_identity this implementation sends or accepts, in octets (the TLS engine's bound)."""


def nfkc(text: str) -> str:
    """Normalise to Unicode Normalization Form KC, as every identifier is before use (10.3.2)."""
    return unicodedata.normalize("NFKC", text)


def shown(text: object) -> str:
    """Untrusted text made safe and short enough for an error message or a log line."""
    plain = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in plain[:80])
    return f"{plain!r}"


def utf8(text: str | bytes) -> str:
    """Text that came as octets, or as text already.

    Raises:
        IdentifierError: It is not UTF-8.
    """
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise IdentifierError(f"{shown(text)} is not UTF-8") from error


def require_length(text: str, given: str | bytes) -> None:
    """Check that an identifier can be a psk_identity.

    Raises:
        IdentifierError: It is empty, or longer than 255 octets.
    """
    if not 1 <= len(text.encode("utf-8", "surrogatepass")) <= IDENTITY_MAX_OCTETS:
        raise IdentifierError(f"{shown(given)} has not 1 to {IDENTITY_MAX_OCTETS} octets")
