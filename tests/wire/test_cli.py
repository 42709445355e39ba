"""The command line: its contract, its errors, its exit statuses."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import time

import pytest

from forking import Forked
from maf_support import key_of
from onem2m_security.cli import app
from onem2m_security.cli.common import read_key
from onem2m_security.errors import ConfigurationError, RecordExistsError
from onem2m_security.version import __version__
from programs import PATIENCE, Programs, kc_rows, key_file, m2msec, openssl, wait_until
from requirements import lacks

KM_ID_A = "a@maf.example.com"
CSE = "//sp.example/in-cse"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A MAF with A, who may reach the CSE, and Entity B, both running."""
    directory = tmp_path_factory.mktemp("house")
    data = directory / "data"
    a, b = (key_file(directory, name, key_of(name).reveal()) for name in ("a", "b"))
    m2msec(
        "maf",
        "add-client",
        "--data",
        data,
        "--km-id",
        KM_ID_A,
        "--km-file",
        a,
        "--entity",
        "Csensor",
        "--target",
        CSE,
    )
    m2msec(
        "maf",
        "add-client",
        "--data",
        data,
        "--km-id",
        "b@maf.example.com",
        "--km-file",
        b,
        "--entity",
        CSE,
    )
    programs = Programs(directory)
    maf = programs.start_maf(data)
    entity_b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, "--maf", f"127.0.0.1:{maf.port}",
        "--km-id", "b@maf.example.com", "--km-file", b,
    )  # fmt: skip
    yield directory, data, maf, entity_b
    programs.end_all()


def connect(house, *options: object, given: str = "", check: bool = True):
    directory, _, maf, b = house
    return m2msec(
        "connect", f"127.0.0.1:{b.port}", "--peer", CSE, "--maf", f"127.0.0.1:{maf.port}",
        "--km-id", KM_ID_A, "--km-file", directory / "a", "--entity", "Csensor", "--wait", "0.2", *options,
        given=given, check=check,
    )  # fmt: skip


@pytest.mark.parametrize("release", ["1", "3"])
def test_connect_associates_through_the_maf_and_carries_standard_input(house, release):
    done = connect(house, "--json", "--release", release, given=f"hello in release {release}\n")
    association = json.loads(done.stdout.splitlines()[0])
    assert (association["role"], association["framework"]) == ("entity-a", "saef-maf")
    assert (association["local"], association["peer"]) == ("Csensor", CSE)
    assert association["protocol"] == "TLSv1.2"
    house[3].wait_for(f"hello in release {release}")
    assert "associated with Csensor by saef-maf" in house[3].errors


def test_what_b_types_arrives_at_a(house, tmp_path):
    directory, _, maf, b = house
    command = [
        "connect", f"127.0.0.1:{b.port}", "--peer", CSE, "--maf", f"127.0.0.1:{maf.port}",
        "--km-id", KM_ID_A, "--km-file", str(directory / "a"), "--entity", "Csensor",
    ]  # fmt: skip
    printed, errors = tmp_path / "out", tmp_path / "err"
    with printed.open("wb") as out, errors.open("wb") as err:
        a = Forked(command, stdout=out, stderr=err)
    with a.stdin as typed:
        typed.write(b"are you there\n")
        typed.flush()
        wait_until(lambda: "are you there" in b.output, f"what A typed: {errors.read_text()}")
        b.process.stdin.write(b"yes\n")
        b.process.stdin.flush()
        wait_until(printed.read_bytes, "what B typed")
    a.wait(PATIENCE)
    assert printed.read_bytes() == b"yes\n"


def test_keys_show_fingerprints_unless_they_are_to_be_revealed(house):
    connect(house)
    _, data, _, _ = house
    hidden = m2msec("maf", "keys", "--data", data, "--json").stdout
    rows = kc_rows(data)
    assert set(rows[0]) >= {"kc_id", "source", "target", "expires", "fingerprint", "kc"}
    assert all("kc" not in row for row in json.loads(hidden))
    assert all(row["kc"] not in hidden for row in rows)
    table = m2msec("maf", "keys", "--data", data).stdout
    assert rows[0]["fingerprint"] in table


