"""``m2msec pki`` as a person uses it: files, permissions, plain words."""

from __future__ import annotations

import stat
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.cli.pki import app
from onem2m_security.errors import CertificateRejectedError
from onem2m_security.release import Release
from requirements import needs


class Pki:
    """Runs commands in one directory."""

    def __init__(self, place):
        self.place = place

    def path(self, name):
        return str(self.place / name)

    def run(self, *arguments, code=0):
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
def pki(tmp_path):
    pki = Pki(tmp_path)
    pki.run("root", "Lab root", "--out", pki.path("root"))
    for name, *constraints in (
        ("ca", "--dns", "sp.example"),
        ("ca-ae", "--uri-host", "sp.example"),
        ("ca-device", "--device", "0.2.481.1.100"),
    ):
        pki.run(
            "intermediate", f"Lab {name}", "--ca", pki.path("root"), "--out", pki.path(name), *constraints
        )
    return pki


def verify(pki, configuration, name, **more):
    local = LocalCertificate.load(pki.place / f"{name}.crt", pki.place / f"{name}.key")
    return PeerVerifier([configuration], release=Release.R3, **more).verify(local.certificate_chain)


@pytest.mark.parametrize(
    ("flavour", "identifier", "ca"),
    [
        ("cse-id", "//sp.example/cse1", "ca"),
        ("ae-id", "//sp.example/cse1/Cae", "ca-ae"),
        ("fqdn", "mef.sp.example", "ca"),
        ("device", "0.2.481.1.100.3030.10011", "ca-device"),
        ("node-id", "0.2.481.1.100.77", "ca-device"),
    ],
)
def test_each_flavour_is_issued_accepted_and_described(pki, flavour, identifier, ca):
    pki.run("issue", flavour, identifier, "--ca", pki.path(ca), "--out", pki.path("peer"))
    configuration = AssociationConfiguration.release3(
        flavour=flavour, peer_id=identifier, trust_anchors=(pki.place / "root.crt").read_bytes()
    )
    assert verify(pki, configuration, "peer").flavour.value == flavour
    said = pki.run("check", pki.path("peer.crt"))
    assert f"can be {flavour}" in said
    assert said.count("meets the profile") == 3
    assert "a certificate authority" in said


def test_release_1_certificates_work_with_the_root_of_trust_that_was_printed(tmp_path):
    pki = Pki(tmp_path)
    said = pki.run("root", "Lab root", "--out", pki.path("root"))
    root_of_trust = said.strip().rpartition(" ")[2]
    pki.run("issue", "release1", "b.sp.example", "--ca", pki.path("root"), "--out", pki.path("b"))
    configuration = AssociationConfiguration.release1(
        certificate_name="b.sp.example", root_of_trust=root_of_trust, peer="/b"
    )
    assert verify(pki, configuration, "b").peer == configuration.peer
    said = pki.run("self-signed", "--out", pki.path("own"))
    digest = said.strip().rpartition(" ")[2]
    own = AssociationConfiguration.release1(certificate_name=digest, root_of_trust=digest, peer="Cown")
    assert verify(pki, own, "own").peer == own.peer
    assert "its key hash is in a name field" in pki.run("check", pki.path("own.crt"))


def test_private_keys_are_0600_and_nothing_is_overwritten(pki):
    before = {path: path.read_bytes() for path in pki.place.iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in before if path.suffix == ".key"} == {0o600}
    said = pki.run("root", "Another", "--out", pki.path("root"), code=2)
    assert "not overwritten" in said
    assert "Traceback" not in said
    (pki.place / "half.crt").write_bytes(b"mine")
    pki.run("root", "Another", "--out", pki.path("half"), code=2)
    assert not (pki.place / "half.key").exists()
    assert {path: path.read_bytes() for path in before} == before


def test_a_request_is_signed_without_its_key_leaving(pki):
    pki.run("request", "cse-id", "//sp.example/cse1", "--out", pki.path("cse"))
    arguments = ["sign", pki.path("cse.csr"), "cse-id", "--ca", pki.path("ca"), "--out", pki.path("cse.crt")]
    pki.run(*arguments)
    configuration = AssociationConfiguration.release3(
        flavour="cse-id", peer_id="//sp.example/cse1", trust_anchors=(pki.place / "root.crt").read_bytes()
    )
    assert str(verify(pki, configuration, "cse").peer) == "//sp.example/cse1"
    assert "must hold one ae-id" in pki.run(*arguments[:2], "ae-id", *arguments[3:-1], pki.path("x"), code=2)


