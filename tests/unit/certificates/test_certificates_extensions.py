"""What extensions decide: roles, name constraints, malformed ones; trust anchors and roots left out."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import example, given
from hypothesis import strategies as st

from certificate_support import CA, NAME_B, ROOT, flavoured, named
from certs import P256, Authority, Flavour, Issued, chain_of, common_name, der, forge, permitted_names, usage
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.errors import CertificateRejectedError, ConfigurationError
from onem2m_security.release import Release

pytestmark = pytest.mark.usefixtures("in_every_way")

CSE = flavoured(Flavour.CSE_ID, NAME_B)
B_BY_NAME = named(NAME_B, "/b")
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
CA_USAGE = usage(digital_signature=True, key_cert_sign=True)


def issuer_of(above):
    return above.certificate.subject, above.private_key


def chain(*, above=CA.issued, with_root=False, **wrong):
    """A chain for NAME_B with something forged in the end entity's certificate."""
    leaf, key = forge(issuer_of(above), **{"names": [x509.DNSName(NAME_B)]} | wrong)
    return chain_of(Issued((leaf, *above.chain), key), with_root=with_root)


def authority(*extensions):
    """An authority below ROOT that has these extensions besides what makes it one."""
    certificate, key = forge(
        issuer_of(ROOT.issued), subject="authority", ca=True, key_usage=CA_USAGE, extensions=list(extensions)
    )
    return Issued((certificate, *ROOT.chain), key)


def verify(configuration, presented, **more):
    return PeerVerifier([configuration], release=Release.R3).verify(presented, **more)


def alert(configuration, presented, **more):
    with pytest.raises(CertificateRejectedError) as refused:
        verify(configuration, presented, **more)
    return refused.value.alert.name


# --- extended key usage ---


@pytest.mark.parametrize(("configuration", "with_root"), [(CSE, False), (B_BY_NAME, True)])
@pytest.mark.parametrize(
    ("purposes", "as_client", "as_server"),
    [
        ([CLIENT], True, False),
        ([SERVER], False, True),
        ([CLIENT, SERVER], True, True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True, True),
        ([ExtendedKeyUsageOID.EMAIL_PROTECTION], False, False),
        (None, True, True),
    ],
)
def test_an_extended_key_usage_must_allow_the_role(configuration, with_root, purposes, as_client, as_server):
    extensions = [] if purposes is None else [(x509.ExtendedKeyUsage(purposes), False)]
    presented = chain(with_root=with_root, extensions=extensions)
    for server, allowed in ((False, as_client), (True, as_server)):
        judge = partial(verify if allowed else alert, configuration, presented, server=server)
        assert judge() == "unsupported_certificate" if not allowed else judge().configuration


def test_an_authority_for_one_role_certifies_nobody_for_the_other():
    constraint = x509.NameConstraints(permitted_names(dns=["sp.example"]), None)
    above = authority((constraint, True), (x509.ExtendedKeyUsage([SERVER]), False))
    assert verify(CSE, chain(above=above), server=True).configuration is CSE
    assert alert(CSE, chain(above=above), server=False) == "unsupported_certificate"


# --- name constraints ---

PERMITTED = x509.NameConstraints([x509.DNSName("sp.example")], None)


def test_name_constraints_that_are_not_critical_are_refused_in_the_release_3_form():
    assert verify(CSE, chain(above=authority((PERMITTED, True)))).configuration is CSE
    assert alert(CSE, chain(above=authority((PERMITTED, False)))) == "bad_certificate"


@pytest.mark.parametrize("critical", [True, False])
def test_name_constraints_in_an_end_entity_are_refused_in_the_release_3_form(critical):
    assert alert(CSE, chain(extensions=[(PERMITTED, critical)])) == "bad_certificate"
    presented = chain(extensions=[(PERMITTED, critical)], with_root=True)
    assert verify(B_BY_NAME, presented).configuration is B_BY_NAME


# --- trust anchors ---


def self_signed_authority(key=None, **more):
    key = key or P256()
    name = common_name("root")
    made = {"ca": True, "key_usage": CA_USAGE, "subject": "root"} | more
    return forge((name, key), key=key, **made)[0]


@pytest.mark.parametrize(
    ("anchor", "words"),
    [
        (self_signed_authority(ec.generate_private_key(ec.SECP192R1())), "P-256"),
        (self_signed_authority(ca=False), "certificate authority"),
        (self_signed_authority(extensions=[(PERMITTED, False)]), "not critical"),
        (
            self_signed_authority(
                extensions=[
                    (x509.UnrecognizedExtension(ExtensionOID.TLS_FEATURE, b"\x30\x03\x02\x01\x63"), False)
                ]
            ),
            "malformed",
        ),
    ],
    ids=["P-192", "no authority", "name constraints not critical", "malformed"],
)
def test_an_anchor_outside_the_profile_is_refused_in_whatever_form_it_is_given(anchor, words):
    pem = Issued((anchor,)).full_chain_pem
    for given_as in (pem, pem.decode(), (anchor,)):
        with pytest.raises(ConfigurationError, match=words):
            AssociationConfiguration.release3(flavour="fqdn", trust_anchors=given_as)
    with pytest.raises(ConfigurationError, match=words):
        AssociationConfiguration.release1(
            certificate_name="b", root_of_trust=bytes(32), peer="/b", root_certificate=anchor
        )


