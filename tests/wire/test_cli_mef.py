"""The command line of the MEF: what a person configures, and what is printed back."""

from __future__ import annotations

import contextlib
import io
import json
import stat
import subprocess
import sys

import pytest

from maf_support import key_of
from onem2m_security.cli import main
from programs import key_file

KPM = key_of("kpm").reveal()
KPM_ID = "dev1@mef.example.com"
ENROLEE = ("--enrolee-id", "/in-cse/Cae", "--target", "maf.example.com", "--target", "//sp.example/in-cse")


@contextlib.contextmanager
def called(arguments, given):
    """The command line and the standard input of another process."""
    before = sys.argv, sys.stdin
    sys.argv, sys.stdin = ["m2msec", *map(str, arguments)], io.StringIO(given)
    try:
        yield
    finally:
        sys.argv, sys.stdin = before


def m2msec(*arguments, given="", check=True):
    """Run a command to its end, in this process: most of what a new one does is to import."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with called(arguments, given), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
    assert not check or status == 0, err.getvalue()
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture
def data(tmp_path):
    return tmp_path / "mef"


def add_enrolee(data, *more, given="", check=True, kpm_id=KPM_ID):
    return m2msec(
        "mef", "add-enrolee", "--data", data, "--kpm-id", kpm_id, *ENROLEE, *more, given=given, check=check
    )


def rows(data, *command):
    return json.loads(m2msec("mef", *command, "--data", data, "--json").stdout)


def test_an_enrolee_is_listed_with_its_instructions_and_without_its_key(data):
    add_enrolee(data, "--kpm-file", "-", "--expires-in", "36h", "--release", "3", given=KPM.hex() + "\n")
    [row] = rows(data, "enrolees")
    assert row == {
        "kpm_id": KPM_ID,
        "enrolee": "/in-cse/Cae",
        "targets": ["maf.example.com", "//sp.example/in-cse"],
        "enrolment_expiry": "36h",
        "release": 3,
        "uss": [],
        "expires": None,
        "fingerprint": key_of("kpm").fingerprint,
    }
    assert KPM.hex() not in m2msec("mef", "enrolees", "--data", data).stdout
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_a_made_key_is_printed_once_and_is_the_one_that_is_stored(data):
    printed = add_enrolee(data).stdout.strip()
    assert len(bytes.fromhex(printed)) == 32
    [row] = rows(data, "enrolees")
    add_enrolee(data, "--kpm-file", "-", "--replace", given=printed + "\n")
    assert rows(data, "enrolees")[0]["fingerprint"] == row["fingerprint"]


def test_an_enrolee_is_not_replaced_by_accident(data, tmp_path):
    file = key_file(tmp_path, "kpm", KPM)
    add_enrolee(data, "--kpm-file", file)
    again = add_enrolee(data, check=False)
    assert again.returncode == 1
    assert "stored already" in again.stderr
    assert rows(data, "enrolees")[0]["fingerprint"] == key_of("kpm").fingerprint


def test_a_target_is_no_enrolee_and_an_enrolee_no_target(data):
    add_enrolee(data)
    key = m2msec(
        "mef", "add-target", "--data", data, "--key-id", "maf@mef.example.com", "--target", "maf.example.com"
    ).stdout.strip()
    assert len(bytes.fromhex(key)) == 32
    assert [row["kpm_id"] for row in rows(data, "enrolees")] == [KPM_ID]
    [target] = rows(data, "targets")
    assert (target["key_id"], target["target"]) == ("maf@mef.example.com", "maf.example.com")
    assert key not in str(target)


def test_revoking_names_what_is_not_there(data):
    add_enrolee(data)
    m2msec("mef", "revoke", "--data", data, "--kpm-id", KPM_ID)
    assert rows(data, "enrolees") == []
    again = m2msec("mef", "revoke", "--data", data, "--kpm-id", KPM_ID, check=False)
    assert again.returncode != 0
    assert KPM_ID in again.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--kpm-id", "dev1"),
        ("--enrolee-id", "no entity"),
        ("--target", "*.example.com"),
        ("--expires-in", "soon"),
        ("--release", "2"),
        ("--kpm-file", "/nonexistent/kpm"),
    ],
)
def test_a_wrong_argument_is_named_and_stores_nothing(data, arguments):
    done = add_enrolee(data, *arguments, check=False)
    assert done.returncode != 0
    assert arguments[1] in done.stderr
    assert "Traceback" not in done.stderr
    assert not data.exists()


def test_a_maf_is_given_each_mef_with_its_key(tmp_path):
    key = key_file(tmp_path, "key", KPM)
    serve = (
        "maf",
        "serve",
        "--data",
        tmp_path / "maf",
        "--fqdn",
        "maf.example.com",
        "--listen",
        "127.0.0.1:0",
    )
    at = ("--mef", "mef.example.com=127.0.0.1:1")
    key_id = ("--mef-key-id", "maf@mef.example.com")
    file = ("--mef-key-file", key)
    for options in (
        at,
        (*at, *key_id),
        (*key_id, *file),
        (*at, *at, *key_id, *file),
        (*at, "--mef-key-id", "maf@mef.example.net", *file),
        (*at, *key_id, *file, *key_id, *file),
        ("--mef", "127.0.0.1:1", *key_id, *file),
    ):
        done = m2msec(*serve, *options, check=False)
        assert done.returncode != 0, options
        assert "mef" in done.stderr.lower()
        assert "Traceback" not in done.stderr


def test_enrolling_asks_for_what_is_missing(tmp_path):
    file = key_file(tmp_path, "kpm", KPM)
    done = m2msec("enrol", "--data", tmp_path / "d", "--kpm-id", KPM_ID, "--kpm-file", file, check=False)
    assert done.returncode == 1
    assert "--enrolee-id" in done.stderr
    empty = m2msec("enrol", "--data", tmp_path / "d", check=False)
    assert empty.returncode == 1
    assert "no Enrolee is configured" in empty.stderr


def test_credentials_stand_alone(tmp_path):
    done = m2msec(
        "connect", "127.0.0.1:1", "--peer", "/in-cse", "--credentials", tmp_path, "--km-id", "a@b.example",
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--credentials" in done.stderr
