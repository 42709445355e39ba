"""Certificates against the openssl command and tlslite-ng: suites, exports, each refusal with its alert."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import threading
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

import tlslite_support  # noqa: F401 - mends what it must read
from certificate_support import (
    CA,
    FOR_A,
    FOR_B,
    ID_A,
    ID_B,
    NAME_A,
    NAME_B,
    OTHER_ROOT,
    ROOT,
    A,
    B,
    Credential,
    endpoint_b,
    flavoured,
    named,
    s_client,
)
from certs import P256, Flavour, common_name, constrained, der, forge, permitted_names, usage
from maf_support import LOOPBACK
from onem2m_security.alerts import Alert
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.certificates.names import encode_device_id
from onem2m_security.certificates.public_key_id import key_hash
from onem2m_security.certificates.trust import Trust
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import saef_certificate
from onem2m_security.keys import ExportLabel
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.tls.suites import CERTIFICATE_SUITES
from programs import PATIENCE, keying_material, m2msec, openssl

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore, which nobody uses here
    from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
    from tlslite.errors import TLSRemoteAlert

SUITES = [suite.openssl_name for suite in CERTIFICATE_SUITES]
LABEL = ExportLabel.CONNECTION.value.decode()
EXPORT = ("-keymatexport", LABEL, "-keymatexportlen", "48")
UNTIL_TOLD = ("-ign_eof",)
"""s_client goes on reading after its input has ended, until the server closes: so it sees every alert."""


@contextlib.asynccontextmanager
async def b_in_this_process(endpoint, **more):
    """An Entity B that says one line to whoever associates, and closes; its port, and the channels."""
    accepted = []

    async def handler(channel):
        accepted.append(channel)
        await channel.write(b"welcome\n")

    async with EntityB(ID_B, endpoint=endpoint, **more) as entity_b:
        yield (await entity_b.listen(LOOPBACK, handler)).port, accepted


class SServer:
    """``openssl s_server`` for one connection that must show a certificate; use it in a ``with``."""

    def __init__(self, directory, credential, *options, suite="ALL", client_roots=None):
        trusted = directory / "clients.pem"
        trusted.write_bytes(client_roots or ROOT.trust_anchor_pem)
        self._command = [
            openssl(), "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-tls1_2",
            "-cipher", f"{suite}@SECLEVEL=0", "-Verify", "5", "-verify_return_error",
            "-CAfile", str(trusted), *credential.files(directory, "server"), *options,
        ]  # fmt: skip
        self.output = ""

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for line in self._process.stdout:
            self.output += line.decode("utf-8", "replace")
            if found := re.search(rb"^ACCEPT .*:(\d+)", line):
                self.port = int(found.group(1))
                return self
        raise AssertionError(f"s_server did not start: {self.output}")

    def __exit__(self, *_):
        try:
            printed, _ = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self.output += printed.decode("utf-8", "replace")


async def connect_to(server, configuration=FOR_B, certificate=None, **more):
    how = saef_certificate.initiate(ID_A, certificate or A.local(), Trust((configuration,), **more))
    return await associate(Link(Address("127.0.0.1", server.port)), how)


def alert_on_the_wire(printed):
    """The name of the alert that openssl received."""
    found = re.search(r"SSL alert number (\d+)", printed)
    return None if found is None else Alert(int(found.group(1))).name


# --- suites and exports, against the commands as people run them ---


@pytest.fixture
def files(tmp_path):
    """What a person would make with ``m2msec pki``, in files."""
    for name, issued in (("a", A), ("b", B)):
        (tmp_path / f"{name}.crt").write_bytes(issued.full_chain_pem)
        key = tmp_path / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(issued.key_pem)
    return tmp_path


def release1_options(directory, who, peer_name):
    return (
        "--cert", directory / f"{who}.crt", "--key", directory / f"{who}.key",
        "--peer-name", peer_name, "--root-of-trust", ROOT.root_of_trust.hex(),
    )  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_m2msec_listen_accepts_openssl_with_a_certificate(files, programs, suite):
    b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", ID_B, "--peer", ID_A, "--json", "--once",
        *release1_options(files, "b", NAME_A),
    )  # fmt: skip
    printed = s_client(b.port, *Credential.of(A).files(files, "client"), suite=suite, given=b"hello\n")
    assert f"Cipher is {suite}" in printed
    assert "Extended master secret: yes" in printed
    assert "Client Certificate Types" in printed
    b.wait_for_data(b"hello")
    [association] = b.associations
    assert (association["local"], association["peer"]) == (str(ID_B), str(ID_A))
    assert association["framework"] == "saef-certificate"
    assert association["cipher_suite"] == suite
    assert association["configuration"] == f"certificate name {NAME_A}"


@pytest.mark.parametrize("suite", SUITES)
def test_m2msec_connect_associates_with_openssl_s_server(files, suite):
    with SServer(files, Credential.of(B), suite=suite) as server:
        done = m2msec(
            "connect", f"127.0.0.1:{server.port}", "--peer", ID_B, "--entity", ID_A, "--wait", "0", "--json",
            *release1_options(files, "a", NAME_B), given="hello from m2msec\n",
        )  # fmt: skip
    association = json.loads(done.stdout.splitlines()[0])
    assert (association["peer"], association["cipher_suite"]) == (str(ID_B), suite)
    assert "hello from m2msec" in server.output
    assert "verify return:1" in server.output


@pytest.mark.parametrize("suite", SUITES)
async def test_openssl_exports_the_same_octets_at_either_end(tmp_path, suite):
    async with b_in_this_process(endpoint_b()) as (port, accepted):
        options = [*Credential.of(A).files(tmp_path, "client"), *EXPORT, *UNTIL_TOLD]
        printed = await asyncio.to_thread(s_client, port, *options, suite=suite)
        exported = accepted[0].established.export(ExportLabel.CONNECTION)
    assert keying_material(printed) == exported.relative + exported.key.reveal()
    with SServer(tmp_path, Credential.of(B), *EXPORT, suite=suite) as server:
        async with await connect_to(server) as channel:
            exported = channel.established.export(ExportLabel.CONNECTION)
    assert keying_material(server.output) == exported.relative + exported.key.reveal()


async def test_one_port_serves_openssl_with_a_key_and_openssl_with_a_certificate(tmp_path):
    from onem2m_security.credentials import Framework, Secret
    from onem2m_security.frameworks import saef_psk
    from onem2m_security.identifiers import KeyIdentifier

    kpsa = Secret(bytes(range(32)))
    keys = [saef_psk.credential(KeyIdentifier.parse("kpsa@sp.example"), kpsa, peer=ID_A)]
    async with b_in_this_process(endpoint_b(), keys=keys) as (port, accepted):
        shown = [*Credential.of(A).files(tmp_path, "client"), *UNTIL_TOLD]
        by_certificate = await asyncio.to_thread(s_client, port, *shown)
        by_key = await asyncio.to_thread(
            s_client, port, "-psk_identity", "kpsa@sp.example", "-psk", kpsa.reveal().hex(), *UNTIL_TOLD,
            suite="PSK-AES128-CBC-SHA256",
        )  # fmt: skip
    assert "welcome" in by_certificate
    assert "welcome" in by_key
    assert [channel.association.framework for channel in accepted] == [
        Framework.SAEF_CERTIFICATE,
        Framework.SAEF_PSK,
    ]


# --- the table of refusals, over the wire ---

NAME = "cse1.sp.example"
CSE = flavoured(Flavour.CSE_ID, NAME)
CA_USAGE = usage(digital_signature=True, key_cert_sign=True, crl_sign=True)


def issuer_of(authority):
    return authority.certificate.subject, authority.issued.private_key


def forged(*, above=CA, with_root=False, **wrong):
    """A chain for the CSE-ID certificate of NAME, with something wrong about the end entity's certificate."""
    leaf, key = forge(issuer_of(above), **{"names": [x509.DNSName(NAME)]} | wrong)
    issuers = above.chain if with_root else above.chain[:-1]
    return Credential((der(leaf), *map(der, issuers)), key)


