"""From a factory key to a oneM2M request: real processes throughout, and openssl as a foreign Enrolee."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from maf_support import key_of
from onem2m_security.credentials import Secret
from onem2m_security.frameworks.instructions import BootstrapInstruction, enrolee_record, target_record
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.release import Release
from onem2m_security.store import KeyKind, KeyRecord, Store
from places import SUPPORT
from programs import PATIENCE, Programs, Server, key_file, keying_material, m2msec, openssl, s_client

CSE = "//sp.example/in-cse"
DEVICE = "//sp.example/in-cse/Cdevice"
FULL_WIDTH = "\uff2d\uff25\uff26.example.com"
"""MEF.example.com in full-width letters: the same name, once it is normalised."""
SUITE = "PSK-AES128-CBC-SHA256"
KPM, MAF_KEY, CSE_KEY, KM_B = (key_of(name).reveal() for name in ("kpm", "maf at mef", "cse at mef", "b"))


class Domain:
    """An MEF and a MAF as processes, with one device and one CSE provisioned."""

    def __init__(self, programs: Programs, *, release: int = 1) -> None:
        self._programs = programs
        directory = self.directory = programs.directory
        self.mef_data, self.maf_data = directory / "mef", directory / "maf"
        self._maf_key = key_file(directory, "maf-key", MAF_KEY)
        asyncio.run(self._provision(Release(release)))
        self.mef = self.start_mef()
        self.maf = self.start_maf()

    async def _provision(self, release: Release) -> None:
        targets = (EntityId("maf.example.com"), EntityId(CSE))
        instruction = BootstrapInstruction(EntityId(DEVICE), targets, release=release)
        async with await Store.open(self.mef_data) as store:
            await store.add(enrolee_record(_id("device", "mef"), Secret(KPM), instruction))
            await store.add(target_record(_id("maf", "mef"), Secret(MAF_KEY), targets[0]))
            await store.add(target_record(_id("cse", "mef"), Secret(CSE_KEY), targets[1]))
        km_b = KeyRecord(KeyKind.KM, _id("b", "maf"), Secret(KM_B), datetime.now(UTC), EntityId(CSE))
        async with await Store.open(self.maf_data) as store:
            await store.add(km_b)

    def start_mef(self, port: int = 0) -> Server:
        return self._programs.start(
            "mef", "serve", "--data", self.mef_data, "--fqdn", "mef.example.com",
            "--listen", f"127.0.0.1:{port}", "--verbose",
        )  # fmt: skip

    def start_maf(self) -> Server:
        return self._programs.start_maf(
            self.maf_data,
            "--mef", f"mef.example.com=127.0.0.1:{self.mef.port}",
            "--mef-key-id", "maf@mef.example.com", "--mef-key-file", self._maf_key,
            "--enrolee-target", CSE, "--verbose",
        )  # fmt: skip

    def kes(self) -> list[dict]:
        return json.loads(m2msec("mef", "keys", "--data", self.mef_data, "--json", "--reveal").stdout)


def _id(name: str, function: str) -> KeyIdentifier:
    return KeyIdentifier(name, Fqdn(f"{function}.example.com"))


def start_cse(domain: Domain) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [
            sys.executable, SUPPORT / "peer_cse.py", CSE,
            f"127.0.0.1:{domain.maf.port}", f"127.0.0.1:{domain.mef.port}",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    process.stdin.write(f"{KM_B.hex()}\n{CSE_KEY.hex()}\n")
    process.stdin.flush()
    found = re.search(r"listening on (\S+)", process.stdout.readline())
    assert found
    return process, found.group(1)


@pytest.mark.parametrize("release", [1, 3])
def test_four_processes_from_the_factory_key_to_a_request(programs, release):
    domain = Domain(programs, release=release)
    cse, address = start_cse(domain)
    with cse:
        try:
            device = subprocess.run(
                [
                    sys.executable, SUPPORT / "peer_device.py", programs.directory / "device", str(release),
                    DEVICE, CSE, f"127.0.0.1:{domain.mef.port}", f"127.0.0.1:{domain.maf.port}", address,
                ],
                input=KPM.hex() + "\n",
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )  # fmt: skip
        finally:
            cse.kill()
    assert device.returncode == 0, device.stderr
    answers = json.loads(device.stdout.splitlines()[-1])
    for name, framework in (("direct", "saef-psk"), ("through_maf", "saef-maf")):
        rsc, content = answers[name]
        assert rsc == 2001
        assert content["m2m:ae"]["framework"] == framework
        assert content["m2m:ae"]["aei"] == DEVICE
    assert answers["as_somebody_else"] == [4106, None]
    [ke] = domain.kes()
    assert ke["enrolee"] == DEVICE
    logs = domain.mef.errors + domain.maf.errors
    for secret in (KPM, MAF_KEY, CSE_KEY, KM_B, bytes.fromhex(ke["ke"])):
        assert secret.hex() not in logs
        assert base64.b64encode(secret).decode() not in logs


def openssl_mac(key: bytes, message: bytes) -> bytes:
    command = [openssl(), "mac", "-digest", "SHA256", "-macopt", f"hexkey:{key.hex()}", "-binary", "HMAC"]
    return subprocess.run(command, input=message, capture_output=True, timeout=PATIENCE, check=True).stdout


def openssl_enrols(domain: Domain, suite: str = SUITE) -> tuple[bytes, bytes]:
    """Be an Enrolee by openssl alone; RelativeKeId and Ke."""
    options = ["-keymatexport", "EXPORTER-oneM2M-Bootstrap", "-keymatexportlen", "48"]
    exported = keying_material(
        s_client(domain.mef.port, "device@mef.example.com", KPM, suite, options=options)
    )
    return exported[:16], exported[16:]


def is_accepted(printed: str) -> bool:
    """Whether s_client finished its handshake; it names the suite before that."""
    return f"Cipher is {SUITE}" in printed and " alert " not in printed


def km_of(ke: bytes) -> bytes:
    constant = b"oneM2M Enrolment Key to Master Credential derivation"
    return openssl_mac(ke, constant + b"maf.example.com")


def test_openssl_as_enrolee_has_the_mefs_ke_and_its_km_opens_the_maf(programs):
    domain = Domain(programs)
    relative, ke = openssl_enrols(domain)
    [at_mef] = domain.kes()
    ke_id = f"{base64.b64encode(relative).decode()}@mef.example.com"
    assert (at_mef["ke_id"], at_mef["relative_ke_id"], at_mef["ke"]) == (ke_id, relative.hex(), ke.hex())

    options = ["-keymatexport", "EXPORTER-oneM2M-Connection", "-keymatexportlen", "48"]
    exported = keying_material(s_client(domain.maf.port, ke_id, km_of(ke), SUITE, options=options))
    printed = m2msec("maf", "keys", "--data", domain.maf_data, "--json", "--reveal").stdout
    [kc] = json.loads(printed)
    assert kc["relative_kc_id"] == exported[:16].hex()
    assert kc["kc"] == exported[16:].hex()
    assert (kc["source"], kc["target"]) == (DEVICE, CSE)


def test_every_spelling_of_the_mefs_fqdn_is_one(programs):
    domain = Domain(programs)
    relative, ke = openssl_enrols(domain)
    text = base64.b64encode(relative).decode()
    for spelling in ("MEF.Example.COM", "mef.example.com.", FULL_WIDTH):
        printed = s_client(domain.maf.port, f"{text}@{spelling}", km_of(ke), SUITE)
        assert is_accepted(printed), spelling
    assert domain.mef.errors.count("credential handed out") == 1


def test_a_device_that_has_used_a_new_ke_is_refused_by_its_old_ke_id(programs):
    domain = Domain(programs)
    old_relative, old_ke = openssl_enrols(domain)
    new_relative, new_ke = openssl_enrols(domain)
    for relative, ke, works in ((new_relative, new_ke, True), (old_relative, old_ke, False)):
        identity = f"{relative.hex()}@mef.example.com"
        assert is_accepted(s_client(domain.maf.port, identity, km_of(ke), SUITE)) is works
    assert [ke["relative_ke_id"] for ke in domain.kes()] == [new_relative.hex()]


def test_the_command_line_takes_a_device_from_the_factory_to_an_association(programs):
    domain = Domain(programs)
    directory = programs.directory
    enrolled = json.loads(
        m2msec(
            "enrol", f"127.0.0.1:{domain.mef.port}", "--data", directory / "device",
            "--kpm-id", "device@mef.example.com", "--kpm-file", "-", "--enrolee-id", DEVICE,
            "--target", "maf.example.com", "--target", CSE, "--json", "--reveal",
            given=KPM.hex() + "\n",
        ).stdout
    )  # fmt: skip
    [ke] = domain.kes()
    assert (enrolled["ke_id"], enrolled["ke"]) == (ke["ke_id"], ke["ke"])
    assert enrolled["credentials"][0]["key"] == km_of(bytes.fromhex(ke["ke"])).hex()
    key_file(directory, "km-b", KM_B)
    key_file(directory, "cse-key", CSE_KEY)
    entity_b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, "--json",
        "--maf", f"127.0.0.1:{domain.maf.port}", "--km-id", "b@maf.example.com",
        "--km-file", directory / "km-b",
        "--mef", f"mef.example.com=127.0.0.1:{domain.mef.port}", "--mef-key-id", "cse@mef.example.com",
        "--mef-key-file", directory / "cse-key",
    )  # fmt: skip
    for options, framework in (((), "saef-psk"), (("--maf", f"127.0.0.1:{domain.maf.port}"), "saef-maf")):
        printed = m2msec(
            "connect", f"127.0.0.1:{entity_b.port}", "--peer", CSE, "--json", "--wait", "0.2",
            "--credentials", directory / "device", *options, given="hello\n",
        ).stdout  # fmt: skip
        association = json.loads(printed.splitlines()[0])
        assert (association["framework"], association["local"]) == (framework, DEVICE)
    entity_b.wait_for_data(b"hello", times=2)
    assert [one["framework"] for one in entity_b.associations] == ["saef-psk", "saef-maf"]
    again = m2msec("enrol", "--data", directory / "device").stdout
    assert ke["ke_id"] not in again
    m2msec("mef", "revoke", "--data", domain.mef_data, "--kpm-id", "device@mef.example.com")
    assert domain.kes() == []
    refused = m2msec("enrol", "--data", directory / "device", check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
