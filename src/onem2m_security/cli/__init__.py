"""The ``m2msec`` command: one file per group of commands, each loaded when it is asked for.

A person waits for what they typed, not for what they did not: a group costs its own imports and no other's.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import SecurityFrameworkError
from ..private_memory import keep_memory_private
from ..version import __version__
from .helped import HelpedCommand
from .lazy import COMMANDS, LazyGroup

__all__ = ["COMMANDS", "app", "main"]

app = typer.Typer(
    cls=LazyGroup,
    name="m2msec",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback's local variables could hold keys
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def m2msec(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The oneM2M security frameworks (TS-0003): servers, associations, known answers."""


@app.command("version", cls=HelpedCommand)
def print_version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """Run the command; an error of ours ends it with one line on standard error and status 1."""
    keep_memory_private()
    try:
        app()
    except SecurityFrameworkError as error:
        print(f"m2msec: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
