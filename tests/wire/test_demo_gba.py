"""The demonstration of GBA, as a person starts it."""

import json

from programs import m2msec


def test_the_demonstration_of_gba_tells_the_whole_story_without_a_key():
    told = json.loads(m2msec("demo", "--framework", "gba", "--json").stdout)
    assert told["association"]["framework"] == "saef-gba"
    assert told["association"]["peer"] == "//sp.example/in-cse/Cmeter"
    steps = told["steps"]
    texts = [step["text"] for step in steps]
    assert texts.index("Ks = CK || IK") < texts.index("TLS-PSK with B-TID and Ks_NAF")
    asked = texts.index("in the middle of it: whose is this B-TID?")
    assert texts.index("TLS-PSK with B-TID and Ks_NAF") < asked
    assert asked < texts.index("associated: each has proven itself to the other")
    assert texts[-1] == "403: no bootstrapping any more"
    shown = [step["facts"][name] for step in steps for name in ("K", "Ks", "key") if name in step["facts"]]
    assert shown
    assert all(value.startswith("fingerprint ") for value in shown)


def test_the_demonstration_as_a_diagram_names_every_party():
    printed = m2msec("demo", "--framework", "gba").stdout
    for name in ("Card", "Entity A", "BSF", "Entity B"):
        assert name in printed.splitlines()[0]
    assert "are associated" in printed.splitlines()[-1]
