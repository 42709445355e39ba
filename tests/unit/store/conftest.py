"""A store on each database, for whatever of it is tested; and the same as another process has it."""

from __future__ import annotations

import pytest

from onem2m_security.store import Store


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def url(request):
    """None for the SQLite file in the data directory, or the URL of an empty PostgreSQL database."""
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgres").new_url()


@pytest.fixture
async def store(tmp_path, url):
    async with await Store.open(tmp_path / "data", url=url) as opened:
        yield opened


@pytest.fixture
async def other(tmp_path, url, store):
    """Another process's view of the same database: a connection and a thread of its own."""
    async with await Store.open(tmp_path / "data", url=url) as opened:
        yield opened
