"""What the tests cost in processor time, by file: ``make test-cost``.

A pytest plugin. Processor time, not the clock's, so that other work on the machine does not count; what a
test starts is counted with it.
"""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

import psutil
import pytest

SHOWN = 25
"""How many files are named, the dearest first."""

COST = "processor seconds"
_BEFORE = pytest.StashKey[float]()

_of_files: Counter[str] = Counter()
_of_workers: list[float] = []


_measuring = 0.0


def spent() -> float:
    """Processor seconds of this process and of all that it started, but for what is spent here."""
    global _measuring  # noqa: PLW0603 - one process, one sum
    began = time.process_time()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(each.ru_utime + each.ru_stime for each in used) + sum(map(_of, psutil.Process().children()))
    seconds -= _measuring
    _measuring += time.process_time() - began
    return seconds


def _of(child: psutil.Process) -> float:
    try:
        return sum(child.cpu_times()[:4])  # its own, and of those for which it has waited
    except psutil.NoSuchProcess:
        return 0.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[_BEFORE] = spent()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the last report of a test say what it cost: reports go from a worker to whoever prints."""
    report = yield
    if call.when == "teardown":
        report.user_properties.append((COST, spent() - item.stash[_BEFORE]))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        _of_files[report.nodeid.partition("::")[0]] += dict(report.user_properties)[COST]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a worker tell what it cost with its imports; what it does not wait for is not told otherwise."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[COST] = spent()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if hasattr(node, "workeroutput"):  # a worker that was interrupted has none
        _of_workers.append(node.workeroutput[COST])


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The dearest files, all tests, and everything with starting and collecting."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    whole = own.ru_utime + own.ru_stime + sum(_of_workers) if _of_workers else spent()
    terminalreporter.section("processor time")
    for file, seconds in _of_files.most_common(SHOWN):
        terminalreporter.write_line(f"{seconds:7.1f} s  {file}")
    terminalreporter.write_line(f"{_of_files.total():7.1f} s  all tests")
    terminalreporter.write_line(f"{whole:7.1f} s  the whole run")