# --- the root's certificate, for peers that leave it out (RFC 5246 clause 7.4.2) ---


def test_a_chain_without_its_root_is_completed_by_the_configured_one():
    presented = chain_of(CA.issue(None, NAME_B), with_root=False)
    assert alert(B_BY_NAME, presented) == "unknown_ca"
    configuration = named(NAME_B, "/b", root_certificate=ROOT.certificate)
    verified = verify(configuration, presented)
    assert verified.configuration is configuration
    assert verify(configuration, chain_of(CA.issue(None, NAME_B), with_root=True)).peer == verified.peer


def test_a_completed_chain_is_judged_like_one_that_came_whole():
    configuration = named(NAME_B, "/b", root_certificate=ROOT.trust_anchor_pem)
    assert alert(configuration, chain_of(CA.issue(None, "eve.sp.example"), with_root=False)) == (
        "bad_certificate"
    )
    namesake = Authority.root()  # the same name, another key
    stranger = namesake.intermediate("another").issue(None, NAME_B)
    assert alert(configuration, chain_of(stranger, with_root=False)) == "unknown_ca"
    assert alert(configuration, chain(days=(-9, -1))) == "certificate_expired"


def test_of_several_roots_of_one_name_the_one_that_signed_counts():
    roots = [Authority.root() for _ in range(3)]
    configurations = [
        named(NAME_B, f"/b{number}", root, root_certificate=root.certificate)
        for number, root in enumerate(roots)
    ]
    verifier = PeerVerifier(configurations, release=Release.R1)
    for root, configuration in zip(roots, configurations, strict=True):
        presented = chain_of(root.issue(None, NAME_B), with_root=False)
        assert verifier.verify(presented).configuration is configuration


def test_a_root_certificate_must_be_the_root_of_trust():
    with pytest.raises(ConfigurationError, match="another key"):
        named(NAME_B, "/b", root_certificate=Authority.root().certificate)
    with pytest.raises(ConfigurationError, match="one certificate"):
        named(NAME_B, "/b", root_certificate=ROOT.trust_anchor_pem * 2)
    with pytest.raises(ConfigurationError, match="Release 1"):
        AssociationConfiguration(
            flavour=Flavour.FQDN, trust_anchors=ROOT.chain, root_certificate=ROOT.certificate
        )


# --- malformed extensions ---

OIDS = [getattr(ExtensionOID, name) for name in vars(ExtensionOID) if name.isupper()]
GOOD = [
    extension.value.public_bytes()
    for issued in (CA.issue(Flavour.CSE_ID, NAME_B), CA)
    for extension in issued.certificate.extensions
]


@st.composite
def mutated(draw):
    """The octets of some extension of a good certificate, with a few of them other than they were."""
    octets = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(octets) - 1))
        octets[place] = draw(st.integers(0, 255))
    return bytes(octets)


@given(
    oid=st.sampled_from(OIDS),
    octets=mutated() | st.binary(max_size=12),
    critical=st.booleans(),
    in_authority=st.booleans(),
)
@example(oid=ExtensionOID.TLS_FEATURE, octets=b"\x30\x03\x02\x01\x63", critical=False, in_authority=False)
@example(oid=ExtensionOID.TLS_FEATURE, octets=b"\x30\x00", critical=False, in_authority=True)
def test_a_certificate_with_any_extension_is_accepted_or_refused(oid, octets, critical, in_authority):
    extra = (x509.UnrecognizedExtension(oid, octets), critical)
    base = {"ca": None, "key_usage": None} if oid == ExtensionOID.BASIC_CONSTRAINTS else {}
    if oid == ExtensionOID.KEY_USAGE:
        base["key_usage"] = None
    if in_authority:
        constraint = [] if oid == ExtensionOID.NAME_CONSTRAINTS else [(PERMITTED, True)]
        made = {"ca": True, "key_usage": CA_USAGE} | base
        above, key = forge(
            issuer_of(ROOT.issued), subject="authority", extensions=[*constraint, extra], **made
        )
        leaf, _ = forge((above.subject, key), names=[x509.DNSName(NAME_B)])
        presented = [der(leaf), der(above)]
    else:
        names = None if oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME else [x509.DNSName(NAME_B)]
        presented = chain(names=names, extensions=[extra], **base)
    with contextlib.suppress(CertificateRejectedError):
        assert verify(CSE, presented).configuration is CSE


@pytest.mark.parametrize(
    "extension",
    [
        x509.UnrecognizedExtension(ExtensionOID.TLS_FEATURE, b"\x30\x03\x02\x01\x63"),
        x509.UnrecognizedExtension(ExtensionOID.TLS_FEATURE, b"\x30\x00"),
        x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, b"\x30\x03\x02\x01\x63"),
        x509.UnrecognizedExtension(ExtensionOID.CERTIFICATE_POLICIES, b"\x05\x00"),
    ],
)
def test_a_malformed_extension_is_a_bad_certificate(extension):
    assert alert(CSE, chain(extensions=[(extension, False)])) == "bad_certificate"
