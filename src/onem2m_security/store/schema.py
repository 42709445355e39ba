"""The tables, as SQLAlchemy Core sees them; ``migrations`` makes them.

Times are microseconds since 1970-01-01 UTC. Identifiers are their canonical text, lists are JSON arrays
(empty text for an empty list). ``sealed`` holds the key, encrypted and bound to every other column of its
row; a registration has no secret, and its seal only binds. Nothing here opens a connection.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

HEAD: Final = "0006"
"""The migration that these tables are the result of."""

metadata = MetaData()

key_records = Table(
    "key_records",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("source", Text),
    Column("targets", Text, nullable=False),
    Column("alias", Text),
    Column("suid", Integer),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("parent", Text),
    Column("admin_fqdn", Text),
    Column("labels", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

# Partial where most rows have no value: a million keys without an alias cost the index nothing.
for _name, _columns in (
    ("alias", (key_records.c.kind, key_records.c.alias)),
    ("parent", (key_records.c.parent,)),
    ("expires", (key_records.c.expires,)),
):
    _present = _columns[-1].is_not(None)
    Index(f"key_records_{_name}", *_columns, sqlite_where=_present, postgresql_where=_present)
Index("key_records_source", key_records.c.kind, key_records.c.source)

client_registrations = Table(
    "client_registrations",
    metadata,
    Column("registration_id", Text, primary_key=True),
    Column("client", Text, nullable=False),
    Column("admin_fqdn", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("assigned_key_id", Text),
    Column("sealed", LargeBinary, nullable=False),
    Index("client_registrations_client", "client", "admin_fqdn", unique=True),
    sqlite_with_rowid=False,
)

gba_subscribers = Table(
    "gba_subscribers",
    metadata,
    Column("impi", Text, primary_key=True),
    Column("algorithm", Text, nullable=False),
    Column("amf", Integer, nullable=False),
    Column("sqn", BigInteger, nullable=False),
    Column("barred", Integer, nullable=False),
    Column("guss", Text, nullable=False),
    Column("entity", Text),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""A BSF's subscribers; ``sealed`` holds K || OPc."""

gba_contexts = Table(
    "gba_contexts",
    metadata,
    Column("b_tid", Text, primary_key=True),
    Column("impi", Text, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("gba_u", Integer, nullable=False),
    Column("guss", Text, nullable=False),
    Column("entity", Text),
    Column("sealed", LargeBinary, nullable=False),
    Index("gba_contexts_impi", "impi"),
    Index("gba_contexts_expires", "expires"),
    sqlite_with_rowid=False,
)
"""The bootstrappings of a BSF; ``sealed`` holds Ks."""

enrolment = Table(
    "enrolment",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("mef", Text, nullable=False),
    Column("address", Text),
    Column("transport", Text),
    Column("enrolee", Text, nullable=False),
    Column("targets", Text, nullable=False),
    Column("enrolment_expiry", BigInteger, nullable=False),
    Column("release", Integer, nullable=False),
    Column("kpm_id", Text),
    Column("ends", BigInteger),
    Column("sealed", LargeBinary, nullable=False),
)
"""One row at most: the enrolment of the device whose store this is; its seal only binds."""

mef_commands = Table(
    "mef_commands",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("enrolee", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("status", Integer),
    Column("queued", BigInteger, nullable=False),
    Column("issued", BigInteger),
    Column("reissued", BigInteger),
    Column("ended", BigInteger),
    Column("sealed", LargeBinary, nullable=False),
    Index("mef_commands_enrolee", "enrolee", "number", unique=True),
    sqlite_with_rowid=False,
)
"""The commands that an MEF has and had for its Enrolees, numbered for each of them; their seals only bind."""

last_command = Table(
    "last_command",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("mef", Text, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""One row at most: the last command that the device whose store this is carried out; its seal only binds."""

sealing_state = Table(
    "sealing_state",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("kek_id", LargeBinary, nullable=False),
)
"""One row: the KEK that seals new records. Writers read it under a lock, so that a rekey never misses one."""

trust_state = Table(
    "trust_state",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
"""One row: a number that is raised with every removal or replacement of a key that somebody is trusted by."""

credential_state = Table(
    "credential_state",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
)
"""One row: with SQLite, a number that triggers raise with every change to a Km or a Kpm, whoever makes it.
While it is the same, what is remembered of them is what the database says."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("removed", Text, nullable=False),
    Column("ends", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Identifiers by which a removed key, ``removed``, must not come back by itself before ``ends``."""

SEALED_TABLES: Final = (
    key_records,
    client_registrations,
    gba_subscribers,
    gba_contexts,
    enrolment,
    mef_commands,
    last_command,
)
"""The tables with a sealed column: those that a rekey goes through."""
