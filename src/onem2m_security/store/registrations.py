"""The sealed table of client registrations; they have no secret, and the seal only binds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..identifiers import EntityId, Fqdn
from ..texts import shown
from .columns import array, key_identifier, microseconds, moment, optional, texts
from .records import ClientRegistration
from .schema import client_registrations
from .sealed_table import SealedTable


def _to_row(registration: ClientRegistration) -> tuple[object, ...]:
    return (
        registration.registration_id,
        registration.client.text,
        str(registration.admin_fqdn),
        array(registration.labels),
        microseconds(registration.issued),
        optional(microseconds, registration.expires),
        optional(str, registration.assigned_key_id),
    )


def _from_row(columns: Sequence[Any], _secret: bytes) -> ClientRegistration:
    registration_id, client, admin_fqdn, labels, issued, expires, assigned_key_id = columns
    return ClientRegistration(
        registration_id=registration_id,
        client=EntityId(client),
        admin_fqdn=Fqdn(admin_fqdn),
        labels=texts(labels),
        issued=moment(issued),
        expires=optional(moment, expires),
        assigned_key_id=optional(key_identifier, assigned_key_id),
    )


REGISTRATIONS: Final[SealedTable[ClientRegistration]] = SealedTable(
    client_registrations,
    "onem2m-security client registration",
    to_row=_to_row,
    from_row=_from_row,
    secret_of=lambda _: b"",
    name_of=lambda row: f"client registration {shown(row[0])}",
    remedy="remove it and register again",
)
