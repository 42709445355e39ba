"""The issuing authority: what it issues meets the profile; what it must not sign it refuses."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID

from certs import Authority, Flavour, common_name, constrained, self_signed
from onem2m_security.certificates.authority import signing_request
from onem2m_security.certificates.names import CertificateNames
from onem2m_security.certificates.profile import profile_findings
from onem2m_security.errors import ConfigurationError, CredentialError, IdentifierError

ROOT = Authority.root()
CA = constrained(ROOT)
IDENTIFIERS = {
    Flavour.CSE_ID: "//sp.example/cse1",
    Flavour.AE_ID: "//sp.example/cse1/Cae",
    Flavour.FQDN: "mef.sp.example",
    Flavour.DEVICE: "0.2.481.1.100.3030.10011",
    Flavour.NODE_ID: "urn:gsma:imei:90420156-025763-0",
}


def test_all_that_it_issues_meets_the_profile():
    issued = [CA.issue(flavour, identifier) for flavour, identifier in IDENTIFIERS.items()]
    issued += [CA.issued, ROOT.issued, CA.issue(None, "b.sp.example"), self_signed()]
    assert [profile_findings(one.certificate) for one in issued] == [[]] * len(issued)


def test_certificates_of_authorities_are_critical_where_rfc_5280_says_so():
    extensions = CA.certificate.extensions
    for oid in (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.NAME_CONSTRAINTS):
        assert extensions.get_extension_for_oid(oid).critical


@pytest.mark.parametrize("flavour", IDENTIFIERS, ids=lambda flavour: flavour.value)
def test_a_signing_request_is_certified_for_its_one_name(flavour):
    request, key = signing_request(flavour, IDENTIFIERS[flavour])
    issued = CA.issue_for_request(request, flavour)
    assert issued.certificate.public_key() == key.public_key()
    same = CA.issue(flavour, IDENTIFIERS[flavour]).certificate
    names = [CertificateNames.of(one).identifiers(flavour) for one in (issued.certificate, same)]
    assert names[0] == names[1] != set()
    with pytest.raises(CredentialError, match="with whoever"):
        _ = issued.key_pem


def request_with(key, *names, extra=(), digest=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name("request"))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in extra:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, digest or hashes.SHA256())


KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.DNSName("cse1.sp.example")


def test_a_request_gets_nothing_but_its_name():
    extra = [x509.BasicConstraints(ca=True, path_length=None)]
    other = x509.UniformResourceIdentifier("m2m://sp.example/cse1/Cae")
    certificate = CA.issue_for_request(
        request_with(KEY, NAME, other, extra=extra), Flavour.CSE_ID
    ).certificate
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [NAME]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (request_with(KEY), IdentifierError),
        (request_with(KEY, NAME, x509.DNSName("cse2.sp.example")), IdentifierError),
        (request_with(KEY, x509.DNSName("*.sp.example")), IdentifierError),
        (request_with(KEY, NAME, x509.DNSName("*.sp.example")), IdentifierError),
        (request_with(ec.generate_private_key(ec.SECP384R1()), NAME), CredentialError),
        (request_with(rsa.generate_private_key(65537, 2048), NAME), CredentialError),
    ],
    ids=["no name", "two names", "wildcard", "name and wildcard", "P-384", "RSA"],
)
def test_a_request_outside_the_profile_is_refused(request_, error):
    with pytest.raises(error):
        CA.issue_for_request(request_, Flavour.CSE_ID)


def test_an_authority_needs_its_own_key_and_the_right_certificate():
    with pytest.raises(CredentialError, match="does not belong"):
        Authority(CA.chain, KEY)
    leaf = CA.issue(Flavour.FQDN, "mef.sp.example")
    with pytest.raises(CredentialError, match="certificate authority"):
        Authority(leaf.chain, leaf.private_key)


def test_only_its_own_certificates_and_lists_go_into_a_crl():
    other = Authority.root("other")
    with pytest.raises(CredentialError, match="not issued by"):
        CA.crl([other.issue(Flavour.FQDN, "m.example").certificate])
    with pytest.raises(CredentialError, match="previous CRL"):
        CA.crl(previous=other.crl())


def test_a_certificate_name_that_no_field_can_hold_is_refused():
    with pytest.raises(IdentifierError):
        CA.issue(None, "x y" * 30)
    with pytest.raises(ConfigurationError, match="one day"):
        CA.issue(None, "b.sp.example", days=0)


def test_no_representation_shows_a_private_key():
    assert "PrivateKey" not in repr(CA.issue(None, "b.sp.example"))
