"""Records to sealed rows, and back.

A row is opened before anything in it is believed: once the seal matches, its columns are the ones that were
written, and need no second parsing. This module sees no connection.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ..credentials import Secret
from ..errors import RecordCorruptedError
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid, shown
from .records import ClientRegistration, KeyKind, KeyRecord
from .schema import client_registrations, key_records
from .sealing import KeyRing, associated_data

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KEY_COLUMNS = tuple(key_records.c.keys())
_REGISTRATION_COLUMNS = tuple(client_registrations.c.keys())
_KEY_SEAL = "onem2m-security key"
_REGISTRATION_SEAL = "onem2m-security client registration"


def microseconds(moment: datetime) -> int:
    """A moment as the database keeps it: whole microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The moment of a time in the database (UTC)."""
    return _EPOCH + timedelta(microseconds=value)


def _optional(value: object) -> str | None:
    return None if value is None else str(value)


def _list(values: Sequence[object]) -> str:
    return json.dumps([str(value) for value in values], separators=(",", ":")) if values else ""


def _key_id(text: str) -> KeyIdentifier:
    relative, _, fqdn = text.rpartition("@")
    return KeyIdentifier(relative, Fqdn(fqdn))


def key_associated(row: Sequence[object]) -> bytes:
    """What the seal of a key covers: every column but the seal itself, which is the last."""
    return associated_data((_KEY_SEAL, *row[:-1]))


def registration_associated(row: Sequence[object]) -> bytes:
    """What the seal of a client registration covers: every column but the seal itself, which is the last."""
    return associated_data((_REGISTRATION_SEAL, *row[:-1]))


def _key_columns(record: KeyRecord) -> tuple[object, ...]:
    return (
        record.kind.value,
        str(record.key_id),
        None if record.source is None else record.source.text,
        _list(record.targets),
        _optional(record.alias),
        None if record.suid is None else int(record.suid),
        microseconds(record.issued),
        None if record.expires is None else microseconds(record.expires),
        _optional(record.parent),
        _optional(record.admin_fqdn),
        _list(record.labels),
    )


def key_columns(record: KeyRecord) -> dict[str, Any]:
    """The columns of a key's row but for its seal: what tells whether the row is still this record's."""
    return dict(zip(_KEY_COLUMNS[:-1], _key_columns(record), strict=True))


def key_row(record: KeyRecord, ring: KeyRing, kek_id: bytes) -> dict[str, Any]:
    """The row of a key, sealed under this KEK."""
    columns = _key_columns(record)
    sealed = ring.seal(kek_id, record.key.reveal(), associated_data((_KEY_SEAL, *columns)))
    return dict(zip(_KEY_COLUMNS, (*columns, sealed), strict=True))


def key_name(row: Sequence[object]) -> str:
    """A row of the table of keys, named for an error message."""
    return f"{row[0]} {shown(row[1])}"


def key_record(row: Sequence[Any], ring: KeyRing) -> KeyRecord:
    """Open a row of the table of keys, columns in the order of the schema.

    Raises:
        RecordCorruptedError: It does not open; the message names kind and key_id.
    """
    try:
        key = ring.open(row[-1], key_associated(row))
    except RecordCorruptedError as error:
        raise RecordCorruptedError(f"{key_name(row)}: {error}; remove it and provision it again") from None
    kind, key_id, source, targets, alias, suid, issued, expires, parent, admin_fqdn, labels, _ = row
    return KeyRecord(
        kind=KeyKind(kind),
        key_id=_key_id(key_id),
        key=Secret(key),
        source=None if source is None else EntityId(source),
        targets=tuple(map(EntityId, json.loads(targets))) if targets else (),
        alias=None if alias is None else _key_id(alias),
        suid=None if suid is None else Suid(suid),
        issued=moment(issued),
        expires=None if expires is None else moment(expires),
        parent=None if parent is None else _key_id(parent),
        admin_fqdn=None if admin_fqdn is None else Fqdn(admin_fqdn),
        labels=tuple(json.loads(labels)) if labels else (),
    )


def registration_row(registration: ClientRegistration, ring: KeyRing, kek_id: bytes) -> dict[str, Any]:
    """The row of a client registration, bound by a seal under this KEK."""
    columns = (
        registration.registration_id,
        registration.client.text,
        str(registration.admin_fqdn),
        _list(registration.labels),
        microseconds(registration.issued),
        None if registration.expires is None else microseconds(registration.expires),
        _optional(registration.assigned_key_id),
    )
    sealed = ring.seal(kek_id, b"", associated_data((_REGISTRATION_SEAL, *columns)))
    return dict(zip(_REGISTRATION_COLUMNS, (*columns, sealed), strict=True))


def registration_name(row: Sequence[object]) -> str:
    """A row of the table of client registrations, named for an error message."""
    return f"client registration {shown(row[0])}"


def client_registration(row: Sequence[Any], ring: KeyRing) -> ClientRegistration:
    """Open a row of the table of client registrations, columns in the order of the schema.

    Raises:
        RecordCorruptedError: It does not open; the message names the registration.
    """
    try:
        ring.open(row[-1], registration_associated(row))
    except RecordCorruptedError as error:
        raise RecordCorruptedError(
            f"{registration_name(row)}: {error}; remove it and register again"
        ) from None
    registration_id, client, admin_fqdn, labels, issued, expires, assigned_key_id, _ = row
    return ClientRegistration(
        registration_id=registration_id,
        client=EntityId(client),
        admin_fqdn=Fqdn(admin_fqdn),
        labels=tuple(json.loads(labels)) if labels else (),
        issued=moment(issued),
        expires=None if expires is None else moment(expires),
        assigned_key_id=None if assigned_key_id is None else _key_id(assigned_key_id),
    )
