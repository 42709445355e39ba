"""Options of every command that lists records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ..common import DataOption, JsonOption
from .grouping import OptionGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions(OptionGroup):
    """Of which store, which rows, and in which form."""

    data: DataOption
    as_json: JsonOption = False
    only: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Only rows in which a value has this text.")
    ] = ""
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first so many of them.")
    ] = None
    count: Annotated[bool, typer.Option("--count", help="Print only how many there are.")] = False
