"""Association Configurations, flavours and their identifiers: parsed once, refused with the way out."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from certs import Authority, der, forge, usage
from onem2m_security.certificates.configuration import AssociationConfiguration, load_trust_anchors
from onem2m_security.certificates.flavours import Flavour, credential_id, cse_id_of, parse_identifier
from onem2m_security.certificates.names import (
    CertificateNames,
    device_id_of,
    encode_device_id,
    encode_relative_arcs,
    relative_arcs,
)
from onem2m_security.errors import ConfigurationError, IdentifierError
from onem2m_security.identifiers import CredentialId, EntityId, Fqdn

ROOT = Authority.root()
ANCHOR = ROOT.trust_anchor_pem


KEY_ID = "ni:///sha-256;UyaQV-Ev4rdLoHyJJWCi11OHfrYv9E1aGQAlMO2X_-Q"


@pytest.mark.parametrize("ask", ["raw-public-key", Flavour.RAW_PUBLIC_KEY])
def test_a_raw_public_key_is_named_by_its_identifier_alone(ask):
    configuration = AssociationConfiguration.release3(flavour=ask, peer_id=KEY_ID, peer="/in-cse")
    assert (configuration.peer_id, configuration.peer) == (KEY_ID, EntityId("/in-cse"))
    assert configuration.description == f"raw-public-key {KEY_ID}"
    with pytest.raises(ConfigurationError, match="needs peer_id"):
        AssociationConfiguration.release3(flavour=ask)
    with pytest.raises(ConfigurationError, match="takes no trust_anchors"):
        AssociationConfiguration.release3(flavour=ask, trust_anchors=ANCHOR, peer_id=KEY_ID)
    with pytest.raises(ConfigurationError, match="is not a public key identifier"):
        AssociationConfiguration.release3(flavour=ask, peer_id="x")


def test_an_identifier_is_one_in_whatever_form_it_is_written():
    digest = "532690 57e12fe2b74ba07c892560a2d753877eb62ff44d5a19002530ed97ffe4".replace(" ", "")
    assert AssociationConfiguration.release3(flavour="raw-public-key", peer_id=digest).peer_id == KEY_ID


def test_nobody_issues_a_certificate_for_a_raw_public_key():
    with pytest.raises(ConfigurationError, match=r"RFC 7250\) has no certificate"):
        ROOT.issue(Flavour.RAW_PUBLIC_KEY, "x")


@pytest.mark.parametrize(
    ("flavour", "text", "canonical", "peer"),
    [
        ("cse-id", "//sp.example/cse1", "cse1.sp.example", "//sp.example/cse1"),
        ("cse-id", "//SP.example/CSE1", "cse1.sp.example", "//sp.example/CSE1"),
        ("cse-id", "CSE1.sp.example.", "cse1.sp.example", "//sp.example/cse1"),
        ("ae-id", "//sp.example/cse1/Cae", "//sp.example/cse1/Cae", "//sp.example/cse1/Cae"),
        ("ae-id", "m2m://SP.example/cse1/Cae", "//sp.example/cse1/Cae", "//sp.example/cse1/Cae"),
        ("fqdn", "MEF.sp.example", "mef.sp.example", "mef.sp.example"),
        ("device", "0.2.481.1.100.3030.10011", "0.2.481.1.100.3030.10011", None),
        ("node-id", "urn:gsma:imei:90420156-025763-0;svn=42", "urn:gsma:imei:90420156-025763-0;svn=42", None),
        ("node-id", "0.2.481.1.100", "0.2.481.1.100", None),
    ],
)
def test_an_identifier_of_each_flavour_is_canonical_and_implies_the_peer(flavour, text, canonical, peer):
    made = AssociationConfiguration.release3(flavour=flavour, peer_id=text, trust_anchors=ANCHOR)
    assert made.peer_id == canonical
    assert made.peer == (None if peer is None else EntityId(peer))


@pytest.mark.parametrize(
    ("flavour", "text"),
    [
        ("cse-id", "/cse1"),
        ("cse-id", "//sp.example/cse1/Cae"),
        ("cse-id", "*.sp.example"),
        ("ae-id", "Cae"),
        ("ae-id", "/cse1/Cae"),
        ("ae-id", "//sp.example/cse1/Cae?x=1"),
        ("ae-id", "//sp.example/*"),
        ("fqdn", "*.example"),
        ("device", "0.2"),
        ("device", "0.2.481.01"),
        ("device", "3.2.481"),
        ("device", "0.2.481.x"),
        ("device", "1" * 9999),
        ("node-id", "imei 5"),
        ("node-id", "urn:*"),
        ("node-id", "urn:" + "x" * 255),
    ],
)
def test_an_identifier_that_is_not_of_the_flavour_is_refused(flavour, text):
    with pytest.raises(IdentifierError):
        parse_identifier(Flavour(flavour), text)
    with pytest.raises(ConfigurationError, match=flavour):
        AssociationConfiguration.release3(flavour=flavour, peer_id=text, trust_anchors=ANCHOR)


@given(st.text(max_size=40), st.sampled_from(list(Flavour)))
def test_parsing_an_identifier_twice_changes_nothing(text, flavour):
    try:
        once = parse_identifier(flavour, text)
    except IdentifierError:
        return
    assert parse_identifier(flavour, once) == once


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_different_identifiers_have_different_credential_ids_that_parse(one, other):
    ids = [credential_id(Flavour.NODE_ID, text) for text in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    assert CredentialId.parse(str(ids[0])) == ids[0]


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({}, "either certificate_name and root_of_trust"),
        ({"certificate_name": "b", "flavour": Flavour.FQDN}, "either certificate_name"),
        ({"certificate_name": "b"}, "needs certificate_name, root_of_trust and peer"),
        (
            {"certificate_name": "b", "root_of_trust": bytes(32)},
            "needs certificate_name, root_of_trust and peer",
        ),
        ({"flavour": Flavour.FQDN, "peer_id": "mef.example"}, "needs trust_anchors"),
        (
            {"certificate_name": "b", "root_of_trust": bytes(32), "peer": EntityId("/b"), "peer_id": "x"},
            "belong to a Release 3",
        ),
        ({"flavour": Flavour.FQDN, "root_of_trust": bytes(32)}, "use trust_anchors"),
    ],
)
def test_half_a_configuration_is_refused_with_what_is_missing(wrong, advice):
    with pytest.raises(ConfigurationError, match=advice):
        AssociationConfiguration(**wrong)


def test_what_a_flavour_cannot_have_is_refused():
    anchors = {"trust_anchors": ANCHOR}
    with pytest.raises(ConfigurationError, match="allowed_ae_ids"):
        AssociationConfiguration.release3(
            flavour="fqdn", peer_id="m.example", allowed_ae_ids=("Cae",), **anchors
        )
    with pytest.raises(ConfigurationError, match="does not authenticate"):
        AssociationConfiguration.release3(
            flavour="ae-id", peer_id="//sp.example/cse1/Cae", peer="Cb", **anchors
        )
    with pytest.raises(ConfigurationError, match="needs its peer_id"):
        AssociationConfiguration.release3(flavour="device", peer="Cb", **anchors)
    with pytest.raises(ConfigurationError, match="no certificate flavour"):
        AssociationConfiguration.release3(flavour="passport", **anchors)
    with pytest.raises(ConfigurationError, match="Root of Trust"):
        AssociationConfiguration.release1(certificate_name="b", root_of_trust=b"short", peer="/b")


def anchored_in(certificate, form=lambda one: (one,)):
    return AssociationConfiguration.release3(flavour="fqdn", trust_anchors=form(certificate))


def test_trust_anchors_are_authorities_by_the_profile():
    assert load_trust_anchors(ANCHOR) == (ROOT.certificate,)
    leaf = ROOT.issue(Flavour.FQDN, "mef.example")
    with pytest.raises(ConfigurationError, match="certificate authority"):
        anchored_in(leaf.certificate)
    key = ec.generate_private_key(ec.SECP384R1())
    name = ROOT.certificate.subject
    other_curve, _ = forge((name, key), key=key, ca=True, key_usage=usage(key_cert_sign=True))
    with pytest.raises(ConfigurationError, match="P-256"):
        anchored_in(other_curve)
    for octets in (
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        der(ROOT.certificate),
    ):
        with pytest.raises(ConfigurationError, match="PEM"):
            load_trust_anchors(octets)
    with pytest.raises(ConfigurationError, match="larger"):
        load_trust_anchors(b" " * (1024 * 1024 + 1))


def test_a_public_domain_name_is_turned_back_into_its_cse_id():
    assert cse_id_of(Fqdn("cse1.sp.example")) == EntityId("//sp.example/cse1")
    with pytest.raises(IdentifierError):
        cse_id_of(Fqdn("localhost"))


# --- the encoding of M2M Device IDs ---


def test_the_device_id_of_ts_0001_annex_h_is_split_after_its_indication_id():
    """TS-0001 clause H.3: {0 2 481 1 100 3030 10011}; X.690 clause 8.20 for the RELATIVE-OID."""
    name = encode_device_id("0.2.481.1.100.3030.10011", "0.2.481.1")
    assert name.type_id.dotted_string == "0.2.481.1"
    assert name.value == bytes.fromhex("0d05 64 9756 ce1b".replace(" ", ""))
    assert device_id_of(name) == "0.2.481.1.100.3030.10011"


def test_the_relative_oid_of_x_690_reads_as_its_arcs():
    """X.690 clause 8.20.5: {8571 3 2} is 0D 04 C27B0302."""
    assert relative_arcs(bytes.fromhex("0d04c27b0302")) == (8571, 3, 2)


@given(st.lists(st.integers(0, 2**64), min_size=1, max_size=10).map(tuple))
def test_arcs_survive_encoding(arcs):
    assert relative_arcs(encode_relative_arcs(arcs)) == arcs


@given(st.binary(max_size=140))
def test_any_octets_are_arcs_of_one_encoding_or_none(octets):
    arcs = relative_arcs(octets)
    assert arcs is None or encode_relative_arcs(arcs) == octets


def test_a_device_id_outside_its_indication_id_is_refused():
    with pytest.raises(IdentifierError, match="not under"):
        encode_device_id("0.2.482.1", "0.2.481")
    with pytest.raises(IdentifierError, match="127"):
        encode_relative_arcs((1,) * 128)


def test_an_fqdn_may_be_written_as_a_uri_field():
    """8.1.2.5: a match is "a URI, FQDN or dNSName"."""
    names = CertificateNames.of_general_names([x509.UniformResourceIdentifier("mef.example")])
    assert names.identifiers(Flavour.FQDN) == {"mef.example"}
    assert names.identifiers(Flavour.CSE_ID) == set()
