"""``m2msec enrol --config``: an Enrolee that one file describes, and what it left used by ``connect``."""

from __future__ import annotations

import json
import shutil

import pytest

from certificate_support import CA, ROOT
from certs import Flavour
from programs import key_file, m2msec
from test_config import a_free_port

MEF, MEF2, CSE, METER = "mef.sp.example", "mef2.sp.example", "//sp.example/cse1", "//sp.example/cse1/Cmeter"
TRUST = 'trust = { flavour = "fqdn", trust-anchors = "root.pem" }'


def serving(at, here: str) -> None:
    """The files of two MEFs on one port: one knows the Enrolee by key, the other by certificate."""
    (at / "root.pem").write_bytes(ROOT.trust_anchor_pem)
    for name, flavour, identifier in (("mef2", Flavour.FQDN, MEF2), ("meter", Flavour.AE_ID, METER)):
        issued = CA.issue(flavour, identifier)
        (at / f"{name}.crt").write_bytes(issued.chain_pem)
        (at / f"{name}.key").touch(mode=0o600)
        (at / f"{name}.key").write_bytes(issued.key_pem)
    key_file(at, "kpm", b"p" * 32)
    m2msec("mef", "add-enrolee", "--data", at / "mef", "--kpm-id", f"meter@{MEF}", "--enrolee-id", METER,
           "--target", CSE, "--kpm-file", at / "kpm")  # fmt: skip
    for mef in (MEF, MEF2):
        data = mef.partition(".")[0]
        key_file(at, f"cse-at-{data}", data.encode().ljust(32, b"."))
        m2msec("mef", "add-target", "--data", at / data, "--key-id", f"cse@{mef}", "--target", CSE,
               "--key-file", at / f"cse-at-{data}")  # fmt: skip
    (at / "enrolees.toml").write_text(
        f'[[association]]\nflavour = "ae-id"\ntrust_anchors = "root.pem"\npeer_id = "{METER}"\n'
        f'targets = ["{CSE}"]\n'
    )
    (at / "mefs.toml").write_text(f"""\
        [[mef]]
        fqdn = "{MEF2}"
        listen = "{here}"
        data = "mef2"
        certificate = "mef2.crt"
        private-key = "mef2.key"
        associations = "enrolees.toml"
        release = "3"
        [[mef]]
        fqdn = "{MEF}"
        listen = "{here}"
        data = "mef"
        """)
    asked = "".join(
        f'[peers."{mef}"]\naddress = "{here}"\n'
        f'prove = {{ key-id = "cse@{mef}", key-file = "cse-at-{mef.partition(".")[0]}" }}\n'.replace("\\", "")
        for mef in (MEF, MEF2)
    )
    (at / "cse.toml").write_text(
        f'[identity]\nid = "{CSE}"\n[entity-b]\nlisten = "127.0.0.1:0"\nmefs = ["{MEF}", "{MEF2}"]\n{asked}'
    )


def device(at, here: str, entity_b: int, enrolment: str):
    file = at / "device.toml"
    file.write_text(f"""\
        [identity]
        id = "{METER}"
        [store]
        data = "by-key"
        [peers."{MEF}"]
        address = "{here}"
        prove = {{ kpm-id = "meter@{MEF}", kpm-file = "kpm" }}
        [peers."{MEF2}"]
        address = "{here}"
        transport = "dtls"
        release = "3"
        prove = {{ certificate = "meter.crt", private-key = "meter.key" }}
        {TRUST}
        [[enrolment]]
        mef = "{MEF}"
        targets = ["{CSE}"]
        enrolment-expiry = "3d"
        [[enrolment]]
        mef = "{MEF2}"
        targets = ["{CSE}"]
        data = "by-certificate"
        [peers."{CSE}"]
        address = "127.0.0.1:{entity_b}"
        prove = {{ enrolment = "{enrolment}" }}
        """)
    return file


def test_one_file_enrols_by_key_and_by_certificate_and_connects_by_what_came_of_it(programs):
    at, here = programs.directory, f"127.0.0.1:{a_free_port()}"
    serving(at, here)
    programs.start("serve", "--config", at / "mefs.toml").wait_for(rf"MEF {MEF} listening")
    entity_b = programs.start("listen", "--config", at / "cse.toml", "--json")
    file = device(at, here, entity_b.port, MEF)
    assert f"Enrolee {METER}, with {MEF2}" in m2msec("config", "check", file).stdout
    done = m2msec("enrol", "--config", file, check=False)
    assert done.stderr == f"m2msec: {file}: with which MEF? {MEF} or {MEF2}\n"
    done = m2msec("enrol", "--config", file, "mef22.sp.example", check=False)
    assert done.stderr.endswith(f"there is no [enrolment] with mef22.sp.example: is '{MEF2}' meant?\n")
    for mef, data in ((MEF, "by-key"), (MEF2, "by-certificate")):
        enrolled = json.loads(m2msec("enrol", "--config", file, mef, "--json").stdout)
        assert (enrolled["enrolee"], enrolled["mef"]) == (METER, mef)
        assert (at / data).is_dir()
        file = device(at, here, entity_b.port, mef)
        m2msec("connect", CSE, "--config", file, "--wait", "0.3", given="hello\n")
        assert json.loads(entity_b.output.splitlines()[-2])["credential_id"].endswith(f"@{mef}")


def test_who_is_not_enrolled_yet_is_told_to_enrol(tmp_path):
    file = device(tmp_path, "127.0.0.1:1", 2, MEF)
    done = m2msec("connect", CSE, "--config", file, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"m2msec: peer {CSE}: we are not enrolled with {MEF} yet: there is no store in "
        f"{tmp_path / 'by-key'}: enrol first (m2msec enrol)\n"
    )
    assert not (tmp_path / "by-key").exists()


def test_the_options_of_an_enrolee_and_a_file_are_not_mixed(tmp_path):
    file = tmp_path / "device.toml"
    shutil.copy(__file__, tmp_path / "kpm")
    file.write_text('[identity]\nid = "/a"\n[peers."/b"]\naddress = "127.0.0.1:1"\nprove = { card = "c" }\n')
    done = m2msec("enrol", "--config", file, "--enrolee-id", "/a", check=False)
    assert (done.returncode, "leave out the others" in done.stderr) == (1, True)
    done = m2msec("enrol", "--config", file, check=False)
    assert "Give [enrolment] with mef and targets" in done.stderr
    done = m2msec("enrol", check=False)
    assert done.stderr == "m2msec: give --data DIR, where the enrolment is kept; or --config FILE\n"


@pytest.mark.parametrize("scheme", ["https", "coaps"])
def test_an_enrolee_finds_its_mef_by_uri(programs, scheme):
    at = programs.directory
    kpm = key_file(at, "kpm", b"p" * 32)
    who = ("--kpm-id", f"meter@{MEF}", "--enrolee-id", METER, "--target", CSE, "--kpm-file", kpm)
    m2msec("mef", "add-enrolee", "--data", at / "mef", *who)
    mef = programs.start("mef", "serve", "--data", at / "mef", "--fqdn", MEF, "--listen", "127.0.0.1:0")
    m2msec("enrol", f"{scheme}://127.0.0.1:{mef.port}", "--data", at / "device", *who)
    assert "is enrolled" in m2msec("enrol", "--data", at / "device").stdout, "it remembers the way"
    done = m2msec("enrol", "ftp://127.0.0.1", "--data", at / "other", *who, check=False)
    assert "https://HOST[:PORT] or coaps://HOST[:PORT] is expected" in done.stderr
