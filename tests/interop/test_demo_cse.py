"""The demonstration of agent and gateway, with a CSE and an AE that this project did not write."""

from __future__ import annotations

import json

from programs import m2msec
from requirements import needs


def test_a_cse_and_an_ae_that_know_nothing_of_security_are_secured_as_they_are():
    needs("curl")
    steps = json.loads(m2msec("demo", "--framework", "cse", "--json").stdout)["steps"]
    arrows = [(step["sender"], step["receiver"]) for step in steps]
    for arrow in [
        ("Agent", "MEF"), ("Agent", "MAF"), ("MAF", "MEF"), ("Agent", "Gateway"), ("Gateway", "MAF"),
        ("AE", "Agent"), ("Gateway", "CSE"), ("AE", "CSE"), ("CSE", "AE"), ("Gateway", "Agent"),
    ]:  # fmt: skip
        assert arrow in arrows
    facts = [step["facts"] for step in steps]
    assert {"AEI": "Cthermometer"} in facts
    assert [one["con"] for one in facts if "con" in one] == ["22.5", "22.5", "23.0"]
    assert facts[-1] == {"RSC": "4106"}
