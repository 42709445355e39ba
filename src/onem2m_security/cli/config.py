"""``m2msec config``: an example of a configuration file, a check of one, its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .common import log_to_stderr

app = typer.Typer(help="The configuration file: an example, a check, its schema.", no_args_is_help=True)


@app.command()
def example() -> None:
    """Print a configuration file with comments, to begin with."""
    from ..configuration.reference import EXAMPLE

    print(EXAMPLE, end="")


@app.command()
def check(
    config: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration, in TOML.")],
) -> None:
    """Read a configuration file and everything that it names: keys, certificates, associations, CRLs, cards.

    Prints a line for each function and peer. Nothing is listened on, nobody is met, no store is opened.
    """
    from ..configuration.agents import plans
    from ..configuration.description import Description

    log_to_stderr(verbose=False)
    description = Description.read(config)
    lines = description.check()
    lines += [str(plan) for plan in plans(description)]
    for line in lines:
        print(line)


@app.command("schema")
def print_schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference page of the manual instead.")
    ] = False,
) -> None:
    """Print the JSON schema of the configuration file, for editors."""
    from ..configuration.reference import page, schema

    print(page() if markdown else json.dumps(schema(), indent=2))
