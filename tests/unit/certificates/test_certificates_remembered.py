"""What is remembered of an accepted chain: for the very same octets only, and never longer than it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs import Authority, Flavour, chain_of, constrained, der, forge, permitted_names, usage
from onem2m_security.certificates import path
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.certificates.kept import Kept, chain_digest
from onem2m_security.certificates.path import PathValidator
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.clock import Clock
from onem2m_security.errors import CertificateRejectedError
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release

NAME, CSE_ID = "cse1.sp.example", "//sp.example/cse1"
ROOT = Authority.root()
CA = constrained(ROOT)
NOW = datetime.now(UTC)
SECOND = timedelta(seconds=1)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CA_USAGE = usage(digital_signature=True, key_cert_sign=True, crl_sign=True)


def named(root=ROOT, peer="/gateway"):
    return AssociationConfiguration.release1(
        certificate_name=NAME, root_of_trust=root.root_of_trust, peer=peer
    )


def flavoured(root=ROOT):
    return AssociationConfiguration.release3(
        flavour="cse-id", peer_id=CSE_ID, trust_anchors=root.trust_anchor_pem
    )


def verifier(*configurations, **more):
    return PeerVerifier(configurations, release=Release.R1, **more)


def chain(authority=CA, *, with_root=True, **more):
    return chain_of(authority.issue(Flavour.CSE_ID, CSE_ID, **more), with_root=with_root)


def refusal(verify, octets, **more):
    with pytest.raises(CertificateRejectedError) as refused:
        verify.verify(octets, **more)
    return refused.value.alert.name


@pytest.fixture
def paths_built(monkeypatch):
    """The chains for which a path was built, in turn: what comes from memory is not among them."""
    built, validate = [], PathValidator.validate

    def counted(validator, presented, **more):
        built.append([one.der for one in presented])
        return validate(validator, presented, **more)

    monkeypatch.setattr(PathValidator, "validate", counted)
    return built


both_forms = pytest.mark.parametrize("form", [named, flavoured])


@both_forms
def test_a_chain_that_was_accepted_is_accepted_again_without_a_path_being_built(form, paths_built):
    verify, octets = verifier(form()), chain()
    first = verify.verify(octets, server=False)
    assert verify.verify([bytes(bytearray(one)) for one in octets], server=False) == first
    assert len(paths_built) == 1
    verifier(form(), remembered_max_octets=0).verify(octets, server=False)
    assert len(paths_built) == 2


@both_forms
@pytest.mark.parametrize("first_to_end", ["end entity", "intermediate", "anchor"])
def test_a_remembered_chain_ends_with_the_first_certificate_of_its_path(form, first_to_end):
    days = dict.fromkeys(["end entity", "intermediate", "anchor"], 100) | {first_to_end: 10}
    root = Authority.root(days=days["anchor"])
    ca = root.intermediate(days=days["intermediate"])
    octets = chain(ca, with_root=form is named, days=days["end entity"])
    verify = verifier(form(root), require_name_constraints=False)
    end = verify.verify(octets).expires
    assert verify.verify(octets, now=end - SECOND).expires == end
    for moment in (end + SECOND, end + timedelta(days=1000)):
        assert refusal(verify, octets, now=moment) == "certificate_expired"
    assert verify.verify(octets, now=end - SECOND).expires == end


@both_forms
def test_a_remembered_chain_is_not_accepted_before_it_begins(form):
    verify, octets = verifier(form()), chain(with_root=form is named)
    verify.verify(octets)
    assert refusal(verify, octets, now=NOW - timedelta(days=30)) == "certificate_expired"


def write(directory, name, crl):
    """Put a list in the place of the one before, as whoever distributes lists does."""
    new = directory / "new"
    new.write_bytes(crl.public_bytes(Encoding.PEM))
    new.replace(directory / f"{name}.crl")


@both_forms
@pytest.mark.parametrize("revoked_by", ["issuer", "root"])
def test_a_remembered_chain_ends_when_a_list_names_any_of_its_certificates(tmp_path, form, revoked_by):
    issued = CA.issue(Flavour.CSE_ID, CSE_ID)
    octets = chain_of(issued, with_root=form is named)
    write(tmp_path, "issuer", CA.crl())
    verify = verifier(form(), crls=CrlSource(tmp_path))
    verify.verify(octets)
    if revoked_by == "issuer":
        write(tmp_path, "issuer", CA.crl([issued.certificate]))
    else:  # a list by an authority of which there was none before
        write(tmp_path, "root", ROOT.crl([CA.certificate]))
    assert refusal(verify, octets) == "certificate_revoked"
    write(tmp_path, revoked_by, CA.crl() if revoked_by == "issuer" else ROOT.crl())
    assert verify.verify(octets).peer is not None


def test_a_remembered_chain_ends_with_its_list_and_with_one_that_cannot_be_read(tmp_path):
    octets = chain()
    write(tmp_path, "issuer", CA.crl(days=7))
    verify = verifier(named(), crls=CrlSource(tmp_path))
    verify.verify(octets)
    assert refusal(verify, octets, now=NOW + timedelta(days=8)) == "certificate_unknown"
    (tmp_path / "issuer.crl").write_bytes(b"nothing")
    assert refusal(verify, octets) == "certificate_unknown"
    write(tmp_path, "issuer", CA.crl())
    assert verify.verify(octets).peer == EntityId("/gateway")
    strict = verifier(named(), crls=CrlSource(tmp_path), require_crl=True)
    write(tmp_path, "root", ROOT.crl())
    strict.verify(octets)
    (tmp_path / "root.crl").unlink()
    assert refusal(strict, octets) == "certificate_unknown"


def test_a_changed_configuration_knows_nothing_of_what_the_one_before_accepted():
    octets = chain()
    assert verifier(named()).verify(octets).peer == EntityId("/gateway")
    assert verifier(named(peer="/other")).verify(octets).peer == EntityId("/other")
    assert refusal(verifier(named(Authority.root())), octets) == "unknown_ca"


def test_a_chain_with_the_same_end_entity_and_other_issuers_is_another_chain():
    leaf, *issuers = chain()
    verify = verifier(named())
    verify.verify([leaf, *issuers])
    other_root = Authority.root()
    twin, _ = forge(  # the issuer's name and key, certified by somebody else
        (other_root.certificate.subject, other_root.issued.private_key),
        subject=CA.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value,
        key=CA.issued.private_key,
        ca=True,
        key_usage=CA_USAGE,
    )
    for others in (
        [der(twin), der(other_root.certificate)],
        [issuers[0], der(other_root.certificate)],
        issuers[:1],
        issuers[1:],
        issuers[::-1],
        [*issuers, issuers[-1]],
        [],
    ):
        with pytest.raises(CertificateRejectedError):
            verify.verify([leaf, *others])
    with pytest.raises(CertificateRejectedError):
        verify.verify([leaf + issuers[0], issuers[1]])
    assert verify.verify([leaf, *issuers]).peer == EntityId("/gateway")


def test_what_was_accepted_of_a_client_is_not_accepted_of_a_server():
    leaf, _ = forge(
        (CA.certificate.subject, CA.issued.private_key),
        names=[x509.DNSName(NAME)],
        extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)],
    )
    verify, octets = verifier(named()), [der(leaf), *map(der, CA.chain)]
    assert verify.verify(octets, server=False).peer == verify.verify(octets).peer == EntityId("/gateway")
    assert refusal(verify, octets, server=True) == "unsupported_certificate"


def test_each_division_of_the_same_octets_into_certificates_has_its_own_digest():
    divisions = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"", b"abc"], [b"c", b"ab"]]
    digests = {chain_digest(one, server=role) for one in divisions for role in (None, False, True)}
    assert len(digests) == 3 * len(divisions)


def test_a_refusal_is_not_remembered_and_costs_no_room(tmp_path):
    octets = chain()
    write(tmp_path, "issuer", CA.crl(this_update=NOW - timedelta(days=30)))
    verify = verifier(named(), crls=CrlSource(tmp_path))
    assert refusal(verify, octets) == "certificate_unknown"
    assert refusal(verify, chain(Authority.root())) == "unknown_ca"
    assert len(verify._accepted) == 0
    write(tmp_path, "issuer", CA.crl())
    assert verify.verify(octets).peer == EntityId("/gateway")


def test_what_a_later_configuration_accepted_does_not_outlive_the_first_ones_refusal(tmp_path):
    """The first one refuses only while a list is out of date: then its word counts again."""
    to_the_root, to_the_issuer = (
        AssociationConfiguration.release3(flavour="cse-id", peer_id=CSE_ID, trust_anchors=(anchor,))
        for anchor in (ROOT.certificate, CA.certificate)
    )
    octets = chain(with_root=False)
    write(tmp_path, "root", ROOT.crl(this_update=NOW - timedelta(days=30)))
    verify = verifier(to_the_root, to_the_issuer, crls=CrlSource(tmp_path))
    assert verify.verify(octets).configuration is verify.verify(octets).configuration is to_the_issuer
    write(tmp_path, "root", ROOT.crl())
    assert verify.verify(octets).configuration is to_the_root


def test_of_more_chains_than_there_is_room_for_those_asked_for_last_are_kept(paths_built):
    chains = [chain() for _ in range(3)]
    room = sum(map(len, chains[0])) + sum(map(len, chains[1])) + 8  # signatures differ by an octet or two
    verify = verifier(named(), remembered_max_octets=room)
    for octets in (chains[0], chains[1], chains[0], chains[2]):  # the third takes the place of the second
        verify.verify(octets)
    assert len(paths_built) == 3
    verify.verify(chains[0])
    verify.verify(chains[2])
    assert len(paths_built) == 3
    verify.verify(chains[1])
    assert len(paths_built) == 4


def test_what_is_kept_never_weighs_more_than_it_may():
    kept = Kept[str, int](100)
    for number in range(50):
        kept.keep(str(number), number, 30)
        kept.keep(str(number), number, 40)
        assert len(kept) <= 2
    assert (kept.get("49"), kept.get("48"), kept.get("47")) == (49, 48, None)
    kept.keep("larger than all", 1, 101)
    assert len(kept) == 0
    kept.forget("never there")
    kept.keep("small", 1, 1)
    assert kept.get("small") == 1


def sequence(tag, *parts):
    content = b"".join(parts)
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def test_copies_that_anybody_can_make_of_a_certificate_take_room_like_others():
    """Where (r, s) is a signature, (r, n - s) is one too: the same certificate in other octets."""
    leaf, *issuers = chain()
    parsed = x509.load_der_x509_certificate(leaf)
    r, s = decode_dss_signature(parsed.signature)
    signature = b"\0" + encode_dss_signature(r, P256_ORDER - s)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    copy = sequence(0x30, parsed.tbs_certificate_bytes, algorithm, bytes([0x03, len(signature)]), signature)
    verify = verifier(named(), remembered_max_octets=len(b"".join([copy, leaf, *issuers])))
    assert verify.verify([leaf, *issuers]).peer == verify.verify([copy, *issuers]).peer
    assert len(verify._accepted) == 1


# --- the authorities above a certificate that is seen for the first time ---


@pytest.fixture
def lengths_verified(monkeypatch):
    """How many certificates OpenSSL was given beside the end entity's, in turn."""
    lengths, verify = [], path._verify

    def counted(store, leaf, others):
        lengths.append(len(others))
        return verify(store, leaf, others)

    monkeypatch.setattr(path, "_verify", counted)
    return lengths


