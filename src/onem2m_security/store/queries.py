"""The SQL of keys, client registrations and seals, and the work of looking up and adding many.

``gba_queries`` has that of a BSF's tables, ``revocations`` that of revocation. Functions take an open
connection and rows or keys of rows; what is inside a sealed row is not their business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    desc,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg

from . import revocations
from .database import Insert, insert_into
from .schema import (
    SEALED_TABLES,
    client_registrations,
    enrolment,
    gba_contexts,
    key_records,
    sealing_state,
)

PAGE: Final = 500
"""Rows in one read of a long list, and identifiers in one query."""

KeyOfRow = tuple[str, str]
"""kind and key_id."""

_k = key_records.c
_r = client_registrations.c

_BY_KEY_ID = select(key_records).where(
    _k.kind == bindparam("kind"), _k.key_id.in_(bindparam("texts", expanding=True))
)
_HOLD_KEYS = {
    change: _BY_KEY_ID.order_by(_k.key_id).with_for_update(read=not change)  # one order for everybody
    for change in (False, True)
}
_BY_ALIAS = select(key_records).where(
    _k.kind == bindparam("kind"),
    _k.alias.in_(bindparam("texts", expanding=True)),
    or_(_k.expires.is_(None), _k.expires > bindparam("now")),
)
_COUNT_LIVE = {
    by_request: select(_k.source, func.count())
    .where(
        _k.kind == bindparam("kind"),
        _k.source.in_(bindparam("sources", expanding=True)),
        _k.admin_fqdn.is_not(None) if by_request else _k.admin_fqdn.is_(None),
        or_(_k.expires.is_(None), _k.expires > bindparam("now")),
    )
    .group_by(_k.source)
    for by_request in (False, True)
}
_BY_NAME = union_all(_BY_KEY_ID, _BY_ALIAS).order_by(desc("issued"))
_KEY_PAGE = (
    select(key_records)
    .where(_k.kind == bindparam("kind"), _k.key_id > bindparam("after"))
    .order_by(_k.key_id)
    .limit(PAGE)
)
_KEY_IDS_OF_SOURCE = select(_k.key_id).where(_k.kind == bindparam("kind"), _k.source == bindparam("source"))
_KEYS_OF_SOURCE = select(key_records).where(_k.kind == bindparam("kind"), _k.source == bindparam("source"))
_DELETE_KEY = delete(key_records).where(_k.kind == bindparam("b_kind"), _k.key_id == bindparam("b_key_id"))
_LIVE = or_(_r.expires.is_(None), _r.expires > bindparam("now"))
_REGISTRATION = select(client_registrations).where(_r.registration_id == bindparam("registration_id"), _LIVE)
_REGISTRATION_OF = select(client_registrations).where(
    _r.client == bindparam("client"), _r.admin_fqdn == bindparam("admin_fqdn"), _LIVE
)
_KEK_ID = select(sealing_state.c.kek_id)
_HOLD_KEK_ID = {change: _KEK_ID.with_for_update(read=not change) for change in (False, True)}


def keys_by_key_id(connection: Connection, kind: str, key_ids: Sequence[str]) -> Sequence[Row[Any]]:
    """The keys of a kind under these key_ids."""
    return connection.execute(_BY_KEY_ID, {"kind": kind, "texts": key_ids}).all()


def keys_by_name(connection: Connection, kind: str, names: Sequence[str], now: int) -> Sequence[Row[Any]]:
    """The keys of a kind under these key_ids and, unless they are expired, aliases; latest issued first.

    One statement, whatever there is: how long it takes does not tell by which of the two, or whether at all.
    A key that has both among the names comes twice.
    """
    return connection.execute(_BY_NAME, {"kind": kind, "texts": names, "now": now}).all()


def hold_keys(
    connection: Connection, kind: str, key_ids: Sequence[str], *, change: bool = False
) -> Sequence[Row[Any]]:
    """The keys of a kind under these key_ids, held still until the end of the transaction.

    Args:
        connection: A connection in a transaction that writes.
        kind: What the keys are.
        key_ids: Their identifiers.
        change: Whether the caller is about to change them, which waits for all who hold them.
    """
    return connection.execute(_HOLD_KEYS[change], {"kind": kind, "texts": key_ids}).all()


def key_page(connection: Connection, kind: str, after: str) -> Sequence[Row[Any]]:
    """The next keys of a kind, at most PAGE of them, in the order of key_id."""
    return connection.execute(_KEY_PAGE, {"kind": kind, "after": after}).all()


def key_ids_of_source(connection: Connection, kind: str, source: str) -> Sequence[str]:
    """The identifiers of all keys of a kind that authenticate this entity."""
    return connection.execute(_KEY_IDS_OF_SOURCE, {"kind": kind, "source": source}).scalars().all()


def keys_of_source(connection: Connection, kind: str, source: str) -> Sequence[Row[Any]]:
    """All keys of a kind that authenticate this entity: for kinds of which an entity has few."""
    return connection.execute(_KEYS_OF_SOURCE, {"kind": kind, "source": source}).all()


def key_ids(connection: Connection, kind: str) -> Sequence[str]:
    """The identifiers of all keys of a kind: for the store of a device, which has few."""
    return connection.execute(select(_k.key_id).where(_k.kind == kind)).scalars().all()


def keys_labelled(connection: Connection, kind: str, name: str) -> Sequence[Row[Any]]:
    """The keys of a kind with a label that begins with this name, in the order in which they were issued."""
    labelled = select(key_records).where(_k.kind == kind, _k.labels.contains(f'"{name}', autoescape=True))
    return connection.execute(labelled.order_by(_k.issued)).all()


def sources(connection: Connection, kind: str, most: int) -> Sequence[str | None]:
    """Whom the keys of a kind authenticate, at most so many of them."""
    return connection.execute(select(_k.source).where(_k.kind == kind).distinct().limit(most)).scalars().all()


def enrolment_row(connection: Connection) -> Row[Any] | None:
    """The enrolment of the device whose store this is."""
    return connection.execute(select(enrolment)).first()


def put_enrolment(connection: Connection, row: dict[str, Any]) -> None:
    """Keep the enrolment of the device in place of the one before."""
    connection.execute(delete(enrolment))
    connection.execute(insert(enrolment).values(row))


def _values(statement: Insert, table: Table) -> dict[str, Any]:
    return {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}


def _upsert_keys(dialect_name: str) -> Insert:
    statement = insert_into(dialect_name, key_records)
    return statement.on_conflict_do_update(
        index_elements=[_k.kind, _k.key_id], set_=_values(statement, key_records)
    )


_DIALECTS = ("sqlite", "postgresql")
_ADD_KEYS = {
    name: insert_into(name, key_records).on_conflict_do_nothing().returning(_k.kind, _k.key_id)
    for name in _DIALECTS
}
_PUT_KEYS = {
    (name, replace): str((_upsert_keys(name) if replace else insert(key_records)).compile(dialect=dialect()))
    for name, dialect in (("sqlite", sqlite.dialect), ("postgresql", psycopg.dialect))
    for replace in (False, True)
}
_REGISTRATION_INSERTS = {
    name: insert_into(name, client_registrations).on_conflict_do_nothing().returning(_r.registration_id)
    for name in _DIALECTS
}


def add_keys(connection: Connection, rows: list[dict[str, Any]]) -> set[KeyOfRow]:
    """Insert rows of distinct keys where there is none yet; the keys that were inserted."""
    return {(kind, key_id) for kind, key_id in connection.execute(_ADD_KEYS[connection.dialect.name], rows)}


def put_keys(connection: Connection, rows: list[dict[str, Any]], *, replace: bool) -> None:
    """Insert all rows, the cheapest way; without replace, IntegrityError if one of the keys is there."""
    dialect = connection.dialect
    parameters: Any = [tuple(row.values()) for row in rows] if dialect.positional else rows
    revokes = replace and revocations.replaces_trusted(connection, rows)
    connection.exec_driver_sql(_PUT_KEYS[dialect.name, replace], parameters)
    if revokes:
        revocations.note(connection)


def delete_key(connection: Connection, kind: str, key_id: str) -> bool:
    """Delete one key; whether it was there."""
    if connection.execute(_DELETE_KEY, {"b_kind": kind, "b_key_id": key_id}).rowcount == 0:
        return False
    revocations.note_removed(connection, kind)
    return True


def update_key(connection: Connection, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Put the new row in the place of the one with exactly these columns; whether there was such a one."""
    unaltered = [_k[name].is_not_distinct_from(value) for name, value in old.items()]
    same = (_k.kind == old["kind"], _k.key_id == old["key_id"])
    if connection.execute(update(key_records).where(*same, *unaltered).values(new)).rowcount == 0:
        return False
    revocations.note_removed(connection, old["kind"])
    return True


