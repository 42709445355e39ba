"""Raw public keys (RFC 7250) against the commands of GnuTLS, in both roles, over TLS and DTLS."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
from pathlib import Path
from typing import Self

import pytest

import certificate_support
from certificate_support import CA, FOR_A, ID_A, ID_B, ROOT, flavoured, s_client
from certs import Flavour
from maf_support import LOOPBACK
from onem2m_security.alerts import Alert
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.credentials import Secret
from onem2m_security.errors import HandshakeError, HandshakeTimeoutError
from onem2m_security.frameworks import saef_certificate, saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.keys import ExportLabel
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.tls.suites import CERTIFICATE_SUITES
from programs import PATIENCE, openssl
from quiet_ports import a_quiet_port
from raw_keys import STRANGER, A, B
from requirements import needs

LABEL = ExportLabel.CONNECTION.value.decode()
CIPHERS = {0xC02B: "AES-128-GCM", 0xC0AC: "AES-128-CCM", 0xC0AE: "AES-128-CCM-8", 0xC023: "AES-128-CBC"}
OVER = pytest.mark.parametrize("transport", Transport)


def priority(suite=None, types=("RAWPK", "RAWPK")) -> str:
    """TLS 1.2 and DTLS 1.2 with these types of certificates: of the client, of the server."""
    ciphers = CIPHERS.values() if suite is None else [CIPHERS[suite.code]]
    kinds = [f"+CTYPE-CLI-{types[0]}", f"+CTYPE-SRV-{types[1]}"]
    return ":".join(
        ["NONE", "+VERS-TLS1.2", "+VERS-DTLS1.2", "+ECDHE-ECDSA", *(f"+{name}" for name in ciphers), "+AEAD",
         "+SHA256", "+SIGN-ALL", "+GROUP-ALL", *kinds]
    )  # fmt: skip


def key_files(holder, directory: Path, name: str) -> list[str]:
    key, public = holder.files(directory, name)
    return ["--rawpkkeyfile", str(key), "--rawpkfile", str(public)]


def udp(transport: Transport) -> list[str]:
    return ["-u"] if transport is Transport.DTLS else []


def gnutls_cli(port: int, transport: Transport, *options: str, said: str = "from the client\n") -> str:
    """``gnutls-cli`` that says a line and reads until the server closes; what it printed."""
    command = [
        needs("gnutls-cli"), *udp(transport), "--no-ca-verification", "-p", str(port), "127.0.0.1",
        "--keymatexport", LABEL, "--keymatexportsize", "48", "--disable-sni", *options,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(said.encode())
        with contextlib.suppress(BrokenPipeError):
            process.stdin.flush()
        try:
            # Its standard input stays open: at its end it would leave before the answer has come.
            printed = process.stdout.read().decode("utf-8", "replace")
        finally:
            process.stdin.close()
            process.wait(PATIENCE)
    return printed


@contextlib.asynccontextmanager
async def entity_b(transport, endpoint=None, **more):
    """An Entity B that answers one line and closes; its port, and the channels that came to be."""
    accepted = []

    async def handler(channel):
        accepted.append(channel)
        line = await channel.read()
        await channel.write(b"you said " + line)
        await channel.close()

    endpoint = endpoint or saef_certificate.accept(B.certificate, A.trust)
    async with EntityB(ID_B, endpoint=endpoint, **more) as b:
        yield (await b.listen(LOOPBACK, handler, transport=transport)).port, accepted


def keymat(printed: str) -> bytes:
    found = re.search(r"Key material: ([0-9a-f]+)", printed)
    assert found, printed
    return bytes.fromhex(found[1])


def alert_in(printed: str) -> int:
    found = re.search(r"Received alert \[(\d+)\]", printed)
    assert found, printed
    return int(found[1])


# --- gnutls-cli and our servers ---


@OVER
@pytest.mark.parametrize("suite", CERTIFICATE_SUITES, ids=lambda suite: suite.openssl_name)
async def test_a_client_of_gnutls_is_known_by_its_key_and_exports_the_same(tmp_path, transport, suite):
    options = [*key_files(A, tmp_path, "a"), "--priority", priority(suite)]
    async with entity_b(transport) as (port, accepted):
        printed = await asyncio.to_thread(gnutls_cli, port, transport, *options)
        assert "you said from the client" in printed
        assert "Certificate type: Raw Public Key" in printed
        [channel] = accepted
        assert channel.association.peer == ID_A
        assert channel.association.cipher_suite == suite.openssl_name
        exported = channel.established.export(ExportLabel.CONNECTION)
        assert keymat(printed) == exported.relative + exported.key.reveal()


@OVER
async def test_a_client_of_gnutls_with_another_key_is_told_that_it_is_bad(tmp_path, transport):
    options = [*key_files(STRANGER, tmp_path, "c"), "--priority", priority()]
    async with entity_b(transport) as (port, accepted):
        printed = await asyncio.to_thread(gnutls_cli, port, transport, *options)
    assert alert_in(printed) == Alert.bad_certificate
    assert accepted == []


@OVER
async def test_a_client_of_gnutls_with_a_certificate_is_refused_where_its_key_is_named(tmp_path, transport):
    issued = certificate_support.A
    (tmp_path / "x.crt").write_bytes(issued.full_chain_pem)
    (tmp_path / "x.key").write_bytes(issued.key_pem)
    options = ["--x509keyfile", str(tmp_path / "x.key"), "--x509certfile", str(tmp_path / "x.crt")]
    async with entity_b(transport) as (port, accepted):
        for types in (("X509", "X509"), ("X509", "RAWPK")):
            printed = await asyncio.to_thread(
                gnutls_cli, port, transport, *options, "--priority", priority(types=types)
            )
            assert alert_in(printed) in {Alert.unsupported_certificate, Alert.handshake_failure}
    assert accepted == []


async def test_a_client_that_shows_nothing_is_refused_where_keys_and_certificates_are_known():
    server = CA.issue(Flavour.FQDN, "b.sp.example")
    endpoint = saef_certificate.accept(server.local(), Trust((A.configuration, FOR_A)))
    async with entity_b(Transport.TLS, endpoint) as (port, accepted):
        printed = await asyncio.to_thread(s_client, port, "-ign_eof")
    assert "SSL alert number 40" in printed
    assert accepted == []


@OVER
async def test_a_server_with_a_certificate_knows_a_client_of_gnutls_by_its_raw_key(tmp_path, transport):
    server = CA.issue(Flavour.FQDN, "b.sp.example")
    endpoint = saef_certificate.accept(server.local(), A.trust)
    options = [*key_files(A, tmp_path, "a"), "--priority", priority(types=("RAWPK", "X509"))]
    async with entity_b(transport, endpoint) as (port, accepted):
        printed = await asyncio.to_thread(gnutls_cli, port, transport, *options)
        assert "you said from the client" in printed
        assert accepted[0].association.peer == ID_A


async def test_renegotiation_ends_the_session(tmp_path):
    """GnuTLS begins one at ``^renegotiate^``."""
    options = [*key_files(A, tmp_path, "a"), "--priority", priority(), "--inline-commands"]
    async with entity_b(Transport.TLS) as (port, accepted):
        printed = await asyncio.to_thread(gnutls_cli, port, Transport.TLS, *options, said="^renegotiate^\n")
        assert "you said" not in printed
        assert alert_in(printed) == Alert.no_renegotiation
        assert accepted[0].association.peer == ID_A


async def test_openssl_with_a_pre_shared_key_comes_to_the_same_port():
    key = Secret(bytes(range(32)))
    kpsa = saef_psk.credential(KeyIdentifier.parse("6b70@mef.example.com"), key, peer=ID_A)
    endpoint = saef_certificate.accept(B.certificate, A.trust)
    command = [
        openssl(), "s_client", "-tls1_2", "-psk", key.reveal().hex(), "-psk_identity", str(kpsa.key_id),
        "-cipher", "PSK-AES128-GCM-SHA256@SECLEVEL=0", "-quiet", "-ign_eof",
    ]  # fmt: skip
    async with entity_b(Transport.TLS, endpoint, keys=(kpsa,)) as (port, accepted):
        done = await asyncio.to_thread(
            subprocess.run, [*command, "-connect", f"127.0.0.1:{port}"], input=b"by key\n",
            capture_output=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert b"you said by key" in done.stdout
        assert accepted[0].association.peer == ID_A


# --- our clients and gnutls-serv ---


class Serv:
    """``gnutls-serv`` that echoes, on a port of its own; use it in a ``with``."""

    def __init__(self, transport: Transport, *options: str) -> None:
        self.port = a_quiet_port()
        self._command = [needs("gnutls-serv"), *udp(transport), "-p", str(self.port), "--echo", *options]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self._process.stdout
        for line in self._process.stdout:
            if b"done" in line or b"ready" in line:
                break
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=PATIENCE)

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)


def client_of(holder, trusted: Trust):
    return saef_certificate.initiate(ID_A, holder.certificate, trusted)


@OVER
@pytest.mark.parametrize("suite", CERTIFICATE_SUITES, ids=lambda suite: suite.openssl_name)
async def test_a_server_of_gnutls_is_known_by_its_key(tmp_path, transport, suite):
    options = [*key_files(B, tmp_path, "b"), "--priority", priority(suite), "--require-client-cert"]
    with Serv(transport, *options) as server:
        async with await associate(Link(server.address, transport), client_of(A, B.trust)) as channel:
            assert channel.association.peer == ID_B
            assert channel.association.cipher_suite == suite.openssl_name
            await channel.write(b"over the association\n")
            assert await channel.read() == b"over the association\n"
            assert len(channel.established.export(ExportLabel.CONNECTION).key.reveal()) == 32


@OVER
async def test_a_server_of_gnutls_with_another_key_is_refused_and_told_why(tmp_path, transport):
    options = [*key_files(STRANGER, tmp_path, "c"), "--priority", priority()]
    unknown = pytest.raises(HandshakeError, match="no association names the raw public key")
    with Serv(transport, *options) as server, unknown as refused:
        await associate(Link(server.address, transport), client_of(A, B.trust))
    assert refused.value.alert is Alert.bad_certificate


@OVER
async def test_a_server_of_gnutls_with_a_certificate_is_refused_where_its_key_is_named(tmp_path, transport):
    issued = CA.issue(Flavour.FQDN, "b.sp.example")
    (tmp_path / "x.crt").write_bytes(issued.full_chain_pem)
    (tmp_path / "x.key").write_bytes(issued.key_pem)
    options = ["--x509keyfile", str(tmp_path / "x.key"), "--x509certfile", str(tmp_path / "x.crt")]
    with Serv(transport, *options, "--priority", priority(types=("RAWPK", "X509"))) as server:
        link = Link(server.address, transport, Limits(handshake_seconds=5))
        with pytest.raises(HandshakeError) as refused:
            await associate(link, client_of(A, B.trust))
    # Over UDP it says nothing.
    assert isinstance(refused.value, HandshakeTimeoutError) == (transport is Transport.DTLS)


async def test_a_certificate_of_a_server_of_gnutls_is_verified_as_ever_by_a_client_with_a_raw_key(tmp_path):
    issued = CA.issue(Flavour.FQDN, "b.sp.example")
    (tmp_path / "x.crt").write_bytes(issued.full_chain_pem)
    (tmp_path / "x.key").write_bytes(issued.key_pem)
    options = ["--x509keyfile", str(tmp_path / "x.key"), "--x509certfile", str(tmp_path / "x.crt")]
    trusts = flavoured(Flavour.FQDN, "b.sp.example")
    with Serv(
        Transport.TLS, *options, "--priority", priority(types=("RAWPK", "X509")), "--require-client-cert"
    ) as server:
        how = client_of(A, Trust((trusts,)))
        async with await associate(Link(server.address), how) as channel:
            await channel.write(b"by certificate\n")
            assert await channel.read() == b"by certificate\n"
    assert ROOT.certificate in trusts.trust_anchors
