"""The database under the store: which one, how it is opened, and what its errors mean.

SQLite in the data directory by default (write-ahead log, every commit synced), PostgreSQL through psycopg 3
by URL. This module knows both dialects so that no other has to. It never sees a record.
"""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
)
from sqlalchemy.pool import NullPool

from ..errors import (
    ConfigurationError,
    RecordExistsError,
    SecurityFrameworkError,
    StoreError,
    StoreUnavailableError,
)
from ..files import PRIVATE_MODE
from .schema import HEAD

DATABASE_FILE: Final = "store.db"

LOCK_WAIT: Final = 0.025
"""Seconds that one attempt waits for a lock; the worker tries again, and serves reads in between."""

_DIRECTORY_MODE = 0o700
_CACHE_KIBIBYTES = 65_536  # random identifiers spread over the indexes of a million keys
_MIGRATION_LOCK = 0x6F6E654D324D  # "oneM2M": the PostgreSQL advisory lock under which one process migrates
_SQLITE_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_POSTGRESQL_LOCKED = {"55P03", "40001", "40P01"}  # lock not available, serialization failure, deadlock
_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it is read-only: make the data directory and its files writable",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that the data directory exists and is writable",
    sqlite3.SQLITE_IOERR: "the disk does not read or write: check it",
    sqlite3.SQLITE_CORRUPT: "its file is damaged: restore a backup",
    sqlite3.SQLITE_NOTADB: "its file is not a database: restore a backup",
}

_SUPPORTED = {("sqlite", "pysqlite"), ("postgresql", "psycopg")}

Insert = sqlite.Insert | postgresql.Insert


def prepare_directory(data: Path, *, make: bool) -> None:
    """Check the data directory.

    Args:
        data: The data directory.
        make: Whether to make it, mode 0700, if it is not there.

    Raises:
        ConfigurationError: It cannot be made, is no directory, or others may write into it.
    """
    try:
        if make:
            data.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        mode = data.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"the data directory {data} cannot be used: {error.strerror}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"others may write into the data directory {data}: run chmod 700 {data}")


def engine_for(data: Path, url: str | None, patience: float, *, existing: bool = False) -> Engine:
    """An engine for the SQLite file in the data directory, or for the database that the URL names.

    Args:
        data: The data directory.
        url: A SQLAlchemy URL of SQLite or PostgreSQL; None for the file in the data directory.
        patience: Seconds to wait for a PostgreSQL server to answer.
        existing: Whether the file in the data directory is there already. It may be on a disk that cannot
            be written, and is only read then.

    Raises:
        ConfigurationError: The URL is none, or names a database that is not supported or not installed.
    """
    try:
        parsed = _url_of(data / DATABASE_FILE, existing=existing) if url is None else make_url(url)
        dialect = parsed.get_backend_name()
        if (dialect, parsed.get_driver_name()) not in _SUPPORTED:
            raise ConfigurationError(
                f"a store on {parsed.drivername} is not supported: use sqlite:///path or postgresql://…"
            )
        arguments = _sqlite_arguments() if dialect == "sqlite" else _postgresql_arguments(parsed, patience)
        engine = create_engine(parsed, connect_args=arguments, poolclass=NullPool, hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ValueError):
        # The text may hold a password: it is not shown.
        raise ConfigurationError(
            "the URL of the store is no SQLAlchemy URL: sqlite:/// or postgresql://"
        ) from None
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: install onem2m-security[postgresql]"
        ) from error
    if dialect == "sqlite":
        if parsed.database in {None, "", ":memory:"}:
            raise ConfigurationError("a store in memory would lose its keys: give a file, sqlite:///path")
        if not parsed.query.get("uri"):
            _create_private(Path(str(parsed.database)))
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def _url_of(path: Path, *, existing: bool) -> URL:
    if not existing or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return URL.create("sqlite", database=str(path))
    log, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if log.exists() and not index.exists():
        raise ConfigurationError(
            f"{log} cannot be read without {index}, nor on a disk that cannot be written: copy the directory"
        )
    # The log belongs to the database; without it nobody is writing, and nothing else needs to be looked at.
    query = {"uri": "true", "mode": "ro"} | ({} if log.exists() else {"immutable": "1"})
    return URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)


