"""ESCertKE with foreign TLS stacks at either end: OpenSSL's command line, and tlslite-ng.

A foreign stack speaks over a socket. A splitter stands between: it reads what the stack sends until a flight
is whole, and carries flights as ESCertKE messages to our end-point and back. The exported 48 octets must be
equal.
"""

from __future__ import annotations

import queue
import re
import socket
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import tlslite_support  # noqa: F401 - mends what it must read
from escertke_support import Party
from onem2m_security.errors import KeyEstablishmentError
from onem2m_security.escertke.end_points import InitiatingEndPoint, PairwiseE2EKey
from onem2m_security.escertke.exchanges import TerminatingExchanges
from onem2m_security.frameworks.steps import Acceptor, Initiator
from onem2m_security.tls.suites import CERTIFICATE_SUITES
from programs import PATIENCE, keying_material, openssl

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore where there still is one
    from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
    from tlslite.x509 import X509

LABEL = "EXPORTER-oneM2M-ESCertKE"
A = Party.named("/cse1/Ca")
B = Party.named("/cse2/Cb")

every_suite = pytest.mark.parametrize("suite", CERTIFICATE_SUITES, ids=lambda suite: suite.openssl_name)


# --- the splitter -------------------------------------------------------------------------------------------


class Splitter:
    """Cuts a byte stream into flights, knowing nothing but where a flight of TLS 1.2 ends."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self._connection = connection

    def flight(self) -> bytes:
        """The next flight: up to a ClientHello, a ServerHelloDone, or the record after ChangeCipherSpec."""
        flight, protected = b"", False
        while True:
            header = self._exactly(5)
            body = self._exactly(int.from_bytes(header[3:5], "big"))
            flight += header + body
            hello = header[0] == 22 and not protected and body[0] == 1
            done = header[0] == 22 and not protected and body.endswith(b"\x0e\0\0\0")
            if header[0] == 21 or hello or done or protected:
                return flight
            protected = header[0] == 20

    def send(self, flight: bytes) -> None:
        self._connection.sendall(flight)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._connection.recv(count - len(data))
            assert more, f"the foreign stack closed the connection after {data!r}"
            data += more
        return data


def terminate(splitter: Splitter, configured: Acceptor) -> PairwiseE2EKey:
    """Our Terminating End-Point against a foreign initiator."""
    exchanges = TerminatingExchanges(configured)
    try:
        splitter.send(exchanges.process("foreign", splitter.flight()).message)
        done = exchanges.process("foreign", splitter.flight())
    except KeyEstablishmentError as error:
        splitter.send(error.reply)
        raise
    assert done.key is not None
    splitter.send(done.message)
    return done.key


def initiate(splitter: Splitter, configured: Initiator) -> PairwiseE2EKey:
    """Our Initiating End-Point against a foreign terminating one."""
    end_point = InitiatingEndPoint(configured)
    splitter.send(end_point.start())
    try:
        splitter.send(end_point.process(splitter.flight()).message)
        key = end_point.process(splitter.flight()).key
    except KeyEstablishmentError as error:
        splitter.send(error.reply)
        raise
    assert key is not None
    return key


def exported(key: PairwiseE2EKey) -> bytes:
    return key.key_id + key.key.reveal()


# --- OpenSSL ------------------------------------------------------------------------------------------------


def files(directory: Path, party: Party) -> tuple[Path, Path]:
    certificate, key = (
        directory / f"{party.entity.text[-2:]}.crt",
        directory / f"{party.entity.text[-2:]}.key",
    )
    certificate.write_bytes(party.issued.full_chain_pem)
    key.touch(mode=0o600)
    key.write_bytes(party.issued.key_pem)
    return certificate, key


def common(directory: Path, own: Party, peer: Party) -> list[str]:
    certificate, key = files(directory, own)
    trusted, _ = files(directory, peer)
    return [
        "-cert", str(certificate), "-key", str(key), "-CAfile", str(trusted),
        "-partial_chain", "-verify_return_error", "-keymatexport", LABEL, "-keymatexportlen", "48",
    ]  # fmt: skip


def s_client_through_a_splitter(
    directory: Path, configured: Acceptor, *options: str, own: Party = A, version: str = "-tls1_2"
) -> tuple[PairwiseE2EKey | KeyEstablishmentError, str]:
    """``openssl s_client`` as the initiator: the result at our end, and what it printed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        command = [
            openssl(),
            "s_client",
            version,
            "-connect",
            f"127.0.0.1:{port}",
            *common(directory, own, B),
            *options,
        ]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            connection, _ = listener.accept()
            result: PairwiseE2EKey | KeyEstablishmentError
            with connection:
                try:
                    result = terminate(Splitter(connection), configured)
                except KeyEstablishmentError as error:
                    result = error
            printed, _ = process.communicate(timeout=PATIENCE)
    return result, printed.decode("utf-8", "replace")


