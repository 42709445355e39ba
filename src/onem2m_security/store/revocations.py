"""Revocation in the database: the number that says that there was one, and what must not come back.

Whoever removes or replaces a key that somebody is trusted by raises the number in the same transaction, in
whatever process; servers read it again and again, and look through their open sessions when it has changed.
A tombstone keeps a removed key from being made anew by itself, from an identifier that still leads to it
elsewhere. Functions take an open connection; those that change something want one in a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, tuple_, update

from .records import KeyKind
from .schema import key_records, tombstones, trust_state

GRACE_MICROSECONDS: Final = 24 * 3600 * 1_000_000
"""How long a tombstone stays after its end: a clock may have been wrong."""

TRUSTED_KINDS: Final = frozenset(kind.value for kind in (KeyKind.KPSA, KeyKind.KM, KeyKind.KPM, KeyKind.ZN))
"""The kinds of key that sessions are made with; Kc and Ke are made from sessions."""

_k = key_records.c
_t = tombstones.c
_REVISION = select(trust_state.c.revision)
_RAISE = update(trust_state).values(revision=trust_state.c.revision + 1)
_ANY_OF = select(exists().where(tuple_(_k.kind, _k.key_id).in_(bindparam("keys", expanding=True))))
_LIES = select(
    exists().where(_t.kind == bindparam("kind"), _t.key_id == bindparam("key_id"), _t.ends > bindparam("now"))
)


def revision(connection: Connection) -> int:
    """The number of the last revocation."""
    found: int = connection.execute(_REVISION).scalar_one()
    return found


def note(connection: Connection) -> None:
    """There is a revocation; who else revokes, and who holds still in ``lies_under``, waits for its end."""
    connection.execute(_RAISE)


def note_removed(connection: Connection, kind: str) -> None:
    """A key of this kind was removed."""
    if kind in TRUSTED_KINDS:
        note(connection)


def replaces_trusted(connection: Connection, rows: Iterable[dict[str, Any]]) -> bool:
    """Whether one of these rows would take the place of a key that somebody is trusted by."""
    keys = [(row["kind"], row["key_id"]) for row in rows if row["kind"] in TRUSTED_KINDS]
    return bool(keys) and bool(connection.execute(_ANY_OF, {"keys": keys}).scalar())


def bury(connection: Connection, kind: str, key_id: str, removed: str, *, ends: int, now: int) -> None:
    """Lay a tombstone; those whose time is long over go on this occasion."""
    connection.execute(delete(tombstones).where(_t.ends < now - GRACE_MICROSECONDS))
    connection.execute(delete(tombstones).where(_t.kind == kind, _t.key_id == key_id))
    connection.execute(insert(tombstones).values(kind=kind, key_id=key_id, removed=removed, ends=ends))


def lift(connection: Connection, kind: str, key_ids: Sequence[str]) -> bool:
    """Take away the tombstones of these identifiers, or of the keys that were removed; were there any?"""
    named = _t.key_id.in_(key_ids) | _t.removed.in_(key_ids)
    return connection.execute(delete(tombstones).where(_t.kind == kind, named)).rowcount > 0


def lies_under(connection: Connection, kind: str, key_id: str, *, now: int, hold: bool = False) -> bool:
    """Whether there is a tombstone for this identifier.

    Args:
        connection: A connection.
        kind: What the key is.
        key_id: By what it would come back.
        now: The moment that decides, in microseconds.
        hold: Keep it so until the end of the transaction: whoever revokes waits for us, or we for them.
    """
    if hold:
        connection.execute(_REVISION.with_for_update(read=True))
    return bool(connection.execute(_LIES, {"kind": kind, "key_id": key_id, "now": now}).scalar())
