"""DTLS over a bad link: every handshake ends in one key or a clear failure, never in a hang or in two keys.

What needs retransmissions runs in simulated time, under libfaketime, in a process of its own: link_trials.py.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

import link_trials
from link import IDENTITY, Conditions, StillClock, fate, prompt, psk_link
from onem2m_security.tls.events import DataReceived
from onem2m_security.tls.states import State
from places import ROOT
from programs import PATIENCE
from requirements import needs

TRIALS = sorted(name for name in vars(link_trials) if name.startswith("test_"))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, list[ET.Element]]:
    """What came of each trial: the failures of its cases."""
    directory = tmp_path_factory.mktemp("trials")
    offset, report = directory / "offset", directory / "report.xml"
    offset.write_text("+0\n", encoding="ascii")
    environment = os.environ | {
        "LD_PRELOAD": needs("faketime"),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
         link_trials.__file__],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, list[ET.Element]] = {}
    for case in ET.parse(report).iter("testcase"):
        found.setdefault(case.get("name", "").partition("[")[0], []).append(case)
    return found


@pytest.mark.random
@pytest.mark.parametrize("trial", TRIALS)
def test_in_simulated_time(results, trial):
    if "raw_public_key" in trial:
        needs("libgnutls.so.30")
    assert results.get(trial), "the trial did not run"
    failures = [outcome.text for case in results[trial] for outcome in case]
    assert failures == []


@pytest.mark.parametrize("mtu", [260, 576, 1232, 9000])
def test_no_datagram_is_longer_than_the_mtu(mtu):
    link = psk_link(Conditions(mtu=mtu), prompt, StillClock(), identity=b"i" * 255).run()
    assert link.client.state is link.server.session.state is State.OPEN
    assert max(map(len, link.sent_datagrams)) <= mtu


@given(chance=st.integers(0, 2**32 - 1).map(random.Random))
def test_copies_and_cut_copies_in_order_change_nothing(chance):
    conditions = Conditions(duplication=0.5, truncation=0.5)
    link = psk_link(conditions, fate(conditions, chance), StillClock()).run()
    assert link.client.state is link.server.session.state is State.OPEN
    assert link.exports_agree
    assert link.server.identities == [IDENTITY]


def test_application_data_in_one_datagram_with_the_last_flight_is_delivered_at_once():
    """A server may speak first, and its first words may share a datagram with its Finished."""
    link = psk_link(Conditions(), prompt, StillClock())
    commit = link._commit

    def commit_and_speak(session) -> None:
        session_flush, link._send_from_server = link._send_from_server, lambda: None
        commit(session)
        session.send(b"welcome")
        link._send_from_server = session_flush
        link._send_from_server()

    link._commit = commit_and_speak
    link.run()
    assert [event.data for event in link.client_events if isinstance(event, DataReceived)] == [b"welcome"]