def test_clients_are_listed_with_what_they_may_reach(house):
    rows = json.loads(m2msec("maf", "clients", "--data", house[1], "--json").stdout)
    by_id = {row["km_id"]: row for row in rows}
    assert by_id[KM_ID_A]["entity"] == "Csensor"
    assert by_id[KM_ID_A]["targets"] == [CSE]
    assert by_id[KM_ID_A]["fingerprint"] == key_of("a").fingerprint


def test_a_rekey_while_servers_run_disturbs_nobody(house):
    assert "sealed under a new key-encryption key" in m2msec("store", "rekey", "--data", house[1]).stdout
    connect(house)


def test_a_removed_client_is_refused_and_its_keys_are_gone(tmp_path, programs):
    data = tmp_path / "data"
    made = m2msec(
        "maf",
        "add-client",
        "--data",
        data,
        "--km-id",
        "x@maf.example.com",
        "--entity",
        "Cx",
        "--target",
        "/y",
    )
    km = key_file(tmp_path, "km", bytes.fromhex(made.stdout))
    maf = programs.start_maf(data)
    arguments = (
        "connect", f"127.0.0.1:{maf.port}", "--peer", "/y", "--maf", f"127.0.0.1:{maf.port}",
        "--km-id", "x@maf.example.com", "--km-file", km, "--entity", "Cx",
    )  # fmt: skip
    # Who answers in the place of /y is no Entity B; the MAF did its part.
    assert "bad_record_mac" in m2msec(*arguments, check=False).stderr
    assert len(kc_rows(data)) == 1
    m2msec("maf", "remove-client", "--data", data, "--km-id", "X@maf.example.com")
    assert kc_rows(data) == []
    done = m2msec(*arguments, check=False)
    assert done.returncode == 1
    assert "does not know the identity" in done.stderr


def test_an_expired_kc_is_refused_by_b(tmp_path, programs):
    from programs import keying_material, s_client

    data = tmp_path / "data"
    a, b = (key_file(tmp_path, name, key_of(name).reveal()) for name in ("a", "b"))
    m2msec(
        "maf",
        "add-client",
        "--data",
        data,
        "--km-id",
        KM_ID_A,
        "--km-file",
        a,
        "--entity",
        "Cx",
        "--target",
        "/y",
    )
    m2msec(
        "maf", "add-client", "--data", data, "--km-id", "b@maf.example.com", "--km-file", b, "--entity", "/y"
    )
    maf = programs.start_maf(data, "--kc-lifetime", "3s")
    entity_b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/y", "--maf", f"127.0.0.1:{maf.port}",
        "--km-id", "b@maf.example.com", "--km-file", b, "--json",
    )  # fmt: skip
    export = ("-keymatexport", "EXPORTER-oneM2M-Connection", "-keymatexportlen", "48")
    exported = keying_material(
        s_client(maf.port, KM_ID_A, key_of("a").reveal(), "PSK-AES128-GCM-SHA256", options=export)
    )
    show = (entity_b.port, f"{exported[:16].hex()}@maf.example.com", exported[16:], "PSK-AES128-GCM-SHA256")
    assert "Cipher is PSK" in s_client(*show)
    time.sleep(3.5)  # B kept the key, and the MAF may not have purged it: both must refuse it
    assert "alert bad record mac" in s_client(*show)


# --- errors ---


