"""The sealed table of keys: one row for each, of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..credentials import Secret
from ..identifiers import EntityId, Fqdn, Suid
from ..texts import shown
from .columns import array, entities, key_identifier, microseconds, moment, optional, texts
from .records import KeyKind, KeyRecord
from .schema import key_records
from .sealed_table import SealedTable


def _to_row(record: KeyRecord) -> tuple[object, ...]:
    return (
        record.kind.value,
        str(record.key_id),
        optional(str, record.source),
        array(record.targets),
        optional(str, record.alias),
        optional(int, record.suid),
        microseconds(record.issued),
        optional(microseconds, record.expires),
        optional(str, record.parent),
        optional(str, record.admin_fqdn),
        array(record.labels),
    )


def _from_row(columns: Sequence[Any], secret: bytes) -> KeyRecord:
    kind, key_id, source, targets, alias, suid, issued, expires, parent, admin_fqdn, labels = columns
    return KeyRecord(
        kind=KeyKind(kind),
        key_id=key_identifier(key_id),
        key=Secret(secret),
        source=optional(EntityId, source),
        targets=entities(targets),
        alias=optional(key_identifier, alias),
        suid=optional(Suid, suid),
        issued=moment(issued),
        expires=optional(moment, expires),
        parent=optional(key_identifier, parent),
        admin_fqdn=optional(Fqdn, admin_fqdn),
        labels=texts(labels),
    )


KEYS: Final[SealedTable[KeyRecord]] = SealedTable(
    key_records,
    "onem2m-security key",
    to_row=_to_row,
    from_row=_from_row,
    secret_of=lambda record: record.key.reveal(),
    name_of=lambda row: f"{row[0]} {shown(row[1])}",
    remedy="remove it and provision it again",
)
