"""Client registrations: their sealed table, and that part of a store. Their seals only bind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Row

from ..errors import RecordExistsError
from ..identifiers import EntityId, Fqdn
from ..texts import shown
from . import queries
from .columns import array, key_identifier, microseconds, moment, optional, texts
from .keeper import RingKeeper
from .records import ClientRegistration, is_registration_id
from .schema import client_registrations
from .sealed_table import SealedTable
from .worker import Worker


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


class RegisteredClients:
    """The client registrations of a store; methods raise StoreUnavailableError as all of the store do."""

    def __init__(self, keeper: RingKeeper, worker: Worker) -> None:
        """Work with the key ring and the thread of a store, which is one of these."""
        self._keeper = keeper
        self._worker = worker

    async def add_registration(
        self, registration: ClientRegistration, *, now: datetime | None = None
    ) -> None:
        """Store a client registration; it is on the disk when this returns. An expired one gives way to it.

        Raises:
            RecordExistsError: The registration_id is taken, or the client is registered for this stakeholder.
        """
        moment = microseconds(now or self._worker.clock.now())

        def insert(connection: Connection) -> None:
            row = REGISTRATIONS.row(registration, self._keeper.ring, self._keeper.kek_id(connection))
            if not queries.insert_registration(connection, row, moment):
                raise RecordExistsError(
                    f"{shown(registration.client)} is registered for {registration.admin_fqdn} already, or "
                    f"{shown(registration.registration_id)} is taken: update or remove that registration"
                )

        await self._worker.write(insert)

    async def find_registration(
        self, registration_id: str, *, now: datetime | None = None
    ) -> ClientRegistration | None:
        """The registration of this ClientRegID, unless it is expired; a text of another form names none.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        if not is_registration_id(registration_id):
            return None
        moment = microseconds(now or self._worker.clock.now())
        return await self._worker.read(
            lambda connection: self._registration(queries.registration(connection, registration_id, moment))
        )

    async def find_registration_of(
        self, client: EntityId, admin_fqdn: Fqdn, *, now: datetime | None = None
    ) -> ClientRegistration | None:
        """The registration of this client for this administrating stakeholder, unless it is expired.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        moment = microseconds(now or self._worker.clock.now())
        return await self._worker.read(
            lambda connection: self._registration(
                queries.registration_of(connection, client.text, str(admin_fqdn), moment)
            )
        )

    async def count_registrations(self, client: EntityId) -> int:
        """How many registrations of this client have not ended."""
        now = microseconds(self._worker.clock.now())
        return await self._worker.read(partial(queries.count_registrations, client=client.text, now=now))

    async def update_registration(self, registration: ClientRegistration) -> bool:
        """Overwrite the registration of the same registration_id; False if there is none.

        Raises:
            RecordExistsError: It would be the second one of its client for its stakeholder.
        """
        return await self._worker.write(
            lambda connection: queries.update_registration(
                connection,
                REGISTRATIONS.row(registration, self._keeper.ring, self._keeper.kek_id(connection)),
            )
        )

    async def remove_registration(self, registration_id: str) -> bool:
        """Remove a registration; whether it was there."""
        return await self._worker.write(partial(queries.delete_registration, registration_id=registration_id))

    def _registration(self, row: Row[Any] | None) -> ClientRegistration | None:
        return None if row is None else REGISTRATIONS.open(row, self._keeper.ring)