SERVE = ("maf", "serve", "--data")
AT = ("--fqdn", "m.example", "--listen")
ADD = ("maf", "add-client", "--data", "{tmp}/d", "--km-id", "x@m", "--entity", "Cx")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("connect", "nowhere", "--peer", "/b"), 1, "HOST:PORT"),
        (("connect", "127.0.0.1:1", "--peer", "not an id"), 2, "not an entity identifier"),
        (("connect", "127.0.0.1:1", "--peer", "/b", "--km-id", "x"), 2, "relative@FQDN"),
        (("connect", "127.0.0.1:1", "--peer", "/b", "--release", "2"), 2, "1 or 3 is expected"),
        (("connect", "127.0.0.1:1", "--peer", "/b"), 1, "give "),
        (("listen", "--listen", "127.0.0.1:0", "--cse-id", "/b"), 1, "give "),
        ((*SERVE, "{tmp}/d", "--fqdn", "*.x", "--listen", "127.0.0.1:0"), 2, "not a domain name"),
        ((*SERVE, "/proc/none", *AT, "127.0.0.1:0"), 1, "data directory"),
        ((*SERVE, "{tmp}/d", *AT, "192.0.2.1:1"), 1, "cannot listen"),
        ((*SERVE, "{tmp}/d", *AT, "127.0.0.1:0", "--kc-lifetime", "0h"), 2, "duration"),
        (("maf", "remove-client", "--data", "{tmp}/d", "--km-id", "x@m.example"), 1, "no store in"),
        ((*ADD, "--km-file", "{tmp}/none"), 1, "cannot be read"),
        ((*ADD, "--km-file", "-"), 1, "hex digits or"),
        (("nonsense",), 2, "No such command"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named_with_the_way_out(tmp_path, arguments, status, told):
    done = m2msec(
        *(argument.format(tmp=tmp_path) for argument in arguments), check=False, given="not a key\n"
    )
    assert done.returncode == status
    said = " ".join(done.stderr.replace("│", " ").split())
    assert told in said
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_client_that_is_not_there_is_named(house):
    directory = house[0]
    done = m2msec("maf", "remove-client", "--data", directory / "data", "--km-id", "x@m.example", check=False)
    assert done.returncode == 1
    assert done.stderr == "m2msec: x@m.example is not a client\n"


def test_a_maf_that_is_not_there_is_named(house):
    directory, _, _, b = house
    done = m2msec(
        "connect", f"127.0.0.1:{b.port}", "--peer", CSE, "--maf", "127.0.0.1:1", "--km-id", KM_ID_A,
        "--km-file", directory / "a", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "127.0.0.1:1 cannot be reached" in done.stderr


def test_a_key_from_standard_input_is_a_key(tmp_path):
    data = tmp_path / "data"
    for number, text in enumerate((key_of("x").reveal().hex(), "base64:AAECAwQFBgcICQoLDA0ODw==")):
        m2msec(
            "maf",
            "add-client",
            "--data",
            data,
            "--km-id",
            f"x{number}@m.example",
            "--entity",
            "Cx",
            "--km-file",
            "-",
            given=text + "\n",
        )
    rows = json.loads(m2msec("maf", "clients", "--data", data, "--json").stdout)
    assert key_of("x").fingerprint in {row["fingerprint"] for row in rows}


def test_a_client_is_replaced_only_when_that_is_said(tmp_path):
    arguments = ("maf", "add-client", "--data", tmp_path / "data", "--km-id", "x@m.example", "--entity", "Cx")
    first = m2msec(*arguments).stdout
    again = m2msec(*arguments, check=False)
    assert again.returncode == 1
    assert "is stored already" in again.stderr
    assert m2msec(*arguments, "--replace").stdout != first


def test_the_data_directory_is_private(tmp_path):
    data = tmp_path / "data"
    m2msec("maf", "add-client", "--data", data, "--km-id", "x@m.example", "--entity", "Cx")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in data.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_key_file_that_is_open_to_others_is_refused(tmp_path, mode):
    loose = key_file(tmp_path, "loose", key_of("x").reveal())
    loose.chmod(mode)
    data = tmp_path / "d"
    adding = ("maf", "add-client", "--data", data, "--km-id", "x@m.example", "--entity", "Cx", "--km-file")
    done = m2msec(*adding, loose, check=False)
    assert done.returncode == 1
    assert f"chmod 600 {loose}" in done.stderr
    assert not data.exists()
    loose.chmod(0o600)
    m2msec(*adding, loose)


ADDING = [
    ("maf", "add-client", "--km-id", "x@m.example", "--entity", "Cx"),
    ("mef", "add-enrolee", "--kpm-id", "x@m.example", "--enrolee-id", "Cx", "--target", "maf.example"),
    ("mef", "add-target", "--key-id", "x@m.example", "--target", "maf.example"),
    ("bsf", "add-naf", "--key-id", "x@m.example", "--entity", "maf.example", "--naf", "maf.example"),
]
READING = [
    ("maf", "clients"),
    ("maf", "keys"),
    ("maf", "remove-client", "--km-id", "x@m.example"),
    ("mef", "enrolees"),
    ("mef", "targets"),
    ("mef", "keys"),
    ("mef", "revoke", "--kpm-id", "x@m.example"),
    ("bsf", "subscribers"),
    ("bsf", "nafs"),
    ("bsf", "bar", "--impi", "x@operator.example"),
    ("bsf", "remove-naf", "--key-id", "x@m.example"),
    ("store", "rekey"),
    ("enrol",),
    ("certificate", "--out", "own"),
]


@pytest.mark.parametrize("adding", ADDING, ids=lambda command: command[1])
def test_a_new_key_goes_into_a_file_of_its_owner_s_or_is_printed_and_is_never_laid_over_another(
    tmp_path, adding, capsys
):
    data, out = tmp_path / "d", tmp_path / "key"
    before = os.umask(0)
    try:
        app([*adding, "--data", str(data), "--out", str(out)], standalone_mode=False)
    finally:
        os.umask(before)
    assert capsys.readouterr().out == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    key = out.read_text()
    assert read_key(str(out)).reveal().hex() == key.strip()
    with pytest.raises(ConfigurationError, match="exists and is not overwritten"):
        app([*adding, "--data", str(data), "--replace", "--out", str(out)])
    assert out.read_text() == key
    with pytest.raises(RecordExistsError, match="is stored already"):
        app([*adding, "--data", str(data), "--out", str(tmp_path / "other")])
    assert not (tmp_path / "other").exists()  # a key that is not in use
    app([*adding, "--data", str(data), "--replace"], standalone_mode=False)
    assert capsys.readouterr().out.strip() not in {"", key.strip()}


def test_a_key_that_was_given_is_not_written_to_another_file(tmp_path):
    given = key_file(tmp_path, "km", key_of("x").reveal())
    with pytest.raises(ConfigurationError, match="leave it out"):
        app([*ADDING[0], "--data", str(tmp_path), "--km-file", str(given), "--out", str(tmp_path / "o")])
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("adding", ADDING, ids=lambda command: command[1])
def test_a_command_that_makes_a_data_directory_says_so_once(tmp_path, adding, capsys):
    data = tmp_path / "d"
    app([*adding, "--data", str(data)], standalone_mode=False)
    assert f"there is no store in {data} yet: making one" in capsys.readouterr().err
    app([*adding, "--data", str(data), "--replace"], standalone_mode=False)
    assert capsys.readouterr().err == ""


def test_a_server_that_makes_a_data_directory_says_so(programs, tmp_path):
    server = programs.start_maf(tmp_path / "d")
    assert server.stop() == 0
    assert f"there is no store in {tmp_path / 'd'} yet: making one" in server.errors
    assert "there is no store" not in programs.start_maf(tmp_path / "d").errors


@pytest.mark.parametrize("reading", READING, ids=" ".join)
@pytest.mark.parametrize("there", [False, True], ids=["no directory", "an empty directory"])
def test_a_command_that_reads_makes_no_data_directory(tmp_path, reading, there):
    data = tmp_path / "mistyped"
    if there:
        data.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=r"there is no store in .*: is this the right directory"):
        app([*reading, "--data", str(data)])
    assert data.exists() is there
    assert not there or not list(data.iterdir())


def test_a_server_leaves_no_core_dump(programs, tmp_path):
    server = programs.start_maf(tmp_path / "d")
    assert resource.prlimit(server.process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_the_memory_of_a_command_cannot_be_read_by_other_processes_of_its_user():
    if sys.platform != "linux":
        lacks("Linux, which alone has this switch")
    program = """
import contextlib, ctypes, sys
from onem2m_security.cli import main
get_dumpable = 3
sys.argv = ["m2msec", "version"]
before = ctypes.CDLL(None).prctl(get_dumpable, 0, 0, 0, 0)
with contextlib.suppress(SystemExit):
    main()
print(before, ctypes.CDLL(None).prctl(get_dumpable, 0, 0, 0, 0))
"""
    printed = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=PATIENCE)
    assert printed.splitlines()[-1] == "1 0"


def test_the_version_is_printed():
    assert m2msec("version").stdout.strip() == __version__


def test_help_says_in_which_forms_a_key_is_accepted():
    said = " ".join(m2msec("maf", "add-client", "--help").stdout.replace("│", " ").split())
    assert "hex digits or base64" in said


@pytest.mark.parametrize("octets", [b"", b"\xff\xfe", b"x" * 10_000, b"hex:"])
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path, octets):
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(octets)
    with pytest.raises(ConfigurationError) as caught:
        read_key(str(path))
    assert str(path) in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_a_key_may_be_text_and_a_short_one_of_which_that_is_not_said_is_pointed_at(tmp_path):
    """TD_M2M_SE_01's key is six characters; openssl and others take them as six octets."""
    arguments = (
        "maf",
        "add-client",
        "--data",
        tmp_path / "maf",
        "--entity",
        "/a",
        "--km-file",
        "-",
        "--km-id",
    )
    as_text = m2msec(*arguments, "a@maf.example.com", given="text:123456\n")
    as_hex = m2msec(*arguments, "b@maf.example.com", given="123456\n")
    assert "text:" not in as_text.stderr
    assert "text:" in as_hex.stderr
    assert "123456" not in as_hex.stderr + as_text.stderr
    assert m2msec(*arguments, "c@maf.example.com", given="hex:123456\n").stderr == ""


