"""New SQLite stores by copy: the migrations run once, and every empty database gets what they made.

What they make of a store that is there already, and of PostgreSQL, they make themselves.
"""

from __future__ import annotations

import functools
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, inspect

the_migrations = command.upgrade


@functools.cache
def _statements() -> tuple[str, ...]:
    """What makes the tables, and what the migrations wrote into them."""
    config = Config()
    config.set_main_option("script_location", "onem2m_security.store:migrations")
    with create_engine("sqlite://").connect() as connection:
        config.attributes["connection"] = connection
        the_migrations(config, "head")
        begin, *statements, commit = connection.connection.driver_connection.iterdump()
        assert (begin, commit) == ("BEGIN TRANSACTION;", "COMMIT;")
        return tuple(statements)


def upgrade(config: Config, revision: str, **options: Any) -> None:
    """``alembic.command.upgrade``, quicker where there is nothing yet."""
    connection: Connection | None = config.attributes.get("connection")
    if connection is None or revision != "head" or not _is_empty_sqlite(connection):
        the_migrations(config, revision, **options)
        return
    for statement in _statements():
        connection.exec_driver_sql(statement)


def _is_empty_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite" and not inspect(connection).get_table_names()