def below(**wrong):
    """A chain with something wrong about the intermediate authority's certificate."""
    made = {"ca": True, "key_usage": CA_USAGE, "extensions": [(PERMITTED, True)]} | wrong
    authority, key = forge(issuer_of(ROOT), subject="authority", **made)
    leaf, leaf_key = forge((authority.subject, key), names=[x509.DNSName(NAME)])
    return Credential((der(leaf), der(authority)), leaf_key)


def sha1():
    """ECDSA with SHA-1, which cryptography no longer signs: the algorithm of a good one, replaced."""
    good = forged()
    sha256, weak = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d0401")
    leaf = good.certificate_chain[0].replace(b"\x30\x0a" + sha256, b"\x30\x09" + weak)

    def shortened(octets, at, by):  # a SEQUENCE with a two-octet length at this place
        length = int.from_bytes(octets[at + 2 : at + 4], "big") - by
        return octets[: at + 2] + length.to_bytes(2, "big") + octets[at + 4 :]

    leaf = shortened(shortened(leaf, 0, 2), 4, 1)
    return Credential((leaf, *good.certificate_chain[1:]), good.private_key)


def self_signed_by(signer=None):
    """A self-signed certificate with its key hash as its name; signed by another key if one is given."""
    key = P256()
    probe, _ = forge((x509.Name([]), key), key=key)
    name = key_hash(probe).hex()
    certificate, _ = forge((common_name(name), signer or key), subject=name, key=key)
    return certificate, key


