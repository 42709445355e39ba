"""What all tests share."""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import new_stores
from maf_support import RunningMaf, running_maf, the_main_job
from onem2m_security.net import poller
from onem2m_security.telemetry import LOG
from places import TESTS
from programs import Programs
from requirements import untested
from store_support import Postgres, postgres_server

SEED = os.environ.get("TEST_SEED")
"""What tests draw from when they search; without it they draw the same values each time, on every machine."""

# A machine that is busy with other work makes an example slow, not wrong.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("known", PATIENT, derandomize=True)
settings.register_profile("search", PATIENT, print_blob=True)
settings.load_profile("known" if SEED is None else "search")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """The last lines say what was not tested on this machine, and how it would be."""
    yield
    for line in untested(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(autouse=True)
def _rooms_have_no_doors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in ``tests/unit`` needs no network, and does not come to need one unseen."""
    if not request.path.is_relative_to(TESTS / "unit"):
        return

    def refusing(way: str) -> Callable[[socket.socket, object], None]:
        real = getattr(socket.socket, way)

        def go(one: socket.socket, address: object) -> None:
            if one.family != socket.AF_UNIX:  # those between processes of this machine are files
                pytest.fail(f"{address}: a test that uses the network stands in tests/wire")
            real(one, address)

        return go

    for way in ("bind", "connect"):
        monkeypatch.setattr(socket.socket, way, refusing(way))


@pytest.fixture(autouse=True)
def _new_stores_are_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own, and stores that are older, go the whole way."""
    monkeypatch.setattr("alembic.command.upgrade", new_stores.upgrade)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a worker; each test has a database of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets up logging for its own standard error, which ends with it."""
    root, ours = logging.getLogger(), LOG.logger
    handlers, level = list(root.handlers), ours.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    ours.setLevel(level)


@pytest.fixture(params=[True, False], ids=["by-the-poller", "by-the-event-loop"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports have their sockets with the poller, then with the event loop."""
    monkeypatch.setattr(poller, "is_used", request.param and hasattr(select, "epoll"))


@pytest.fixture
def seed() -> int:
    """What a test that marks itself as random draws from."""
    return int(SEED or 1)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Starts real m2msec servers; whatever still runs at the end is ended."""
    started = Programs(tmp_path)
    yield started
    started.end_all()


@pytest.fixture
async def maf(tmp_path: Path) -> AsyncIterator[RunningMaf]:
    """A MAF that still does the main job for real clients once the test is over, whatever the test did."""
    async with running_maf(tmp_path / "data", busy_timeout=0.3) as running:
        yield running
        await the_main_job(running.address)
