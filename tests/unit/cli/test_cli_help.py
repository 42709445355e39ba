"""Help as a person reads it: examples, headings, durations; and a shell that completes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from onem2m_security.cli import app
from onem2m_security.cli.examples import EXAMPLES
from onem2m_security.cli.helped import folded
from onem2m_security.durations import parse_duration, show_duration
from programs import M2MSEC, PATIENCE

ROOT = typer.main.get_command(app)


def commands(group=ROOT, *names):
    """Every command that does something, by its names."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name)), command


ALL = dict(commands())


def test_every_command_has_an_example_and_every_example_a_command():
    assert set(EXAMPLES) == set(ALL)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_parser_takes_every_example(monkeypatch, name):
    taken: list[dict[str, object]] = []
    monkeypatch.setattr(ALL[name], "callback", lambda **given: taken.append(given))
    for example in EXAMPLES[name]:
        line = "\n".join(folded(example, 60)).replace("\\\n", " ").partition(" > ")[0]
        program, *arguments = shlex.split(line)
        assert program == "m2msec"
        ROOT.main(arguments, prog_name="m2msec", standalone_mode=False)
    assert len(taken) == len(EXAMPLES[name])


@pytest.mark.parametrize("name", ALL)
def test_help_ends_with_its_examples_and_fits_in_80_columns(monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    printed = CliRunner().invoke(app, [*name.split(), "--help"]).output
    assert "<list" not in printed
    heading = "Examples:" if len(EXAMPLES[name]) > 1 else "Example:"
    shown = printed.partition(f"\n{heading}\n")[2]
    pieces = " ".join(shown.replace("\\\n", " ").split())
    assert pieces == " ".join(" ".join(EXAMPLES[name]).split())
    assert max(map(len, printed.splitlines())) <= 80


def test_options_are_under_the_framework_that_they_belong_to():
    printed = CliRunner().invoke(app, ["connect", "--help"]).output
    headings = {
        "--km-file": "By a MAF",
        "--kpsa-file": "By a provisioned key",
        "--trust-anchor": "By certificate",
        "--card": "By GBA",
        "--timeout": "Options",
    }
    for option, heading in headings.items():
        options = printed.partition("\nArguments:\n")[2]
        before = options[: options.index(f"\n  {option} ")]
        last = [line for line in before.splitlines() if line.endswith(":") and not line.startswith(" ")][-1]
        assert last.startswith(heading), option
    general = CliRunner().invoke(app, ["escertke", "initiate", "--help"]).output
    assert "By certificate" in general


def test_defaults_that_are_durations_are_shown_as_people_write_them():
    for name, command in ALL.items():
        printed = " ".join(CliRunner().invoke(app, [*name.split(), "--help"]).output.split())
        for parameter in command.params:
            if isinstance(parameter.default, timedelta):
                assert f"[default: {show_duration(parameter.default)}]" in printed, (name, parameter.name)
                assert str(parameter.default) not in printed


@given(st.timedeltas(timedelta(seconds=1), timedelta(seconds=999_999)), st.sampled_from(["", " "]))
def test_what_is_shown_is_read_as_the_same_with_a_space_or_without(duration, space):
    duration = timedelta(seconds=int(duration.total_seconds()))
    shown = show_duration(duration)
    assert parse_duration(f"{shown[:-1]}{space}{shown[-1]}") == duration


COMPLETE = r"""
source <(m2msec completion bash)
complete_line() {
    COMP_LINE="$*"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_POINT=${#COMP_LINE}; COMPREPLY=()
    $(complete -p m2msec | sed 's/.*-F \([^ ]*\) .*/\1/') m2msec "${@: -1}" "${@: -2:1}"
    echo "${COMPREPLY[*]}"
}
complete_line m2msec ma
complete_line m2msec c
complete_line m2msec maf cl
complete_line m2msec maf clients --fi
complete_line m2msec connect --kpsa-
complete_line m2msec connect --transport d
"""


def test_a_real_bash_completes_commands_and_options():
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "--noprofile", "-c", COMPLETE]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=PATIENCE, check=True
    )
    assert done.stdout.splitlines() == [
        "maf",
        "connect certificate config completion",
        "clients",
        "--filter",
        "--kpsa-id --kpsa-file",
        "dtls",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell):
    printed = CliRunner().invoke(app, ["completion", shell]).output
    assert f"_M2MSEC_COMPLETE=complete_{shell}" in printed
    assert M2MSEC.name in printed


NOT_FOR_HELP = [
    *(
        "OpenSSL",
        "aiocoap",
        "alembic",
        "asyncio",
        "cffi",
        "cryptography",
        "httpcore",
        "sqlalchemy",
        "uvicorn",
    ),
    *("uvloop", "wsproto", "onem2m_security.clients", "onem2m_security.frameworks", "onem2m_security.store"),
    *("onem2m_security.configuration.description", "onem2m_security.escertke", "onem2m_security.net.channel"),
]

EVERY_HELP = f"""
import contextlib, io, sys
import typer
from onem2m_security.cli import app

def helped(command, context):
    with contextlib.redirect_stdout(io.StringIO()):
        command.get_help(context)
    loaded = [name for name in {NOT_FOR_HELP!r} if name in sys.modules]
    print(context.command_path, *loaded, sep=",")
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        inner = command.get_command(context, name)
        helped(inner, type(context)(inner, parent=context, info_name=name))

top = typer.main.get_command(app)
helped(top, top.make_context("m2msec", ["version"]))
"""


def test_no_command_loads_what_it_runs_with_to_show_its_help():
    done = subprocess.run([sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, check=True)
    loaded = {path: modules for path, *modules in (line.split(",") for line in done.stdout.splitlines())}
    assert {path.removeprefix("m2msec ") for path in loaded} >= set(ALL)
    assert {path: modules for path, modules in loaded.items() if modules} == {}
