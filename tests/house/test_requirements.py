"""docs/requirements.md: each test that it names exists, each clause is there, and nothing is half done."""

from __future__ import annotations

import re

import pytest

from holders import holder
from places import ROOT

PAGE = (ROOT / "docs" / "requirements.md").read_text("utf-8")
REQUIRED, BY_CLAUSE = PAGE.split("\n## ")[1:]
CLAUSES = [
    *(f"6.{number}" for number in (1, 2, 3)),
    *(f"7.{number}" for number in range(1, 6)),
    *(f"8.{number}" for number in range(1, 9)),
    *("9.1", "9.2"),
    *(f"10.{number}" for number in range(1, 8)),
    "11",
    *(f"12.{number}" for number in (1, 2, 3, 4)),
    *(f"Annex {letter}" for letter in "ABCDEFGHIJKLMNO"),
]
"""TS-0003 V3.18.0, from the first clause after the conventions on."""


def rows(part: str) -> list[list[str]]:
    """The cells of each row of the tables."""
    lines = [line for line in part.splitlines() if line.startswith("| ") and not line.endswith("| held by |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


HOLDERS = sorted({name for row in rows(PAGE) for name in named(row[-1])})


@pytest.mark.parametrize("name", HOLDERS)
def test_a_test_that_holds_a_requirement_is_there(name):
    assert re.fullmatch(r"test_\w+::test_\w+", name), "say which test of which file"
    found = holder(name)
    assert found is not None
    assert f"def {name.partition('::')[2]}(" in found.read_text("utf-8")


def test_each_requirement_is_held_by_a_test():
    required = rows(REQUIRED)
    assert len(required) > 40
    assert [row for row in required if len(row) != 3 or not row[1] or not named(row[2])] == []


def test_each_clause_is_done_and_held_by_a_test_or_not_done_for_a_reason():
    for clause, what, verdict, how, held in rows(BY_CLAUSE):
        assert what, clause
        assert verdict in {"done", "not done"}, clause
        assert named(held) if verdict == "done" else how and not held, clause
    assert "partly" not in PAGE.lower()


def test_every_clause_has_its_row():
    said = {clause.strip() for row in rows(BY_CLAUSE) for clause in row[0].replace(" to ", ", ").split(",")}
    missing = {one for one in CLAUSES if not any(f"{clause}.".startswith(f"{one}.") for clause in said)}
    assert missing == set()
    assert len(rows(BY_CLAUSE)) > 70