def for_self_signed(certificate):
    digest = key_hash(certificate)
    return AssociationConfiguration.release1(
        certificate_name=digest.hex(), root_of_trust=digest, peer="/self"
    )


SELF, SELF_KEY = self_signed_by()
STRANGER, STRANGER_KEY = self_signed_by()
BORROWED, BORROWED_KEY = self_signed_by(P256())
PERMITTED = x509.NameConstraints([x509.DNSName("sp.example")], None)
MALFORMED = x509.UnrecognizedExtension(ExtensionOID.TLS_FEATURE, b"\x30\x00")
LONG = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.5"), b"\x04\x83\x01\x00\x00" + bytes(65536))
DEEP = ROOT.intermediate("one", path_length=0, permitted=permitted_names(dns=["sp.example"]))
DEVICE_ID = "0.2.481.1.100.3030.10011"
AE = "//sp.example/cse1/Cae"


def permitting(**names):
    return ROOT.intermediate(permitted=permitted_names(**names))


def plus(credential, *extra):
    return Credential((*credential.certificate_chain, *extra), credential.private_key)


@dataclass(frozen=True)
class Refusal:
    """What is shown, by what it is judged, and the alert that must be seen on the wire."""

    alert: str
    shown: object
    configuration: AssociationConfiguration = CSE
    crl: object = None
    s_server: str | None = field(default=None)
    """What is seen when openssl is the server, where that is something else."""
    s_client: str | None = field(default=None)
    """What is seen when openssl is the client, where that is something else."""


NO_USE = "handshake_failure"
"""openssl does not even show a certificate that our groups, suites or signature algorithms exclude."""


