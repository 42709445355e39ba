"""Where the processor time of a server goes under load: by function of Python, and by perf where it is there.

cProfile makes Python look dearer than it is: the calls that it counts are the surest of what it says.
"""

from __future__ import annotations

import argparse
import contextlib
import pstats
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import certificates
from .load import ECDSA, PSK_DTLS, Load, Outcome
from .provision import identity_of
from .running import Server
from .servers import entity_b_by_certificate, maf, provisioned
from .trees import WORKING, Tree

LINES = 40


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=sorted(PROFILED))
    parser.add_argument("--seconds", type=float, default=3.0)


@dataclass(frozen=True, slots=True)
class Profiled:
    """What is profiled.

    Attributes:
        start: Runs the server of a tree over a directory.
        load: Drives it.
    """

    start: Callable[[Tree, Path], contextlib.AbstractContextManager[Server]]
    load: Callable[[Path], Load]


def _maf(tree: Tree, directory: Path) -> contextlib.AbstractContextManager[Server]:
    provisioned(tree, "maf", directory / "maf", 1000)
    return maf(tree, directory / "maf")


def _entity_b(tree: Tree, directory: Path) -> contextlib.AbstractContextManager[Server]:
    certificates.make_files(directory, 0)
    return entity_b_by_certificate(tree, directory)


PROFILED = {
    "maf": Profiled(_maf, lambda _: Load()),
    "certificates": Profiled(
        _entity_b, lambda directory: Load(ECDSA, 8, count=1000, certificates=str(directory / "a.both"))
    ),
    "dtls": Profiled(_maf, lambda _: Load(PSK_DTLS, 16, dtls=True, identity=identity_of(0).decode())),
}


@dataclass(frozen=True, slots=True)
class _Watched(Tree):
    """A tree whose Python runs under cProfile; its numbers are written when the process ends."""

    into: Path = Path()

    def python(self, *arguments: object) -> list[str]:
        plain = Tree.python(self, *arguments)
        if arguments[0] != "-m":
            return plain
        return [plain[0], "-m", "cProfile", "-o", str(self.into), *plain[1:]]


def _driven(load: Load, server: Server, seconds: float) -> Outcome:
    return replace(load, seconds=seconds).run(server.port)


def profile(what: str, seconds: float) -> None:
    """Print the dearest functions of this server."""
    chosen = PROFILED[what]
    with tempfile.TemporaryDirectory() as scratch:
        directory, into = Path(scratch), Path(scratch) / "profile"
        watched = _Watched("", WORKING.root, into)
        load = chosen.load(directory)
        with chosen.start(watched, directory) as server:
            outcome = _driven(load, server, seconds)
            server.end()
        print(f"{outcome.completed} handshakes in a profile of all, {outcome.failed} failed")
        stats: Any = pstats.Stats(str(into))  # its count of calls is in no stub
        print(f"{stats.total_calls / outcome.completed:.0f} calls for each handshake, the start included")
        stats.sort_stats("tottime").print_stats(LINES)
    if shutil.which("perf") is None:
        print("no perf here: only Python was looked at")
        return
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with chosen.start(WORKING, directory) as server:
            recording = [
                "perf",
                "record",
                "-q",
                "-e",
                "cpu-clock",
                "-o",
                f"{scratch}/perf",
                "-p",
                str(server.pid),
            ]
            with subprocess.Popen(recording) as perf:
                _driven(chosen.load(directory), server, seconds)
                perf.terminate()
        report = ["perf", "report", "-i", f"{scratch}/perf", "--stdio", "--sort", "dso"]
        shown = subprocess.run(report, capture_output=True, text=True, check=False).stdout
        print("\n".join(line for line in shown.splitlines() if line and not line.startswith("#")))
