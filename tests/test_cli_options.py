"""Options that belong together: how a command declares them, and that one credential is given and not two."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from onem2m_security.cli import app, connect
from onem2m_security.cli.options.grouping import OptionGroup, grouped, without

KEYS = "give --km-id with --km-file"
KINDS = {
    "--credentials": (("--credentials", "d"), "--credentials says who we are"),
    "--card": (
        ("--entity", "/a", "--card", "c", "--bsf", "bsf.example=127.0.0.1:1"),
        "for GBA give --entity",
    ),
    "--cert": (("--entity", "/a", "--cert", "c", "--key", "k"), "give a certificate or a key"),
    "--km-id": (("--km-id", "a@maf.example", "--km-file", "k"), KEYS),
    "--kpsa-id": (("--kpsa-id", "a@b.example", "--kpsa-file", "k"), KEYS),
}
"""Each credential, in the order in which they speak up, with what it says when there is another."""


def refusal(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["connect", "127.0.0.1:1", "--peer", "/b", *arguments])
    assert done.exit_code == 1
    return str(done.exception)


@pytest.mark.parametrize("pair", [*combinations(KINDS, 2)], ids=" and ".join)
def test_two_credentials_are_refused_by_name(pair):
    (first, told), (second, _) = (KINDS[name] for name in pair)
    assert refusal(*first, *second).startswith(told)


def test_no_credential_is_refused_by_name():
    assert refusal().startswith(KEYS)


@pytest.mark.parametrize(
    "half", ["--km-id=a@b.example", "--km-file=k", "--kpsa-id=a@b.example", "--kpsa-file=k"]
)
def test_half_a_key_is_refused_by_name(half):
    assert refusal(half).startswith(KEYS)


def test_who_connects_names_no_framework_and_its_functions_stay_short():
    tree = ast.parse(Path(connect.__file__).read_text("utf-8"))
    modules = [
        f"{n.module}.{a.name}" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names
    ]
    shared = ("frameworks.steps.", "frameworks.resolvers.")  # no framework, but what all of them share
    assert not [m for m in modules if "frameworks" in m and not m.startswith(shared)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, node.name
            assert len(node.args.args) + len(node.args.kwonlyargs) <= 10, node.name


# --- the mechanism ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour(OptionGroup):
    red: Annotated[int, typer.Option("--red")] = 1
    green: Annotated[int, typer.Option("--green")] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint(OptionGroup):
    colour: Annotated[Colour, without("green")]
    coats: Annotated[int, typer.Option("--coats")]


def painting():
    made = []

    @grouped
    def paint(
        wall: Annotated[str, typer.Argument()],
        paint: Paint,
        quick: Annotated[bool, typer.Option("--quick")] = False,
    ) -> None:
        """Paint a wall."""
        made.append((wall, paint, quick))

    painter = typer.Typer(add_completion=False)
    painter.command()(paint)
    return painter, made, paint


def test_a_group_comes_as_one_value_with_what_was_given():
    painter, made, _ = painting()
    assert CliRunner().invoke(painter, ["north", "--coats", "2", "--red", "9", "--quick"]).exit_code == 0
    assert CliRunner().invoke(painter, ["south", "--coats", "1"]).exit_code == 0
    assert made == [
        ("north", Paint(colour=Colour(red=9), coats=2), True),
        ("south", Paint(colour=Colour(), coats=1), False),
    ]


def test_what_a_group_is_taken_without_is_no_option_and_what_it_requires_is_required():
    painter, made, _ = painting()
    for wrong in (["north", "--coats", "2", "--green", "1"], ["north"]):
        assert CliRunner().invoke(painter, wrong).exit_code == 2
    assert made == []


def test_the_options_of_a_group_are_in_the_commands_signature_and_its_help_is_kept():
    _, _, paint = painting()
    assert list(inspect.signature(paint).parameters) == ["wall", "red", "coats", "quick"]
    assert paint.__doc__ == "Paint a wall."