REVOKED = forged()
REFUSALS = {
    "wrong name": Refusal("bad_certificate", forged(names=[x509.DNSName("eve.sp.example")])),
    "wrong certificate name": Refusal(
        "bad_certificate", Credential.of(CA.issue(None, "eve.sp.example")), named(NAME, "/p")
    ),
    "right name under the wrong root": Refusal("unknown_ca", forged(above=constrained(OTHER_ROOT))),
    "right certificate name under the wrong root": Refusal(
        "unknown_ca", Credential.of(OTHER_ROOT.issue(None, NAME)), named(NAME, "/p")
    ),
    "self-signed, of another key": Refusal(
        "unknown_ca", Credential((der(STRANGER),), STRANGER_KEY), for_self_signed(SELF)
    ),
    "self-signed, signed by another key": Refusal(
        "bad_certificate", Credential((der(BORROWED),), BORROWED_KEY), for_self_signed(BORROWED)
    ),
    "expired": Refusal("certificate_expired", forged(days=(-9, -1))),
    "not yet valid": Refusal("certificate_expired", forged(days=(1, 9))),
    "revoked": Refusal(
        "certificate_revoked",
        REVOKED,
        crl=CA.crl([x509.load_der_x509_certificate(REVOKED.certificate_chain[0])]),
    ),
    "revocation list out of date": Refusal(
        "certificate_unknown", forged(), crl=CA.crl(days=1, this_update=datetime.now(UTC) - timedelta(days=3))
    ),
    "wrong curve": Refusal(
        "unsupported_certificate", forged(key=ec.generate_private_key(ec.SECP384R1())), s_server=NO_USE
    ),
    "RSA": Refusal(
        "unsupported_certificate",
        forged(key=rsa.generate_private_key(65537, 2048)),
        s_server=NO_USE,
        s_client=NO_USE,
    ),
    "SHA-1": Refusal("unsupported_certificate", sha1()),
    "no key usage": Refusal("unsupported_certificate", forged(key_usage=None)),
    "key usage without digitalSignature": Refusal(
        "unsupported_certificate", forged(key_usage=usage(key_agreement=True)), s_server=NO_USE
    ),
    "extended key usage for e-mail only": Refusal(
        "unsupported_certificate",
        forged(extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)]),
    ),
    "malformed extension": Refusal("bad_certificate", forged(extensions=[(MALFORMED, False)])),
    "wildcard": Refusal("bad_certificate", forged(names=[x509.DNSName("*.sp.example")])),
    "wildcard beside the name": Refusal(
        "bad_certificate", forged(names=[x509.DNSName(NAME), x509.DNSName("*.sp.example")])
    ),
    "name constraint on a domain name": Refusal(
        "bad_certificate", forged(above=permitting(dns=["elsewhere.example"]))
    ),
    "name constraint on a URI": Refusal(
        "bad_certificate",
        forged(
            above=permitting(uri_hosts=["elsewhere.example"]),
            names=[x509.UniformResourceIdentifier(f"m2m:{AE}")],
        ),
        flavoured(Flavour.AE_ID, AE),
    ),
    "name constraint on an otherName": Refusal(
        "bad_certificate",
        forged(above=permitting(devices=["0.2.481.1.200"]), names=[encode_device_id(DEVICE_ID, "0.2.481.1")]),
        flavoured(Flavour.DEVICE, DEVICE_ID, peer="/p"),
    ),
    "name constraints that are not critical": Refusal(
        "bad_certificate", below(extensions=[(PERMITTED, False)])
    ),
    "name constraints in an end entity": Refusal("bad_certificate", forged(extensions=[(PERMITTED, True)])),
    "no name constraints at all": Refusal("bad_certificate", forged(above=ROOT.intermediate())),
    "path too long": Refusal("unknown_ca", forged(above=DEEP.intermediate("two"))),
    "authority without the CA flag": Refusal("unknown_ca", below(ca=False)),
    "authority out of date": Refusal("certificate_expired", below(days=(-9, -1))),
    "an extra certificate": Refusal("bad_certificate", plus(forged(), der(OTHER_ROOT.certificate))),
    "64 kB": Refusal("bad_certificate", forged(extensions=[(LONG, False)])),
    "another letter case": Refusal(
        "bad_certificate", forged(subject="GATEWAY 7", names=None, with_root=True), named("Gateway 7", "/p")
    ),
    "a look-alike letter": Refusal(
        "bad_certificate",
        forged(subject="G\u0430teway 7", names=None, with_root=True),
        named("Gateway 7", "/p"),
    ),
    "a full-width letter": Refusal(
        "bad_certificate",
        forged(subject="\uff27ateway 7", names=None, with_root=True),
        named("Gateway 7", "/p"),
    ),
}
each_refusal = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())


def crls_of(refusal, directory):
    if refusal.crl is None:
        return None
    path = directory / "authority.crl"
    path.write_bytes(refusal.crl.public_bytes(Encoding.PEM))
    return CrlSource(path)


def with_peer(configuration):
    """The same for Entity A, which has to know whom it means to reach."""
    return configuration if configuration.peer is not None else flavoured(
        configuration.flavour, configuration.peer_id, peer="/p"
    )  # fmt: skip


@each_refusal
async def test_b_refuses_inside_the_handshake_and_openssl_sees_the_alert(tmp_path, refusal):
    endpoint = endpoint_b(refusal.configuration, crls=crls_of(refusal, tmp_path))
    async with b_in_this_process(endpoint) as (port, accepted):
        printed = await asyncio.to_thread(
            s_client, port, *refusal.shown.files(tmp_path, "client"), *UNTIL_TOLD, suite="ALL", given=b"data"
        )
    assert alert_on_the_wire(printed) == (refusal.s_client or refusal.alert), printed
    assert "welcome" not in printed
    assert accepted == []


@each_refusal
async def test_a_refuses_inside_the_handshake_and_openssl_sees_the_alert(tmp_path, refusal):
    with SServer(tmp_path, refusal.shown) as server:
        with pytest.raises(HandshakeError) as refused:
            await connect_to(server, with_peer(refusal.configuration), crls=crls_of(refusal, tmp_path))
        assert refused.value.alert.name == (refusal.s_server or refusal.alert)
    if refusal.s_server is None:
        assert alert_on_the_wire(server.output) == refusal.alert, server.output
    assert "CIPHER is" not in server.output


