"""The openssl command line as Entity A, as a MAF client and as Entity B."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from pathlib import Path

import pytest

from maf_support import KM_A, KM_ID_A, eventually
from onem2m_security.association import Association
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.credentials import Secret
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.steps import Established
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.keys import ExportLabel
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from onem2m_security.release import Release
from onem2m_security.store import KeyKind, Store
from onem2m_security.tls.suites import PSK_SUITES
from programs import PATIENCE, kc_rows, key_file, keying_material, openssl, s_client

SUITES = [suite.openssl_name for suite in PSK_SUITES]
EXPORT = ("-keymatexport", "EXPORTER-oneM2M-Connection", "-keymatexportlen", "48")


def stored_kcs(data) -> set[KeyIdentifier]:
    async def read() -> set[KeyIdentifier]:
        async with await Store.open(data) as store:
            return {record.key_id for record in await store.records(KeyKind.KC)}

    return asyncio.run(read())


def listen_as_b(house, programs):
    directory, _, maf = house
    return programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--maf", f"127.0.0.1:{maf.port}",
        "--km-id", "b@maf.example.com", "--km-file", directory / "km-b", "--json",
    )  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_openssl_exports_exactly_the_kc_that_the_maf_holds(house, suite):
    _, data, maf = house
    printed = s_client(maf.port, KM_ID_A, KM_A, suite, options=EXPORT)
    exported = keying_material(printed)
    row = next(row for row in kc_rows(data) if row["relative_kc_id"] == exported[:16].hex())
    assert row["kc"] == exported[16:].hex()
    assert row["kc_id"] == Release.R1.wire(KeyIdentifier.parse(f"{exported[:16].hex()}@maf.example.com"))
    assert (row["source"], row["target"]) == ("Csensor", "/in-cse")
    assert f"Cipher is {suite}" in printed
    assert "Secure Renegotiation IS supported" in printed
    assert "Extended master secret: yes" in printed
    assert "TLS session ticket" not in printed


@pytest.mark.parametrize("wire", [Release.R1, Release.R3])
@pytest.mark.parametrize("suite", ["PSK-AES128-CBC-SHA256", "ECDHE-PSK-AES128-CBC-SHA256"])
def test_b_accepts_openssl_with_the_kc_that_openssl_got_from_the_maf(house, programs, wire, suite):
    _, _, maf = house
    exported = keying_material(s_client(maf.port, KM_ID_A, KM_A, suite, options=EXPORT))
    kc_id = KeyIdentifier.parse(f"{exported[:16].hex()}@maf.example.com")
    b = listen_as_b(house, programs)
    printed = s_client(b.port, wire.wire(kc_id), exported[16:], suite, given=b"hello from openssl\n")
    b.wait_for_data(b"hello from openssl")
    [association] = b.associations
    assert f"Cipher is {suite}" in printed
    assert (association["local"], association["peer"]) == ("/in-cse", "Csensor")
    assert association["framework"] == "saef-maf"
    assert association["credential_id"] == f"12-{kc_id}"
    assert association["cipher_suite"] == suite
    assert association["expires"]


def test_b_refuses_openssl_with_the_right_kc_id_and_a_wrong_kc(house, programs):
    _, _, maf = house
    exported = keying_material(s_client(maf.port, KM_ID_A, KM_A, SUITES[0], options=EXPORT))
    b = listen_as_b(house, programs)
    printed = s_client(b.port, f"{exported[:16].hex()}@maf.example.com", b"\1" * 32, SUITES[-1])
    assert "alert bad record mac" in printed
    assert b.stop() == 0
    assert b.output == ""


@pytest.mark.parametrize(
    "options",
    [
        ("-cipher", "aNULL:eNULL@SECLEVEL=0"),
        ("-cipher", "PSK-NULL-SHA256:ECDHE-PSK-NULL-SHA256@SECLEVEL=0"),
        ("-cipher", "PSK-AES256-CBC-SHA:PSK-AES128-CBC-SHA@SECLEVEL=0"),
        ("-cipher", "DHE-PSK-AES128-GCM-SHA256@SECLEVEL=0"),
        ("-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
        ("-tls1_3",),
    ],
    ids=" ".join,
)
def test_the_maf_negotiates_nothing_outside_the_profile(house, options):
    _, data, maf = house
    before = stored_kcs(data)
    command = [
        openssl(), "s_client", "-connect", f"127.0.0.1:{maf.port}", *options,
        "-psk_identity", KM_ID_A, "-psk", KM_A.hex(),
    ]  # fmt: skip
    done = subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode != 0
    assert b"Cipher is (NONE)" in done.stdout
    assert b"alert" in done.stderr or b"no ciphers available" in done.stderr
    assert stored_kcs(data) == before


def test_the_maf_does_not_renegotiate(house):
    _, _, maf = house
    printed = s_client(maf.port, KM_ID_A, KM_A, SUITES[-1], given=b"R\n", hold=0.5)
    assert "RENEGOTIATING" in printed
    assert "no renegotiation" in printed


# --- TS-0013 clause 8.4, TD_M2M_SE_01 ---

TD_KPSA = Secret(bytes.fromhex("123456"))
TD_KPSA_ID = KeyIdentifier.parse("test@onem2m.com")
TD_AE = EntityId.parse("Ctest-ae")


def create_ae(originator: str) -> bytes:
    body = b'{"m2m:ae":{"api":"N.test.app","rr":false,"srv":["3"]}}'
    head = (
        "POST /in-cse HTTP/1.1\r\nHost: in-cse\r\nConnection: close\r\nX-M2M-RI: 1\r\nX-M2M-RVI: 3\r\n"
        f"X-M2M-Origin: {originator}\r\nContent-Type: application/json;ty=2\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Registrar:
    """Entity B as a registrar: it creates an AE for whoever the session authenticated, and nobody else."""

    def __init__(self) -> None:
        self.created: list[tuple[str, Association]] = []

    async def answer(self, request: Request, established: Established) -> Response:
        association = established.association
        if not association.authenticates(request.originator):
            raise RefusedError(
                Rsc.ORIGINATOR_NOT_AUTHENTICATED, "this session does not authenticate the From"
            )
        assert request.operation is Operation.CREATE
        assert request.content["m2m:ae"]["api"] == "N.test.app"
        self.created.append((request.originator, association))
        return Response(Rsc.CREATED, {"m2m:ae": {"aei": request.originator}})


async def s_client_in_thread(*arguments, **settings) -> str:
    return await asyncio.to_thread(lambda: s_client(*arguments, **settings))


@pytest.mark.parametrize("suite", SUITES)
async def test_td_m2m_se_01_an_ae_is_created_over_a_provisioned_key_association(suite):
    registrar = Registrar()
    kpsa = saef_psk.credential(TD_KPSA_ID, TD_KPSA, peer=TD_AE)
    async with EntityB(EntityId.parse("/in-cse"), keys=[kpsa]) as b:
        bound = await b.listen_requests(Address("127.0.0.1", 0), registrar.answer)
        printed = await s_client_in_thread(
            bound.port, "test@onem2m.com", TD_KPSA.reveal(), suite,
            given=create_ae("Ctest-ae"), options=("-ign_eof",),
        )  # fmt: skip
    assert f"Cipher is {suite}" in printed
    assert "HTTP/1.1 201 Created" in printed
    assert "x-m2m-rsc: 2001" in printed.lower()
    [(originator, association)] = registrar.created
    assert originator == "Ctest-ae"
    assert association.peer == TD_AE
    assert str(association.credential_id) == "12-test@onem2m.com"
    assert association.cipher_suite == suite


async def test_td_m2m_se_01_the_registrar_refuses_another_originator():
    registrar = Registrar()
    kpsa = saef_psk.credential(TD_KPSA_ID, TD_KPSA, peer=TD_AE)
    async with EntityB(EntityId.parse("/in-cse"), keys=[kpsa]) as b:
        bound = await b.listen_requests(Address("127.0.0.1", 0), registrar.answer)
        printed = await s_client_in_thread(
            bound.port, "test@onem2m.com", TD_KPSA.reveal(), "PSK-AES128-CBC-SHA256",
            given=create_ae("Csomebody-else"), options=("-ign_eof",),
        )  # fmt: skip
    assert "HTTP/1.1 403" in printed
    assert "x-m2m-rsc: 4106" in printed.lower()
    assert registrar.created == []


def test_td_m2m_se_01_on_the_command_line(programs, tmp_path):
    kpsa = key_file(tmp_path, "kpsa", TD_KPSA.reveal())
    b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--kpsa-id", "test@onem2m.com",
        "--kpsa-file", kpsa, "--json", "--once",
    )  # fmt: skip
    s_client(b.port, "test@onem2m.com", TD_KPSA.reveal(), "PSK-AES128-CBC-SHA256", given=b"op=1&ty=2\n")
    assert b.process.wait(PATIENCE) == 0
    [association] = b.associations
    assert association["framework"] == "saef-psk"
    assert association["peer"] is None
    assert association["credential_id"] == "12-test@onem2m.com"
    assert b.received == b"op=1&ty=2\n"


# --- openssl as Entity B ---


@pytest.fixture
def s_server(tmp_path):
    """Starts ``openssl s_server`` with the test credentials; its port and its output file."""
    running = []

    def start(suite: str) -> tuple[int, subprocess.Popen, Path]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        output = tmp_path / "s_server.out"
        command = [
            openssl(), "s_server", "-accept", f"127.0.0.1:{port}", "-nocert", "-tls1_2", "-naccept", "1",
            "-psk_identity", "test@onem2m.com", "-psk", TD_KPSA.reveal().hex(),
            "-cipher", f"{suite}@SECLEVEL=0", *EXPORT,
        ]  # fmt: skip
        with output.open("wb") as out:
            running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out))
        return port, running[-1], output

    yield start
    for process in running:
        process.kill()
        process.communicate()


async def connect_when_ready(port: int, kpsa):
    for _ in range(500):
        try:
            return await associate(
                Link(Address("127.0.0.1", port)), saef_psk.initiate(TD_AE, EntityId.parse("/in-cse"), kpsa)
            )
        except HandshakeError as error:
            if "cannot be reached" not in str(error):
                raise
        await asyncio.sleep(0.02)
    raise AssertionError("openssl s_server did not start")


@pytest.mark.parametrize("suite", SUITES)
async def test_entity_a_associates_with_openssl_as_entity_b(s_server, suite):
    port, process, output = s_server(suite)
    async with await connect_when_ready(port, saef_psk.credential(TD_KPSA_ID, TD_KPSA)) as channel:
        assert channel.association.cipher_suite == suite
        assert channel.association.peer == EntityId.parse("/in-cse")
        process.stdin.write(b"from openssl\n")
        process.stdin.flush()
        assert await channel.read() == b"from openssl\n"
        await channel.write(b"to openssl\n")
        exported = channel.established.export(ExportLabel.CONNECTION)
        await eventually(lambda: b"to openssl" in output.read_bytes())
    assert keying_material(output.read_text()) == exported.relative + exported.key.reveal()


async def test_entity_a_says_what_to_do_when_openssl_holds_another_key(s_server):
    port, _, _ = s_server("PSK-AES128-CBC-SHA256")
    with pytest.raises(HandshakeError, match="does not know the identity, or holds another key"):
        await connect_when_ready(port, saef_psk.credential(TD_KPSA_ID, Secret(b"\x12\x34\x57")))
