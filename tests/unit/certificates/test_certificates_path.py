"""Path validation: our verdict against the openssl command's, for chains of every make (RFC 5280)."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import Authority, common_name, constrained, der, forge, permitted_names, usage
from onem2m_security.certificates import constraints
from onem2m_security.certificates.path import PathValidator, PresentedCertificate
from onem2m_security.errors import CertificateRejectedError
from requirements import needs

KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(6)]
HOSTS = ["sp.example", "a.sp.example", "b.example", "evil.example"]
OTHER_NAME = x509.OtherName(x509.ObjectIdentifier("0.2.481.1"), b"\x0d\x01\x64")

hosts = st.sampled_from(HOSTS)
leaf_names = st.lists(
    st.one_of(
        hosts.map(x509.DNSName),
        hosts.map(lambda host: x509.UniformResourceIdentifier(f"m2m://{host}/cse/Cae")),
        st.just(x509.UniformResourceIdentifier("urn:no:host")),
        st.just(OTHER_NAME),
        st.just(x509.RFC822Name("a@sp.example")),
    ),
    max_size=3,
)
subtrees = st.lists(
    st.one_of(
        hosts.map(x509.DNSName),
        hosts.map(x509.UniformResourceIdentifier),
        hosts.map(lambda host: x509.UniformResourceIdentifier(f".{host}")),
        st.just(x509.DirectoryName(common_name("leaf"))),
    ),
    max_size=2,
)
RIGHT = {
    "ca": True,
    "path_length": None,
    "key_usage": usage(key_cert_sign=True, digital_signature=True),
    "days": (-9, 9),
}
DEFECTS = [
    {},
    {},
    {},
    {"ca": False},
    {"ca": None},
    {"path_length": 0},
    {"path_length": 1},
    {"key_usage": usage(crl_sign=True)},
    {"key_usage": None},
    {"days": (-9, -1)},
    {"days": (1, 9)},
]


def link(issuer, key, made, subject):
    made = dict(made)
    permitted, excluded = made.pop("permitted", []), made.pop("excluded", [])
    if made.get("ca") is not True:
        made["path_length"] = None
    extensions = []
    if permitted or excluded:
        extensions.append((x509.NameConstraints(permitted or None, excluded or None), True))
    return forge(issuer, subject=subject, key=key, extensions=extensions, **made)


@st.composite
def chains(draw):
    """(trust anchor, chain without it): an anchor, up to three authorities, an end entity; often wrong."""
    depth = draw(st.integers(1, 4))
    made = [RIGHT | {"permitted": [], "excluded": []} for _ in range(depth)]
    made[draw(st.integers(0, depth - 1))] |= {"permitted": draw(subtrees), "excluded": draw(subtrees)}
    made[draw(st.integers(0, depth - 1))] |= draw(st.sampled_from(DEFECTS))
    made[0]["ca"] = True  # a root without the flag is not the same question to every release
    self_issued, impostor = draw(
        st.sampled_from([(None, None)] * 6 + [(1, None), (2, None), (None, 1), (None, 2)])
    )
    issuer = (common_name("root"), KEYS[0])
    path = []
    for index, one in enumerate(made):
        name = issuer_name(issuer) if index in {0, self_issued} else f"ca{index}"
        certificate, key = link(issuer, KEYS[index], one, name)
        path.append(certificate)
        issuer = (certificate.subject, KEYS[5] if index == impostor else key)
    leaf, _ = forge(
        issuer,
        subject="leaf",
        key=KEYS[4],
        names=draw(leaf_names),
        days=draw(st.sampled_from([(-1, 1)] * 6 + [(-9, -1), (1, 9)])),
    )
    return path[0], [leaf, *reversed(path[1:])]


def issuer_name(issuer):
    return issuer[0].get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


def pem(*certificates):
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def openssl_accepts(anchor, chain):
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "anchor").write_bytes(pem(anchor))
        (place / "others").write_bytes(pem(*chain[1:]))
        (place / "leaf").write_bytes(pem(chain[0]))
        others = ["-untrusted", place / "others"] if chain[1:] else []
        command = [needs("openssl"), "verify", "-partial_chain", "-no-CApath", "-no-CAstore"]
        done = subprocess.run(
            [*command, "-CAfile", place / "anchor", *others, place / "leaf"], capture_output=True, check=False
        )
    assert done.returncode in {0, 2}, done.stderr
    return done.returncode == 0


def our_path(anchor, chain):
    presented = [PresentedCertificate.parse(der(certificate)) for certificate in chain]
    return PathValidator([PresentedCertificate.of(anchor)]).validate(presented)


def we_accept(anchor, chain):
    try:
        path = our_path(anchor, chain)
    except CertificateRejectedError:
        return False
    assert path == [*chain, anchor]
    return True


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(chains())
def test_our_verdict_on_a_path_is_that_of_the_openssl_command(made):
    anchor, chain = made
    assert we_accept(anchor, chain) == openssl_accepts(anchor, chain)


@pytest.mark.long
@settings(max_examples=250, deadline=None)
@given(chains())
def test_the_name_constraints_of_our_own_agree_with_openssl_on_the_forms_that_it_knows(made):
    """Where OpenSSL accepts, ours finds nothing; where it names a name constraint, ours finds one."""
    anchor, chain = made
    try:
        path = our_path(anchor, chain)
    except CertificateRejectedError as rejection:
        if "subtree violation" in str(rejection):
            assert constraints.violation([*chain, anchor]) is not None
    else:
        assert constraints.violation(path) is None


def test_a_constrained_path_of_the_authority_is_accepted_by_both():
    root = Authority.root()
    issued = constrained(root).issue(None, "b.sp.example")
    chain = list(issued.chain[:-1])
    assert we_accept(root.certificate, chain)
    assert openssl_accepts(root.certificate, chain)


@pytest.mark.parametrize(
    ("permitted", "excluded", "names", "is_allowed"),
    [
        (["0.2.481.1.100"], [], ["0.2.481.1.100.1"], True),
        (["0.2.481.1.100"], [], ["0.2.481.1.100"], True),
        (["0.2.481.1.100"], [], ["0.2.481.1.10"], False),
        (["0.2.481.1.100"], [], ["0.2.481.1.1000"], False),
        (["0.2.481.1.100"], [], ["0.2.481.1.100.1", "0.2.481.1.5"], False),
        (["0.2.481.1.100", "0.2.481.1.5"], [], ["0.2.481.1.100.1", "0.2.481.1.5"], True),
        ([], ["0.2.481.1.100"], ["0.2.481.1.100.1"], False),
        ([], ["0.2.481.1.100"], ["0.2.481.1.101"], True),
        (["0.2.481.1.100"], ["0.2.481.1.100.7"], ["0.2.481.1.100.7.1"], False),
        (["0.2.481.1.100"], [], [], True),
    ],
)
def test_device_ids_are_held_to_their_arcs(permitted, excluded, names, is_allowed):
    root = Authority.root()
    ca = root.intermediate(
        permitted=permitted_names(devices=permitted), excluded=permitted_names(devices=excluded)
    )
    leaf, _ = forge(
        (ca.certificate.subject, ca.issued.private_key),
        names=permitted_names(devices=names),
    )
    path = [leaf, ca.certificate, root.certificate]
    assert (constraints.violation(path) is None) is is_allowed
    assert we_accept(root.certificate, path[:-1]) is is_allowed


@pytest.mark.parametrize(
    "value", [b"\x0c\x01d", b"\x0d\x00", b"\x0d\x02\x80\x64", b"\x05\x00", b"\x0d\x01\xe4"]
)
def test_a_constrained_other_name_that_is_no_relative_oid_is_refused(value):
    root = Authority.root()
    ca = root.intermediate(permitted=permitted_names(devices=["0.2.481.1.100"]))
    name = x509.OtherName(x509.ObjectIdentifier("0.2.481.1"), value)
    leaf, _ = forge((ca.certificate.subject, ca.issued.private_key), names=[name])
    assert not we_accept(root.certificate, [leaf, ca.certificate])


def test_registered_ids_are_held_to_their_arcs():
    root = Authority.root()
    base = x509.RegisteredID(x509.ObjectIdentifier("2.999.1"))
    ca = root.intermediate(permitted=[base])
    for oid, is_allowed in (("2.999.1", True), ("2.999.1.5", True), ("2.999.10", False)):
        name = x509.RegisteredID(x509.ObjectIdentifier(oid))
        leaf, _ = forge((ca.certificate.subject, ca.issued.private_key), names=[name])
        assert we_accept(root.certificate, [leaf, ca.certificate]) is is_allowed


def test_a_form_that_is_constrained_and_not_known_is_refused_beside_a_constrained_device():
    root = Authority.root()
    address = x509.RFC822Name("sp.example")
    ca = root.intermediate(permitted=[*permitted_names(devices=["0.2.481.1.100"]), address])
    names = [*permitted_names(devices=["0.2.481.1.100.1"]), x509.RFC822Name("a@sp.example")]
    leaf, _ = forge((ca.certificate.subject, ca.issued.private_key), names=names)
    assert not we_accept(root.certificate, [leaf, ca.certificate])


def test_more_comparisons_than_the_bound_are_refused():
    root = Authority.root()
    many = permitted_names(devices=[f"0.2.481.1.100.{i}" for i in range(80)])
    ca = root.intermediate(permitted=many)
    leaf, _ = forge((ca.certificate.subject, ca.issued.private_key), names=many)
    assert constraints.violation([leaf, ca.certificate, root.certificate]) == "too many names and constraints"


def test_a_serial_number_that_is_not_positive_is_malformed_and_no_warning_escapes():
    certificate = der(Authority.root().certificate)
    at = certificate.index(b"\xa0\x03\x02\x01\x02\x02") + 7  # the first octet of the serial number
    negative = certificate[:at] + b"\x80" + certificate[at + 1 :]
    with pytest.raises(CertificateRejectedError) as refused:
        PresentedCertificate.parse(negative)
    assert refused.value.alert.name == "bad_certificate"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CertificateRejectedError, match="not positive"):
            PresentedCertificate.parse(negative)