async def test_an_empty_certificate_message_is_refused_inside_the_handshake():
    async with b_in_this_process(endpoint_b()) as (port, accepted):
        printed = await asyncio.to_thread(s_client, port, *UNTIL_TOLD, given=b"data")
    assert alert_on_the_wire(printed) == "handshake_failure"
    assert accepted == []


@pytest.mark.parametrize(
    ("shown", "configuration"),
    [
        (forged(), CSE),
        (forged(with_root=True), CSE),
        (forged(names=[x509.DNSName("other.sp.example"), x509.DNSName(NAME)]), CSE),
        (forged(names=[x509.DNSName(NAME.upper())]), CSE),
        (Credential((der(SELF),), SELF_KEY), for_self_signed(SELF)),
        (forged(subject="Gateway 7", names=None, with_root=True), named("Gateway 7", "/p")),
        (below(), CSE),
    ],
    ids=[
        "right",
        "with its root",
        "two names, one of them right",
        "a domain name in capitals",
        "self-signed",
        "a name in the subject",
        "another authority",
    ],
)
async def test_what_the_refusals_are_made_from_is_accepted(tmp_path, shown, configuration):
    async with b_in_this_process(endpoint_b(configuration)) as (port, accepted):
        printed = await asyncio.to_thread(s_client, port, *shown.files(tmp_path, "client"), *UNTIL_TOLD)
    assert "welcome" in printed
    assert accepted[0].established.credential.configuration is configuration
    with SServer(tmp_path, shown) as server:
        async with await connect_to(server, with_peer(configuration)) as channel:
            assert channel.association.peer == with_peer(configuration).peer


@pytest.mark.parametrize(
    ("purpose", "shown_by"),
    [(ExtendedKeyUsageOID.CLIENT_AUTH, "client"), (ExtendedKeyUsageOID.SERVER_AUTH, "server")],
    ids=["clientAuth", "serverAuth"],
)
async def test_a_certificate_for_one_role_is_refused_in_the_other(tmp_path, purpose, shown_by):
    shown = forged(extensions=[(x509.ExtendedKeyUsage([purpose]), False)])
    async with b_in_this_process(endpoint_b(CSE)) as (port, accepted):
        printed = await asyncio.to_thread(s_client, port, *shown.files(tmp_path, "client"), *UNTIL_TOLD)
    is_client = shown_by == "client"
    assert alert_on_the_wire(printed) == (None if is_client else "unsupported_certificate"), printed
    assert len(accepted) == is_client
    with SServer(tmp_path, shown) as server:
        if is_client:
            with pytest.raises(HandshakeError, match="TLS server authentication"):
                await connect_to(server, with_peer(CSE))
        else:
            await (await connect_to(server, with_peer(CSE))).close()
    assert alert_on_the_wire(server.output) == ("unsupported_certificate" if is_client else None)


async def test_openssl_without_its_root_associates_where_the_root_certificate_is_configured(tmp_path):
    """As peers do that never send it (RFC 5246 clause 7.4.2): NSS, libcoap."""
    shown = Credential(A.local(with_root=False).certificate_chain, A.private_key)
    configured = named(NAME_A, ID_A, root_certificate=ROOT.certificate)
    for configuration, alert in ((FOR_A, "unknown_ca"), (configured, None)):
        async with b_in_this_process(endpoint_b(configuration)) as (port, accepted):
            printed = await asyncio.to_thread(s_client, port, *shown.files(tmp_path, "client"), *UNTIL_TOLD)
        assert alert_on_the_wire(printed) == alert, printed
        assert [channel.association.peer for channel in accepted] == ([] if alert else [ID_A])
    shown = Credential(B.local(with_root=False).certificate_chain, B.private_key)
    with SServer(tmp_path, shown) as server:
        configuration = named(NAME_B, ID_B, root_certificate=ROOT.certificate)
        async with await connect_to(server, configuration) as channel:
            assert channel.association.peer == ID_B


async def test_b_goes_on_serving_after_every_refusal(tmp_path):
    async with b_in_this_process(endpoint_b(CSE, FOR_A)) as (port, accepted):
        for name, refusal in list(REFUSALS.items())[:8]:
            files = name.replace(" ", "-").replace(",", "")
            options = refusal.shown.files(tmp_path, files)  # type: ignore[attr-defined]
            await asyncio.to_thread(s_client, port, *options, *UNTIL_TOLD, suite="ALL")
        assert accepted == []
        printed = await asyncio.to_thread(s_client, port, *Credential.of(A).files(tmp_path, "a"), *UNTIL_TOLD)
    assert "welcome" in printed
    assert accepted[0].association.peer == ID_A


