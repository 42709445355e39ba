"""What an MEF commands its Enrolees, and what a device carried out last: durable, sealed and bounded.

An Enrolee's commands are a queue: the first that has not ended is the one that it is told. Only an operator
lengthens the queue, and what an Enrolee reports moves it on; each step is one transaction.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from ..errors import QuotaError
from ..identifiers import EntityId, Fqdn
from ..onem2m.commands import CommandDescription, CommandStatus
from ..texts import shown
from . import command_queries as queries
from .columns import microseconds, moment, optional
from .database import take_turn
from .keeper import RingKeeper
from .records import CarriedOut, MefCommand, is_registration_id
from .schema import last_command, mef_commands
from .sealed_table import SealedTable
from .worker import Outcome, Worker

PENDING_MAX: Final = 100
"""How many commands one Enrolee may have that have not ended."""

ENDED_MAX: Final = 100
"""How many of those that have ended are kept of one Enrolee, the newest."""

_ONLY = 1


def _to_row(command: MefCommand) -> tuple[object, ...]:
    return (
        command.command_id,
        command.enrolee.text,
        command.number,
        json.dumps(command.description.encode(), separators=(",", ":")),
        optional(int, command.status),
        microseconds(command.queued),
        optional(microseconds, command.issued),
        optional(microseconds, command.reissued),
        optional(microseconds, command.ended),
    )


def _from_row(columns: Sequence[Any], _secret: bytes) -> MefCommand:
    command_id, enrolee, number, description, status, queued, *times = columns
    issued, reissued, ended = (optional(moment, time) for time in times)
    return MefCommand(
        command_id,
        EntityId(enrolee),
        CommandDescription.decode(json.loads(description)),
        moment(queued),
        number,
        optional(CommandStatus, status),
        issued,
        reissued,
        ended,
    )


COMMANDS: Final[SealedTable[MefCommand]] = SealedTable(
    mef_commands,
    "onem2m-security mef command",
    to_row=_to_row,
    from_row=_from_row,
    secret_of=lambda _: b"",
    name_of=lambda row: f"command {shown(row[0])} for {shown(row[1])}",
    remedy="remove it and give it again",
)

LAST_COMMAND: Final[SealedTable[CarriedOut]] = SealedTable(
    last_command,
    "onem2m-security last command",
    to_row=lambda last: (_ONLY, str(last.mef), last.command_id, int(last.status)),
    from_row=lambda columns, _: CarriedOut(Fqdn(columns[1]), columns[2], CommandStatus(columns[3])),
    secret_of=lambda _: b"",
    name_of=lambda row: f"the last command of {row[1]}",
    remedy="enrol it again",
)


class MefCommands:
    """The commands of an MEF for its Enrolees.

    Methods raise StoreUnavailableError as those of the store do, and RecordCorruptedError for a record that
    does not open.
    """

    def __init__(self, keeper: RingKeeper, worker: Worker) -> None:
        """Work with the key ring and the thread of a store; see ``Store.commands``."""
        self._keeper = keeper
        self._worker = worker

    async def add(self, enrolee: EntityId, description: CommandDescription) -> MefCommand:
        """Put a command at the end of an Enrolee's queue; it is on the disk when this returns.

        Raises:
            QuotaError: PENDING_MAX of them wait already.
        """
        new = MefCommand(secrets.token_hex(16), enrolee, description, self._worker.clock.now())

        def add(connection: Connection) -> MefCommand:
            kek_id = self._keeper.kek_id(connection)
            take_turn(connection, f"commands of {enrolee.text}")
            if queries.count_pending(connection, enrolee.text) >= PENDING_MAX:
                raise QuotaError(f"{PENDING_MAX} commands wait for {enrolee}: remove some, or let it ask")
            numbered = replace(new, number=queries.last_number(connection, enrolee.text) + 1)
            queries.insert_command(connection, COMMANDS.row(numbered, self._keeper.ring, kek_id))
            return numbered

        return await self._worker.write(add)

    async def find(self, enrolee: EntityId, command_id: str) -> MefCommand | None:
        """The command of this Enrolee with this cmdID; a text of another form names none."""
        if not is_registration_id(command_id):
            return None

        def find(connection: Connection) -> MefCommand | None:
            row = queries.command(connection, command_id)
            return None if row is None else COMMANDS.open(row, self._keeper.ring)

        found = await self._worker.read(find)
        return found if found is not None and found.enrolee == enrolee else None

    async def pages(self) -> AsyncIterator[list[Outcome[MefCommand]]]:
        """All commands, in the order of Enrolees and of each one's queue, or why one does not open."""
        after = ("", 0)

        def page(connection: Connection) -> list[tuple[tuple[str, int], Outcome[MefCommand]]]:
            rows = queries.command_page(connection, after)
            return [((row.enrolee, row.number), COMMANDS.opened(row, self._keeper.ring)) for row in rows]

        while found := await self._worker.read(page):
            yield [outcome for _, outcome in found]
            after = found[-1][0]

    async def remove(self, command_id: str) -> bool:
        """Remove a command, however it stands; whether it was there."""
        return await self._worker.write(lambda connection: queries.delete_command(connection, command_id))

    async def issue(self, enrolee: EntityId) -> MefCommand | None:
        """The first command of an Enrolee that has not ended, as it is told now; None when there is none.

        That it is issued, or issued again, is on the disk when this returns.
        """
        now = self._worker.clock.now()

        def issue(connection: Connection) -> MefCommand | None:
            kek_id = self._keeper.kek_id(connection)
            row = queries.hold_first_pending(connection, enrolee.text)
            if row is None:
                return None
            found = COMMANDS.open(row, self._keeper.ring)
            if found.issued is None:
                told = replace(found, status=CommandStatus.ISSUED, issued=now)
            else:
                told = replace(found, status=CommandStatus.REISSUED, reissued=now)
            queries.update_command(connection, COMMANDS.row(told, self._keeper.ring, kek_id))
            return told

        return await self._worker.write(issue)

    async def end(self, enrolee: EntityId, command_id: str, status: CommandStatus) -> bool:
        """Keep what came of a command; False unless it was issued to this Enrolee and has not ended.

        Of the commands of one Enrolee that have ended, the newest ENDED_MAX stay.
        """
        now = self._worker.clock.now()

        def end(connection: Connection) -> bool:
            kek_id = self._keeper.kek_id(connection)
            row = queries.command(connection, command_id, hold=True)
            found = None if row is None else COMMANDS.open(row, self._keeper.ring)
            if found is None or found.enrolee != enrolee or found.issued is None or found.ended is not None:
                return False
            ended = replace(found, status=status, ended=now)
            queries.update_command(connection, COMMANDS.row(ended, self._keeper.ring, kek_id))
            queries.delete_oldest_ended(connection, enrolee.text, ENDED_MAX)
            return True

        return await self._worker.write(end)


class LastCommand:
    """The last command that the device whose store this is carried out."""

    def __init__(self, keeper: RingKeeper, worker: Worker) -> None:
        """Work with the key ring and the thread of a store; see ``OwnEnrolment.last_command``."""
        self._keeper = keeper
        self._worker = worker

    async def put(self, last: CarriedOut) -> None:
        """Keep it, in place of the one before; it is on the disk when this returns."""

        def put(connection: Connection) -> None:
            kek_id = self._keeper.kek_id(connection)
            queries.put_last_command(connection, LAST_COMMAND.row(last, self._keeper.ring, kek_id))

        await self._worker.write(put)

    async def find(self) -> CarriedOut | None:
        """It; None when there is none.

        Raises:
            RecordCorruptedError: The record does not open.
        """

        def find(connection: Connection) -> CarriedOut | None:
            row = queries.last_command_row(connection)
            return None if row is None else LAST_COMMAND.open(row, self._keeper.ring)

        return await self._worker.read(find)
