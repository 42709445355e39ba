"""``m2msec mef command``: a queue as its operator gives it, sees it and takes it back."""

from __future__ import annotations

import asyncio
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from est_support import est_mef
from mef_support import DEVICE, MAF_ID, MEF
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.clients.command_classes import subject_of
from onem2m_security.onem2m.commands import (
    CertificateProvisioning,
    CertProvProtocol,
    CommandDescription,
    CommandStatus,
    DeviceConfiguration,
    DeviceConfigUri,
    ManagedObjectNode,
    ObjectType,
    ServerUri,
)
from onem2m_security.servers.commands import DEFAULT_RETRY
from onem2m_security.store import KeyKind, Store
from programs import key_file
from test_cli_mef import add_enrolee, m2msec, rows

ENROLEE = "/in-cse/Cae"
EST = "https://mef.example.com/.well-known/est"


@pytest.fixture
def data(tmp_path):
    directory = tmp_path / "mef"
    add_enrolee(directory)
    return directory


def add(data, command_class, *more, enrolee=ENROLEE, check=True):
    return m2msec(
        "mef", "command", "add", command_class, "--data", data, "--enrolee-id", enrolee, *more, check=check
    )


def listed(data):
    return rows(data, "command", "list")


@pytest.mark.parametrize(
    ("given", "known_as", "arguments"),
    [
        (
            ("cert-prov", "--uri", EST),
            "CERT_PROV",
            {"cpca": {"cpp": 1, "uri": EST, "cst": 3, "csid": ENROLEE}},
        ),
        (
            ("cert-prov", "--uri", EST, "--protocol", "scep", "--subject", "//sp.example/in-cse"),
            "CERT_PROV",
            {"cpca": {"cpp": 2, "uri": EST, "cst": 2, "csid": "//sp.example/in-cse"}},
        ),
        (
            ("cert-prov", "--uri", EST, "--subject", "urn:gsma:imei:90420156-025763-0"),
            "CERT_PROV",
            {"cpca": {"cpp": 1, "uri": EST, "cst": 1, "csid": "urn:gsma:imei:90420156-025763-0"}},
        ),
        (
            ("dev-cfg", "--uri", "3:coaps://mef.example.com"),
            "DEV_CFG",
            {"dcca": {"dcu": "3:coaps://mef.example.com"}},
        ),
        (
            ("mo-node", "--path", "./a", "--object-type", "trust-anchor-cred"),
            "MO_NODE",
            {"moca": {"obp": "./a", "obt": 2}},
        ),
        (
            ("mo-node", "--path", "./a", "--object-type", "authentication-profile", "--suid", "21"),
            "MO_NODE",
            {"moca": {"obp": "./a", "obt": 1, "otsa": {"suid": 21}}},
        ),
    ],
)
def test_a_command_is_listed_as_it_was_given(data, given, known_as, arguments):
    command_id = add(data, *given).stdout.strip()
    [row] = listed(data)
    assert (row["cmd_id"], row["enrolee"], row["class"]) == (command_id, ENROLEE, known_as)
    assert row["status"] == "QUEUED"
    assert json.loads(row["arguments"]) == arguments
    assert [entry.split()[0] for entry in row["history"]] == ["QUEUED"]


async def told_and_failed(data) -> None:
    async with await Store.open(data) as store:
        [[command]] = [page async for page in store.commands.pages()]
        await store.commands.issue(command.enrolee)
        await store.commands.issue(command.enrolee)
        await store.commands.end(command.enrolee, command.command_id, CommandStatus.DEV_CFG_SERVER_ERROR)


def test_the_list_shows_each_status_with_its_time(data):
    add(data, "dev-cfg", "--uri", "3:coaps://mef.example.com")
    asyncio.run(told_and_failed(data))
    [row] = listed(data)
    assert row["status"] == "DEV_CFG_SERVER_ERROR"
    shown = [entry.split()[0] for entry in row["history"]]
    assert shown == ["QUEUED", "ISSUED", "REISSUED", "DEV_CFG_SERVER_ERROR"]