# --- a third implementation ---

TLSLITE_SUITES = {
    "ECDHE-ECDSA-AES128-SHA256": ("aes128", "sha256"),
    "ECDHE-ECDSA-AES128-CCM8": ("aes128ccm_8", "aead"),
    "ECDHE-ECDSA-AES128-CCM": ("aes128ccm", "aead"),
    "ECDHE-ECDSA-AES128-GCM-SHA256": ("aes128gcm", "aead"),
}


def tlslite_settings(suite):
    cipher, mac = TLSLITE_SUITES[suite]
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 3)
    settings.cipherNames, settings.macNames = [cipher], [mac]
    settings.keyExchangeNames = ["ecdhe_ecdsa"]
    settings.eccCurves, settings.keyShares = ["secp256r1"], []
    return settings


def tlslite_credential(issued):
    chain = X509CertChain()
    chain.parsePemList(issued.full_chain_pem.decode())
    return chain, parsePEMKey(issued.key_pem.decode(), private=True, implementations=["python"])


def tlslite_client(port, suite, issued):
    """Handshake and read one line: what was exported, and the line."""
    chain, key = tlslite_credential(issued)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        connection = TLSConnection(plain)
        connection.handshakeClientCert(chain, key, settings=tlslite_settings(suite))
        exported = bytes(connection.keyingMaterialExporter(bytearray(LABEL.encode()), 48))
        line = bytes(connection.read(max=100, min=1))
        connection.close()
        return exported, line


class TlsliteServer(threading.Thread):
    """tlslite-ng as Entity B for one connection; it keeps ``exported`` and ``certificates``, or ``error``."""

    def __init__(self, suite, issued):
        super().__init__(daemon=True)
        self._suite, self._issued = suite, issued
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(PATIENCE)
        self.port = self._listening.getsockname()[1]
        self.error = None

    def run(self):
        chain, key = tlslite_credential(self._issued)
        with self._listening, self._listening.accept()[0] as plain:
            plain.settimeout(PATIENCE)
            connection = TLSConnection(plain)
            try:
                connection.handshakeServer(
                    certChain=chain, privateKey=key, reqCert=True, settings=tlslite_settings(self._suite)
                )
            except TLSRemoteAlert as error:
                self.error = error
                return
            self.exported = bytes(connection.keyingMaterialExporter(bytearray(LABEL.encode()), 48))
            self.certificates = [bytes(one.bytes) for one in connection.session.clientCertChain.x509List]
            connection.write(b"welcome\n")
            connection.close()


@pytest.mark.parametrize("suite", TLSLITE_SUITES)
async def test_tlslite_associates_with_b(suite):
    async with b_in_this_process(endpoint_b()) as (port, accepted):
        exported, line = await asyncio.to_thread(tlslite_client, port, suite, A)
        [b] = accepted
        ours = b.established.export(ExportLabel.CONNECTION)
    assert line == b"welcome\n"
    assert (b.association.peer, b.association.cipher_suite) == (ID_A, suite)
    assert exported == ours.relative + ours.key.reveal()


@pytest.mark.parametrize("suite", TLSLITE_SUITES)
async def test_a_associates_with_tlslite(suite):
    server = TlsliteServer(suite, B)
    server.start()
    async with await connect_to(server) as channel:
        assert await channel.read() == b"welcome\n"
        assert (channel.association.peer, channel.association.cipher_suite) == (ID_B, suite)
        ours = channel.established.export(ExportLabel.CONNECTION)
    await asyncio.to_thread(server.join, PATIENCE)
    assert server.exported == ours.relative + ours.key.reveal()
    assert server.certificates == list(A.local().certificate_chain)


async def test_tlslite_hears_the_alert_at_either_end():
    suite = SUITES[0]
    async with b_in_this_process(endpoint_b()) as (port, accepted):
        with pytest.raises(TLSRemoteAlert, match="unknown_ca"):
            await asyncio.to_thread(partial(tlslite_client, port, suite, OTHER_ROOT.issue(None, NAME_A)))
        assert accepted == []
    server = TlsliteServer(suite, CA.issue(None, "eve.sp.example"))
    server.start()
    with pytest.raises(HandshakeError):
        await connect_to(server)
    await asyncio.to_thread(server.join, PATIENCE)
    assert "bad_certificate" in str(server.error)
