"""Every test that docs/attacks.md names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from places import ROOT, TESTS

ROWS = [line for line in (ROOT / "docs" / "attacks.md").read_text("utf-8").splitlines() if line[:2] == "| "]
HOLDERS = sorted({name for row in ROWS for name in re.findall(r"`([^`]+)`", row.split("|")[-2])})
FILES = {file.stem: file for file in TESTS.rglob("test_*.py")}


def holder(name: str) -> Path | None:
    """Where what a name says is: a test by its file's name, a target of make, anything else by its path."""
    if name.startswith("make "):
        makefile = ROOT / "Makefile"
        return makefile if f"\n{name.removeprefix('make ')}:" in makefile.read_text("utf-8") else None
    file, _, function = name.partition("::")
    found = FILES.get(file.removesuffix(".py"), ROOT / file)
    return found if found.is_file() and f"def {function}" in found.read_text("utf-8") else None


@pytest.mark.parametrize("name", HOLDERS)
def test_what_the_page_says_holds_an_attack_is_there(name):
    assert holder(name) is not None


def test_a_name_that_nothing_has_is_noticed():
    assert len(HOLDERS) > 50
    assert holder("test_no_such_thing") is None
    assert holder("test_suite::test_no_such_thing") is None
    assert holder("test_suite") == TESTS / "house" / "test_suite.py"
