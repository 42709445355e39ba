"""Values to columns, and back: what the tables have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ..gba.keys import KeyChoice
from ..gba.subscriber import Guss, NafSettings
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..user_settings import as_list, of_list

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_as_json = json.JSONEncoder(separators=(",", ":")).encode
_From = TypeVar("_From")
_To = TypeVar("_To")


def microseconds(moment: datetime) -> int:
    """A moment as the database keeps it: whole microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The moment of a time in the database (UTC)."""
    return _EPOCH + timedelta(microseconds=value)


def optional(convert: Callable[[_From], _To], value: _From | None) -> _To | None:
    """What may be missing, on either side."""
    return None if value is None else convert(value)


def array(values: Sequence[object]) -> str:
    """A list as its JSON; an empty text for an empty one."""
    return _as_json([str(value) for value in values]) if values else ""


def entities(text: str) -> tuple[EntityId, ...]:
    """A list of identities, out of its column."""
    return tuple(map(EntityId, texts(text)))


def texts(text: str) -> tuple[Any, ...]:
    """A list of texts, out of its column."""
    return tuple(json.loads(text)) if text else ()


def key_identifier(text: str) -> KeyIdentifier:
    """The identifier of a key, out of its column: it was parsed before it was written."""
    relative, _, fqdn = text.rpartition("@")
    return KeyIdentifier(relative, Fqdn(fqdn))


def security_settings(guss: Guss) -> str:
    """The user security settings of a subscriber as their JSON."""
    nafs = [
        {
            "naf": str(settings.naf),
            "allowed": settings.allowed,
            "key": settings.key_choice.value,
            "lifetime": optional(timedelta.total_seconds, settings.lifetime),
        }
        | ({"uss": as_list(settings.uss)} if settings.uss else {})
        for settings in guss.nafs
    ]
    lifetime = optional(timedelta.total_seconds, guss.lifetime)
    return json.dumps({"gba_u": guss.gba_u, "lifetime": lifetime, "nafs": nafs}, separators=(",", ":"))


def guss(text: str) -> Guss:
    """The user security settings of a subscriber, out of their column."""
    value = json.loads(text)
    nafs = tuple(
        NafSettings(
            Fqdn(naf["naf"]),
            naf["allowed"],
            KeyChoice(naf["key"]),
            optional(_seconds, naf["lifetime"]),
            of_list(naf.get("uss", [])),
        )
        for naf in value["nafs"]
    )
    return Guss(nafs, value["gba_u"], optional(_seconds, value["lifetime"]))


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)