def _create_private(path: Path) -> None:
    """An empty database file that others cannot read; SQLite gives the log beside it the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE))
    except PermissionError:
        if not path.exists():
            raise ConfigurationError(f"the database {path} cannot be created: permission denied") from None
    except OSError as error:
        raise ConfigurationError(f"the database {path} cannot be used: {error.strerror}") from error


def _sqlite_arguments() -> dict[str, Any]:
    # isolation_level None: sqlite3 begins nothing by itself; begin_writing does, before the first read.
    return {"timeout": LOCK_WAIT, "isolation_level": None}


def _postgresql_arguments(url: URL, patience: float) -> dict[str, Any]:
    given = url.query.get("options", "")
    given = given if isinstance(given, str) else " ".join(given)
    milliseconds = int(LOCK_WAIT * 1000)
    return {
        "options": f"{given} -c lock_timeout={milliseconds} -c synchronous_commit=on".strip(),
        "connect_timeout": max(2, math.ceil(patience)),  # libpq takes no less than 2 seconds
        "tcp_user_timeout": max(1, int(patience * 1000)),
    }


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """A commit is on the disk when it returns: the log is synced at each (FULL), not only at checkpoints.

    When the log is written back is for ``log`` to say, which knows who must not wait for it.
    """
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        # A database opened read-only keeps the mode that it has.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise


def writable_file(engine: Engine) -> Path | None:
    """The SQLite file of an engine that may write it; None for another database."""
    if engine.dialect.name != "sqlite" or engine.url.query.get("uri"):
        return None
    return Path(str(engine.url.database))


def begin_writing(connection: Connection) -> None:
    """Take SQLite's write lock before the first read, so that what was read stays true until the commit."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def take_turn(connection: Connection, name: str) -> None:
    """Wait for other transactions that took a turn of this name; SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def insert_into(dialect_name: str, table: Table) -> Insert:
    """An INSERT of the dialect that can say ON CONFLICT."""
    return postgresql.insert(table) if dialect_name == "postgresql" else sqlite.insert(table)


def is_migrated(connection: Connection) -> bool:
    """Whether the tables are the ones that this release works with."""
    return revision_of(connection) == HEAD


def revision_of(connection: Connection) -> str:
    """The migration that the tables are the result of; an empty text when there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return " ".join(map(str, connection.scalars(text("SELECT version_num FROM alembic_version"))))


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest revision, in the transaction that is under way.

    Raises:
        ConfigurationError: A newer release than this one made them.
    """
    # Loaded by who migrates: a store that is new enough, most of them, is opened without.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", "onem2m_security.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(f"the database belongs to another release: {error}; use that one") from error


def _origin(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def is_locked(error: BaseException) -> bool:
    """Whether the database would do it at another moment: somebody else holds a lock."""
    origin = _origin(error)
    code = getattr(origin, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_LOCKED
    return getattr(origin, "sqlstate", None) in _POSTGRESQL_LOCKED


def is_unstorable(error: BaseException) -> bool:
    """Whether the error is about one value that this database cannot hold, such as a text with a NUL."""
    return isinstance(error, DataError | UnicodeEncodeError | OverflowError)


def spares_connection(error: BaseException) -> bool:
    """Whether the connection on which this happened is as good as before."""
    if is_unstorable(error) or isinstance(error, IntegrityError):
        return not getattr(error, "connection_invalidated", False)
    return isinstance(error, SecurityFrameworkError) and not isinstance(error, StoreUnavailableError)


def is_unavailable(error: BaseException) -> bool:
    """Whether the error is about the database as a whole, and not about one row."""
    if isinstance(error, IntegrityError | DataError | InterfaceError | SecurityFrameworkError):
        return isinstance(error, StoreUnavailableError)
    return isinstance(error, DBAPIError | sqlite3.Error)


def translated(error: BaseException) -> BaseException:
    """The error as callers know it; a fresh one for each of them, since each is raised on its own."""
    if isinstance(error, IntegrityError):
        return RecordExistsError("the database holds another record in this place already")
    if is_unstorable(error):
        return StoreError("the database cannot hold a value that was given: nothing was done")
    origin = _origin(error)
    if isinstance(error, UnicodeDecodeError):  # in what should be a text of ours
        return StoreUnavailableError(f"the database cannot be read: {_REASONS[sqlite3.SQLITE_CORRUPT]}")
    if isinstance(error, DBAPIError | sqlite3.Error):
        code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
        reason = _REASONS.get(code) or str(origin).strip() or type(origin).__name__
        return StoreUnavailableError(f"the database did not do it, and nothing is half done: {reason}")
    return error