@every_suite
def test_openssl_as_the_initiating_end_point(tmp_path, suite):
    key, printed = s_client_through_a_splitter(
        tmp_path, B.terminates_for(A), "-cipher", f"{suite.openssl_name}:@SECLEVEL=0"
    )
    assert isinstance(key, PairwiseE2EKey), key
    assert exported(key) == keying_material(printed)
    assert key.association.cipher_suite == suite.openssl_name
    assert key.peer == A.entity


@pytest.mark.parametrize(
    ("version", "options", "alert"),
    [
        ("-tls1_1", ["-cipher", "ALL:@SECLEVEL=0"], "protocol_version"),
        ("-tls1_3", [], "protocol_version"),
        ("-no_tls1_1", [], "protocol_version"),  # 1.2 and 1.3
        ("-tls1_2", ["-cipher", "aNULL:@SECLEVEL=0"], "handshake_failure"),
        ("-tls1_2", ["-cipher", "PSK:@SECLEVEL=0", "-psk", "0123456789abcdef"], "handshake_failure"),
        ("-tls1_2", ["-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"], "handshake_failure"),
    ],
)
def test_openssl_with_another_version_or_suite_is_refused_and_told(tmp_path, version, options, alert):
    refusal, printed = s_client_through_a_splitter(tmp_path, B.terminates_for(A), *options, version=version)
    assert isinstance(refusal, KeyEstablishmentError)
    assert refusal.alert.name == alert
    assert f"alert {alert.replace('_', ' ')}" in printed.lower()


def test_openssl_with_a_certificate_that_is_not_configured_is_refused_and_told(tmp_path):
    stranger = Party.named("/cse3/Cc")
    refusal, printed = s_client_through_a_splitter(
        tmp_path, B.terminates_for(A), "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", own=stranger
    )
    assert isinstance(refusal, KeyEstablishmentError)
    assert refusal.alert.name == "unknown_ca"
    assert "unknown ca" in printed


