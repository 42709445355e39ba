"""``connect`` and ``listen`` report and carry; by what somebody proves itself is the business of others."""

from __future__ import annotations

import ast

import pytest

from onem2m_security.cli.options.credentials import SessionOptions
from onem2m_security.net.address import Transport
from places import ROOT

CLI = ROOT / "src" / "onem2m_security" / "cli"
KINDS = {"certificates", "enrolled", "gba", "keys", "mefs"}
"""The files of options that are for one kind of credential."""


@pytest.mark.parametrize("command", ["connect", "listen"])
def test_the_command_knows_no_framework_by_name(command):
    tree = ast.parse((CLI / f"{command}.py").read_text(encoding="utf-8"))
    imported = {
        (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not {module for module, _ in imported if module.rpartition(".")[2] in KINDS}
    assert not {name for module, name in imported if module == "frameworks"}
    longest = max(
        (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert longest < 50


@pytest.mark.parametrize("options", ["keys", "mefs", "asked", "gba"])
def test_keys_in_files_are_begun_and_accepted_where_a_configuration_file_has_them(options):
    tree = ast.parse((CLI / "options" / f"{options}.py").read_text(encoding="utf-8"))
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not {name for name in imported if name.startswith("frameworks.") and ".steps" not in name}
    assert "configuration.meeting.Role" in imported


def test_a_group_knows_whether_anything_was_given_in_it():
    assert SessionOptions().are_default
    assert not SessionOptions(transport=Transport.DTLS).are_default
