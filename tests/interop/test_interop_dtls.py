"""DTLS 1.2 with programs that we did not write, both ways: the openssl command line and mbedTLS."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mbedtls import tls

from certs import Authority
from maf_support import EVERYBODY, ID_A, ID_B, KM_A, KM_ID_A, LOOPBACK, A, B, eventually, running_maf
from onem2m_security.association import Association
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.credentials import ResolvedKey, Secret
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import saef_certificate, saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.keys import ExportLabel
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import Channel, datagram_channels
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.udp import DatagramListener
from onem2m_security.release import Release
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.records import (
    CONTENT_APPLICATION_DATA,
    CONTENT_CHANGE_CIPHER_SPEC,
    CONTENT_HANDSHAKE,
    HANDSHAKE_CLIENT_KEY_EXCHANGE,
    datagram_fragments,
    epoch_of,
    split_datagram,
)
from onem2m_security.tls.suites import CERTIFICATE_SUITES, PSK_SUITES, Suite
from programs import PATIENCE, kc_rows, keying_material, openssl, wait_until
from test_interop_mbedtls import SUITES as MBEDTLS_SUITES

SUITES = [suite.openssl_name for suite in PSK_SUITES]
EXPORT = ("-keymatexport", "EXPORTER-oneM2M-Connection", "-keymatexportlen", "48")
KPSA_ID = KeyIdentifier.parse("test@onem2m.com")
KPSA = Secret(bytes.fromhex("123456"))  # TS-0013 clause 8.4, TD_M2M_SE_01
PATIENT = Limits(handshake_seconds=PATIENCE)


def s_client(port: int, *options: str, given: bytes = b"", until: bytes = b"") -> str:
    """Be a DTLS client with ``openssl s_client``; what it printed, ended when that holds ``until``."""
    command = [openssl(), "s_client", "-connect", f"127.0.0.1:{port}", "-dtls1_2", *options]
    printed = b""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        process.stdin.write(given)
        if until:
            while until not in printed and (octets := process.stdout.read(4096)):
                printed += octets
        rest, _ = process.communicate(timeout=PATIENCE)
    return (printed + rest).decode("utf-8", "replace")


def psk_options(identity: str, key: bytes, suite: str) -> tuple[str, ...]:
    return "-psk_identity", identity, "-psk", key.hex(), "-cipher", f"{suite}@SECLEVEL=0"


class SServers:
    """Starts ``openssl s_server -dtls1_2 -listen``; ends those that are left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> tuple[int, subprocess.Popen[bytes], Path]:
        output = self.directory / f"s_server.{len(self.running)}"
        command = [openssl(), "s_server", "-accept", "127.0.0.1:0", "-dtls1_2", "-listen", *options]
        with output.open("wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out)
        self.running.append(process)

        def listening() -> re.Match[bytes] | None:
            assert process.poll() is None, output.read_text()
            return re.search(rb"ACCEPT 127\.0\.0\.1:(\d+)", output.read_bytes())

        return int(wait_until(listening, "its port").group(1)), process, output


@pytest.fixture
def s_server(tmp_path) -> Iterator[SServers]:
    servers = SServers(tmp_path)
    yield servers
    for process in servers.running:
        process.kill()
        process.communicate()


# --- openssl and the MAF ---


@pytest.mark.parametrize("suite", SUITES)
def test_openssl_exports_exactly_the_kc_that_the_maf_holds(house, suite):
    _, data, maf = house
    printed = s_client(maf.port, *psk_options(KM_ID_A, KM_A, suite), *EXPORT)
    exported = keying_material(printed)
    row = next(row for row in kc_rows(data) if row["relative_kc_id"] == exported[:16].hex())
    assert row["kc"] == exported[16:].hex()
    assert (row["source"], row["target"]) == ("Csensor", "/in-cse")
    assert f"Cipher is {suite}" in printed
    assert "Protocol  : DTLSv1.2" in printed
    assert "Extended master secret: yes" in printed
    assert "Secure Renegotiation IS supported" in printed
    assert "TLS session ticket" not in printed


@pytest.mark.parametrize("mtu", ["256", "600"])
def test_openssl_with_a_small_mtu_is_understood(house, mtu):
    _, data, maf = house
    options = psk_options(KM_ID_A, KM_A, "ECDHE-PSK-AES128-CBC-SHA256")
    exported = keying_material(s_client(maf.port, *options, *EXPORT, "-mtu", mtu))
    assert any(row["kc"] == exported[16:].hex() for row in kc_rows(data))


@pytest.mark.parametrize("transport", ["tls", "dtls"])
def test_b_accepts_openssl_with_the_kc_that_openssl_got_from_the_maf(house, programs, transport):
    """Whatever carries the question to the MAF, which B asks in the middle of this handshake."""
    directory, _, maf = house
    suite = "PSK-AES128-CCM8"
    exported = keying_material(s_client(maf.port, *psk_options(KM_ID_A, KM_A, suite), *EXPORT))
    kc_id = KeyIdentifier.parse(f"{exported[:16].hex()}@maf.example.com")
    b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", "--maf", f"127.0.0.1:{maf.port}",
        "--km-id", "b@maf.example.com", "--km-file", directory / "km-b", "--json", "--transport", transport,
    )  # fmt: skip
    options = psk_options(Release.R1.wire(kc_id), exported[16:], suite)
    command = [openssl(), "s_client", "-connect", f"127.0.0.1:{b.port}", *options]
    with subprocess.Popen(
        [*command, "-dtls1_2" if transport == "dtls" else "-tls1_2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        process.stdin.write(b"hello from openssl\n")
        process.stdin.flush()
        b.wait_for_data(b"hello from openssl")
        process.communicate(timeout=PATIENCE)
    [association] = b.associations
    assert (association["local"], association["peer"]) == ("/in-cse", "Csensor")
    assert association["protocol"] == f"{transport.upper()}v1.2"
    assert association["cipher_suite"] == suite


@pytest.mark.parametrize(
    "options",
    [
        ("-cipher", "aNULL:eNULL@SECLEVEL=0"),
        ("-cipher", "PSK-NULL-SHA256:ECDHE-PSK-NULL-SHA256@SECLEVEL=0"),
        ("-cipher", "PSK-AES256-CBC-SHA:PSK-AES128-CBC-SHA@SECLEVEL=0"),
        ("-cipher", "ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0"),
    ],
    ids=" ".join,
)
def test_the_maf_negotiates_nothing_outside_the_profile(house, options):
    _, data, maf = house
    before = len(kc_rows(data))
    printed = s_client(maf.port, *options, "-psk_identity", KM_ID_A, "-psk", KM_A.hex())
    assert "Cipher is (NONE)" in printed
    assert "alert" in printed or "no ciphers available" in printed
    assert len(kc_rows(data)) == before


def test_the_maf_speaks_dtls_1_2_only(house):
    _, _, maf = house
    command = [
        openssl(), "s_client", "-connect", f"127.0.0.1:{maf.port}", "-dtls1", "-cipher", "ALL@SECLEVEL=0",
        "-psk_identity", KM_ID_A, "-psk", KM_A.hex(),
    ]  # fmt: skip
    done = subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE, check=False)
    assert b"Cipher is (NONE)" in done.stdout
    assert b"alert protocol version" in done.stderr


class _SlowKeys:
    """Provisioned keys that are found only after openssl has repeated itself twice: after 1 s and 3 s."""

    def __init__(self, flights: list[bytes]) -> None:
        self._keys = ProvisionedKeys([saef_psk.credential(KPSA_ID, KPSA, peer=ID_A)])
        self._flights = flights
        self.asked = 0

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        self.asked += 1
        await eventually(lambda: len(self._flights) == 3)
        return await self._keys.resolve(identity, suite)


@pytest.mark.parametrize("suite", ["PSK-AES128-CCM8", "ECDHE-PSK-AES128-CBC-SHA256"])
async def test_openssl_gets_one_last_flight_however_often_it_repeated_itself_during_the_lookup(suite):
    asking: list[bytes] = []
    answers: list[bytes] = []

    class Port(DatagramListener):
        def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
            if any(f.message_type == HANDSHAKE_CLIENT_KEY_EXCHANGE for f in datagram_fragments(data)):
                asking.append(data)
            super().datagram_received(data, addr)

        def _transmit(self, datagram: bytes, addr: tuple[Any, ...]) -> None:
            if asking:
                answers.append(datagram)
            super()._transmit(datagram, addr)

    async def greet(channel: Channel) -> None:
        await channel.write(b"welcome after a while\n")
        await channel.read()

    keys = _SlowKeys(asking)
    port = Port(
        Authorities({}, default=Acceptor(ID_B, Endpoint(server=True), keys)),
        datagram_channels(greet),
        PATIENT,
    )
    bound = await port.start(LOOPBACK)
    options = psk_options(str(KPSA_ID), KPSA.reveal(), suite)
    printed = await asyncio.to_thread(lambda: s_client(bound.port, *options, until=b"welcome after a while"))
    assert f"Cipher is {suite}" in printed
    assert keys.asked == 1
    records = [(record[0], epoch_of(record)) for record in split_datagram(b"".join(answers[:2]))]
    assert records == [(CONTENT_CHANGE_CIPHER_SPEC, 0), (CONTENT_HANDSHAKE, 1), (CONTENT_APPLICATION_DATA, 1)]
    await port.stop()


# --- openssl as Entity B ---


@pytest.mark.parametrize("suite", SUITES)
async def test_entity_a_associates_with_openssl_as_entity_b(s_server, suite):
    options = ("-nocert", *psk_options(str(KPSA_ID), KPSA.reveal(), suite), *EXPORT)
    port, process, output = s_server.start(*options)
    async with await associate(
        Link(Address("127.0.0.1", port), Transport.DTLS, PATIENT),
        saef_psk.initiate(ID_A, ID_B, saef_psk.credential(KPSA_ID, KPSA)),
    ) as channel:
        assert channel.association.cipher_suite == suite
        assert channel.association.protocol == "DTLSv1.2"
        process.stdin.write(b"from openssl\n")
        process.stdin.flush()
        assert await channel.read() == b"from openssl\n"
        await channel.write(b"to openssl\n")
        exported = channel.established.export(ExportLabel.CONNECTION)
        await eventually(lambda: b"to openssl" in output.read_bytes())
    assert keying_material(output.read_text()) == exported.relative + exported.key.reveal()


@pytest.mark.parametrize("suite", ["PSK-AES128-CBC-SHA256", "PSK-AES128-CCM8"])
async def test_entity_a_says_what_it_may_be_when_openssl_holds_another_key(s_server, suite):
    """OpenSSL answers with an alert or with silence; the error is clear either way."""
    port, _, _ = s_server.start("-nocert", *psk_options(str(KPSA_ID), b"\x12\x34\x57", suite))
    with pytest.raises(HandshakeError, match=r"unknown identity or a wrong key|or holds another key"):
        await associate(
            Link(Address("127.0.0.1", port), Transport.DTLS, Limits(handshake_seconds=1.5)),
            saef_psk.initiate(ID_A, ID_B, saef_psk.credential(KPSA_ID, KPSA)),
        )


# --- certificates ---


class Certificates:
    """Two entities under one root, in files for openssl and in memory for us."""

    def __init__(self, directory: Path) -> None:
        self.root = Authority.root("interop root")
        authority = self.root.intermediate()
        (directory / "root.pem").write_bytes(self.root.trust_anchor_pem)
        (directory / "issuers.pem").write_bytes(authority.issued.full_chain_pem)
        self.local = {}
        for name in ("a", "b"):
            issued = authority.issue(None, f"{name}.sp.example")
            self.local[name] = issued.local()
            (directory / f"{name}.pem").write_bytes(issued.full_chain_pem)
            key = directory / f"{name}.key"
            key.touch(mode=0o600)
            key.write_bytes(issued.key_pem)
        self.directory = directory

    def options(self, name: str) -> tuple[str, ...]:
        at = self.directory
        return (
            "-cert", f"{at}/{name}.pem", "-key", f"{at}/{name}.key", "-cert_chain", f"{at}/issuers.pem",
            "-CAfile", f"{at}/root.pem", "-verify_return_error",
        )  # fmt: skip

    def configuration(self, name: str, peer: str) -> AssociationConfiguration:
        return AssociationConfiguration.release1(
            certificate_name=f"{name}.sp.example", root_of_trust=self.root.root_of_trust.hex(), peer=peer
        )


@pytest.fixture
def certificates(tmp_path) -> Certificates:
    return Certificates(tmp_path)


CERTIFICATE_SUITE_NAMES: Sequence[str] = [suite.openssl_name for suite in CERTIFICATE_SUITES]
assert "ECDHE-ECDSA-AES128-CCM8" in CERTIFICATE_SUITE_NAMES  # TS-0003 clause 10.2.3: DTLS must do it


@pytest.mark.parametrize("suite", CERTIFICATE_SUITE_NAMES)
async def test_openssl_with_a_certificate_is_accepted_over_dtls(certificates, suite):
    associations: list[Association] = []
    exports: list[bytes] = []

    async def greet(channel: Channel) -> None:
        associations.append(channel.association)
        exported = channel.established.export(ExportLabel.CONNECTION)
        exports.append(exported.relative + exported.key.reveal())
        await channel.write(b"welcome over DTLS\n")

    endpoint = saef_certificate.accept(
        certificates.local["b"], Trust((certificates.configuration("a", "/a"),))
    )
    async with EntityB(EntityId("/b"), endpoint=endpoint) as b:
        bound = await b.listen(LOOPBACK, greet, transport=Transport.DTLS)
        options = (*certificates.options("a"), "-cipher", f"{suite}@SECLEVEL=0", *EXPORT)
        printed = await asyncio.to_thread(lambda: s_client(bound.port, *options, until=b"welcome over DTLS"))
    [association] = associations
    assert association.peer == EntityId("/a")
    assert (association.cipher_suite, association.protocol) == (suite, "DTLSv1.2")
    assert "Verify return code: 0 (ok)" in printed
    assert [keying_material(printed)] == exports


async def test_openssl_with_the_certificate_of_another_is_refused_over_dtls(certificates, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    endpoint = saef_certificate.accept(
        certificates.local["b"], Trust((certificates.configuration("a", "/a"),))
    )
    accepted: list[Channel] = []

    async def never(channel: Channel) -> None:
        accepted.append(channel)

    async with EntityB(EntityId("/b"), endpoint=endpoint) as b:
        bound = await b.listen(LOOPBACK, never, transport=Transport.DTLS)
        options = (*Certificates(other).options("a")[:6], "-cipher", "ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0")
        printed = await asyncio.to_thread(lambda: s_client(bound.port, *options))
    assert re.search("alert (unknown ca|bad certificate)", printed)
    assert accepted == []


@pytest.mark.parametrize("suite", CERTIFICATE_SUITE_NAMES)
async def test_entity_a_accepts_the_certificate_of_openssl_over_dtls(certificates, s_server, suite):
    options = (*certificates.options("b"), "-Verify", "5", "-cipher", f"{suite}@SECLEVEL=0", *EXPORT)
    port, process, output = s_server.start(*options)
    async with await associate(
        Link(Address("127.0.0.1", port), Transport.DTLS, PATIENT),
        saef_certificate.initiate(
            EntityId("/a"), certificates.local["a"], Trust((certificates.configuration("b", "/b"),))
        ),
    ) as channel:
        assert channel.association.cipher_suite == suite
        assert channel.association.peer == EntityId("/b")
        process.stdin.write(b"from openssl\n")
        process.stdin.flush()
        assert await channel.read() == b"from openssl\n"
        exported = channel.established.export(ExportLabel.CONNECTION)
    await eventually(lambda: b"Keying material:" in output.read_bytes())
    assert keying_material(output.read_text()) == exported.relative + exported.key.reveal()


# --- mbedTLS ---


def configuration(suite: str, **settings: Any) -> tls.DTLSConfiguration:
    return tls.DTLSConfiguration(
        validate_certificates=False,
        ciphers=(MBEDTLS_SUITES[suite],),
        lowest_supported_version=tls.DTLSVersion.DTLSv1_2,
        highest_supported_version=tls.DTLSVersion.DTLSv1_2,
        **settings,
    )


def mbedtls_client(
    address: Address, suite: str, identity: str, key: bytes, *, sni: str | None = None, given: bytes = b""
) -> tuple[str, bytes]:
    """Handshake, send, read one answer if something was sent; the suite that mbedTLS sees, and the answer."""
    context = tls.ClientContext(configuration(suite, pre_shared_key=(identity, key)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.settimeout(PATIENCE)
        plain.connect((address.host, address.port))
        secured = context.wrap_socket(plain, server_hostname=sni)
        secured.do_handshake()
        answer = b""
        if given:
            secured.send(given)
            answer = secured.recv(1024)
        return secured.cipher(), answer


@pytest.mark.parametrize("suite", MBEDTLS_SUITES)
async def test_mbedtls_completes_the_maf_handshake_and_the_maf_holds_its_kc(tmp_path, suite):
    async with running_maf(tmp_path / "data") as running:
        seen, _ = await asyncio.to_thread(
            mbedtls_client, running.address, suite, str(A.km_id), A.km.reveal(), sni="maf.example.com"
        )
        assert seen == MBEDTLS_SUITES[suite]
        assert len(await running.kcs()) == 1


@pytest.mark.parametrize("release", Release)
async def test_mbedtls_as_entity_a_associates_with_b_through_the_maf(tmp_path, release):
    associations: list[Association] = []
    suite = "PSK-AES128-CCM8"

    async def echo(channel: Channel) -> None:
        associations.append(channel.association)
        await channel.write(b"you said " + await channel.read())

    async with running_maf(tmp_path / "data", clients=EVERYBODY) as running:
        await asyncio.to_thread(mbedtls_client, running.address, suite, str(A.km_id), A.km.reveal())
        [(kc_id, kc)] = (await running.kcs()).items()
        async with EntityB(ID_B, mafs=[B.maf_client(running.address)]) as b:
            bound = await b.listen(LOOPBACK, echo, transport=Transport.DTLS)
            seen, answer = await asyncio.to_thread(
                mbedtls_client, bound, suite, release.wire(kc_id), kc.reveal(), given=b"hello"
            )
    assert seen == MBEDTLS_SUITES[suite]
    assert answer == b"you said hello"
    assert [association.peer for association in associations] == [ID_A]


@contextlib.contextmanager
def mbedtls_server(suite: str) -> Iterator[tuple[Address, Callable[[], None]]]:
    """mbedTLS as Entity B: answers what it reads, reversed; where it listens, and what serves."""
    context = tls.ServerContext(configuration(suite, pre_shared_key_store={str(KPSA_ID): KPSA.reveal()}))
    listening = context.wrap_socket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.settimeout(PATIENCE)
    listening.bind(("127.0.0.1", 0))
    address = Address(*listening.getsockname())

    def serve() -> None:
        asked, client = listening.accept()
        asked.settimeout(PATIENCE)
        asked.setcookieparam(client[0].encode())
        with contextlib.suppress(tls.HelloVerifyRequest):
            asked.do_handshake()
        secured, client = asked.accept()
        secured.settimeout(PATIENCE)
        secured.setcookieparam(client[0].encode())
        secured.do_handshake()
        secured.send(secured.recv(1024)[::-1])
        for each in (secured, asked):
            each.close()

    try:
        yield address, serve
    finally:
        listening.close()


@pytest.mark.parametrize("suite", MBEDTLS_SUITES)
async def test_entity_a_associates_with_mbedtls_as_entity_b(suite):
    with mbedtls_server(suite) as (address, serve):
        serving = asyncio.create_task(asyncio.to_thread(serve))
        async with await associate(
            Link(address, Transport.DTLS, PATIENT),
            saef_psk.initiate(ID_A, ID_B, saef_psk.credential(KPSA_ID, KPSA)),
        ) as channel:
            assert channel.association.cipher_suite == suite
            await channel.write(b"abc")
            assert await channel.read() == b"cba"
        await serving
