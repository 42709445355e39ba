"""Public key identifiers (clause 10.1.2, RFC 6920) and the Root of Trust."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs import self_signed
from onem2m_security.certificates.public_key_id import (
    DIGEST_OCTETS,
    PublicKeyIdentifier,
    key_hash,
    parse_root_of_trust,
    subject_public_key_info,
)
from onem2m_security.errors import IdentifierError


def test_the_ni_uri_of_hello_world_is_that_of_rfc_6920():
    """RFC 6920 section 8.1: the ni URI of the content "Hello World!"."""
    identifier = PublicKeyIdentifier.of(b"Hello World!")
    assert str(identifier) == "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"


@pytest.mark.parametrize(("algorithm", "octets"), DIGEST_OCTETS.items())
def test_each_algorithm_is_the_leading_octets_of_sha_256(algorithm, octets):
    spki = subject_public_key_info(self_signed().certificate)
    identifier = PublicKeyIdentifier.of(spki, algorithm)
    assert identifier.digest == hashlib.sha256(spki).digest()[:octets]
    assert identifier.matches(spki)
    assert not identifier.matches(spki[:-1] + bytes([spki[-1] ^ 1]))
    assert PublicKeyIdentifier.parse(str(identifier)) == identifier


@given(st.binary(min_size=32, max_size=32))
def test_every_form_of_a_root_of_trust_is_the_same_octets(digest):
    forms = [
        digest,
        digest.hex(),
        digest.hex().upper(),
        base64.b64encode(digest).decode(),
        base64.urlsafe_b64encode(digest).decode(),
        base64.urlsafe_b64encode(digest).decode().rstrip("="),
        str(PublicKeyIdentifier("sha-256", digest)),
    ]
    assert {parse_root_of_trust(form) for form in forms} == {digest}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00" * 31,
        "00" * 33,
        "zz" * 32,
        "A" * 42 + "B",  # stray bits at the end of the base64
        "ni:///sha-256-32;f4OxZQ",
        "ni:///sha-256;f4OxZQ",
        "ni:///sha-256-128;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk",
        "ni:///sha-1;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk",
        "NI:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk",
    ],
)
def test_anything_else_is_no_public_key_identifier(text):
    with pytest.raises(IdentifierError):
        PublicKeyIdentifier.parse(text)
    with pytest.raises(IdentifierError):
        parse_root_of_trust(text)


def test_a_root_of_trust_is_whole():
    with pytest.raises(IdentifierError, match="whole"):
        parse_root_of_trust(str(PublicKeyIdentifier("sha-256-128", bytes(16))))
    with pytest.raises(IdentifierError, match="32 octets"):
        parse_root_of_trust(bytes(31))
    with pytest.raises(IdentifierError, match="sha-256-120"):
        PublicKeyIdentifier.of(b"", "md5")


def test_the_key_hash_of_a_self_signed_certificate_is_its_common_name():
    certificate = self_signed().certificate
    assert certificate.subject.rfc4514_string() == f"CN={key_hash(certificate).hex()}"


@given(st.text(max_size=100))
def test_parsing_raises_nothing_but_identifier_errors(text):
    try:
        assert PublicKeyIdentifier.parse(str(PublicKeyIdentifier.parse(text)))
    except IdentifierError:
        return
