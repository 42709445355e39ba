"""``m2msec demo``: a framework at work as a live sequence diagram, or as JSON for machines."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..clock import CLOCK
from ..demo import gba as demo_gba
from ..demo.maf import LIFELINES, Demo, Step
from ..release import DEFAULT_RELEASE
from ..servers.run import run
from .common import JsonOption, ReleaseOption, RevealOption, log_to_stderr

COLUMN = 14


class Story(enum.Enum):
    """What is shown."""

    MAF = "maf"
    GBA = "gba"


FrameworkOption = Annotated[
    Story, typer.Option("--framework", help="The MAF-based framework, from the factory key on, or GBA.")
]


def demo(
    release: ReleaseOption = DEFAULT_RELEASE,
    framework: FrameworkOption = Story.MAF,
    as_json: JsonOption = False,
    reveal: RevealOption = False,
) -> None:
    """Run the main job on this machine: a device, from its factory key to an association and a request.

    Everything runs on loopback in a temporary directory and is gone afterwards. Keys appear as fingerprints
    unless --reveal is given.
    """
    log_to_stderr(verbose=False)
    started = CLOCK.monotonic()
    steps: list[dict[str, Any]] = []
    lifelines = LIFELINES if framework is Story.MAF else demo_gba.LIFELINES
    diagram = Diagram(Console(highlight=False, soft_wrap=True), lifelines)

    def report(step: Step) -> None:
        steps.append(asdict(step) | {"seconds": round(CLOCK.monotonic() - started, 3)})
        if not as_json:
            diagram.draw(step)

    if not as_json:
        diagram.open()
    if framework is Story.MAF:
        association = run(Demo(report, release=release, reveal=reveal).run())
    else:
        association = run(demo_gba.GbaDemo(report, reveal=reveal).run())
    seconds = round(CLOCK.monotonic() - started, 3)
    if as_json:
        told = {"release": release.value, "seconds": seconds, "association": association.as_dict()}
        print(json.dumps(told | {"steps": steps}, indent=2))
    else:
        diagram.close(f"{association.peer} and {association.local} are associated. {seconds:.1f} s in all.")


class Diagram:
    """A sequence diagram that grows downwards, one arrow at a time."""

    def __init__(self, console: Console, lifelines: Sequence[str]) -> None:
        self._console = console
        self._names = lifelines

    def open(self) -> None:
        """The heads of the lifelines."""
        self._console.print(
            Text("".join(name.center(COLUMN) for name in self._names).rstrip(), style="bold cyan")
        )
        self._console.print(self._lifelines())

    def draw(self, step: Step) -> None:
        """One arrow with its clause, and below it what is to be seen."""
        start, end = self._names.index(step.sender), self._names.index(step.receiver)
        self._console.print(self._row(_arrow(start, end, len(self._names)), step.text, "bold", step.clause))
        for name, value in step.facts.items():
            self._console.print(self._row(self._lifelines().plain, f"{name} {value}", "dim"))

    def close(self, text: str) -> None:
        """The end."""
        self._console.print(self._lifelines())
        self._console.print(Text(text, style="bold green"))

    def _lifelines(self) -> Text:
        return Text("│".center(COLUMN) * len(self._names), style="cyan")

    @staticmethod
    def _row(lines: str, text: str, style: str, clause: str = "") -> Text:
        row = Text(lines, style="cyan")
        row.append(f"  {text}", style=style)
        if clause:
            row.append(f"  [{clause}]", style="yellow")
        return row


def _arrow(start: int, end: int, count: int) -> str:
    """The lifelines with an arrow from one to another, or a mark on one."""
    columns = list("│".center(COLUMN) * count)
    positions = [column for column, character in enumerate(columns) if character == "│"]
    left, right = sorted((positions[start], positions[end]))
    columns[left + 1 : right] = "─" * max(0, right - left - 1)
    if start == end:
        columns[left] = "●"
    elif start < end:
        columns[right - 1] = "▶"
    else:
        columns[left + 1] = "◀"
    return "".join(columns)
