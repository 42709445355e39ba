"""ESCertKE between two AEs through a CSE that this project did not write: the ACME CSE, on loopback.

The worked example runs as a person runs it. The CSE forwards notifications of resources and nothing else, so
that the securityInfo goes as a notification's representation; the day it forwards a securityInfo by itself,
the last test here fails, and the example's default can follow the standard to the letter.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from acme import Cse
from onem2m_security.escertke.messages import check_message
from places import ROOT
from programs import PATIENCE, wait_until

EXAMPLE = ROOT / "examples" / "escertke_over_a_cse.py"


@pytest.fixture(scope="module")
def cse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cse]:
    running = Cse(tmp_path_factory.mktemp("acme"))
    yield running
    running.stop()


def run_example(cse: Cse, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), "--cse", cse.url, "--originator-cse", "id-in", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_two_aes_agree_on_a_key_through_the_cse(cse):
    done = run_example(cse)
    assert done.returncode == 0, done.stderr
    held = json.loads(done.stdout)
    initiating, terminating = held["initiating"], held["terminating"]
    assert initiating["fingerprint"] == terminating["fingerprint"]
    assert initiating["pairwiseE2EKeyID"] == terminating["pairwiseE2EKeyID"]
    assert len(bytes.fromhex(initiating["pairwiseE2EKeyID"])) == 16
    assert initiating["peer"].startswith("//sp.example/id-in/Cterminating")
    assert terminating["peer"].startswith("//sp.example/id-in/Cinitiating")


def test_the_cse_forwards_exactly_the_four_messages_of_the_table(cse):
    """Its log tells: at the debug level it shows every body that it received or sent."""
    before = set(carried(cse))
    key_id = json.loads(run_example(cse).stdout)["initiating"]["pairwiseE2EKeyID"]

    def new() -> list[bytes]:
        return [one for one in carried(cse) if one not in before]

    wait_until(lambda: len(new()) >= 4, "the log of four messages")
    messages = new()
    assert len(messages) == 4
    for number, message in enumerate(messages, start=1):
        check_message(number, message)
    # The identifier is exported together with the key: who could compute one could compute the other.
    assert key_id not in cse.log


def carried(cse: Cse) -> list[bytes]:
    """The different ESCertKE messages in the CSE's log, in the order in which it first saw them."""
    found = re.findall(r'"eckm": ?"([A-Za-z0-9+/=]+)"', cse.log)
    return [base64.b64decode(text) for text in dict.fromkeys(found)]


def test_every_run_makes_another_key(cse):
    first, second = (json.loads(run_example(cse).stdout)["initiating"] for _ in range(2))
    assert first["fingerprint"] != second["fingerprint"]


def test_this_cse_forwards_no_security_info_by_itself(cse):
    done = run_example(cse, "--form", "security-info")
    assert done.returncode != 0
    assert "was answered with 4000" in done.stderr
