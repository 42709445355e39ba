"""Vectors of GBA, Credential-IDs and public keys: computed again from the printed inputs by other means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onem2m_security.cli import app
from onem2m_security.cli.known_answers import known_answers
from onem2m_security.gba.keys import KeyChoice
from programs import openssl

ANSWERS = known_answers()
PUBLISHED = Path(__file__).parents[1] / "gba" / "data"
"""The test sets of 3GPP."""


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(left, right, strict=True))


def aes(key: bytes, block: bytes) -> bytes:
    command = [openssl(), "enc", "-aes-128-ecb", "-K", key.hex(), "-nopad"]
    return subprocess.run(command, input=block, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("section", "columns"),
    [
        ("milenage", "k rand sqn amf op opc f1 f1_star f2 f5 f3 f4 f5_star"),
        ("tuak", "k rand sqn amf top iterations topc f1 f1_star f2 f3 f4 f5 f5_star"),
    ],
)
def test_the_documents_of_3gpp_have_the_same_answers_for_the_algorithm_sets(section, columns):
    [vector] = ANSWERS[section]
    lines = [line.split() for line in (PUBLISHED / f"{section}.txt").read_text().splitlines()]
    sets = [dict(zip(columns.split(), line, strict=True)) for line in lines if line[0] != "#"]
    printed = vector["inputs"] | vector["values"]
    assert any(printed.items() <= known.items() for known in sets)
    assert len(printed) == len(set(columns.split()) - {"iterations"})


def test_aka_is_composed_of_the_functions():
    [vector], [milenage] = ANSWERS["aka"], ANSWERS["milenage"]
    inputs = {name: bytes.fromhex(text) for name, text in vector["inputs"].items() if name != "algorithm"}
    f = {name: bytes.fromhex(text) for name, text in milenage["values"].items()}
    values = {name: bytes.fromhex(text) for name, text in vector["values"].items()}
    assert (values["xres"], values["ck"], values["ik"]) == (f["f2"], f["f3"], f["f4"])
    begin = xor(inputs["sqn"], f["f5"]) + inputs["amf"]
    assert values["autn"] == begin + f["f1"]
    assert values["autn_gba_u"] == begin + xor(f["f1"], hashlib.sha1(f["f4"]).digest()[:8])
    assert values["xres_gba_u"] == f["f2"][:-1] + bytes([f["f2"][-1] ^ 1])
    # MAC-S is f1* with a dummy AMF of zeros (TS 35.206 clause 4.1: OUT1 with r1 = 64, c1 = 0).
    opc, half = inputs["opc"], inputs["sqn_ms"] + bytes(2)
    temp = aes(inputs["k"], xor(inputs["rand"], opc))
    masked = xor(half + half, opc)
    out1 = xor(aes(inputs["k"], xor(temp, masked[8:] + masked[:8])), opc)
    assert values["auts"] == xor(inputs["sqn_ms"], f["f5_star"]) + out1[8:]
    assert opc == xor(inputs["op"], aes(inputs["k"], inputs["op"]))


def of(output: str):
    return [vector for vector in ANSWERS["gba"] if vector["output"] == output]


def openssl_hmac(key: bytes, message: bytes) -> str:
    command = [openssl(), "mac", "-digest", "SHA256", "-macopt", f"hexkey:{key.hex()}", "HMAC"]
    return (
        subprocess.run(command, input=message, capture_output=True, check=True)
        .stdout.decode()
        .strip()
        .lower()
    )


def test_a_bootstrapping_has_ks_and_b_tid_of_its_inputs():
    [ks], [b_tid] = of("Ks"), of("B-TID")
    assert ks["value"] == ks["inputs"]["ck"] + ks["inputs"]["ik"]
    rand = bytes.fromhex(b_tid["inputs"]["rand"])
    assert b_tid["value"] == f"{base64.b64encode(rand).decode()}@{b_tid['inputs']['bsf']}"
    shown = {vector["inputs"]["key"]: vector["value"] for vector in of("psk_identity")}
    me, uicc = f"3GPP-bootstrapping;{b_tid['value']}", f"3GPP-bootstrapping-uicc;{b_tid['value']}"
    assert shown == {"Ks_NAF": me, "Ks_ext_NAF": me, "Ks_int_NAF": uicc}


@pytest.mark.parametrize("choice", [choice.value for choice in KeyChoice])
def test_openssl_derives_the_same_keys_of_a_naf(choice):
    vectors = of(choice)
    assert len({vector["inputs"]["cipher_suite"] for vector in vectors}) == 2
    for vector in vectors:
        inputs = vector["inputs"]
        name = inputs["naf"].encode() + bytes.fromhex(inputs["ua_security_protocol"])
        assert inputs["naf_id"] == name.hex()
        p0 = b"gba-u" if choice == "Ks_int_NAF" else b"gba-me"
        parameters = (p0, bytes.fromhex(inputs["rand"]), inputs["impi"].encode(), name)
        s = b"\x01" + b"".join(one + len(one).to_bytes(2) for one in parameters)
        assert vector["value"] == openssl_hmac(bytes.fromhex(inputs["ks"]), s)


def md5(text: bytes) -> bytes:
    return hashlib.md5(text).hexdigest().encode()


@pytest.mark.parametrize("vector", of("response"), ids=lambda vector: vector["inputs"]["algorithm"])
def test_the_proof_on_ub_is_the_digest_of_its_inputs(vector):
    inputs = vector["inputs"]
    xres, ck, ik = (bytes.fromhex(inputs[name]) for name in ("xres", "ck", "ik"))
    password = xres
    if inputs["algorithm"] == "AKAv2-MD5":
        made = hmac.new(xres + ik + ck, b"http-digest-akav2-password", hashlib.md5).digest()
        password = base64.b64encode(made)
    a1 = md5(f"{inputs['username']}:{inputs['realm']}:".encode() + password)
    a2 = md5(b"GET:/:" + md5(b""))
    middle = ":".join(inputs[name] for name in ("nonce", "nc", "cnonce", "qop")).encode()
    assert vector["value"] == md5(a1 + b":" + middle + b":" + a2).decode()


@pytest.mark.parametrize("vector", ANSWERS["credential_ids"], ids=lambda vector: vector["value"])
def test_a_credential_id_is_its_type_and_its_value(vector):
    inputs = vector["inputs"]
    types = {"device": 31, "cse-id": 32, "ae-id": 33, "node-id": 34}
    number = inputs["type"] if "type" in inputs else types[inputs["certificate"]]
    identifier = inputs.get("key_identifier") or inputs["identifier"]
    escaped = re.sub(r"[^A-Za-z0-9.@-]", lambda found: f"_{ord(found[0]):02X}", identifier)
    assert vector["value"] == f"{number}-{escaped}"


@pytest.mark.parametrize("vector", ANSWERS["public_keys"], ids=lambda vector: vector["algorithm"])
def test_a_public_key_identifier_is_the_hash_of_its_octets(vector):
    octets = {"sha-256": 32, "sha-256-128": 16, "sha-256-120": 15}[vector["algorithm"]]
    digest = hashlib.sha256(bytes.fromhex(vector["subject_public_key_info"])).digest()[:octets]
    text = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert vector["value"] == f"ni:///{vector['algorithm']};{text}"


def test_the_form_for_reading_has_every_value_of_the_json():
    printed = CliRunner().invoke(app, ["vectors", "--text"]).output
    values = [line.partition(": ")[2] for line in printed.splitlines()]

    def leaves(value):
        if isinstance(value, dict):
            for inner in value.values():
                yield from leaves(inner)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for inner in value:
                yield from leaves(inner)
        else:
            yield str(value)

    assert sorted(leaves(json.loads(json.dumps(ANSWERS)))) == sorted(filter(None, values))