def delete_descendants(connection: Connection, key_id: str, *, parents: Sequence[str]) -> None:
    """Delete every key, of any kind, whose chain of parents leads to this key_id.

    Args:
        connection: A connection in a transaction that writes.
        key_id: Where the chains lead; the key itself is not touched.
        parents: The kinds of keys that others are stored under the lock of: whoever is about to store one
            below such a key is waited for, so that it is seen and deleted too.
    """
    tree = select(literal(key_id).label("key_id")).cte("tree", recursive=True)
    tree = tree.union(select(_k.key_id).where(_k.parent == tree.c.key_id))
    below = _k.parent.in_(select(tree.c.key_id))
    connection.execute(select(_k.key_id).where(below, _k.kind.in_(parents)).with_for_update()).all()
    gone = connection.execute(delete(key_records).where(below).returning(_k.kind))
    if not revocations.TRUSTED_KINDS.isdisjoint(gone.scalars()):
        revocations.note(connection)


def count_live(
    connection: Connection, kind: str, sources: Sequence[str], now: int, *, by_request: bool
) -> dict[str, int]:
    """How many keys of each entity have not ended: with an administrating stakeholder, or without.

    An entity that has none is not among them.
    """
    parameters = {"kind": kind, "sources": sources, "now": now}
    return {source: count for source, count in connection.execute(_COUNT_LIVE[by_request], parameters)}  # noqa: C416 - rows


