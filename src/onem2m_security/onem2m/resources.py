"""The resources of a MAF and an MEF as JSON: <symmKeyReg>, <mafClientReg> and <mefClientReg>.

Attribute names are the standard's (TS-0003 tables 8.8.2.3 to 8.8.2.9); short names come from the one table in
release.py. Decoding is strict: an unknown attribute, a wrong type or a wrong size is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..credentials import Secret
from ..errors import CredentialError, IdentifierError
from ..identifiers import EntityId, Fqdn, Suid
from ..release import SHORT_NAMES
from .primitives import RefusedError, Rsc, parse_timestamp, timestamp

MAX_LABELS = 16
MAX_LABEL_OCTETS = 128
MAX_TARGETS = 64


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes that requests carry; each is None when the request does not name it."""

    expiration_time: datetime | None = None
    labels: tuple[str, ...] | None = None
    admin_fqdn: Fqdn | None = None
    fqdn: Fqdn | None = None
    suid: Suid | None = None
    target_ids: tuple[EntityId, ...] | None = None
    key_value: Secret | None = field(default=None, repr=False)


def _text(value: object, limit: int = 255) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise ValueError(f"a text of 1 to {limit} characters is expected")
    return value


def _texts(value: object, count: int, limit: int) -> list[str]:
    if not isinstance(value, list) or len(value) > count:
        raise ValueError(f"a list of at most {count} is expected")
    return [_text(item, limit) for item in value]


def _suid(value: object) -> Suid:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a number is expected")
    return Suid(value)


def _key(value: object) -> Secret:
    return Secret(base64.b64decode(_text(value, 400), validate=True))


_DECODERS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    SHORT_NAMES["expirationTime"]: ("expiration_time", parse_timestamp),
    SHORT_NAMES["labels"]: ("labels", lambda v: tuple(_texts(v, MAX_LABELS, MAX_LABEL_OCTETS))),
    SHORT_NAMES["adminFQDN"]: ("admin_fqdn", lambda v: Fqdn.parse(_text(v))),
    SHORT_NAMES["fqdn"]: ("fqdn", lambda v: Fqdn.parse(_text(v))),
    SHORT_NAMES["SUID"]: ("suid", _suid),
    SHORT_NAMES["targetIDs"]: (
        "target_ids",
        lambda v: tuple(dict.fromkeys(EntityId.parse(item) for item in _texts(v, MAX_TARGETS, 255))),
    ),
    SHORT_NAMES["keyValue"]: ("key_value", _key),
}
_LONG_NAMES = {short: long for long, short in SHORT_NAMES.items()}


def decode(content: object, resource_name: str) -> Attributes:
    """Read the Content of a request: one object under the resource's name.

    Raises:
        RefusedError: BAD_REQUEST, naming the attribute and what is expected of it.
    """
    body = content.get(resource_name) if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(body, dict):
        raise RefusedError(Rsc.BAD_REQUEST, f"the content is not one JSON object under {resource_name!r}")
    decoded: dict[str, Any] = {}
    for short_name, value in body.items():
        if short_name not in _DECODERS:
            raise RefusedError(
                Rsc.BAD_REQUEST, f"{resource_name} has no attribute {str(short_name)[:40]!r} to set"
            )
        name, decoder = _DECODERS[short_name]
        try:
            decoded[name] = decoder(value)
        except (IdentifierError, CredentialError, binascii.Error, TypeError, ValueError) as error:
            reason = "not base64 of 1 to 256 octets" if name == "key_value" else str(error)
            raise RefusedError(Rsc.BAD_REQUEST, f"{_LONG_NAMES[short_name]}: {reason}") from None
    return Attributes(**decoded)


def encode(resource_name: str, **attributes: object) -> dict[str, Any]:
    """A resource as JSON values, from the standard's attribute names; None is left out."""
    body = {SHORT_NAMES[name]: _json(value) for name, value in attributes.items() if value is not None}
    return {resource_name: body}


def _json(value: object) -> object:
    match value:
        case datetime():
            return timestamp(value)
        case Secret():
            return base64.b64encode(value.reveal()).decode("ascii")
        case Suid():
            return int(value)
        case tuple():
            return [_json(item) for item in value]
        case _:
            return value if isinstance(value, (bool, int)) else str(value)
