"""The form of the source: who begins tasks, reaches a peer or reads a clock, and how long things may be."""

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
    """All that whoever calls it gives."""
    has = function.args
    found = [*has.posonlyargs, *has.args, *has.kwonlyargs, *filter(None, [has.vararg, has.kwarg])]
    return [parameter for parameter in found if parameter.arg not in {"self", "cls"}]


def test_the_way_to_a_peer_is_one_value():
    """Where a peer listens, over what, and within which bounds: a ``Link``, not three parameters."""
    way = {"address", "transport", "limits"}
    found = {
        (file, function.name)
        for file, tree in TREES.items()
        for function in functions(tree)
        if {"limits"} < way & {parameter.arg for parameter in parameters(function)}
    }
    made_by_a_port = ("net/udp.py", "__init__")  # a connection of the port, whose bounds it has
    ports = {
        ("net/ports.py", f"{kind}_port") for kind in ("request", "carrying", "channel")
    }  # they reach nobody
    assert found == {made_by_a_port, *ports}


READS_OF_A_CLOCK = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {
        "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "clock_gettime",
        "gmtime", "localtime",
    },
}  # fmt: skip
MAY_READ_THE_CLOCK = {
    "clock.py": "it is where time comes from",
    "tls/gnutls.py": "the timers of its library go by that clock, whatever anybody else is given",
    "tls/trial.py": "a certificate for a handshake that no network sees, for the TLS library's own clock",
}
MAY_TAKE_THE_CLOCK_OF_THE_MACHINE = {
    "association.py": "an association tells whoever holds it how long it still stands",
    "certificates/path.py": "a kept path is looked at by the clock of the TLS library, as a new one is",
    "certificates/verification.py": "lists are looked at by the clock of the TLS library, as paths are",
}
"""Beside commands and demonstrations, which are where a process begins."""


def test_nobody_reads_a_clock_that_no_test_can_set():
    readers = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Attribute)
            and node.attr in READS_OF_A_CLOCK.get(ast.unparse(node.value).rpartition(".")[2], ())
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and READS_OF_A_CLOCK["time"] & {alias.name for alias in node.names}
        )
    }
    assert readers == set(MAY_READ_THE_CLOCK), "take a Clock of clock.py"


def test_the_clock_of_the_machine_is_what_is_taken_where_no_other_is_given():
    """``CLOCK`` stands for a parameter that was not given, and ``utc_now`` for nothing."""
    users = {
        file
        for file, tree in TREES.items()
        if not file.startswith(("cli/", "demo/", "clock.py"))
        for node in of_the_machine(tree)
        if node not in defaults(tree)
    }
    assert users == set(MAY_TAKE_THE_CLOCK_OF_THE_MACHINE), "take a Clock of clock.py, by default CLOCK"


def of_the_machine(tree: ast.AST) -> Iterator[ast.Name]:
    names = {"CLOCK", "utc_now"}
    return (node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names)


def defaults(tree: ast.AST) -> set[ast.AST]:
    """All that stands where a parameter, or a field of a value, has its default."""
    given = [
        default
        for function in functions(tree)
        for default in [*function.args.defaults, *function.args.kw_defaults]
        if default is not None
    ]
    given += [
        field.value
        for value in ast.walk(tree)
        if isinstance(value, ast.ClassDef)
        for field in value.body
        if isinstance(field, ast.AnnAssign) and field.value is not None
    ]
    return {node for default in given for node in ast.walk(default)}


MOST_LINES = 400
MOST_PARAMETERS = 10
MOST_STATEMENT_LINES = 50


def test_no_file_is_long():
    lines = {file: len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in TREES}
    assert {file for file, length in lines.items() if length > MOST_LINES} == set()


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
