"""``[mef.est]``: certificates by EST as a file describes them, served by the command."""

from __future__ import annotations

import asyncio
import json

import pytest

from certificate_support import ROOT
from certs import Issued
from est_support import MEF_CA, NAME
from mef_support import CSE, DEVICE, PATIENT, provision_mef
from onem2m_security.clients.est import EstClient, provision
from onem2m_security.configuration.description import Description
from onem2m_security.errors import ConfigurationError, CredentialError
from onem2m_security.identifiers import EntityId
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.servers.issuing import OutsideAuthority, OwnAuthority
from programs import key_file, m2msec

MEF = """\
[mef]
fqdn = "mef.example.com"
listen = "127.0.0.1:0"
data = "mef"
{more}
"""
OWN = '[mef.est]\nauthority = "ca.crt"\nauthority-key = "ca.key"\nlifetime = "10d"\n'
OUTSIDE = """\
[mef.est]
server = "est.example.org"
[peers."est.example.org"]
address = "127.0.0.1:1"
prove = { certificate = "ra.crt", private-key = "ra.key" }
trust = { flavour = "fqdn", trust-anchors = "root.crt" }
"""


def put(directory, name, issued: Issued):
    (directory / f"{name}.crt").write_bytes(issued.full_chain_pem)
    key = directory / f"{name}.key"
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)


def described(directory, more):
    put(directory, "ca", MEF_CA.issued)
    put(directory, "ra", ROOT.issue(None, "mef.example.com"))
    (directory / "root.crt").write_bytes(ROOT.trust_anchor_pem)
    file = directory / "m2msec.toml"
    file.write_text(MEF.format(more=more), encoding="utf-8")
    return Description.read(file)


async def test_a_served_mef_provisions_certificates_by_the_authority_of_its_file(tmp_path, programs):
    await provision_mef(tmp_path / "mef")
    server = programs.start("serve", "--config", described(tmp_path, OWN).file)
    link = Link(Address("127.0.0.1", server.port), limits=PATIENT)
    async with EstClient(link, DEVICE.initiator) as client:
        got = await provision(client, NAME)
    life = got.certificate.not_valid_after_utc - got.certificate.not_valid_before_utc
    assert life.days == 10
    [record] = (tmp_path / "mef" / "certificates" / "mef.example.com").glob("*/*.pem")
    assert record.stem == f"{got.certificate.serial_number:x}"


async def test_the_commands_enrol_a_device_and_keep_its_certificate(tmp_path, programs):
    await provision_mef(tmp_path / "mef")
    server = programs.start("serve", "--config", described(tmp_path, OWN).file)
    kpm = key_file(tmp_path, "kpm", DEVICE.kpm.reveal())
    await asyncio.to_thread(
        m2msec, "enrol", f"127.0.0.1:{server.port}", "--data", tmp_path / "device", "--kpm-id", DEVICE.kpm_id,
        "--kpm-file", kpm, "--enrolee-id", DEVICE.entity, "--target", CSE, "--release", "1",
    )  # fmt: skip
    asking = ("certificate", "--data", tmp_path / "device", "--out", tmp_path / "own", "--json")
    first = json.loads((await asyncio.to_thread(m2msec, *asking)).stdout)
    assert (first["flavour"], first["identifier"]) == ("ae-id", str(DEVICE.entity))
    assert await asyncio.to_thread(m2msec, *asking[:-1])
    assert json.loads((await asyncio.to_thread(m2msec, *asking)).stdout) == first
    [record] = (tmp_path / "mef" / "certificates" / "mef.example.com").glob("*/*.pem")
    assert record.stem == first["serial"]
    assert (tmp_path / "own.key").stat().st_mode & 0o777 == 0o600


def test_an_authority_outside_is_a_peer(tmp_path):
    [service] = described(tmp_path, OUTSIDE).services()
    assert isinstance(service.est.authority, OutsideAuthority)
    [own] = described(tmp_path, OWN).services()
    assert isinstance(own.est.authority, OwnAuthority)


def test_further_names_are_read(tmp_path):
    rule = 'names = ["//sp.example/in-cse/Cdevice=node-id:urn:gsma:imei:90420156-025763-0"]\n'
    [service] = described(tmp_path, OWN + rule).services()
    [name] = service.est.policy.allowed(DEVICE.entity)
    assert name.identifier == "urn:gsma:imei:90420156-025763-0"
    assert service.est.policy.allowed(EntityId.parse("//sp.example/in-cse/Cother"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("[mef.est]\n", "say who issues"),
        ('[mef.est]\nauthority = "ca.crt"\n', "say who issues"),
        (OWN + 'server = "est.example.org"\n', r'there is no \[peers."est.example.org"\]'),
        (OWN.replace("ca.key", "ra.key"), "does not belong"),
        (OWN.replace("ca.", "ra."), "cannot be used"),
        (OWN.replace("10d", "1h"), "at least one day"),
        (OWN + 'names = ["Cae"]\n', "CLIENT=FLAVOUR:IDENTIFIER"),
        (OWN + 'names = ["Cae=fqdn:a.example"]\n', "FLAVOUR:IDENTIFIER"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(tmp_path, more, told):
    with pytest.raises((ConfigurationError, CredentialError), match=told):
        described(tmp_path, more).services()


def test_a_key_that_others_may_read_is_refused(tmp_path):
    description = described(tmp_path, OWN)
    (tmp_path / "ca.key").chmod(0o640)
    with pytest.raises(CredentialError, match="chmod 600"):
        description.services()