def test_a_revoked_certificate_is_refused_after_the_crl_that_says_so(pki):
    pki.run("issue", "fqdn", "mef.sp.example", "--ca", pki.path("ca"), "--out", pki.path("mef"))
    configuration = AssociationConfiguration.release3(
        flavour="fqdn", peer_id="mef.sp.example", trust_anchors=(pki.place / "root.crt").read_bytes()
    )
    pki.run("crl", "--ca", pki.path("ca"), "--out", pki.path("1.crl"))
    assert verify(pki, configuration, "mef", crls=CrlSource(pki.place / "1.crl")).peer is not None
    revoke = ["--revoke", pki.path("mef.crt"), "--previous", pki.path("1.crl")]
    assert "1 revoked" in pki.run("crl", "--ca", pki.path("ca"), "--out", pki.path("2.crl"), *revoke)
    with pytest.raises(CertificateRejectedError, match="revoked"):
        verify(pki, configuration, "mef", crls=CrlSource(pki.place / "2.crl"))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (["rsa:2048"], "no elliptic curve key"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"], "secp256r1 (P-256) is required"),
        (["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "no key usage extension"),
        (
            ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-pkeyopt", "ec_param_enc:explicit"],
            "no named curve",
        ),
    ],
)
def test_check_says_in_plain_words_what_is_wrong_with_a_certificate_of_another_make(tmp_path, key, words):
    pki = Pki(tmp_path)
    command = [needs("openssl"), "req", "-x509", "-subj", "/CN=other", "-nodes", "-newkey", *key]
    files = ["-keyout", pki.path("o.key"), "-out", pki.path("o.crt")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    said = pki.run("check", pki.path("o.crt"), code=1)
    assert words in said
    assert "NOT by the profile" in said


def test_an_authority_whose_key_is_open_to_others_is_not_used(pki):
    (pki.place / "ca.key").chmod(0o644)
    said = pki.run("issue", "fqdn", "m.sp.example", "--ca", pki.path("ca"), "--out", pki.path("m"), code=2)
    assert "chmod 600" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["issue", "raw-public-key", "x"], "RFC 7250"),
        (["issue", "passport", "x"], "there is no flavour"),
        (["issue", "cse-id", "/relative"], "give a CSE-ID"),
        (["issue", "device", "9.9"], "M2M Device ID"),
        (["intermediate", "Name", "--dns", "sp.example", "--device", "0.2.481.1"], "one form of name"),
    ],
)
def test_a_mistake_is_one_plain_line(pki, arguments, words):
    said = pki.run(*arguments, "--ca", pki.path("ca"), "--out", pki.path("x"), code=2)
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not (pki.place / "x.key").exists()


def test_an_intermediate_is_constrained_by_itself_or_from_above(pki):
    beneath_root = ["intermediate", "Name", "--ca", pki.path("root"), "--out", pki.path("x")]
    assert "needs name constraints" in pki.run(*beneath_root, code=2)
    pki.run("root", "Narrow root", "--dns", "sp.example", "--out", pki.path("narrow"))
    pki.run("intermediate", "Name", "--ca", pki.path("narrow"), "--out", pki.path("below"))
    pki.run(
        "issue", "fqdn", "mef.sp.example", "--ca", pki.path("below"), "--out", pki.path("m"), "--without-root"
    )
    assert (pki.place / "m.crt").read_text().count("BEGIN") == 2
    configuration = AssociationConfiguration.release3(
        flavour="fqdn", peer_id="mef.sp.example", trust_anchors=(pki.place / "narrow.crt").read_bytes()
    )
    assert verify(pki, configuration, "m").peer is not None


def test_check_of_something_else_is_one_plain_line(tmp_path):
    (tmp_path / "x").write_bytes(b"\x00\x01")
    assert "no certificate" in Pki(tmp_path).run("check", str(tmp_path / "x"), code=2)
    assert "No such file" in Pki(tmp_path).run("check", str(tmp_path / "y"), code=2)


def test_a_key_pair_for_a_raw_public_key_is_made_and_its_identifier_is_told_again(pki, tmp_path):
    made = pki.run("raw-public-key", "--out", pki.path("k"))
    identifier = made.rpartition("Public key identifier: ")[2].strip()
    assert identifier.startswith("ni:///sha-256;")
    assert identifier in pki.run("check", pki.path("k.pub"))
    assert stat.S_IMODE((pki.place / "k.key").stat().st_mode) == 0o600
    assert "exists" in pki.run("raw-public-key", "--out", pki.path("k"), code=2)
    own = LocalCertificate.load(None, pki.place / "k.key")
    assert str(own.public_key_id) == identifier
    (pki.place / "der.pub").write_bytes(own.certificate_chain[0])
    assert identifier in pki.run("check", pki.path("der.pub"))
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    (pki.place / "p384.pub").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert "NOT by the profile" in pki.run("check", pki.path("p384.pub"), code=1)
    (pki.place / "none.pub").write_bytes(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    assert "no certificate" in pki.run("check", pki.path("none.pub"), code=2)
