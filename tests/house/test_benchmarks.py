"""The arithmetic of the benchmarks: what is printed is what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from benchmarks import compare, load, machine
from benchmarks.__main__ import METRICS
from benchmarks.aims import AIMS
from benchmarks.compare import Turn
from benchmarks.figures import Aim, Spread, ratio, signed_rank_z, without_idling
from benchmarks.load import Load, Outcome

from places import ROOT

OUTCOME = Outcome(completed=100, failed=0, seconds=2.0, median=500, p95=900, p99=990, why="")


def a_turn(microseconds: float, *, per_second: float = 100.0, group: float | None = None) -> Turn:
    return Turn(microseconds, per_second, group, OUTCOME)


def test_a_ratio_is_the_median_of_the_ratios_of_single_rounds():
    """A round that the whole machine was slow in counts like the others; a ratio of medians would say 1.0."""
    ours, theirs = [200.0, 600.0, 100.0], [100.0, 200.0, 200.0]
    assert ratio(ours, theirs) == Spread(median=2.0, low=1.25, high=2.5)


def test_a_spread_says_where_half_of_the_rounds_lie():
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)
    assert str(Spread(1.0, 0.5, 2.25)) == "1.00 (0.50 to 2.25)"


def test_rounds_that_have_no_counterpart_are_no_rounds():
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


def test_what_a_server_uses_while_nobody_asks_is_not_counted():
    assert without_idling(3.0, 0.5, 4.0) == 1.0
    assert without_idling(1.0, 0.5, 4.0) == 0.0


def test_the_signed_rank_is_what_the_textbook_has():
    assert signed_rank_z([1.0, -2.0, 3.0, -4.0, -5.0, 5.5, -6.0, 6.5]) == pytest.approx(0.0, abs=0.3)
    assert signed_rank_z([float(n) for n in range(1, 11)]) == pytest.approx(27.5 / 96.25**0.5)
    assert signed_rank_z([-float(n) for n in range(1, 11)]) == pytest.approx(-27.5 / 96.25**0.5)


def test_an_aim_is_met_or_missed_in_its_own_direction():
    assert Aim("cost", 1.5, 1.15).row(1.2) == "| cost | 1.20 | 1.5: met | 1.15: **missed** |"
    assert Aim("speed", 1, 1.4, at_least=True).row(1.2) == "| speed | 1.20 | 1: met | 1.4: **missed** |"
    assert Aim("idle", 25, 20, " kB").row(30) == "| idle | 30.00 kB | 25 kB: **missed** | 20 kB: **missed** |"


def test_no_aim_is_weaker_than_what_must_be():
    for aim in AIMS.values():
        assert aim.aim >= aim.must if aim.at_least else aim.aim <= aim.must, aim.what


def test_a_table_tells_each_server_against_the_reference_and_how_many_share_a_sync():
    turns = {
        "reference": [a_turn(100), a_turn(200)],
        "ours": [a_turn(300, per_second=50, group=8), a_turn(400, per_second=25, group=10)],
    }
    assert compare.cost(turns, "ours", "reference").median == 2.5
    assert compare.rate(turns, "ours", "reference").median == 0.375
    ours = compare.table(turns, "reference").splitlines()[-1]
    assert ours.startswith("| ours | 350 µs | 2.50 (2.25 to 2.75) | 38 | 0.38")
    assert ours.endswith("| 0.5, 0.9 ms | 9.0 | 0 |")


def test_failures_of_all_rounds_are_told():
    failed = replace(a_turn(100), outcome=replace(OUTCOME, failed=2))
    assert compare.table({"reference": [failed, failed]}, "reference").endswith("| 4 |")


def test_a_turn_in_which_nothing_completed_is_no_measurement(monkeypatch):
    printed = json.dumps(asdict(replace(OUTCOME, completed=0, failed=3, why="bad record mac")))
    monkeypatch.setattr(Load, "command", lambda *_: [sys.executable, "-c", f"print('''{printed}''')"])
    with pytest.raises(SystemExit, match="nothing completed, 3 failed: bad record mac"):
        Load().run(1)


def test_a_load_shows_numbered_identities_one_key_file_or_numbered_certificates(monkeypatch):
    monkeypatch.setattr(load, "built", lambda name: name)
    assert {"identity", "clients", "key"} <= set(Load().command(1))
    assert {"identity", "certificates"} & set(Load(certificates="%d.pem").command(1)) == {"certificates"}
    assert "bind" not in Load().command(1)


def test_processor_time_has_threads_that_have_ended_and_children():
    """What a child and an ended thread used is in the sum; what the process itself says of both is less."""
    burn = "sum(number * number for number in range(300_000))"
    child = f"import time, sys; {burn}; print(time.process_time(), flush=True); sys.stdin.read()"
    code = (
        "import subprocess, sys, threading, time\n"
        f"thread = threading.Thread(target=lambda: {burn}); thread.start(); thread.join()\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=-1, text=True)\n"
        "print(float(child.stdout.readline()) + time.process_time(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        told = float(process.stdout.readline())
        assert machine.processor_seconds(process.pid) >= told
        process.stdin.close()


def test_the_command_line_names_every_measurement():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in [*METRICS, "all", "profile"]:
        assert name in done.stdout
