"""The form of the source: who begins tasks, how a peer is reached, and how long things may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from places import ROOT

PACKAGE = ROOT / "src" / "onem2m_security"
TREES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

MAY_BEGIN_TASKS = {
    "tasks.py": "it is the owner",
    "cli/connect.py": "a process that ends when these do, and its standard input, which no cancellation ends",
}


def test_every_task_has_an_owner():
    begin = {"create_task", "ensure_future", "run_coroutine_threadsafe"}
    users = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in begin)
        or (isinstance(node, ast.ImportFrom) and begin & {alias.name for alias in node.names})
    }
    assert users == set(MAY_BEGIN_TASKS), "let a Tasks of tasks.py own it"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """All that it has, ``self`` included."""
    has = function.args
    return [*has.posonlyargs, *has.args, *has.kwonlyargs, *filter(None, [has.vararg, has.kwarg])]


def test_the_way_to_a_peer_is_one_value():
    """Where a peer listens, over what, and within which bounds: a ``Link``, not three parameters."""
    found = {
        (file, function.name)
        for file, tree in TREES.items()
        for function in functions(tree)
        if {"address", "limits"} <= {parameter.arg for parameter in parameters(function)}
    }
    made_by_a_port = ("net/udp.py", "__init__")  # a connection of the port, whose bounds it has
    assert found == {made_by_a_port}


MOST_LINES = 400
MOST_PARAMETERS = 10
MOST_STATEMENT_LINES = 50
TOO_LONG = {"tls/openssl.py"}
"""Files that are to be split yet: each goes from here with its split, and none comes."""


def test_no_file_is_long():
    lines = {file: len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in TREES}
    assert {file for file, length in lines.items() if length > MOST_LINES} == TOO_LONG


def test_no_function_has_many_parameters():
    found = {
        (file, function.name): len(parameters(function))
        for file, tree in TREES.items()
        for function in functions(tree)
        if len(parameters(function)) > MOST_PARAMETERS
    }
    assert found == {}, "make a value of those that belong together; a command takes an OptionGroup"


def test_no_function_of_the_command_line_is_long():
    found = {
        (file, function.name)
        for file, tree in TREES.items()
        if file.startswith("cli/")
        for function in functions(tree)
        if (function.body[-1].end_lineno or 0) - function.body[0].lineno >= MOST_STATEMENT_LINES
    }
    assert found == set()