def delete_oldest(connection: Connection, kind: str, source: str, keep: int) -> int:
    """Delete the oldest keys without an administrating stakeholder, but for so many; how many."""
    mine = (_k.kind == kind, _k.source == source, _k.admin_fqdn.is_(None))
    newest = select(_k.key_id).where(*mine).order_by(_k.issued.desc()).limit(keep)
    return connection.execute(delete(key_records).where(*mine, _k.key_id.not_in(newest))).rowcount


def delete_expired(connection: Connection, now: int) -> int:
    """Delete what ended at or before now, at most PAGE of each kind of record; how many."""
    contexts = select(gba_contexts.c.b_tid).where(gba_contexts.c.expires <= now).limit(PAGE)
    keys = select(_k.kind, _k.key_id).where(_k.expires <= now).limit(PAGE)
    registrations = select(_r.registration_id).where(_r.expires <= now).limit(PAGE)
    return (
        connection.execute(delete(key_records).where(tuple_(_k.kind, _k.key_id).in_(keys))).rowcount
        + connection.execute(
            delete(client_registrations).where(_r.registration_id.in_(registrations))
        ).rowcount
        + connection.execute(delete(gba_contexts).where(gba_contexts.c.b_tid.in_(contexts))).rowcount
    )


def registration(connection: Connection, registration_id: str, now: int) -> Row[Any] | None:
    """The registration of this identifier, unless it is expired."""
    return connection.execute(_REGISTRATION, {"registration_id": registration_id, "now": now}).first()


def registration_of(connection: Connection, client: str, admin_fqdn: str, now: int) -> Row[Any] | None:
    """The registration of this client for this stakeholder, unless it is expired."""
    return connection.execute(
        _REGISTRATION_OF, {"client": client, "admin_fqdn": admin_fqdn, "now": now}
    ).first()


