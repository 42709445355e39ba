"""What the tests promise about themselves: nothing is left out unseen, and chance turns no change away."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

from places import ROOT, SUPPORT, TESTS
from programs import PATIENCE
from requirements import REQUIREMENTS

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
NEEDS_OPENSSL = "unit/gba/test_gba_keys.py::test_ks_naf_agrees_with_the_openssl_command"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python beside the tests as a person does who has set nothing; no command is found."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("CI", "PYTEST", "TEST_"))
    }
    pythonpath = os.pathsep.join([str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *arguments],
        env=own | {"PATH": "/nonexistent", "PYTHONPATH": pythonpath} | environment,
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_last_lines_name_what_was_not_tested_and_the_packages_that_bring_it():
    done = python(*PYTEST, NEEDS_OPENSSL)
    assert done.returncode == 0
    *_, told, counted = done.stdout.splitlines()
    assert told == "Not tested, 1 in all: what needs openssl. To test it: apt-get install openssl"
    assert counted.startswith("1 skipped")


def test_in_ci_a_missing_program_is_a_failure():
    done = python(*PYTEST, NEEDS_OPENSSL, CI="true")
    assert done.returncode == 1
    assert "needs openssl, and in CI everything is tested" in done.stdout


def test_every_test_stands_where_what_it_does_belongs():
    folders = {file.relative_to(TESTS).parts[0] for file in TESTS.rglob("test_*.py")}
    assert folders == {"unit", "wire", "interop", "faults", "house"}


def test_no_test_skips_past_the_one_place_that_ci_knows():
    ways = {"skip", "skipif", "importorskip", "SkipTest"}
    for file in TESTS.rglob("*.py"):
        used = {
            node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)
        }
        assert file.name == "requirements.py" or not ways & used, f"{file} skips: ask with requirements.needs"


def test_random_tests_draw_the_same_values_each_time_unless_a_seed_is_given():
    ask = "import conftest; from hypothesis import settings; print(settings().derandomize, conftest.SEED)"
    assert python("-c", ask).stdout == "True None\n"
    assert python("-c", ask, TEST_SEED="7").stdout == "False 7\n"


def test_ci_installs_every_package_that_a_test_needs():
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    installed = set(re.search(r"apt-get install (.*?)\n(?:fi|\s*\n)", run, re.DOTALL)[1].split())
    brought = {"mount": "every Debian", "libgnutls30": "gnutls-bin"}
    assert {one.package for one in REQUIREMENTS.values()} - installed == set(brought)
