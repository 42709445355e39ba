"""Help that a person can use: options under the framework that they belong to, and in the end examples."""

from __future__ import annotations

import copy
import re
from datetime import timedelta
from typing import Any

from typer.core import TyperCommand

from ..durations import show_duration

GENERAL = "Options"


class HelpedCommand(TyperCommand):
    """A command whose help has its options by panel, and its examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the parser's own types
        """Arguments, then the options of no framework, then those of each."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], GENERAL: []}
        for param in self.get_params(ctx):
            is_argument = param.param_type_name == "argument"
            name = "Arguments" if is_argument else getattr(param, "rich_help_panel", None) or GENERAL
            if (record := _readable(param).get_help_record(ctx)) is not None:
                sections.setdefault(name, []).append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the parser's own types
        """The examples of this command."""
        from .examples import EXAMPLES

        names: list[str] = []
        while ctx.parent is not None:
            names.insert(0, ctx.info_name)
            ctx = ctx.parent
        if examples := EXAMPLES.get(" ".join(names)):
            with formatter.section("Examples" if len(examples) > 1 else "Example"):
                margin = " " * formatter.current_indent
                for example in examples:
                    for line in folded(example, formatter.width - len(margin)):
                        formatter.write(f"{margin}{line}\n")


def folded(command: str, width: int) -> list[str]:
    """A command in lines that a shell takes as one, broken only before an option."""
    first, *others = re.split(r" (?=-)", command)
    lines = [first]
    for piece in others:
        if len(f"{lines[-1]} {piece} \\") > width:
            lines[-1] += " \\"
            lines.append(f"    {piece}")
        else:
            lines[-1] += f" {piece}"
    return lines


def _readable(param: Any) -> Any:  # noqa: ANN401 - the parser's own type
    """The parameter with its default as people write it."""
    if isinstance(param.default, timedelta):
        param = copy.copy(param)
        param.default = show_duration(param.default)
    return param
