"""Every test that docs/attacks.md names exists."""

from __future__ import annotations

import re

import pytest

from holders import holder
from places import ROOT, TESTS

ROWS = [line for line in (ROOT / "docs" / "attacks.md").read_text("utf-8").splitlines() if line[:2] == "| "]
HOLDERS = sorted({name for row in ROWS for name in re.findall(r"`([^`]+)`", row.split("|")[-2])})


@pytest.mark.parametrize("name", HOLDERS)
def test_what_the_page_says_holds_an_attack_is_there(name):
    assert holder(name) is not None


def test_a_name_that_nothing_has_is_noticed():
    assert len(HOLDERS) > 50
    assert holder("test_no_such_thing") is None
    assert holder("test_suite::test_no_such_thing") is None
    assert holder("test_suite") == TESTS / "house" / "test_suite.py"
