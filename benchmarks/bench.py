"""What every measurement is given: the trees, a directory, what was asked for, and where results go."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from . import compare
from .aims import AIMS
from .compare import Contender, Turns
from .load import Load
from .running import Server
from .trees import Tree


@dataclass(slots=True)
class Bench:
    """One run of one measurement.

    Attributes:
        options: The command line.
        trees: The working tree first, then the base if there is one.
        scratch: A directory that goes with the run.
        stack: Servers run until the measurement ends.
        rows: What has been measured, each beside its aim.
    """

    options: argparse.Namespace
    trees: list[Tree]
    scratch: Path
    stack: contextlib.ExitStack
    rows: list[str] = field(default_factory=list)

    def run(self, server: contextlib.AbstractContextManager[Server]) -> Server:
        return self.stack.enter_context(server)

    def directory(self, name: str) -> Path:
        """A directory of its own within the scratch directory."""
        made = self.scratch / name
        made.mkdir(exist_ok=True)
        return made

    def reached(self, aim: str, value: float) -> None:
        """Note a value of the working tree beside its aim."""
        self.rows.append(AIMS[aim].row(value))

    def compare(self, contenders: dict[str, Contender], reference: str, unit: str = "handshake") -> Turns:
        """Measure them in turns and print the table; the working tree is also told against the base."""
        turns = compare.compare(contenders, self.options.rounds)
        print(compare.table(turns, reference, unit) + "\n")
        for tree in self.trees[1:]:
            for name in turns:
                if (former := tree.called(name)) in turns and name != former:
                    print(f"{name} to {former}: CPU {compare.cost(turns, name, former)}", flush=True)
        return turns


def turn(server: Server, load: Load) -> Contender:
    """The same load in every round."""
    return Contender(server, lambda _: load.run(server.port))
