"""Raw public keys (RFC 7250): the check of clause 10.1.2, and what our own key pair is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import certificate_support
from certificate_support import NAME_A, named
from onem2m_security.alerts import Alert
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.flavours import Flavour
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.public_key_id import PublicKeyIdentifier
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.errors import CertificateRejectedError, ConfigurationError, CredentialError
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release
from onem2m_security.tls.engine import CertificateType
from raw_keys import STRANGER, A, B

RAW, X509 = CertificateType.RAW_PUBLIC_KEY, CertificateType.X509


def verifier(*configurations: AssociationConfiguration) -> PeerVerifier:
    return PeerVerifier(configurations, release=Release.R3)


def refusal(checks: PeerVerifier, *chain: bytes) -> CertificateRejectedError:
    with pytest.raises(CertificateRejectedError) as refused:
        checks.verify(chain, server=False)
    return refused.value


def test_a_key_authenticates_whom_its_identifier_was_configured_for():
    verified = verifier(A.configuration, B.configuration).verify((B.spki,), server=False)
    assert (verified.peer, verified.flavour) == (B.entity, Flavour.RAW_PUBLIC_KEY)
    assert verified.expires is None
    assert str(verified.credential_id).startswith("30-ni_3A_2F_2F_2Fsha-256_3B")
    assert len(verified.fingerprint) == 64


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-256-128", "sha-256-120"])
def test_identifiers_of_every_length_of_the_standard_are_compared(algorithm):
    peer_id = str(PublicKeyIdentifier.of(A.spki, algorithm))
    checks = verifier(AssociationConfiguration.release3(flavour="raw-public-key", peer_id=peer_id, peer="/a"))
    assert checks.verify((A.spki,), server=False).peer == EntityId("/a")
    assert refusal(checks, B.spki).alert is Alert.bad_certificate


def test_the_longest_identifier_of_a_key_decides():
    short = str(PublicKeyIdentifier.of(A.spki, "sha-256-120"))
    checks = verifier(
        AssociationConfiguration.release3(flavour="raw-public-key", peer_id=short, peer="/short"),
        A.configured(peer=EntityId("/whole")),
    )
    assert checks.verify((A.spki,), server=False).peer == EntityId("/whole")


def test_one_key_is_not_two_entities():
    with pytest.raises(ConfigurationError, match="two association configurations name the public key"):
        verifier(A.configured(peer=EntityId("/one")), A.configured(peer=EntityId("/two")))


def test_a_key_may_act_for_several_and_have_targets():
    allowed, targets = (EntityId("//sp.example/cse/Cone"),), (EntityId("maf.example.com"),)
    checks = verifier(A.configured(peer=None, allowed_ae_ids=allowed, targets=targets))
    verified = checks.verify((A.spki,), server=True)
    assert (verified.peer, verified.allowed_ae_ids, verified.targets) == (None, allowed, targets)


def test_what_is_configured_says_what_a_peer_may_show():
    assert verifier(A.configuration).certificate_types == {RAW}
    assert verifier(named(NAME_A, A.entity)).certificate_types == {X509}
    assert verifier(A.configuration, named(NAME_A, A.entity)).certificate_types == {RAW, X509}


def test_a_certificate_does_not_pass_for_the_raw_public_key_in_it():
    """It is another proof, of another name; nor does the key pass for a certificate."""
    certificate = certificate_support.A.local().certificate_chain
    assert refusal(verifier(A.configuration), *certificate).alert is Alert.bad_certificate
    assert refusal(verifier(named(NAME_A, A.entity)), A.spki).alert is Alert.bad_certificate
    assert refusal(verifier(A.configuration), A.spki, A.spki).alert is Alert.bad_certificate


def of_another_form() -> dict[str, bytes]:
    public = A.key.public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    info = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return {
        "compressed": head + point,
        "p384": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*info),
        "rsa": rsa.generate_private_key(65537, 2048).public_key().public_bytes(*info),
    }


@pytest.mark.parametrize(("form", "spki"), of_another_form().items(), ids=lambda value: str(value)[:10])
def test_a_key_beside_the_profile_is_refused_even_if_it_is_configured(form, spki):
    peer_id = str(PublicKeyIdentifier.of(spki))
    checks = verifier(AssociationConfiguration.release3(flavour="raw-public-key", peer_id=peer_id, peer="/a"))
    assert refusal(checks, spki).alert is Alert.unsupported_certificate


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x30", b"0" * 91, A.spki[:-1], A.spki + b"\0", b"\x30" * 70_000],
    ids=["empty", "one-octet", "no-der", "cut-short", "too-long", "huge"],
)
def test_what_is_no_key_is_refused(octets):
    assert refusal(verifier(A.configuration), octets).alert is Alert.bad_certificate


def test_our_own_key_pair_is_shown_without_a_certificate(tmp_path):
    key, _ = A.files(tmp_path, "a")
    own = LocalCertificate.load(None, key)
    assert (own.certificate_chain, own.certificate_type) == ((A.spki,), RAW)
    assert own.public_key_id.matches(A.spki)
    assert own.expires == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(CredentialError, match="has no certificate"):
        _ = own.certificate
    assert certificate_support.A.local().certificate_type is X509
    assert "private" not in repr(own)


def test_our_own_key_must_be_of_the_profile_and_belong_to_its_owner_alone(tmp_path):
    key, _ = A.files(tmp_path, "a")
    key.chmod(0o644)
    with pytest.raises(CredentialError, match="chmod 600"):
        LocalCertificate.load(None, key)
    other = ec.generate_private_key(ec.SECP384R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(CredentialError, match="not on P-256"):
        LocalCertificate.raw_public_key(pem)


def test_a_key_that_was_taken_out_of_the_configuration_is_not_accepted_again():
    assert refusal(verifier(B.configuration), A.spki).alert is Alert.bad_certificate
    assert str(PublicKeyIdentifier.of(STRANGER.spki)) in str(
        refusal(verifier(A.configuration), STRANGER.spki)
    )
