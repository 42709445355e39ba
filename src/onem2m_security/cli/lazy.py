"""Commands that are imported when they are named, and listed without being imported."""

from __future__ import annotations

import importlib
from collections import UserDict
from dataclasses import dataclass
from typing import Any, Final

import typer
from typer.core import TyperGroup

from .helped import HelpedCommand


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is.

    Attributes:
        module: The module of this package that has it.
        attribute: A function, or the Typer application of a group.
        summary: The first line of its help.
    """

    module: str
    attribute: str
    summary: str


COMMANDS: Final = {
    "demo": LazyCommand("demo", "demo", "Run the main job on this machine."),
    "connect": LazyCommand("connect", "connect", "Be Entity A: associate with Entity B."),
    "listen": LazyCommand("listen", "listen", "Be Entity B: accept associations."),
    "gateway": LazyCommand("gateway", "gateway", "Be Entity B in front of a CSE: accept associations."),
    "agent": LazyCommand(
        "agent", "agent", "Be Entity A beside an AE or a CSE that knows nothing of security."
    ),
    "enrol": LazyCommand("enrol", "enrol", "Be an Enrolee: bootstrap with an MEF."),
    "certificate": LazyCommand(
        "certificate", "certificate", "Get an Enrolee's certificate from its MEF by EST."
    ),
    "obey": LazyCommand("obey", "obey", "Carry out what an Enrolee's MEF commands."),
    "serve": LazyCommand("serve", "serve", "Run the MAFs, MEFs and BSFs of a configuration file."),
    "config": LazyCommand("config", "app", "The configuration file: an example, a check, its schema."),
    "maf": LazyCommand("maf", "app", "The M2M Authentication Function."),
    "mef": LazyCommand("mef", "app", "The M2M Enrolment Function."),
    "bsf": LazyCommand("bsf", "app", "The Bootstrapping Server Function of GBA."),
    "usim": LazyCommand("usim", "app", "A software card (USIM) in a file."),
    "pki": LazyCommand("pki", "app", "Issue and check certificates."),
    "escertke": LazyCommand("escertke", "app", "Agree on an end-to-end key by certificates."),
    "store": LazyCommand("store", "app", "The sealed store in a data directory."),
    "completion": LazyCommand(
        "completion", "completion", "Print a script by which a shell completes commands and options."
    ),
    "vectors": LazyCommand(
        "vectors", "vectors", "Print known answers with their inputs, for every derivation."
    ),
}
"""In the order in which a reader meets them."""


class _Commands(UserDict[str, Any]):
    """Commands by name, each loaded when it is looked up."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - the parser's own type
        command = super().__getitem__(name)
        if isinstance(command, LazyCommand):
            command = self[name] = _load(name, command)
        return command


def _load(name: str, command: LazyCommand) -> Any:  # noqa: ANN401 - the parser's own type
    loaded = getattr(importlib.import_module(f".{command.module}", __package__), command.attribute)
    parent = typer.Typer(rich_markup_mode=None, add_completion=False)
    if isinstance(loaded, typer.Typer):
        _help_with(loaded)
        parent.add_typer(loaded, name=name)
    else:
        parent.command(name, cls=HelpedCommand)(loaded)
    return typer.main.get_group(parent).commands[name]


def _help_with(group: typer.Typer) -> None:
    """Have the commands of a group, and those of the groups in it, tell their examples."""
    for command in group.registered_commands:
        command.cls = HelpedCommand
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _help_with(inner.typer_instance)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What a word that is being typed may become, as the scripts of the shells want it."""

    value: str
    help: str
    type: str = "plain"


class LazyGroup(TyperGroup):
    """The top of the command line."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - handed through
        super().__init__(**settings)
        self._all = _Commands({**COMMANDS, **self.commands})
        self.commands = self._all

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - the parser's own types
        """The list of commands, from the table: to show a name is no reason to load what it names."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(self._summaries())

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401 - the parser's own types
        """What a word may become: the commands, from the table too, and the options."""
        of_commands = [_Candidate(*row) for row in self._summaries() if row[0].startswith(incomplete)]
        return [*of_commands, *super(TyperGroup, self).shell_complete(ctx, incomplete)]

    def _summaries(self) -> list[tuple[str, str]]:
        return [
            (name, command.summary if isinstance(command, LazyCommand) else command.get_short_help_str())
            for name, command in self._all.data.items()
        ]
