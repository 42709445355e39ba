"""Certificate Verification (seed 8.1.1.2.2, TS-0003 8.1.2.5): who is accepted; each refusal and its alert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import (
    P256,
    Authority,
    chain_of,
    common_name,
    constrained,
    der,
    forge,
    permitted_names,
    self_signed,
    usage,
)
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.certificates.flavours import Flavour
from onem2m_security.certificates.public_key_id import PublicKeyIdentifier, key_hash
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.errors import CertificateRejectedError, ConfigurationError
from onem2m_security.identifiers import EntityId, EntityKind
from onem2m_security.release import Release

pytestmark = pytest.mark.usefixtures("in_every_way")

ROOT = Authority.root()
CA = constrained(ROOT)
OTHER_ROOT = Authority.root()  # the same name, another key
DEVICE_ID = "0.2.481.1.100.3030.10011"
NODE_ID = "0.2.481.1.100.77"
NODE_URN = "urn:gsma:imei:90420156-025763-0;svn=42"
IDENTIFIERS = {
    Flavour.CSE_ID: "//sp.example/cse1",
    Flavour.AE_ID: "//sp.example/cse1/Cae",
    Flavour.FQDN: "mef.sp.example",
    Flavour.DEVICE: DEVICE_ID,
    Flavour.NODE_ID: NODE_ID,
}
NAME = "b.sp.example"
PEER = "/cse1"


def issuer_of(authority):
    return authority.certificate.subject, authority.issued.private_key


def named(certificate_name=NAME, root=ROOT, peer=PEER):
    return AssociationConfiguration.release1(
        certificate_name=certificate_name, root_of_trust=root.root_of_trust, peer=peer
    )


def flavoured(flavour, peer_id=None, root=ROOT, **more):
    return AssociationConfiguration.release3(
        flavour=flavour, peer_id=peer_id, trust_anchors=root.trust_anchor_pem, **more
    )


def verifier(*configurations, release=Release.R1, **more):
    return PeerVerifier(configurations, release=release, **more)


def r1_leaf(authority=CA, **wrong):
    """A forged chain for the Release 1 association NAME under ROOT."""
    wrong = {"names": [x509.DNSName(NAME)]} | wrong
    leaf, _ = forge(issuer_of(authority), **wrong)
    return [der(leaf), *map(der, authority.chain)]


def r3_leaf(authority=CA, **wrong):
    """The same for the CSE-ID cse1.sp.example, without the root."""
    wrong = {"names": [x509.DNSName("cse1.sp.example")]} | wrong
    leaf, _ = forge(issuer_of(authority), **wrong)
    return [der(leaf), *map(der, authority.chain[:-1])]


def refusal(verify, chain, **more):
    with pytest.raises(CertificateRejectedError) as refused:
        verify.verify(chain, **more)
    return refused.value.alert.name


# --- Release 1 ---


@pytest.mark.parametrize("name", [NAME, "B.SP.example."])
def test_a_chain_with_the_certificate_name_under_the_root_of_trust_is_the_configured_peer(name):
    configuration = named(name)
    peer = verifier(named("a.sp.example", peer="/a"), configuration).verify(
        chain_of(CA.issue(None, NAME), with_root=True)
    )
    assert peer.configuration is configuration
    assert peer.peer == EntityId("/cse1")
    assert (peer.flavour, peer.credential_id, peer.allowed_ae_ids) == (None, None, ())


def test_a_chain_of_leaf_and_root_alone_is_accepted():
    assert verifier(named()).verify(chain_of(ROOT.issue(None, NAME), with_root=True)).peer == EntityId(
        "/cse1"
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda digest: digest.hex(),
        lambda digest: digest.hex().upper(),
        lambda digest: str(PublicKeyIdentifier("sha-256", digest)),
    ],
)
def test_a_self_signed_certificate_is_accepted_by_its_key_hash_in_any_form(form):
    issued = self_signed()
    digest = key_hash(issued.certificate)
    configuration = AssociationConfiguration.release1(
        certificate_name=form(digest), root_of_trust=form(digest), peer="Cae"
    )
    assert verifier(configuration).verify(chain_of(issued, with_root=True)).peer == EntityId("Cae")


def test_a_self_signed_certificate_may_hold_its_key_hash_as_an_ni_uri():
    key = P256()
    digest = key_hash(forge((x509.Name([]), key), key=key)[0])
    name = x509.UniformResourceIdentifier(str(PublicKeyIdentifier("sha-256", digest)))
    certificate, _ = forge((common_name("device"), key), subject="device", key=key, names=[name])
    configuration = AssociationConfiguration.release1(
        certificate_name=digest.hex(), root_of_trust=digest, peer="Cae"
    )
    assert verifier(configuration).verify([der(certificate)]).configuration is configuration


def test_of_two_configured_names_in_one_certificate_the_first_configured_counts():
    chain = r1_leaf(names=[x509.DNSName("a.sp.example"), x509.DNSName(NAME)])
    for first, second in (("a.sp.example", NAME), (NAME, "a.sp.example")):
        found = verifier(named(first), named(second, peer="/other")).verify(chain)
        assert found.configuration.certificate_name == first


def test_an_issuer_that_was_accepted_before_is_judged_again_each_time(tmp_path):
    chain = chain_of(CA.issue(None, NAME), with_root=True)
    crls = crl_file(tmp_path, ROOT.crl())
    verify = verifier(named(), crls=crls)
    assert verify.verify(chain).peer == EntityId("/cse1")
    assert refusal(verify, chain, now=datetime.now(UTC) + timedelta(days=3000)) == "certificate_expired"
    crl_file(tmp_path, ROOT.crl([CA.certificate]))
    assert refusal(verify, chain) == "certificate_revoked"


def test_two_alternative_names_of_which_one_is_identical_are_accepted():
    chain = r1_leaf(names=[x509.DNSName("a.sp.example"), x509.DNSName(NAME)])
    assert verifier(named()).verify(chain).peer == EntityId("/cse1")


@pytest.mark.parametrize(
    ("name_field", "configured"),
    [
        ({"subject": "Gateway 7"}, "Gateway 7"),
        ({"subject": "Caf\u0065\u0301"}, "Caf\u00e9"),
        ({"names": [x509.UniformResourceIdentifier("urn:dev:7")]}, "urn:dev:7"),
        ({"names": [x509.RegisteredID(x509.ObjectIdentifier("2.999.7"))]}, "2.999.7"),
        ({"names": [x509.OtherName(x509.ObjectIdentifier("2.999.1"), b"\x0c\x03dev")]}, "dev"),
    ],
)
def test_every_name_field_can_hold_the_certificate_name(name_field, configured):
    leaf = r1_leaf(ROOT, **{"names": None} | name_field)
    assert verifier(named(configured)).verify(leaf).peer == EntityId("/cse1")


@pytest.mark.parametrize(
    "in_certificate",
    [
        "gateway 7",
        "Gateway 7 ",
        "G\u0430teway 7",  # Cyrillic a
        "\uff27ateway 7",  # full-width G: NFKC would make it the configured name
        "Gateway\u00a07",
        "Gateway 7\x00",
    ],
)
def test_case_and_look_alikes_of_a_certificate_name_are_another_name(in_certificate):
    assert refusal(verifier(named("Gateway 7")), r1_leaf(ROOT, subject=in_certificate, names=None)) == (
        "bad_certificate"
    )


def forged_self_signed(name_of=lambda digest: digest.hex(), sign_with=None):
    key = P256()
    probe, _ = forge((x509.Name([]), key), key=key)
    name = name_of(key_hash(probe))
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate, _ = forge((subject, sign_with or key), subject=name, key=key)
    return certificate


def self_configuration(certificate, **more):
    digest = key_hash(certificate)
    return AssociationConfiguration.release1(
        **{"certificate_name": digest.hex(), "root_of_trust": digest, "peer": "Cae"} | more
    )


def test_a_self_signed_certificate_of_another_key_is_an_unknown_ca():
    verify = verifier(self_configuration(forged_self_signed()))
    assert refusal(verify, [der(forged_self_signed())]) == "unknown_ca"


def test_a_self_signed_certificate_without_its_key_hash_in_a_name_field_is_refused():
    certificate = forged_self_signed(lambda _: "device 7")
    assert refusal(verifier(self_configuration(certificate)), [der(certificate)]) == "bad_certificate"


def test_a_self_signed_certificate_is_refused_where_name_and_root_of_trust_differ():
    certificate = forged_self_signed(lambda _: "device 7")
    verify = verifier(self_configuration(certificate, certificate_name="device 7"))
    assert refusal(verify, [der(certificate)]) == "bad_certificate"


def test_a_certificate_that_another_key_signed_is_not_self_signed():
    certificate = forged_self_signed(sign_with=P256())
    assert refusal(verifier(self_configuration(certificate)), [der(certificate)]) == "bad_certificate"


def test_a_root_certificate_forged_around_the_trusted_public_key_is_refused():
    """Only the key hash is configured: the certificate around it counts only if that key signed it."""
    constrained_root = Authority.root(path_length=0)
    key, attacker = constrained_root.certificate.public_key(), P256()

    class Borrowed:
        def public_key(self):
            return key

    forged, _ = forge(
        (constrained_root.certificate.subject, attacker),
        subject="oneM2M test root",
        key=Borrowed(),
        ca=True,
        key_usage=usage(digital_signature=True, key_cert_sign=True),
    )
    leaf, _ = forge((forged.subject, attacker), names=[x509.DNSName(NAME)])
    assert refusal(verifier(named(root=constrained_root)), [der(leaf), der(forged)]) == "bad_certificate"


# --- refusals that hold for both forms ---

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WRONG_LEAVES = {
    "wrong name": ({"names": [x509.DNSName("eve.sp.example")]}, "bad_certificate"),
    "no name": ({"names": None}, "bad_certificate"),
    "expired": ({"days": (-9, -1)}, "certificate_expired"),
    "not yet valid": ({"days": (1, 9)}, "certificate_expired"),
    "wrong curve": ({"key": ec.generate_private_key(ec.SECP384R1())}, "unsupported_certificate"),
    "RSA": ({"key": RSA}, "unsupported_certificate"),
    "SHA-384": ({"digest": hashes.SHA384()}, "unsupported_certificate"),
    "key usage without digitalSignature": (
        {"key_usage": usage(key_agreement=True)},
        "unsupported_certificate",
    ),
    "extended key usage for something else": (
        {"extensions": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)]},
        "unsupported_certificate",
    ),
    "unknown critical extension": (
        {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.5"), b"\x05\x00"), True)]},
        "unsupported_certificate",
    ),
    "name constraint on DNS": (
        {"names": [x509.DNSName(NAME), x509.DNSName("cse1.sp.example"), x509.DNSName("eve.example")]},
        "bad_certificate",
    ),
    "name constraint on URI": (
        {
            "names": [
                x509.DNSName(NAME),
                x509.DNSName("cse1.sp.example"),
                x509.UniformResourceIdentifier("m2m://eve.example/cse/Cae"),
            ]
        },
        "bad_certificate",
    ),
    "name constraint on otherName": (
        {
            "names": [
                x509.DNSName(NAME),
                x509.DNSName("cse1.sp.example"),
                x509.OtherName(x509.ObjectIdentifier("0.2.481.1"), b"\x0d\x01\x65"),
            ]
        },
        "bad_certificate",
    ),
}


@pytest.mark.parametrize(("wrong", "alert"), WRONG_LEAVES.values(), ids=WRONG_LEAVES.keys())
@pytest.mark.parametrize("form", ["release 1", "release 3"])
def test_a_wrong_end_entity_certificate_is_refused(form, wrong, alert):
    if form == "release 1":
        assert refusal(verifier(named()), r1_leaf(**wrong)) == alert
    else:
        assert refusal(verifier(flavoured("cse-id", "//sp.example/cse1")), r3_leaf(**wrong)) == alert


def test_the_leaves_that_are_made_wrong_above_are_right_otherwise():
    assert verifier(named()).verify(r1_leaf()).peer == EntityId("/cse1")
    assert verifier(flavoured("cse-id", "//sp.example/cse1")).verify(r3_leaf()).peer is not None


def sha1_leaf():
    """ECDSA with SHA-1, which cryptography no longer signs: the algorithm of a good one, replaced."""
    good = r3_leaf()
    sha256, sha1 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d0401")
    leaf = good[0].replace(b"\x30\x0a" + sha256, b"\x30\x09" + sha1)

    def shortened(octets, at, by):  # a SEQUENCE with a two-octet length at this place
        length = int.from_bytes(octets[at + 2 : at + 4], "big") - by
        return octets[: at + 2] + length.to_bytes(2, "big") + octets[at + 4 :]

    return [shortened(shortened(leaf, 0, 2), 4, 1), *good[1:]]


def test_a_sha1_signature_is_unsupported():
    chain = sha1_leaf()
    oid = x509.load_der_x509_certificate(chain[0]).signature_algorithm_oid
    assert oid.dotted_string == "1.2.840.10045.4.1"
    assert refusal(verifier(flavoured("cse-id", "//sp.example/cse1")), chain) == "unsupported_certificate"


def test_a_missing_key_usage_is_refused_in_release_3_and_left_open_by_release_1():
    verify = verifier(flavoured("cse-id", "//sp.example/cse1"))
    assert refusal(verify, r3_leaf(key_usage=None)) == "unsupported_certificate"
    assert verifier(named()).verify(r1_leaf(key_usage=None)).peer == EntityId("/cse1")
    assert (
        refusal(verifier(named(), release=Release.R3), r1_leaf(key_usage=None)) == "unsupported_certificate"
    )


def test_a_wildcard_matches_nothing_and_spoils_a_certificate_that_would_match():
    verify = verifier(flavoured("cse-id", "//sp.example/cse1"))
    wildcard = x509.DNSName("*.sp.example")
    assert refusal(verify, r3_leaf(names=[wildcard])) == "bad_certificate"
    assert refusal(verify, r3_leaf(names=[wildcard, x509.DNSName("cse1.sp.example")])) == "bad_certificate"
    assert refusal(verifier(named()), r1_leaf(names=[wildcard])) == "bad_certificate"


@pytest.mark.parametrize("form", ["release 1", "release 3"])
def test_the_right_name_under_the_wrong_root_is_an_unknown_ca(form):
    ca = constrained(OTHER_ROOT)
    if form == "release 1":
        assert refusal(verifier(named()), chain_of(ca.issue(None, NAME), with_root=True)) == "unknown_ca"
        swapped = [*chain_of(ca.issue(None, NAME), with_root=False), der(ROOT.certificate)]
        assert refusal(verifier(named()), swapped) in {"unknown_ca", "bad_certificate"}
    else:
        issued = ca.issue(Flavour.CSE_ID, "//sp.example/cse1")
        for with_root in (True, False):
            chain = chain_of(issued, with_root=with_root)
            assert refusal(verifier(flavoured("cse-id", "//sp.example/cse1")), chain) == "unknown_ca"


CA_USAGE = usage(digital_signature=True, key_cert_sign=True, crl_sign=True)


@pytest.mark.parametrize(
    ("wrong", "alerts"),
    [
        ({"ca": False, "key_usage": CA_USAGE}, {"unknown_ca"}),
        ({"ca": None, "key_usage": CA_USAGE}, {"unknown_ca", "unsupported_certificate"}),
        ({"ca": True, "key_usage": usage(digital_signature=True)}, {"unknown_ca", "unsupported_certificate"}),
        ({"ca": True, "key_usage": CA_USAGE, "days": (-9, -1)}, {"certificate_expired"}),
        (
            {"ca": True, "key_usage": CA_USAGE, "key": ec.generate_private_key(ec.SECP384R1())},
            {"unsupported_certificate"},
        ),
    ],
    ids=["CA flag false", "no basic constraints", "no keyCertSign", "expired", "wrong curve"],
)
def test_an_intermediate_that_may_not_certify_is_refused(wrong, alerts):
    authority, key = forge(issuer_of(ROOT), subject="authority", **wrong)
    leaf, _ = forge((authority.subject, key), names=[x509.DNSName(NAME), x509.DNSName("cse1.sp.example")])
    chain = [der(leaf), der(authority)]
    relaxed = verifier(flavoured("cse-id", "//sp.example/cse1"), require_name_constraints=False)
    assert refusal(relaxed, chain) in alerts
    assert refusal(verifier(named()), [*chain, der(ROOT.certificate)]) in alerts | {"unsupported_certificate"}


def test_a_path_longer_than_an_authority_allows_is_refused():
    deep = ROOT.intermediate("one", path_length=0).intermediate("two")
    chain = chain_of(deep.issue(None, NAME), with_root=True)
    assert refusal(verifier(named()), chain) == "unknown_ca"


def test_more_certificates_than_the_setting_allows_are_refused_before_parsing():
    chain = chain_of(CA.issue(None, NAME), with_root=True)
    assert refusal(verifier(named(), chain_max_certificates=2), chain) == "bad_certificate"
    assert refusal(verifier(named()), [b"no certificate"] * 6) == "bad_certificate"


@pytest.mark.parametrize(
    "chain", [[], [b""], [b"\x30\x00"], [b"\x30" * 65536]], ids=["none", "empty", "no certificate", "64 kB"]
)
def test_no_certificate_at_all_is_a_bad_certificate(chain):
    assert refusal(verifier(named(), flavoured("cse-id", "//sp.example/cse1")), chain) == "bad_certificate"


def test_a_genuine_certificate_of_64_kilobytes_is_refused():
    padding = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.999.5"), b"\x04\x83\x01\x00\x00" + bytes(65536)
    )
    assert refusal(verifier(named()), r1_leaf(extensions=[(padding, False)])) == "bad_certificate"


def extra_certificates():
    whole = chain_of(CA.issue(None, NAME), with_root=True)
    foreign = der(Authority.root("foreign").certificate)
    return {
        "after the root": [*whole, foreign],
        "in the middle": [whole[0], foreign, *whole[1:]],
        "the leaf twice": [whole[0], *whole],
        "out of order": [whole[0], whole[2], whole[1]],
        "the root twice": [*whole, whole[-1]],
    }


@pytest.mark.parametrize(
    "which", ["after the root", "in the middle", "the leaf twice", "out of order", "the root twice"]
)
def test_a_certificate_that_is_no_part_of_the_path_is_refused(which):
    chain = extra_certificates()[which]
    assert refusal(verifier(named()), chain) in {"bad_certificate", "unknown_ca", "unsupported_certificate"}
    configuration = flavoured("cse-id", "b.sp.example")
    assert refusal(verifier(configuration), chain) in {"bad_certificate", "unsupported_certificate"}


# --- Release 3 flavours ---


@pytest.mark.parametrize("with_root", [True, False])
@pytest.mark.parametrize("flavour", IDENTIFIERS, ids=lambda flavour: flavour.value)
def test_each_flavour_is_accepted_by_its_identifier(flavour, with_root):
    issued = CA.issue(flavour, IDENTIFIERS[flavour])
    configuration = flavoured(flavour, IDENTIFIERS[flavour])
    peer = verifier(configuration, release=Release.R3).verify(chain_of(issued, with_root=with_root))
    assert peer.flavour is flavour
    assert peer.configuration is configuration
    assert peer.expires == min(one.not_valid_after_utc for one in issued.chain)
    assert peer.fingerprint == issued.certificate.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize(
    ("flavour", "peer", "credential_id", "allowed"),
    [
        (Flavour.CSE_ID, "//sp.example/cse1", "32-cse1.sp.example", ()),
        (
            Flavour.AE_ID,
            "//sp.example/cse1/Cae",
            "33-_2F_2Fsp.example_2Fcse1_2FCae",
            ("//sp.example/cse1/Cae",),
        ),
        (Flavour.FQDN, "mef.sp.example", None, ()),
        (Flavour.DEVICE, None, f"31-{DEVICE_ID}", ()),
        (Flavour.NODE_ID, None, f"34-{NODE_ID}", ()),
    ],
)
@pytest.mark.parametrize("configured", [True, False], ids=["configured", "taken from the certificate"])
def test_each_flavour_yields_identity_or_credential_id(flavour, peer, credential_id, allowed, configured):
    configuration = flavoured(flavour, IDENTIFIERS[flavour] if configured else None)
    verified = verifier(configuration).verify(
        chain_of(CA.issue(flavour, IDENTIFIERS[flavour]), with_root=False)
    )
    assert verified.peer == (None if peer is None else EntityId(peer))
    assert verified.credential_id is None or str(verified.credential_id) == credential_id
    assert (verified.credential_id is None) == (credential_id is None)
    assert verified.allowed_ae_ids == tuple(map(EntityId, allowed))


@pytest.mark.parametrize("flavour", [Flavour.DEVICE, Flavour.NODE_ID], ids=lambda flavour: flavour.value)
def test_device_and_node_id_certificates_stand_for_the_allowed_aes(flavour):
    allowed = (EntityId("//sp.example/cse1/Cone"), EntityId("//sp.example/cse1/Ctwo"))
    configuration = flavoured(
        flavour, IDENTIFIERS[flavour], allowed_ae_ids=allowed, targets=(EntityId("/t"),)
    )
    verified = verifier(configuration).verify(
        chain_of(CA.issue(flavour, IDENTIFIERS[flavour]), with_root=False)
    )
    assert verified.allowed_ae_ids == allowed
    assert verified.targets == (EntityId("/t"),)


def test_an_ae_whose_identifier_reads_like_a_cse_id_is_not_taken_for_a_cse():
    configuration = flavoured("ae-id", "//sp.example/S98821")
    verified = verifier(configuration).verify(
        chain_of(CA.issue(Flavour.AE_ID, "//sp.example/S98821"), with_root=False)
    )
    assert verified.peer == EntityId("//sp.example/S98821")
    assert verified.peer.kind is EntityKind.AE
    assert verified.allowed_ae_ids == (EntityId("//sp.example/S98821"),)


def test_of_many_configurations_the_matching_one_is_told():
    configurations = [flavoured(flavour, identifier) for flavour, identifier in IDENTIFIERS.items()]
    configurations += [named(f"n{i}.sp.example") for i in range(50)] + [flavoured("cse-id")]
    verify = verifier(*configurations)
    for index, (flavour, identifier) in enumerate(IDENTIFIERS.items()):
        verified = verify.verify(chain_of(CA.issue(flavour, identifier), with_root=False))
        assert verified.configuration is configurations[index]
    verified = verify.verify(chain_of(CA.issue(Flavour.CSE_ID, "//sp.example/other"), with_root=False))
    assert verified.configuration is configurations[-1]
    verified = verifier(*configurations[:-1]).verify(
        chain_of(CA.issue(None, "n7.sp.example"), with_root=True)
    )
    assert verified.configuration.certificate_name == "n7.sp.example"


def test_a_node_id_that_is_a_urn_is_accepted_where_uris_are_not_constrained():
    ca = ROOT.intermediate(permitted=permitted_names(dns=["sp.example"]))
    chain = chain_of(ca.issue(Flavour.NODE_ID, NODE_URN), with_root=False)
    verified = verifier(flavoured("node-id", NODE_URN)).verify(chain)
    assert str(verified.credential_id) == "34-urn_3Agsma_3Aimei_3A90420156-025763-0_3Bsvn_3D42"
    without_host = chain_of(CA.issue(Flavour.NODE_ID, NODE_URN), with_root=False)
    assert refusal(verifier(flavoured("node-id", NODE_URN)), without_host) == "bad_certificate"


def test_an_identifier_of_another_flavour_does_not_match():
    verify = verifier(flavoured("ae-id", "//sp.example/cse1/Cae"))
    assert (
        refusal(verify, chain_of(CA.issue(Flavour.CSE_ID, "//sp.example/cse1"), with_root=False))
        == "bad_certificate"
    )


@pytest.mark.parametrize(
    "uri",
    [
        "m2m://sp.example/cse1/cae",
        "m2m://sp.example./cse1/Cae",
        "m2m://sp.example/cse1/Cae?x",
        "m2m://sp.example/cse1/Cae#x",
        "m2m://sp.example:1/cse1/Cae",
        "m2m://u@sp.example/cse1/Cae",
        "m2m://sp.example/cse1/%43ae",
        "m2m://sp.example/cse1/Cae/",
        "m2m://sp.example//cse1/Cae",
    ],
)
def test_a_uri_that_is_not_exactly_the_ae_id_is_refused(uri):
    chain = r3_leaf(names=[x509.UniformResourceIdentifier(uri)])
    assert refusal(verifier(flavoured("ae-id", "//sp.example/cse1/Cae")), chain) == "bad_certificate"
    if not uri.endswith("/cae"):  # which is the AE-ID of somebody else
        assert refusal(verifier(flavoured("ae-id")), chain) == "bad_certificate"


def test_a_trailing_dot_does_not_slip_past_an_excluded_name():
    ca = ROOT.intermediate(excluded=permitted_names(dns=["evil.example"]))
    configurations = (flavoured("cse-id"), flavoured("cse-id", "cse1.evil.example"))
    verify = verifier(*configurations, require_name_constraints=False)
    good = r3_leaf(ca, names=[x509.DNSName("cse1.good.example")])
    assert verify.verify(good).peer == EntityId("//good.example/cse1")
    for name in ("cse1.evil.example", "cse1.evil.example."):
        assert refusal(verify, r3_leaf(ca, names=[x509.DNSName(name)])) == "bad_certificate"


def test_a_certificate_with_two_names_is_no_choice_for_an_open_configuration():
    names = [x509.DNSName("one.sp.example"), x509.DNSName("two.sp.example")]
    assert refusal(verifier(flavoured("cse-id")), r3_leaf(names=names)) == "bad_certificate"
    assert verifier(flavoured("cse-id", "two.sp.example")).verify(r3_leaf(names=names)).peer == (
        EntityId("//sp.example/two")
    )


@pytest.mark.parametrize("flavour", [Flavour.CSE_ID, Flavour.AE_ID, Flavour.FQDN, Flavour.NODE_ID])
def test_authorities_must_constrain_the_names_below_them_unless_told_otherwise(flavour):
    chain = chain_of(ROOT.intermediate().issue(flavour, IDENTIFIERS[flavour]), with_root=False)
    configuration = flavoured(flavour, IDENTIFIERS[flavour])
    assert refusal(verifier(configuration), chain) == "bad_certificate"
    assert verifier(configuration, require_name_constraints=False).verify(chain).flavour is flavour


@pytest.mark.parametrize("device", ["0.2.481.1.101.3030.10011", "0.2.481.1.10.3030.10011"])
def test_a_device_id_outside_the_permitted_arcs_is_refused(device):
    chain = chain_of(CA.issue(Flavour.DEVICE, device), with_root=False)
    assert refusal(verifier(flavoured("device", device)), chain) == "bad_certificate"


def device_chain(*authorities, device=DEVICE_ID):
    return chain_of(authorities[-1].issue(Flavour.DEVICE, device), with_root=False)


def test_a_constrained_device_path_is_held_to_everything_else_too():
    """OpenSSL gives up on constrained otherNames: what it would have found must still be found."""
    arcs = permitted_names(devices=["0.2.481.1.100"])
    verify = verifier(flavoured("device", DEVICE_ID))
    top = ROOT.intermediate("top", permitted=arcs, path_length=1)
    good = top.intermediate("below")
    assert verify.verify(device_chain(good)).credential_id is not None
    for_arcs = top.intermediate("below", permitted=permitted_names(devices=["0.2.481.1.100.1"]))
    assert refusal(verify, device_chain(for_arcs)) == "bad_certificate"
    short = ROOT.intermediate("top", permitted=arcs, path_length=0)
    assert refusal(verify, device_chain(short.intermediate("below"))) == "unknown_ca"
    late = datetime.now(UTC) + timedelta(days=400)
    assert refusal(verify, device_chain(good), now=late) == "certificate_expired"
    impostor = constrained(OTHER_ROOT)
    assert refusal(verify, device_chain(impostor)) == "unknown_ca"
    whole = chain_of(good.issue(Flavour.DEVICE, DEVICE_ID), with_root=True)
    assert verify.verify(whole).flavour is Flavour.DEVICE
    assert refusal(verify, [whole[0], whole[1], whole[3]]) in {"unknown_ca", "bad_certificate"}
    assert refusal(verify, [*whole, whole[-1]]) in {"unknown_ca", "bad_certificate"}
    broken = bytearray(whole[0])
    broken[-1] ^= 1
    assert refusal(verify, [bytes(broken), *whole[1:]]) == "bad_certificate"


def test_an_extra_certificate_beside_a_constrained_device_path_is_refused():
    """A second certificate of the same authority, same name and key, is no part of the path."""
    arcs = permitted_names(devices=["0.2.481.1.100"])
    top = ROOT.intermediate("top", permitted=arcs, path_length=None)
    twin, _ = forge(issuer_of(ROOT), subject="top", key=top.issued.private_key, ca=True, key_usage=CA_USAGE)
    leaf = der(top.issue(Flavour.DEVICE, DEVICE_ID).certificate)
    verify = verifier(flavoured("device", DEVICE_ID))
    assert verify.verify([leaf, der(top.certificate)]).flavour is Flavour.DEVICE
    for chain in ([leaf, der(top.certificate), der(twin)], [leaf, der(twin), der(top.certificate)]):
        assert refusal(verify, chain) in {"bad_certificate", "unknown_ca"}


def test_of_two_paths_for_a_constrained_device_the_presented_one_must_be_valid():
    """OpenSSL sees the shorter path to a trust anchor; the longer one that was sent breaks a path length."""
    arcs = permitted_names(devices=["0.2.481.1.100"])
    top = ROOT.intermediate("top", permitted=arcs, path_length=None)
    below = top.intermediate("below")
    twin, _ = forge(
        issuer_of(ROOT),
        subject="top",
        key=top.issued.private_key,
        ca=True,
        path_length=0,
        key_usage=CA_USAGE,
    )
    both = (top.certificate, ROOT.certificate)
    verify = verifier(
        AssociationConfiguration.release3(flavour="device", peer_id=DEVICE_ID, trust_anchors=both)
    )
    leaf = below.issue(Flavour.DEVICE, DEVICE_ID).certificate
    assert verify.verify([der(leaf), der(below.certificate)]).flavour is Flavour.DEVICE
    longer = [der(leaf), der(below.certificate), der(twin), der(ROOT.certificate)]
    assert refusal(verify, longer) == "unknown_ca"


# --- revocation ---


def crl_file(tmp_path, *crls):
    for index, crl in enumerate(crls):
        (tmp_path / f"{index}.crl").write_bytes(crl.public_bytes(Encoding.PEM))
    return CrlSource(tmp_path)


def test_a_revoked_certificate_is_refused_and_its_sister_is_not(tmp_path):
    bad, good = CA.issue(None, NAME), CA.issue(None, NAME)
    crls = crl_file(tmp_path, CA.crl([bad.certificate]))
    verify = verifier(named(), crls=crls)
    assert refusal(verify, chain_of(bad, with_root=True)) == "certificate_revoked"
    assert verify.verify(chain_of(good, with_root=True)).peer == EntityId("/cse1")


def test_a_revoked_authority_takes_its_certificates_with_it(tmp_path):
    crls = crl_file(tmp_path, ROOT.crl([CA.certificate]))
    verify = verifier(named(), crls=crls)
    assert refusal(verify, chain_of(CA.issue(None, NAME), with_root=True)) == "certificate_revoked"


@pytest.mark.parametrize(
    "this_update", [datetime.now(UTC) - timedelta(days=30), datetime.now(UTC) + timedelta(days=3)]
)
def test_a_crl_that_is_out_of_date_is_not_relied_on(tmp_path, this_update):
    crls = crl_file(tmp_path, CA.crl(this_update=this_update))
    verify = verifier(named(), crls=crls)
    assert refusal(verify, chain_of(CA.issue(None, NAME), with_root=True)) == "certificate_unknown"


def test_where_a_crl_is_required_every_issuer_must_have_one(tmp_path):
    chain = chain_of(CA.issue(None, NAME), with_root=True)
    only_one = crl_file(tmp_path, CA.crl())
    assert verifier(named(), crls=only_one).verify(chain).peer == EntityId("/cse1")
    assert refusal(verifier(named(), crls=only_one, require_crl=True), chain) == "certificate_unknown"
    both = crl_file(tmp_path, CA.crl(), ROOT.crl())
    assert verifier(named(), crls=both, require_crl=True).verify(chain).peer == EntityId("/cse1")


# --- settings and bad octets ---


def test_a_verifier_that_could_trust_nobody_or_not_know_whom_is_not_made():
    with pytest.raises(ConfigurationError, match="at least one"):
        verifier()
    with pytest.raises(ConfigurationError, match="where the CRLs are"):
        verifier(named(), require_crl=True)
    with pytest.raises(ConfigurationError, match="two associations"):
        verifier(named(peer="/a"), named(peer="/b"))
    with pytest.raises(ConfigurationError, match="twice"):
        verifier(flavoured("cse-id"), flavoured("cse-id"))


VERIFY_ALL = verifier(
    named(),
    *(flavoured(flavour, identifier) for flavour, identifier in IDENTIFIERS.items()),
    flavoured("cse-id"),
)
GOOD = [
    chain_of(CA.issue(flavour, identifier), with_root=False) for flavour, identifier in IDENTIFIERS.items()
]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_altered_octets_are_refused_with_an_alert_and_nothing_else(data):
    chain = list(data.draw(st.sampled_from(GOOD)))
    which = data.draw(st.integers(0, len(chain) - 1))
    octets = bytearray(chain[which])
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    chain[which] = bytes(octets)
    with pytest.raises(CertificateRejectedError):
        VERIFY_ALL.verify(chain)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=7))
def test_any_octets_are_refused_with_an_alert_and_nothing_else(chain):
    with pytest.raises(CertificateRejectedError):
        VERIFY_ALL.verify(chain)


@pytest.mark.parametrize("first", [0, 1])
def test_a_configuration_for_one_peer_counts_before_one_for_any_peer_of_a_flavour(first):
    configurations = [named("cse1.sp.example", peer="/gateway"), flavoured("cse-id")]
    chain = [der(one) for one in CA.issue(Flavour.CSE_ID, "//sp.example/cse1").chain]
    verify = verifier(configurations[first], configurations[1 - first])
    assert verify.verify(chain).peer == EntityId("/gateway")


def test_of_two_configurations_for_one_peer_in_different_forms_the_first_counts():
    one, other = named("cse1.sp.example", peer="/gateway"), flavoured("cse-id", "//sp.example/cse1")
    chain = [der(certificate) for certificate in CA.issue(Flavour.CSE_ID, "//sp.example/cse1").chain]
    assert verifier(one, other).verify(chain).peer == EntityId("/gateway")
    assert verifier(other, one).verify(chain).peer == EntityId("//sp.example/cse1")


def test_a_chain_that_fails_by_one_configuration_may_be_accepted_by_the_next():
    chain = [der(certificate) for certificate in CA.issue(Flavour.CSE_ID, "//sp.example/cse1").chain]
    elsewhere = flavoured("cse-id", "//sp.example/cse1", root=OTHER_ROOT)
    found = verifier(elsewhere, named("cse1.sp.example", peer="/gateway")).verify(chain)
    assert found.peer == EntityId("/gateway")
