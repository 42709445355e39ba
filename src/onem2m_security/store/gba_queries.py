"""The SQL of subscribers and bootstrappings; what is inside a sealed row is not its business.

Functions take an open connection; those that hold or change something want one in a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from .database import insert_into
from .schema import gba_contexts, gba_subscribers

PAGE: Final = 500
"""Rows in one read of a long list."""

_s = gba_subscribers.c
_c = gba_contexts.c
_SUBSCRIBERS = (
    select(gba_subscribers)
    .where(_s.impi.in_(bindparam("texts", expanding=True)))
    .order_by(_s.impi)  # one order of locking for everybody
)
_HOLD_SUBSCRIBERS = {change: _SUBSCRIBERS.with_for_update(read=not change) for change in (False, True)}
_SUBSCRIBER_PAGE = select(gba_subscribers).where(_s.impi > bindparam("after")).order_by(_s.impi).limit(PAGE)
_SET_SQN = (
    update(gba_subscribers)
    .where(_s.impi == bindparam("b_impi"))
    .values(sqn=bindparam("b_sqn"), sealed=bindparam("b_sealed"))
)
_RANKED = (
    select(_c.b_tid, func.row_number().over(partition_by=_c.impi, order_by=_c.issued.desc()).label("rank"))
    .where(_c.impi.in_(bindparam("texts", expanding=True)))
    .subquery()
)
_DELETE_OLDEST = delete(gba_contexts).where(
    _c.b_tid.in_(select(_RANKED.c.b_tid).where(_RANKED.c.rank > bindparam("keep")))
)
_CONTEXTS = select(gba_contexts).where(_c.b_tid.in_(bindparam("texts", expanding=True)))

_NEWEST = (
    select(gba_contexts).where(_c.impi == bindparam("impi")).order_by(_c.issued.desc(), _c.b_tid).limit(1)
)


def subscriber(connection: Connection, impi: str) -> Row[Any] | None:
    """The subscriber of this IMPI."""
    return connection.execute(_SUBSCRIBERS, {"texts": [impi]}).first()


def hold_subscribers(
    connection: Connection, impis: Collection[str], *, change: bool = False
) -> Sequence[Row[Any]]:
    """The subscribers of these IMPIs, held still until the end of the transaction.

    Args:
        connection: A connection in a transaction that writes.
        impis: Whom.
        change: Whether the caller is about to change them, which waits for all who hold them.
    """
    return connection.execute(_HOLD_SUBSCRIBERS[change], {"texts": list(impis)}).all()


def subscriber_page(connection: Connection, after: str) -> Sequence[Row[Any]]:
    """The next subscribers, at most PAGE of them, in the order of their IMPIs."""
    return connection.execute(_SUBSCRIBER_PAGE, {"after": after}).all()


def insert_subscriber(connection: Connection, row: dict[str, Any]) -> None:
    """Insert a subscriber."""
    connection.execute(insert_into(connection.dialect.name, gba_subscribers), row)


def update_subscriber(connection: Connection, row: dict[str, Any]) -> None:
    """Overwrite the subscriber of this IMPI."""
    connection.execute(update(gba_subscribers).where(_s.impi == row["impi"]).values(row))


def set_sequence_numbers(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Give subscribers the sequence numbers of these rows, and their seals."""
    if rows:
        parameters = [{f"b_{name}": row[name] for name in ("impi", "sqn", "sealed")} for row in rows]
        connection.execute(_SET_SQN, parameters)


def delete_subscriber(connection: Connection, impi: str) -> bool:
    """Delete one subscriber and its bootstrappings; whether it was there."""
    end_bootstrappings(connection, impi)
    return connection.execute(delete(gba_subscribers).where(_s.impi == impi)).rowcount > 0


def bootstrappings(connection: Connection, b_tids: Collection[str]) -> Sequence[Row[Any]]:
    """The bootstrappings with these B-TIDs."""
    return connection.execute(_CONTEXTS, {"texts": list(b_tids)}).all()


def newest_bootstrapping(connection: Connection, impi: str) -> Row[Any] | None:
    """The newest bootstrapping of a subscriber."""
    return connection.execute(_NEWEST, {"impi": impi}).first()


def insert_bootstrappings(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Insert bootstrappings but for those whose B-TID is in use; the B-TIDs of those that were inserted."""
    if not rows:
        return set()
    statement = insert_into(connection.dialect.name, gba_contexts).on_conflict_do_nothing()
    return set(connection.execute(statement.returning(_c.b_tid), rows).scalars())


def delete_oldest(connection: Connection, impis: Collection[str], keep: int) -> None:
    """Delete the oldest bootstrappings of each of these subscribers, but for so many."""
    connection.execute(_DELETE_OLDEST, {"texts": list(impis), "keep": keep})


def end_bootstrappings(connection: Connection, impi: str) -> None:
    """Delete all bootstrappings of a subscriber."""
    connection.execute(delete(gba_contexts).where(_c.impi == impi))


def delete_bootstrapping(connection: Connection, b_tid: str) -> bool:
    """Delete one bootstrapping; whether it was there."""
    return connection.execute(delete(gba_contexts).where(_c.b_tid == b_tid)).rowcount > 0
