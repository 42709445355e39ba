"""How long a person waits: ``m2msec --help`` until it ends, ``m2msec maf serve`` until it is ready."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable

from . import figures
from .bench import Bench
from .provision import MAF
from .servers import LISTENING, provisioned, told
from .trees import Tree


def add_options(parser: argparse.ArgumentParser) -> None:
    del parser


def help_seconds(tree: Tree) -> float:
    """Processor time of the command: what a busy machine adds does not count."""
    process = subprocess.Popen(
        tree.m2msec("--help"), env=tree.environment, cwd=tree.root, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit("m2msec --help failed")
    return used.ru_utime + used.ru_stime


def serve_seconds(tree: Tree, data) -> float:
    """Wall time until the line that says where it listens, over a store that is there."""
    command = tree.m2msec("maf", "serve", "--data", data, "--fqdn", MAF, "--listen", "127.0.0.1:0")
    begin = time.perf_counter()
    with told(command, environment=tree.environment, cwd=tree.root, pattern=LISTENING):
        return time.perf_counter() - begin


def measure(bench: Bench) -> None:
    runs: dict[tuple[str, str], Callable[[], float]] = {}
    for tree in bench.trees:
        data = bench.directory(tree.name or "working") / "maf"
        provisioned(tree, "maf", data, 1)
        runs["start-help", tree.name] = lambda tree=tree: help_seconds(tree)
        runs["start-serve", tree.name] = lambda tree=tree, data=data: serve_seconds(tree, data)
    seconds = {name: [] for name in runs}
    for _ in range(bench.options.rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    for (aim, name), each in seconds.items():
        to_base = ""
        if not name:
            bench.reached(aim, statistics.median(each))
            former = [seconds[aim, tree.name] for tree in bench.trees[1:]]
            to_base = "".join(f", to the base {figures.ratio(each, base)}" for base in former)
        print(f"{aim}{f' [{name}]' if name else ''}: {figures.Spread.of(each)} s{to_base}")
