"""The short way to a new store in tests ends where the long way ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command

import new_stores
from onem2m_security.store import Store


async def a_new_store(data: Path) -> list[str]:
    """What is in its database, but for the number of its sealing key, which chance gives."""
    await (await Store.open(data)).close()
    with closing(sqlite3.connect(data / "store.db")) as connection:
        return [line for line in connection.iterdump() if "sealing_state" not in line.splitlines()[0]]


async def test_a_copied_store_is_what_the_migrations_make(tmp_path, monkeypatch):
    assert command.upgrade is new_stores.upgrade
    copied = await a_new_store(tmp_path / "copied")
    monkeypatch.setattr(command, "upgrade", new_stores.the_migrations)
    assert copied == await a_new_store(tmp_path / "migrated")


async def test_an_older_store_goes_through_the_migrations(tmp_path, monkeypatch):
    await a_new_store(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "store.db")) as connection, connection:
        connection.executescript(
            "UPDATE alembic_version SET version_num = '0002';"
            "DROP TABLE tombstones; DROP TABLE trust_state; DROP TABLE enrolment;"
            "DROP TABLE mef_commands; DROP TABLE last_command; DROP TABLE credential_state;"
            "DROP TRIGGER credentials_insert; DROP TRIGGER credentials_update;"
            "DROP TRIGGER credentials_delete"
        )
    migrated, real = [], new_stores.the_migrations

    def migrate(config, revision):
        migrated.append(revision)
        real(config, revision)

    monkeypatch.setattr(new_stores, "the_migrations", migrate)
    await a_new_store(tmp_path / "data")
    assert migrated == ["head"]
