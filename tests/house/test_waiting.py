"""Tests wait for what happens, by ``eventually`` and ``wait_until``, and sleep for few reasons."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from places import SUPPORT, TESTS

NOTHING_HAPPENS = "looks whether nothing happens meanwhile"
BY_CHANCE = "the moment at which it kills or interferes is drawn"
IS_SLOW = "is a peer, or a part of one, that takes its time"
TRIES_AGAIN = "tries again what fails for as long as a process is dead or starts"
REAL_TIME_PASSES = "an end of real time, that of a process or a connection, has to pass"

SLEEPS = {
    "faults/test_bad_disks.py": (1, NOTHING_HAPPENS),
    "faults/test_bad_input.py": (1, IS_SLOW),
    "faults/test_durability.py": (3, f"{BY_CHANCE}; {TRIES_AGAIN}"),
    "faults/test_durability_mef.py": (2, f"{BY_CHANCE}; {TRIES_AGAIN}"),
    "faults/test_store_faults.py": (1, BY_CHANCE),
    "interop/test_interop_c.py": (1, IS_SLOW),
    "interop/test_interop_openssl.py": (1, TRIES_AGAIN),
    "unit/store/test_store_races.py": (1, BY_CHANCE),
    "wire/test_cancelled_associations.py": (1, NOTHING_HAPPENS),
    "wire/test_cli.py": (1, REAL_TIME_PASSES),
    "wire/test_enrolee.py": (1, NOTHING_HAPPENS),
    "wire/test_enrolees.py": (1, NOTHING_HAPPENS),
    "unit/store/test_store_hot.py": (3, NOTHING_HAPPENS),
    "wire/test_mef.py": (1, NOTHING_HAPPENS),
    "wire/test_net_closing.py": (3, IS_SLOW),
    "wire/test_net_coap.py": (1, NOTHING_HAPPENS),
    "wire/test_net_http.py": (2, f"{IS_SLOW}; {REAL_TIME_PASSES}"),
    "wire/test_net_http_bounds.py": (1, IS_SLOW),
    "wire/test_net_tcp.py": (3, f"{NOTHING_HAPPENS}; {IS_SLOW}"),
    "wire/test_net_ub.py": (1, NOTHING_HAPPENS),
    "wire/test_net_udp.py": (4, f"{NOTHING_HAPPENS}; {IS_SLOW}"),
    "wire/test_net_websocket_bounds.py": (1, REAL_TIME_PASSES),
    "wire/test_revocation.py": (1, REAL_TIME_PASSES),
    "wire/test_secrets_do_not_leak.py": (1, "looks at the list of processes again and again"),
}
"""How many sleeps a file has, and why none of them can be an event or a clock."""


def sleeps(file: Path) -> int:
    """How often it sleeps; ``sleep(0)`` only lets others go on."""
    called = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    return sum(
        ast.unparse(call.func).rpartition(".")[2] == "sleep" and ast.unparse(call) != "asyncio.sleep(0)"
        for call in called
    )


def test_a_test_sleeps_only_where_it_is_said_why():
    counted = Counter(
        {
            str(file.relative_to(TESTS)): sleeps(file)
            for file in TESTS.rglob("*.py")
            if not file.is_relative_to(SUPPORT)
        }
    )
    assert +counted == {file: number for file, (number, _) in SLEEPS.items()}


def test_a_sleep_is_found_however_it_is_imported(tmp_path):
    file = tmp_path / "sleeper.py"
    file.write_text("await asyncio.sleep(0)\ntime.sleep(1)\nsleep(seconds)\nawait asyncio.sleep(0.1)\n")
    assert sleeps(file) == 3
