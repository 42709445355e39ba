"""What travels in EST, as values: what is written is read again, and what is bad is refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from certs import P256, Authority, permitted_names
from onem2m_security.certificates.est_messages import (
    CERTIFICATES_MAX,
    CsrAttributes,
    challenge_of,
    decode_body,
    decode_certificates,
    decode_request,
    encode_body,
    encode_certificates,
)
from onem2m_security.certificates.signing_requests import (
    CertifiedName,
    chain_of,
    make_request,
    require_answers,
    require_within,
)
from onem2m_security.credentials import Secret
from onem2m_security.errors import ConfigurationError, CredentialError, MessageError
from onem2m_security.identifiers import EntityId, EntityKind

NAME = CertifiedName.of(EntityId.parse("//sp.example/in-cse/Cdevice"))
NAME_CONSTRAINTS = permitted_names(dns=["sp.example"], uri_hosts=["sp.example"])
EXAMPLE = "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw=="
"""The CSR attributes that RFC 7030 clause 4.5.2 shows."""


@given(st.none() | st.text("abcDEF019", min_size=1, max_size=255), st.booleans())
def test_csr_attributes_are_written_and_read_again(challenge, named):
    secret = None if challenge is None else Secret(challenge.encode())
    attributes = CsrAttributes(secret, NAME.extension if named else None)
    assert CsrAttributes.decode(attributes.encode()) == attributes


@given(st.binary(max_size=300))
def test_a_body_is_read_in_lines_or_in_one(der):
    assert decode_body(encode_body(der)) == decode_body(encode_body(der).replace(b"\n", b"\r\n")) == der


def test_the_example_of_the_rfc_is_read():
    """Its challengePassword comes without a value, and asks for a link to the TLS session: we give none."""
    assert CsrAttributes.decode(decode_body(EXAMPLE.encode())) == CsrAttributes()


def test_a_request_carries_the_challenge():
    request = make_request(NAME, P256(), Secret(b"once"))
    read = decode_request(request.public_bytes(Encoding.DER))
    assert challenge_of(read) == Secret(b"once")
    assert challenge_of(make_request(NAME, P256())) is None
    require_within(read, NAME)


def test_certificates_are_written_and_read_again():
    chain = Authority.root().intermediate().chain
    assert set(decode_certificates(encode_certificates(chain))) == set(chain)


def test_more_certificates_than_anybody_needs_are_refused():
    many = [Authority.root(f"root {number}").certificate for number in range(CERTIFICATES_MAX + 1)]
    with pytest.raises(MessageError, match="17 certificates"):
        decode_certificates(encode_certificates(many))


@pytest.mark.parametrize("text", ["//sp.example/in-cse", "//sp.example/in-cse/Cae"])
def test_a_cse_and_an_ae_are_certified_by_their_absolute_identity(text):
    name = CertifiedName.of(EntityId.parse(text))
    request = make_request(name, P256())
    assert name.is_all_of(request)
    require_within(request, name)


@pytest.mark.parametrize("text", ["/in-cse", "Cae", "/in-cse/Cae", "maf.example.com", "//sp.example/Sother"])
def test_who_has_no_such_identity_is_not_certified(text):
    with pytest.raises(CredentialError, match=r"and .* is none"):
        CertifiedName.of(EntityId.parse(text))


def test_an_identity_that_may_be_either_is_certified_as_what_it_is_declared_to_be():
    ae = EntityId.parse("//sp.example/Sother").known_as(EntityKind.AE)
    assert CertifiedName.of(ae).flavour.value == "ae-id"


@pytest.mark.parametrize("text", ["fqdn:mef.example.com", "raw-public-key:x", "node", ""])
def test_other_flavours_are_not_provisioned(text):
    with pytest.raises(ConfigurationError, match="FLAVOUR:IDENTIFIER"):
        CertifiedName.parse(text)


def test_a_chain_is_found_in_certificates_of_any_order_or_refused():
    authority = Authority.root().intermediate(permitted=NAME_CONSTRAINTS)
    issued = authority.issue(NAME.flavour, NAME.identifier)
    assert chain_of(issued.certificate, reversed(authority.chain)) == issued.chain
    with pytest.raises(CredentialError, match="to a root"):
        chain_of(issued.certificate, authority.chain[:1])
    with pytest.raises(CredentialError, match="to a root"):
        chain_of(issued.certificate, Authority.root().chain)


def test_what_was_issued_for_another_key_or_another_name_is_no_answer():
    authority = Authority.root().intermediate(permitted=NAME_CONSTRAINTS)
    request = make_request(NAME, P256())
    require_answers(authority.issue_for_request(request, NAME.flavour).chain, request, NAME)
    with pytest.raises(CredentialError, match="another key"):
        require_answers(authority.issue(NAME.flavour, NAME.identifier).chain, request, NAME)
    other = CertifiedName.of(EntityId.parse("//sp.example/in-cse/Cother"))
    with pytest.raises(CredentialError, match="other names"):
        require_answers(authority.issue_for_request(request, NAME.flavour).chain, request, other)
