"""ESCertKE exchanges per processor second, both end-points together, against the same handshake in C.

Both do the same: one thread, octets in memory, TLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256 and self-signed
P-256 certificates verified at either end, 48 octets exported at either end. ``c/escertke.c`` uses OpenSSL and
nothing else, as the system brings it, and remembers nothing: one number for those who return and the new.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

from onem2m_security.certificates.authority import self_signed

from . import figures
from .bench import Bench
from .programs import built
from .trees import Tree

REFERENCE = "C, OpenSSL alone"


def add_options(parser: argparse.ArgumentParser) -> None:
    del parser


def _write_files(directory: Path) -> list[str]:
    files = []
    for name in ("a", "b"):
        issued = self_signed()
        for file, octets in ((f"{name}.crt", issued.full_chain_pem), (f"{name}.key", issued.key_pem)):
            path = directory / file
            path.touch(mode=0o600)
            path.write_bytes(octets)
            files.append(str(path))
    return files


def _rate(printed: str) -> float:
    exchanges, took = printed.split()
    return int(exchanges) / float(took)


def _in_c(seconds: float, files: list[str]) -> float:
    command = [str(built("escertke")), *files, str(seconds)]
    return _rate(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _ours(tree: Tree, seconds: float, kind: str, files: list[str]) -> float:
    if tree.has("benchmarks/exchanges.py"):
        return _rate(tree.run("-m", "benchmarks.exchanges", seconds, kind, *files))
    # A tree of before this program measured itself, beside C; C is measured here anyhow.
    printed = tree.run("-m", "benchmarks.bench_escertke", "--rounds", 1, "--seconds", seconds)
    return float(re.search(r"ESCertKE: (\d+)", printed).group(1))


def measure(bench: Bench) -> None:
    files, seconds = _write_files(bench.scratch), bench.options.seconds
    runs: dict[str, Callable[[], float]] = {REFERENCE: lambda: _in_c(seconds, files)}
    for tree in bench.trees:
        kinds = ("returning", "new") if tree.has("benchmarks/exchanges.py") else ("returning",)
        for kind in kinds:
            runs[tree.called(f"ESCertKE, {kind}")] = lambda tree=tree, kind=kind: _ours(
                tree, seconds, kind, files
            )
    rates = {name: [] for name in runs}
    for _ in range(bench.options.rounds):
        for name, run in runs.items():
            rates[name].append(run())
    print("| what | exchanges per processor second | of the speed of C |\n|---|---|---|")
    for name, each in rates.items():
        print(f"| {name} | {statistics.median(each):.0f} | {figures.ratio(each, rates[REFERENCE])} |")
    for kind in ("returning", "new"):
        speed = figures.ratio(rates[f"ESCertKE, {kind}"], rates[REFERENCE])
        bench.reached(f"escertke-{kind}", speed.median)