@pytest.fixture
def s_server(tmp_path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int]]]:
    """Starts ``openssl s_server`` for one connection; gives the process and its port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> tuple[subprocess.Popen[bytes], int]:
        command = [
            openssl(),
            "s_server",
            "-tls1_2",
            "-accept",
            "127.0.0.1:0",
            "-naccept",
            "1",
            "-Verify",
            "3",
        ]
        process = subprocess.Popen(
            [*command, *common(tmp_path, B, A), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        assert process.stdout is not None
        seen = b""
        while not (found := re.search(rb"ACCEPT 127\.0\.0\.1:(\d+)", seen)):
            line = process.stdout.readline()
            assert line, seen
            seen += line
        return process, int(found.group(1))

    yield start
    for process in started:
        process.kill()
        process.communicate()


@every_suite
def test_openssl_as_the_terminating_end_point(s_server, suite):
    process, port = s_server("-cipher", f"{suite.openssl_name}:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        key = initiate(Splitter(connection), A.initiates_with(B))
    printed, _ = process.communicate(timeout=PATIENCE)
    assert exported(key) == keying_material(printed.decode("utf-8", "replace"))
    assert key.association.cipher_suite == suite.openssl_name
    assert key.peer == B.entity


def test_openssl_as_another_terminating_end_point_than_the_commanded_one_is_refused(s_server):
    process, port = s_server("-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        pytest.raises(KeyEstablishmentError) as refused,
    ):
        initiate(Splitter(connection), A.initiates_with(Party.named("/cse3/Cc")))
    assert refused.value.alert.name == "unknown_ca"
    printed, _ = process.communicate(timeout=PATIENCE)
    assert b"alert unknown ca" in printed


# --- tlslite-ng ---------------------------------------------------------------------------------------------

TLSLITE_CIPHERS = ("aes128gcm", "aes128ccm", "aes128ccm_8", "aes128")


def tlslite_settings(cipher: str = "aes128gcm", **more: object) -> HandshakeSettings:
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 3)
    settings.cipherNames = [cipher]
    settings.macNames = ["sha256", "aead"]
    settings.eccCurves = ["secp256r1"]
    settings.keyShares = ["secp256r1"]
    for name, value in more.items():
        setattr(settings, name, value)
    return settings


def tlslite_credential(party: Party):
    certificate = X509()
    certificate.parseBinary(bytearray(party.x509.public_bytes(Encoding.DER)))
    return X509CertChain([certificate]), parsePEMKey(party.issued.key_pem.decode(), private=True)


class Tlslite:
    """A tlslite-ng handshake in a thread, at the other end of a socket pair."""

    def __init__(self, handshake: Callable[[TLSConnection], None]) -> None:
        self._ours, theirs = socket.socketpair()
        theirs.settimeout(PATIENCE)
        self.splitter = Splitter(self._ours)
        self._outcome: queue.Queue[bytes | BaseException] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(theirs, handshake), daemon=True)
        self._thread.start()

    def _run(self, theirs: socket.socket, handshake: Callable[[TLSConnection], None]) -> None:
        with theirs:
            connection = TLSConnection(theirs)
            connection.closeSocket = False
            try:
                handshake(connection)
                outcome = bytes(connection.keyingMaterialExporter(bytearray(LABEL.encode()), 48))
            except Exception as error:  # noqa: BLE001 - the test looks at it
                self._outcome.put(error)
            else:
                self._outcome.put(outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ours.close()
        self._thread.join(PATIENCE)

    def outcome(self) -> bytes | BaseException:
        """What it exported, or why its handshake failed."""
        return self._outcome.get(timeout=PATIENCE)


def tlslite_client(settings: HandshakeSettings, own: Party = A) -> Tlslite:
    chain, key = tlslite_credential(own)
    return Tlslite(lambda connection: connection.handshakeClientCert(chain, key, settings=settings))


def tlslite_server(settings: HandshakeSettings, *, asks: bool = True) -> Tlslite:
    chain, key = tlslite_credential(B)
    return Tlslite(
        lambda connection: connection.handshakeServer(
            certChain=chain, privateKey=key, reqCert=asks, settings=settings
        )
    )


@pytest.mark.parametrize("cipher", TLSLITE_CIPHERS)
def test_tlslite_as_the_initiating_end_point(cipher):
    with tlslite_client(tlslite_settings(cipher)) as foreign:
        key = terminate(foreign.splitter, B.terminates_for(A))
        assert exported(key) == foreign.outcome()
    assert key.peer == A.entity


@pytest.mark.parametrize("cipher", TLSLITE_CIPHERS)
def test_tlslite_as_the_terminating_end_point(cipher):
    with tlslite_server(tlslite_settings(cipher)) as foreign:
        key = initiate(foreign.splitter, A.initiates_with(B))
        assert exported(key) == foreign.outcome()
    assert key.peer == B.entity


def test_tlslite_as_initiator_without_extended_master_secret_is_refused():
    with tlslite_client(tlslite_settings(useExtendedMasterSecret=False)) as foreign:
        with pytest.raises(KeyEstablishmentError, match="Extended Master Secret"):
            terminate(foreign.splitter, B.terminates_for(A))
        assert isinstance(foreign.outcome(), Exception)


def test_tlslite_as_terminating_end_point_without_extended_master_secret_is_refused():
    with tlslite_server(tlslite_settings(useExtendedMasterSecret=False)) as foreign:
        with pytest.raises(KeyEstablishmentError, match="Extended Master Secret"):
            initiate(foreign.splitter, A.initiates_with(B))
        assert isinstance(foreign.outcome(), Exception)


def test_tlslite_that_does_not_ask_for_our_certificate_is_refused():
    """Without CertificateRequest the initiator would not be authenticated: the table needs it."""
    with tlslite_server(tlslite_settings(), asks=False) as foreign:
        with pytest.raises(
            KeyEstablishmentError, match="ServerHelloDone where CertificateRequest is expected"
        ):
            initiate(foreign.splitter, A.initiates_with(B))
        assert isinstance(foreign.outcome(), Exception)


def test_tlslite_without_a_certificate_is_refused():
    with Tlslite(lambda connection: connection.handshakeClientCert(settings=tlslite_settings())) as foreign:
        with pytest.raises(KeyEstablishmentError):
            terminate(foreign.splitter, B.terminates_for(A))
        assert isinstance(foreign.outcome(), Exception)