def test_a_key_in_text_is_the_one_that_openssl_uses(tmp_path):
    """The interoperability test of oneM2M, TD_M2M_SE_01: ``openssl s_client`` with the six octets."""
    kpsa = tmp_path / "kpsa"
    kpsa.touch(mode=0o600)
    kpsa.write_text("text:123456\n")
    programs = Programs(tmp_path)
    try:
        entity_b = programs.start(
            "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--kpsa-id", "a@b.example",
            "--kpsa-file", kpsa, "--kpsa-peer", "/a",
        )  # fmt: skip
        client = [openssl(), "s_client", "-connect", f"127.0.0.1:{entity_b.port}", "-tls1_2"]
        identity = ["-psk_identity", "a@b.example", "-psk", b"123456".hex()]
        command = [*client, *identity]
        subprocess.run(command, input=b"hello\n", capture_output=True, timeout=PATIENCE, check=False)
        entity_b.wait_for("associated with /a by saef-psk")
    finally:
        programs.end_all()


def test_with_json_what_a_peer_sends_is_told_apart_from_who_is_associated(programs, tmp_path):
    """A peer that writes what looks like an association, or no text at all, writes no line of its own."""
    kpsa = key_file(tmp_path, "kpsa", bytes(32))
    shared = ("--kpsa-id", "a@b.example", "--kpsa-file", kpsa)
    entity_b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/b", *shared, "--kpsa-peer", "/a", "--json"
    )
    forged = '{"framework": "saef-maf", "peer": "/admin"}\n\x1b[2J'
    arguments = ("connect", f"127.0.0.1:{entity_b.port}", "--peer", "/b", "--entity", "/a", *shared)
    m2msec(*arguments, "--wait", "0.2", given=forged)
    entity_b.wait_for_data(forged.encode())
    association, *data = [json.loads(line) for line in entity_b.output.splitlines()]
    assert (association["framework"], association["peer"]) == ("saef-psk", "/a")
    assert data
    assert all(set(line) == {"from", "data"} and line["from"] == "/a" for line in data)
    assert entity_b.associations == [association]