@both_forms
def test_a_new_certificate_of_known_authorities_is_verified_by_its_issuer_alone(form, lengths_verified):
    verify, with_root = verifier(form()), form is named
    for _ in range(3):
        assert verify.verify(chain(with_root=with_root)).peer is not None
    assert lengths_verified == [1 + with_root, 0, 0]


@both_forms
def test_a_new_certificate_that_its_known_issuer_did_not_sign_or_does_not_permit_is_refused(form):
    verify, with_root = verifier(form(), require_name_constraints=False), form is named
    leaf, *issuers = chain(with_root=with_root)
    verify.verify([leaf, *issuers])
    impostor = (CA.certificate.subject, Authority.root().issued.private_key)
    issuer = (CA.certificate.subject, CA.issued.private_key)
    names = [x509.DNSName(NAME)]
    for signed_by, wrong, alert in (
        (impostor, {}, "bad_certificate"),
        (issuer, {"days": (-3, -1)}, "certificate_expired"),
        (issuer, {"names": [*names, x509.DNSName("cse1.elsewhere.example")]}, "bad_certificate"),
    ):
        forged, _ = forge(signed_by, **({"names": names} | wrong))
        assert refusal(verify, [der(forged), *issuers]) == alert
    right, _ = forge(issuer, names=names)
    assert verify.verify([der(right), *issuers]).peer is not None


