"""The enrolment of a device in its own store: one sealed row, put in place with Kpm in one transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..release import Release
from . import queries
from .columns import array, entities, key_identifier, microseconds, moment
from .commands import LastCommand
from .keeper import RingKeeper
from .key_jobs import Addition, KeyJobs
from .keys import KEYS
from .records import (
    BootstrapInstruction,
    ByCard,
    ByCertificate,
    Enrolment,
    KeyKind,
    KeyRecord,
    label,
)
from .schema import enrolment
from .sealed_table import SealedTable
from .sealing import KeyRing
from .worker import Worker, result_of

_MICROSECOND = timedelta(microseconds=1)
_ONLY = 1
_SINCE: Final = "0004"
"""The migration that made the table."""

MEF_LABEL: Final = "mef="
TRANSPORT_LABEL: Final = "transport="
"""Where releases before the table kept, in the labels of Kpm, how the MEF is reached."""


def _to_row(kept: Enrolment) -> tuple[object, ...]:
    instruction, by = kept.instruction, kept.by
    return (
        _ONLY,
        str(kept.mef),
        kept.address,
        kept.transport,
        instruction.enrolee.text,
        array(instruction.targets),
        instruction.enrolment_expiry // _MICROSECOND,
        instruction.release.value,
        str(by) if isinstance(by, KeyIdentifier) else None,
        microseconds(by.ends) if isinstance(by, ByCertificate) else None,
    )


def _secret_of(kept: Enrolment) -> bytes:
    """Where the card is, which has no column."""
    return os.fsencode(kept.by.card) if isinstance(kept.by, ByCard) else b""


def _by(kpm_id: str | None, ends: int | None, card: bytes) -> KeyIdentifier | ByCertificate | ByCard:
    if kpm_id is not None:
        return key_identifier(kpm_id)
    return ByCard(Path(os.fsdecode(card))) if ends is None else ByCertificate(moment(ends))


def _from_row(columns: Sequence[Any], secret: bytes) -> Enrolment:
    _, mef, address, transport, enrolee, targets, expiry, release, kpm_id, ends = columns
    instruction = BootstrapInstruction(
        EntityId(enrolee), entities(targets), timedelta(microseconds=expiry), Release(release)
    )
    return Enrolment(Fqdn(mef), address, transport, instruction, _by(kpm_id, ends, secret))


ENROLMENT: Final[SealedTable[Enrolment]] = SealedTable(
    enrolment,
    "onem2m-security enrolment",
    to_row=_to_row,
    from_row=_from_row,
    secret_of=_secret_of,
    name_of=lambda row: f"the enrolment with {row[1]}",
    remedy="enrol it again",
)


class OwnEnrolment:
    """The enrolment of the device whose store this is.

    Methods raise StoreUnavailableError as those of the store do.

    Attributes:
        last_command: What the device carried out last of what its MEF commanded.
    """

    def __init__(self, keeper: RingKeeper, keys: KeyJobs, worker: Worker) -> None:
        """Work with the key ring and the thread of a store; see ``Store.enrolment``."""
        self.last_command = LastCommand(keeper, worker)
        self._keeper = keeper
        self._keys = keys
        self._worker = worker

    async def put(self, new: Enrolment, *, kpm: KeyRecord | None = None) -> None:
        """Keep an enrolment and its Kpm in place of any other, all in one transaction.

        Args:
            new: The enrolment.
            kpm: Kpm, for one by key. Every other Kpm goes, with what came of it.
        """

        def put(connection: Connection) -> None:
            kek_id = self._keeper.kek_id(connection)
            for key_id in queries.key_ids(connection, KeyKind.KPM.value):
                if kpm is None or key_id != str(kpm.key_id):
                    self._keys.remove(connection, KeyKind.KPM, key_id, descendants=True)
            if kpm is not None:
                result_of(*self._keys.add_all(connection, [Addition(kpm, replace=True)]))
            queries.put_enrolment(connection, ENROLMENT.row(new, self._keeper.ring, kek_id))

        await self._worker.write(put)

    async def find(self) -> Enrolment | None:
        """The enrolment of this device; None when there is none.

        Raises:
            RecordCorruptedError: The record does not open.
        """

        def find(connection: Connection) -> Enrolment | None:
            row = queries.enrolment_row(connection)
            return None if row is None else ENROLMENT.open(row, self._keeper.ring)

        return await self._worker.read(find)


def adopt(connection: Connection, ring: KeyRing, kek_id: bytes, before: str) -> None:
    """Read, once, what a release before the table kept in the labels of Kpm, or of Ke without a Kpm.

    Nothing is read where there was the table before this migration. A record that does not open is passed
    over: nobody can tell what it said.
    """
    if before < _SINCE and queries.enrolment_row(connection) is None:
        found = next(_by_kpm(connection, ring), None) or next(_by_certificate(connection, ring), None)
        if found is not None:
            queries.put_enrolment(connection, ENROLMENT.row(found, ring, kek_id))


def _by_kpm(connection: Connection, ring: KeyRing) -> Iterator[Enrolment]:
    for row in queries.keys_labelled(connection, KeyKind.KPM.value, MEF_LABEL):
        kpm = KEYS.opened(row, ring)
        if not isinstance(kpm, KeyRecord) or (instruction := BootstrapInstruction.of(kpm)) is None:
            continue
        address, transport = label(kpm.labels, MEF_LABEL), label(kpm.labels, TRANSPORT_LABEL)
        if address is not None and transport is not None:
            yield Enrolment(kpm.key_id.fqdn, address, transport, instruction, kpm.key_id)


def _by_certificate(connection: Connection, ring: KeyRing) -> Iterator[Enrolment]:
    """A device has the Ke of one Enrolee, itself, and no Kpm; the store of an MEF is not taken for one."""
    sources = queries.sources(connection, KeyKind.KE.value, 2)
    if len(sources) != 1 or sources[0] is None or queries.key_ids(connection, KeyKind.KPM.value):
        return
    opened = (
        KEYS.opened(row, ring) for row in queries.keys_of_source(connection, KeyKind.KE.value, sources[0])
    )
    records = [ke for ke in opened if isinstance(ke, KeyRecord) and ke.parent is None]
    for ke in sorted(records, key=lambda ke: ke.issued, reverse=True):
        instruction = BootstrapInstruction.of(ke)
        if instruction is not None and ke.expires is not None:
            yield Enrolment(ke.key_id.fqdn, None, None, instruction, ByCertificate(ke.expires))
