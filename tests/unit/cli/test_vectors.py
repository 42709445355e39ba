"""``m2msec vectors``: the openssl command computes every value again, from the inputs in the JSON alone."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest

from onem2m_security.cli.known_answers import known_answers
from programs import m2msec, openssl

ANSWERS = known_answers()
CONSTANTS = {
    ("Km", "10.3.2"): "oneM2M Enrolment Key to Master Credential derivation",
    ("Kpsa", "10.3.3"): "oneM2M Enrolment Key to Provisioned Secure Connection Key derivation",
    ("Km", "10.3.7"): "oneM2M Enrolment Key to Usage-Constrained Symmetric Key derivation",
    ("Kpsa", "10.3.7"): "oneM2M Enrolment Key to Usage-Constrained Symmetric Key derivation",
}


def openssl_hmac(key: str, message: str) -> str:
    command = [openssl(), "mac", "-digest", "SHA256", "-macopt", f"hexkey:{key}", "HMAC"]
    done = subprocess.run(command, input=message.encode(), capture_output=True, check=True)
    return done.stdout.decode().strip().lower()


def name_of(vector) -> str:
    return f"{vector['output']}-{vector['clause']}-{'-'.join(map(str, vector['releases']))}"


@pytest.mark.parametrize("vector", ANSWERS["derivations"], ids=name_of)
def test_openssl_computes_the_same_derivation(vector):
    inputs = vector["inputs"]
    if vector["output"] == "KmId":
        expected = openssl_hmac(inputs["km"], inputs["constant"] + inputs["maf_id"])[:32]
        assert vector["value"].partition("@")[0] == expected
        return
    targets = ("maf_id", "enrolee_b_id", "enrolment_target_id")
    target = next(inputs[name] for name in reversed(targets) if name in inputs)
    constant = CONSTANTS[vector["output"], vector["clause"]]
    assert vector["value"] == openssl_hmac(inputs["ke"], constant + inputs.get("suid", "") + target)


def test_all_derivations_of_both_releases_are_there():
    there = {(v["output"], v["clause"], release) for v in ANSWERS["derivations"] for release in v["releases"]}
    assert there >= {
        ("Km", "10.3.2", 1), ("Km", "10.3.7", 3), ("Kpsa", "10.3.3", 1), ("Kpsa", "10.3.7", 3),
        ("KmId", "ours", 1), ("KmId", "ours", 3),
    }  # fmt: skip


@pytest.mark.parametrize("vector", ANSWERS["exports"], ids=lambda vector: vector["label"])
def test_an_export_vector_is_identifier_then_key(vector):
    assert vector["exported"] == vector["relative_identifier"] + vector["key"]
    assert (len(vector["relative_identifier"]), len(vector["key"])) == (32, 64)


@pytest.mark.parametrize("vector", ANSWERS["identifiers"], ids=lambda vector: vector["fqdn"])
def test_an_identifier_vector_is_base64_in_release_1_and_hex_in_release_3(vector):
    relative = bytes.fromhex(vector["relative_identifier"])
    fqdn = vector["fqdn"].rstrip(".").lower().encode("idna").decode()
    assert vector["release_1"] == f"{base64.b64encode(relative).decode()}@{fqdn}"
    assert vector["release_3"] == f"{relative.hex().upper()}@{fqdn}"


def test_the_command_prints_these_answers():
    assert json.loads(m2msec("vectors").stdout) == ANSWERS
