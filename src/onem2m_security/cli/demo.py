"""``m2msec demo``: a framework at work as a live sequence diagram, or as JSON for machines."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..clock import CLOCK
from ..extras import require
from ..release import DEFAULT_RELEASE
from .common import JsonOption, ReleaseOption, RevealOption, log_to_stderr

if TYPE_CHECKING:
    from ..demo.maf import Reporter, Step

COLUMN = 9
"""Of a lifeline; four of them leave room for the words of most steps in 80 columns."""
GAP = "  "


class Story(enum.Enum):
    """What is shown."""

    MAF = "maf"
    GBA = "gba"
    CSE = "cse"


FrameworkOption = Annotated[
    Story,
    typer.Option(
        "--framework",
        help="The MAF-based framework, from the factory key on; or GBA; or agent and gateway with a CSE.",
    ),
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
    from ..net.loop import run

    require("server")
    log_to_stderr(verbose=False)
    started = CLOCK.monotonic()
    steps: list[dict[str, Any]] = []
    lifelines, column = _lifelines(framework)
    diagram = Diagram(Console(highlight=False, soft_wrap=True), lifelines, column)

    def report(step: Step) -> None:
        steps.append(asdict(step) | {"seconds": round(CLOCK.monotonic() - started, 3)})
        if not as_json:
            diagram.draw(step)

    if not as_json:
        diagram.open()
    if framework is Story.CSE:
        _tell_of_a_cse(report, diagram, steps, as_json=as_json)
        return
    if framework is Story.MAF:
        from ..demo.maf import Demo

        association = run(Demo(report, release=release, reveal=reveal).run())
    else:
        from ..demo.gba import GbaDemo

        association = run(GbaDemo(report, reveal=reveal).run())
    seconds = round(CLOCK.monotonic() - started, 3)
    if as_json:
        told = {"release": release.value, "seconds": seconds, "association": association.as_dict()}
        print(json.dumps(told | {"steps": steps}, indent=2))
    else:
        diagram.close(f"{association.peer} and {association.local} are associated: {seconds:.0f} s.")


def _tell_of_a_cse(report: Reporter, diagram: Diagram, steps: list[dict[str, Any]], *, as_json: bool) -> None:
    """The story in which nobody but agent and gateway knows of an association."""
    from ..demo.cse import CseDemo
    from ..net.loop import run

    last = run(CseDemo(report).run())
    if as_json:
        print(json.dumps({"steps": steps}, indent=2))
    else:
        diagram.close(last)


def _lifelines(story: Story) -> tuple[Sequence[str], int]:
    """Who is in a story, and how wide their columns are; loads that story alone."""
    if story is Story.CSE:
        from ..demo.cse import LIFELINES as OF_CSE

        return OF_CSE, 8
    if story is Story.GBA:
        from ..demo.gba import LIFELINES as OF_GBA

        return OF_GBA, COLUMN
    from ..demo.maf import LIFELINES as OF_MAF

    return OF_MAF, COLUMN


class Diagram:
    """A sequence diagram that grows downwards, one arrow at a time, within the width of a console."""

    def __init__(self, console: Console, lifelines: Sequence[str], column: int = COLUMN) -> None:
        self._console = console
        self._names = lifelines
        self._column = column
        self._bars = "│".center(column) * len(lifelines)
        self._beside = console.width - len(self._bars) - len(GAP)

    def open(self) -> None:
        """The heads of the lifelines."""
        names = "".join(name.center(self._column) for name in self._names)
        self._console.print(Text(names.rstrip(), style="bold cyan"))
        self._console.print(Text(self._bars.rstrip(), style="cyan"))

    def draw(self, step: Step) -> None:
        """One arrow with its clause, and below it what is to be seen."""
        start, end = self._names.index(step.sender), self._names.index(step.receiver)
        words = [(word, "bold") for word in step.text.split()]
        self._rows([*words, (f"[{step.clause}]", "yellow")], _arrow(start, end, self._bars))
        for name, value in step.facts.items():
            words = [(word, "dim") for word in (name, *value.split())]
            if max(len(word) for word, _ in words) <= self._beside:
                self._rows(words, self._bars)
            else:
                self._over(f"{name} {value}")

    def close(self, text: str) -> None:
        """The end."""
        self._console.print(Text(self._bars.rstrip(), style="cyan"))
        self._console.print(Text(text, style="bold green"))

    def _rows(self, words: Sequence[tuple[str, str]], lines: str) -> None:
        """Words beside these lines and, when they do not fit, beside the lifelines below."""
        row, used = Text(lines + GAP, style="cyan"), 0
        for word, style in words:
            if used and used + 1 + len(word) > self._beside:
                self._console.print(row)
                row, used = Text(self._bars + GAP, style="cyan"), 0
            row.append(f" {word}" if used else word, style=style)
            used += len(word) + bool(used)
        self._console.print(row)

    def _over(self, text: str) -> None:
        """What is too long to stand beside the lifelines, over them: an identifier stays whole."""
        for line in [text] if len(text) <= self._console.width else text.split():
            start = max(0, self._console.width - len(line))
            bars = self._bars[: max(0, start - len(GAP))].ljust(start)
            self._console.print(Text(bars, style="cyan").append(line, style="dim"))


def _arrow(start: int, end: int, bars: str) -> str:
    """The lifelines with an arrow from one to another, or a mark on one."""
    columns = list(bars)
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
