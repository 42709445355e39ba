"""The SQL of an MEF's commands; what is inside a sealed row is not its business.

Functions take an open connection; those that hold or change something want one in a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, tuple_, update

from .schema import last_command, mef_commands

PAGE: Final = 500
"""Rows in one read of a long list."""

_c = mef_commands.c


def command(connection: Connection, command_id: str, *, hold: bool = False) -> Row[Any] | None:
    """The command with this identifier; held still until the end of the transaction, if asked to."""
    found = select(mef_commands).where(_c.command_id == command_id)
    return connection.execute(found.with_for_update() if hold else found).first()


def hold_first_pending(connection: Connection, enrolee: str) -> Row[Any] | None:
    """The first command of this Enrolee that has not ended, held still until the end of the transaction."""
    pending = select(mef_commands).where(_c.enrolee == enrolee, _c.ended.is_(None))
    return connection.execute(pending.order_by(_c.number).limit(1).with_for_update()).first()


def count_pending(connection: Connection, enrolee: str) -> int:
    """How many commands of this Enrolee have not ended."""
    pending = select(func.count()).where(_c.enrolee == enrolee, _c.ended.is_(None))
    return connection.execute(pending).scalar_one()


def last_number(connection: Connection, enrolee: str) -> int:
    """The number of this Enrolee's newest command; 0 when there is none."""
    return connection.execute(select(func.max(_c.number)).where(_c.enrolee == enrolee)).scalar() or 0


def command_page(connection: Connection, after: tuple[str, int]) -> Sequence[Row[Any]]:
    """The next commands, at most PAGE of them, in the order of Enrolees and of their numbers."""
    later = tuple_(_c.enrolee, _c.number) > tuple_(*after)
    return connection.execute(
        select(mef_commands).where(later).order_by(_c.enrolee, _c.number).limit(PAGE)
    ).all()


def insert_command(connection: Connection, row: dict[str, Any]) -> None:
    """Insert a command."""
    connection.execute(insert(mef_commands).values(row))


def update_command(connection: Connection, row: dict[str, Any]) -> None:
    """Overwrite the command of this identifier."""
    connection.execute(update(mef_commands).where(_c.command_id == row["command_id"]).values(row))


def delete_command(connection: Connection, command_id: str) -> bool:
    """Delete one command; whether it was there."""
    return connection.execute(delete(mef_commands).where(_c.command_id == command_id)).rowcount > 0


def delete_oldest_ended(connection: Connection, enrolee: str, keep: int) -> None:
    """Delete the commands of this Enrolee that ended, but for so many of the newest."""
    mine = (_c.enrolee == enrolee, _c.ended.is_not(None))
    newest = select(_c.command_id).where(*mine).order_by(_c.number.desc()).limit(keep)
    connection.execute(delete(mef_commands).where(*mine, _c.command_id.not_in(newest)))


def last_command_row(connection: Connection) -> Row[Any] | None:
    """The last command that the device whose store this is carried out."""
    return connection.execute(select(last_command)).first()


def put_last_command(connection: Connection, row: dict[str, Any]) -> None:
    """Keep the last command that the device carried out in place of the one before."""
    connection.execute(delete(last_command))
    connection.execute(insert(last_command).values(row))
