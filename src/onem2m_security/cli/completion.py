"""``m2msec completion``: the script by which a shell completes commands, options and their values."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from typer.completion import shell_complete


class Shell(enum.Enum):
    """Whose script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(context: typer.Context, shell: Annotated[Shell, typer.Argument(help="Whose script.")]) -> None:
    """Print a script by which a shell completes commands and options.

    Keep it where the shell looks for completions, or for this shell alone: source <(m2msec completion bash).
    """
    program = context.find_root().command
    shell_complete(program, {}, "m2msec", "_M2MSEC_COMPLETE", f"source_{shell.value}")
