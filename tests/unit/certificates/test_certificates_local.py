"""An entity's own certificate and key, and the files they are in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from certs import P256, Authority, Flavour, chain_of, forge, key_pem, self_signed
from onem2m_security.certificates.files import read_public, write_new
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.errors import ConfigurationError, CredentialError

ROOT = Authority.root()
ISSUED = ROOT.intermediate().issue(Flavour.FQDN, "mef.example")


def files(tmp_path, certificates=ISSUED.full_chain_pem, key=ISSUED.key_pem, mode=0o600):
    (tmp_path / "a.crt").write_bytes(certificates)
    (tmp_path / "a.key").write_bytes(key)
    (tmp_path / "a.key").chmod(mode)
    return tmp_path / "a.crt", tmp_path / "a.key"


def test_a_chain_and_its_key_are_loaded_as_tls_takes_them(tmp_path):
    local = LocalCertificate.load(*files(tmp_path))
    assert list(local.certificate_chain) == chain_of(ISSUED, with_root=True)
    assert local.private_key.public_key() == ISSUED.certificate.public_key()
    assert local.root_of_trust == ROOT.root_of_trust
    assert local.certificate == ISSUED.certificate
    assert "EllipticCurvePrivateKey" not in repr(local)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_key_that_others_can_use_is_refused_with_the_fix(tmp_path, mode):
    with pytest.raises(CredentialError, match=r"chmod 600 .*a\.key"):
        LocalCertificate.load(*files(tmp_path, mode=mode))


def test_a_self_signed_certificate_in_der_is_loaded(tmp_path):
    issued = self_signed()
    octets = issued.certificate.public_bytes(Encoding.DER)
    assert LocalCertificate.load(*files(tmp_path, octets, issued.key_pem)).certificate_chain == (octets,)


def test_an_encrypted_key_needs_its_password(tmp_path):
    key = ISSUED.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    paths = files(tmp_path, key=key)
    assert LocalCertificate.load(*paths, password=b"secret").private_key is not None
    with pytest.raises(CredentialError, match="password"):
        LocalCertificate.load(*paths)
    with pytest.raises(CredentialError, match="wrong password"):
        LocalCertificate.load(*paths, password=b"guess")


REVERSED = b"".join(one.public_bytes(Encoding.PEM) for one in (ISSUED.chain[0], *ISSUED.chain[:0:-1]))
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())
KEY_AGREEMENT, KEY_AGREEMENT_KEY = forge(
    (ROOT.certificate.subject, ROOT.issued.private_key), key=OTHER_CURVE, subject="other curve"
)


@pytest.mark.parametrize(
    ("certificates", "key", "message"),
    [
        (ISSUED.full_chain_pem, key_pem(P256()), "does not belong"),
        (REVERSED, ISSUED.key_pem, "out of order"),
        (ISSUED.full_chain_pem, key_pem(OTHER_CURVE), "P-256"),
        (b"", ISSUED.key_pem, "no certificate"),
        (
            ISSUED.full_chain_pem,
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "no private key",
        ),
        (ISSUED.full_chain_pem, b"", "no private key"),
        (ISSUED.full_chain_pem * 2, ISSUED.key_pem, "6 certificates"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_shows_no_key(certificates, key, message):
    with pytest.raises(CredentialError, match=message) as refused:
        LocalCertificate.from_octets(certificates, key)
    assert "AAAA" not in str(refused.value)


def test_a_new_private_file_is_0600_whatever_the_umask_and_never_overwrites(tmp_path):
    old = os.umask(0)
    try:
        write_new(tmp_path / "key", b"1", private=True)
        write_new(tmp_path / "crt", b"1", private=False)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "crt").stat().st_mode) == 0o644
    with pytest.raises(ConfigurationError, match="not overwritten"):
        write_new(tmp_path / "key", b"2", private=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        write_new(tmp_path / "link", b"2", private=True)
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "key").read_bytes() == b"1"


def test_unreadable_and_endless_files_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_public(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"directory|regular"):
        read_public(tmp_path)
    with pytest.raises(ConfigurationError, match="regular"):
        read_public(Path("/dev/zero"))
    (tmp_path / "big").write_bytes(b" " * (1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="longer"):
        read_public(tmp_path / "big")