def test_what_an_authority_above_the_issuer_constrains_holds_for_each_new_certificate(lengths_verified):
    root = Authority.root(permitted=permitted_names(dns=["sp.example"]))
    ca = root.intermediate()
    verify, issuer = verifier(named(root)), (ca.certificate.subject, ca.issued.private_key)
    verify.verify(chain(ca))
    outside = [x509.DNSName(NAME), x509.DNSName("cse1.elsewhere.example")]
    forged, _ = forge(issuer, names=outside)
    assert refusal(verify, [der(forged), *map(der, ca.chain)]) == "bad_certificate"
    assert 0 not in lengths_verified


@both_forms
@pytest.mark.parametrize("first_to_end", ["intermediate", "anchor"])
def test_known_authorities_end_with_the_first_of_them(monkeypatch, form, first_to_end):
    days = {"intermediate": 100, "anchor": 100} | {first_to_end: 10}
    root = Authority.root(days=days["anchor"])
    ca = root.intermediate(days=days["intermediate"])
    verify = verifier(form(root), require_name_constraints=False)
    verify.verify(chain(ca, with_root=form is named))
    assert path.CLOCK.now() < NOW + timedelta(days=1)
    monkeypatch.setattr(path, "CLOCK", Clock(now=lambda: NOW + timedelta(days=11)))
    asked = []
    validated = PathValidator._by_known_authorities

    def known(*arguments):
        asked.append(validated(*arguments))
        return asked[-1]

    monkeypatch.setattr(PathValidator, "_by_known_authorities", known)
    verify.verify(chain(ca, with_root=form is named))  # OpenSSL's clock is the machine's
    assert asked == [None]