def test_a_command_is_removed_once(data):
    command_id = add(data, "dev-cfg", "--uri", "3:coaps://mef.example.com").stdout.strip()
    m2msec("mef", "command", "remove", "--data", data, "--cmd-id", command_id)
    assert listed(data) == []
    again = m2msec("mef", "command", "remove", "--data", data, "--cmd-id", command_id, check=False)
    assert again.returncode == 1
    assert again.stderr.startswith(f"m2msec: there is no command '{command_id}'")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("cert-prov",), "cert-prov needs --uri"),
        (("cert-prov", "--uri", EST, "--path", "./a"), "does not take --path"),
        (("cert-prov", "--uri", "mef.example.com"), "not an absolute URI"),
        (("cert-prov", "--uri", "https://evil.example/est"), "would refuse the command"),
        (("cert-prov", "--uri", "https://mef.example.com@evil.example/"), "not an absolute URI"),
        (("cert-prov", "--uri", EST, "--subject", "no body"), "not a Node-ID"),
        (("dev-cfg", "--uri", "9:coaps://mef.example.com"), "not a deviceConfigURI"),
        (("dev-cfg", "--uri", "3:coaps://evil.example"), "would refuse the command"),
        (("mo-node", "--path", "./a"), "mo-node needs --object-type"),
        (("mo-node", "--path", "", "--object-type", "trust-anchor-cred"), "objectPath"),
        (
            ("mo-node", "--path", "./a", "--object-type", "trust-anchor-cred", "--suid", "21"),
            "--suid belongs",
        ),
        (("mo-node", "--path", "./a", "--object-type", "authentication-profile"), "--suid belongs"),
    ],
)
def test_a_command_that_no_enrolee_could_carry_out_is_not_given(data, given, told):
    refused = add(data, *given, check=False)
    assert refused.returncode == 1
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr
    assert listed(data) == []


def test_an_enrolee_by_certificate_is_commanded_though_it_has_no_key_here(data):
    add(data, "cert-prov", "--uri", "https://mef2.example.com/est", enrolee="//sp.example/in-cse/Cother")
    assert [row["enrolee"] for row in listed(data)] == ["//sp.example/in-cse/Cother"]


async def test_an_enrolee_obeys_at_the_command_line(tmp_path):
    def run(*arguments, check=True):
        return asyncio.to_thread(m2msec, *arguments, check=check)

    program = tmp_path / "configure"
    program.write_text('#!/bin/sh\necho "$@" >> "$0.log"\ntest "$1" != 4\n')
    program.chmod(0o700)
    kpm = key_file(tmp_path, "kpm", DEVICE.kpm.reveal())
    async with est_mef(tmp_path / "mef") as mef:
        given = [
            CertificateProvisioning(CertProvProtocol.EST, ServerUri.parse(EST), *subject_of(DEVICE.entity)),
            DeviceConfiguration(DeviceConfigUri.parse("3:coaps://mef.example.com:5684")),
            DeviceConfiguration(DeviceConfigUri.parse("4:https://mef.example.com")),
            DeviceConfiguration(DeviceConfigUri.parse("3:coaps://elsewhere.example.com")),
            ManagedObjectNode.of("./a", ObjectType.TRUST_ANCHOR_CRED),
        ]
        for one in given:
            description = CommandDescription.of(one, DEVICE.entity)
            await mef.store.commands.add(DEVICE.entity, description)
        device = ("--data", tmp_path / "device")
        await run("enrol", str(mef.address), *device, "--kpm-id", str(DEVICE.kpm_id), "--kpm-file", kpm,
                  "--enrolee-id", str(DEVICE.entity), "--target", str(MAF_ID))  # fmt: skip
        done = await run("obey", *device, "--out", tmp_path / "own", "--configure", program, "--json")
        [[*commands]] = [page async for page in mef.store.commands.pages()]
        kes = await mef.store.records(KeyKind.KE, source=DEVICE.entity)
    assert json.loads(done.stdout) == {"mef": str(MEF), "retry_seconds": DEFAULT_RETRY.total_seconds()}
    assert [one.status for one in commands] == [
        CommandStatus.OK,
        CommandStatus.OK,
        CommandStatus.DEV_CFG_CLIENT_ERROR,
        CommandStatus.UNACCEPTABLE_ARGUMENTS,
        CommandStatus.CLASS_NOT_SUPPORTED,
    ]
    assert (tmp_path / "configure.log").read_text().splitlines() == [
        "3 coaps://mef.example.com:5684",
        "4 https://mef.example.com",
    ]
    own = LocalCertificate.load(tmp_path / "own.crt", tmp_path / "own.key")
    assert [own.certificate_chain[0]] == [
        x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER) for file in mef.files
    ]
    async with await Store.open(tmp_path / "device") as store:
        [kept] = await store.records(KeyKind.KE, source=DEVICE.entity)
    assert kept.key == max(kes, key=lambda one: one.issued).key, "the Ke of the last session"


def test_who_is_not_enrolled_obeys_nobody(tmp_path):
    assert m2msec("obey", "--data", tmp_path / "none", check=False).returncode == 1
    assert "give --data DIR" in m2msec("obey", check=False).stderr
