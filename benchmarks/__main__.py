"""Measure one thing, or all of them, against programs of others and against a commit of before.

    python -m benchmarks maf|certificates|dtls|idle|first-contact|retrieval|escertke|start|lookup-time|all
    python -m benchmarks profile maf|certificates|dtls

Ratios are taken within single rounds of one run, in which all servers take turns; what is printed is their
median and, in brackets, their quartiles. They outlive the machine that they were measured on; the other
numbers do not.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from types import ModuleType

from . import (
    certificates,
    dtls,
    escertke,
    first_contact,
    idle,
    lookup_time,
    machine,
    maf,
    profile,
    retrieval,
    start,
    trees,
)
from .bench import Bench

METRICS: dict[str, ModuleType] = {
    "maf": maf,
    "certificates": certificates,
    "dtls": dtls,
    "idle": idle,
    "first-contact": first_contact,
    "retrieval": retrieval,
    "escertke": escertke,
    "start": start,
    "lookup-time": lookup_time,
}


def command_line() -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--base", metavar="COMMIT", help="a commit to measure beside the working tree")
    common.add_argument("--rounds", type=int, default=9)
    common.add_argument("--seconds", type=float, default=1.0, help="of a turn that is not ended by a count")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="metric", required=True)
    for name, module in METRICS.items():
        one = commands.add_parser(name, parents=[common], help=(module.__doc__ or "").partition("\n")[0])
        module.add_options(one)
    commands.add_parser("all", parents=[common], help="one after the other, each as it is by default")
    profile.add_options(commands.add_parser("profile", help=(profile.__doc__ or "").partition("\n")[0]))
    return parser.parse_args()


def run(name: str, options: argparse.Namespace) -> list[str]:
    """Measure one; the rows of what it reached."""
    module = METRICS[name]
    print(f"\n## {name}\n\n{(module.__doc__ or '').partition(chr(10))[0]}\n{machine.company()}\n", flush=True)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        scratch = Path(directory)
        measured = [trees.WORKING]
        if options.base:
            measured.append(trees.base(options.base, scratch / "base"))
        bench = Bench(options, measured, scratch, stack)
        module.measure(bench)
        return bench.rows


def defaults(name: str, given: argparse.Namespace) -> argparse.Namespace:
    """What was given for all, and for this one what it has by itself."""
    parser = argparse.ArgumentParser()
    METRICS[name].add_options(parser)
    return argparse.Namespace(**vars(given), **vars(parser.parse_args([])))


def main() -> None:
    options = command_line()
    print(machine.hardware())
    if options.metric == "profile":
        profile.profile(options.what, options.seconds)
        return
    if options.metric == "all":
        rows = [row for name in METRICS for row in run(name, defaults(name, options))]
    else:
        rows = run(options.metric, options)
    print("\n| what | measured | must | aim |\n|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