def count_registrations(connection: Connection, client: str, now: int) -> int:
    """How many registrations of a client have not ended."""
    live = or_(_r.expires.is_(None), _r.expires > now)
    statement = select(func.count()).where(_r.client == client, live)
    return connection.execute(statement).scalar_one()


def insert_registration(connection: Connection, row: dict[str, Any], now: int) -> bool:
    """Insert a registration, in place of expired ones; False if there is a live one of this id or client."""
    same = or_(
        _r.registration_id == row["registration_id"],
        and_(_r.client == row["client"], _r.admin_fqdn == row["admin_fqdn"]),
    )
    connection.execute(delete(client_registrations).where(same, _r.expires <= now))
    return connection.execute(_REGISTRATION_INSERTS[connection.dialect.name], row).first() is not None


def update_registration(connection: Connection, row: dict[str, Any]) -> bool:
    """Overwrite the registration of this identifier; whether it was there."""
    statement = update(client_registrations).where(_r.registration_id == row["registration_id"]).values(row)
    return connection.execute(statement).rowcount > 0


def delete_registration(connection: Connection, registration_id: str) -> bool:
    """Delete one registration; whether it was there."""
    statement = delete(client_registrations).where(_r.registration_id == registration_id)
    return connection.execute(statement).rowcount > 0


def kek_id(connection: Connection, *, change: bool = False) -> bytes | None:
    """The KEK that seals new records, held still until the end of the transaction; None in a new store.

    Args:
        connection: A connection in a transaction that writes.
        change: Whether the caller is about to change it, which waits for all who are writing.
    """
    found: bytes | None = connection.execute(_HOLD_KEK_ID[change]).scalar()
    return found


def peek_kek_id(connection: Connection) -> bytes | None:
    """The KEK that seals new records at this moment, for a connection that only reads."""
    found: bytes | None = connection.execute(_KEK_ID).scalar()
    return found


def set_kek_id(connection: Connection, new: bytes) -> None:
    """Say which KEK seals new records from now on."""
    # The row is changed in place: in PostgreSQL, whoever waits for its lock would miss one made anew.
    if connection.execute(update(sealing_state).values(kek_id=new)).rowcount == 0:
        connection.execute(insert(sealing_state).values(only=1, kek_id=new))


def kek_ids_in_use(connection: Connection, at: int, octets: int) -> set[bytes]:
    """The KEK ids in all seals, given where they are in a seal; reads every row."""
    used: set[bytes] = set()
    for table in SEALED_TABLES:
        kek_id_of_row = func.substr(table.c.sealed, at + 1, octets)  # SQL counts from 1
        used.update(connection.execute(select(kek_id_of_row).distinct()).scalars())
    return used


def holds_records(connection: Connection) -> bool:
    """Whether there is any sealed record, or any mark that there were some."""
    tables = (*SEALED_TABLES, sealing_state)
    return any(connection.execute(select(exists(select(table)))).scalar() for table in tables)


def reseal(connection: Connection, table: Table, resealed: Callable[[Row[Any]], bytes]) -> int:
    """Give every row of a table a new seal, PAGE rows at a time; how many there were."""
    primary_key = list(table.primary_key.columns)
    names = [f"b_{column.name}" for column in primary_key]
    pages = select(table).order_by(*primary_key).limit(PAGE)
    statement = (
        update(table)
        .where(*(column == bindparam(name) for column, name in zip(primary_key, names, strict=True)))
        .values(sealed=bindparam("b_sealed"))
    )
    count = 0
    rows: Iterable[Row[Any]] = connection.execute(pages).all()
    while rows:
        changes = [dict(zip(names, row, strict=False), b_sealed=resealed(row)) for row in rows]
        connection.execute(statement, changes)
        count += len(changes)
        last = tuple_(*(literal(changes[-1][name]) for name in names))
        rows = connection.execute(pages.where(tuple_(*primary_key) > last)).all()
    return count
