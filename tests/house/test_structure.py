"""The form of the source: who begins tasks."""

from __future__ import annotations

import ast

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
