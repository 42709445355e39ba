"""``m2msec enrol --card``: an Enrolee whose MEF is its BSF, and what it keeps, as ``connect`` uses it."""

from __future__ import annotations

import json

import pytest

from gba_support import AE, BSF, CSE, MAF, NAF
from programs import key_file, m2msec
from test_gba_end_to_end import Operator


@pytest.fixture
def operator(programs) -> Operator:
    return Operator(programs)


def enrol(operator, *targets, at="device"):
    named = [word for target in targets for word in ("--target", target)]
    done = m2msec(
        "enrol", operator.ub, "--data", operator.directory / at, "--card", operator.card,
        "--mef-id", BSF, "--enrolee-id", AE, *named, "--json",
    )  # fmt: skip
    return json.loads(done.stdout)


def connect(operator, entity_b, *options, check=True):
    kept = operator.directory / "device"
    done = m2msec(
        "connect", f"127.0.0.1:{entity_b.port}", "--peer", CSE, "--credentials", kept,
        "--json", "--wait", "0.3", *options, given="hello\n", check=check,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[0]) if check else done


def end_bootstrappings(operator) -> None:
    """The operator replaces the subscription, which ends what came of it."""
    m2msec(
        "bsf", "add-subscriber", "--data", operator.data, "--card", operator.card, "--entity", AE,
        "--naf", NAF, "--naf", MAF, "--replace",
    )  # fmt: skip


@pytest.mark.parametrize("transport", ["tls", "dtls"])
def test_a_card_enrols_once_and_its_bootstrapping_serves_until_it_is_refused(operator, transport):
    enrolled = enrol(operator, CSE)
    assert (enrolled["enrolee"], enrolled["mef"]) == (str(AE), str(BSF))
    suites = [item["cipher_suite"] for item in enrolled["credentials"]]
    assert suites == ["TLS_PSK_WITH_AES_128_CBC_SHA256", "TLS_PSK_WITH_AES_128_CCM_8"]
    entity_b = operator.listen("--transport", transport)
    over = ("--transport", transport)
    first, second = (connect(operator, entity_b, *over) for _ in range(2))
    entity_b.wait_for_data(b"hello", times=2)
    assert first["credential_id"] == second["credential_id"]
    assert enrolled["relative_ke_id"] in first["credential_id"]
    assert [item["peer"] for item in entity_b.associations] == [str(AE)] * 2

    end_bootstrappings(operator)
    other_b = operator.listen("--transport", transport)
    third, fourth = (connect(operator, other_b, *over) for _ in range(2))
    assert third["credential_id"] == fourth["credential_id"] != first["credential_id"]


def test_what_is_kept_of_a_card_is_found_in_the_data_directory_only_sealed(operator):
    shown = m2msec(
        "enrol", operator.ub, "--data", operator.directory / "device", "--card", operator.card,
        "--mef-id", BSF, "--enrolee-id", AE, "--target", CSE, "--json", "--reveal",
    ).stdout  # fmt: skip
    ks = bytes.fromhex(json.loads(shown)["ke"])
    for file in (operator.directory / "device").rglob("*"):
        if file.is_file():
            assert ks not in file.read_bytes(), file


def test_a_card_reaches_entity_b_through_a_maf_by_what_it_keeps(operator):
    maf_data, km = operator.directory / "maf", key_file(operator.directory, "km-b", b"m" * 32)
    m2msec("maf", "add-client", "--data", maf_data, "--km-id", f"b@{MAF}", "--entity", CSE, "--km-file", km)
    maf = operator.programs.start_maf(
        maf_data, *operator.naf_options(MAF), "--enrolee-target", CSE, fqdn=str(MAF)
    )
    entity_b = operator.listen("--maf", f"127.0.0.1:{maf.port}", "--km-id", f"b@{MAF}", "--km-file", km)
    enrol(operator, MAF)
    association = connect(operator, entity_b, "--maf", f"127.0.0.1:{maf.port}")
    assert (association["framework"], association["peer"]) == ("saef-maf", str(CSE))
    entity_b.wait_for_data(b"hello")
    assert [item["peer"] for item in entity_b.associations] == [str(AE)]


def test_one_file_enrols_by_card_and_connects_by_what_came_of_it(operator):
    entity_b = operator.listen("--transport", "dtls")
    file = operator.directory / "device.toml"
    file.write_text(f"""\
        [identity]
        id = "{AE}"
        [store]
        data = "kept"
        [peers."{BSF}"]
        address = "{operator.ub}"
        prove = {{ card = "card" }}
        [[enrolment]]
        mef = "{BSF}"
        targets = ["{CSE}", "{MAF}"]
        enrolment-expiry = "10m"
        [peers."{CSE}"]
        address = "127.0.0.1:{entity_b.port}"
        transport = "dtls"
        prove = {{ enrolment = "{BSF}" }}
        """)
    assert f"Enrolee {AE}, with {BSF}" in m2msec("config", "check", file).stdout
    enrolled = json.loads(m2msec("enrol", "--config", file, "--json").stdout)
    done = m2msec("connect", CSE, "--config", file, "--json", "--wait", "0.3", given="hello\n")
    association = json.loads(done.stdout.splitlines()[0])
    assert enrolled["relative_ke_id"] in association["credential_id"]
    assert association["expires"] <= enrolled["expires"]
    entity_b.wait_for_data(b"hello")


def test_an_enrolee_by_card_is_told_what_is_missing_and_for_whom_no_key_can_be_made(operator):
    given = ("--data", operator.directory / "device", "--card", operator.card, "--enrolee-id", AE)
    done = m2msec("enrol", operator.ub, *given, "--target", CSE, check=False)
    assert "to enrol by card give HOST:PORT, --mef-id" in done.stderr
    done = m2msec("enrol", operator.ub, *given, "--mef-id", BSF, "--target", "/in-cse", check=False)
    assert (done.returncode, "/in-cse has no public domain name" in done.stderr) == (1, True)
    operator.server.stop()
    done = m2msec("enrol", operator.ub, *given, "--mef-id", BSF, "--target", CSE, check=False)
    assert (done.returncode, str(BSF) in done.stderr) == (1, True)
