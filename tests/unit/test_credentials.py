"""Secrets do not show themselves; resolved keys name their credential."""

from __future__ import annotations

import base64
import copy
import pickle
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Framework, ResolvedKey, Secret
from onem2m_security.errors import CredentialError
from onem2m_security.identifiers import CredentialType, KeyIdentifier

KEYS = st.binary(min_size=1, max_size=256)
OCTETS = bytes(range(32))


@given(KEYS)
def test_a_key_is_read_as_people_write_it(octets):
    in_hex, in_base64 = octets.hex(), base64.b64encode(octets).decode()
    for text in (in_hex, in_hex.upper(), f"  {in_hex}\n", f"hex:{in_hex}", f"base64:{in_base64}"):
        assert Secret.parse(text).reveal() == octets


def test_base64_needs_no_prefix_where_it_cannot_be_hex():
    assert Secret.parse("ABEiM0RVZneImaq7zN3u/w==").reveal().hex() == "00112233445566778899aabbccddeeff"


def test_an_even_number_of_hex_digits_is_hex_and_a_prefix_overrules_that():
    assert Secret.parse("deadbeef").reveal() == b"\xde\xad\xbe\xef"
    assert Secret.parse("base64:deadbeef").reveal() == base64.b64decode("deadbeef")


def test_after_text_the_characters_are_the_octets_but_for_the_end_of_the_line():
    assert Secret.parse("text:123456\r\n").reveal() == b"123456"
    assert Secret.parse(" text: a:b ").reveal() == b" a:b "
    assert Secret.parse("text").reveal() == base64.b64decode("text")


@pytest.mark.parametrize(
    "text",
    ["", " ", "xyz", "abc", "hex:xy", "base64:!", "rot13:abcd", "hex:", ":", "é", "text:", "text:é"],
)
def test_what_is_no_key_is_refused_without_showing_it(text):
    with pytest.raises(CredentialError) as caught:
        Secret.parse(text)
    assert text in {"", " ", "hex:", ":", "text:"} or text not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("octets", [0, 257])
def test_a_key_has_1_to_256_octets(octets):
    with pytest.raises(CredentialError, match="1 to 256 octets"):
        Secret(bytes(octets))
    with pytest.raises(CredentialError):
        Secret.parse("00" * octets)


@given(KEYS)
def test_no_way_of_printing_a_secret_shows_it(octets):
    secret = Secret(octets)
    printed = " ".join(
        [repr(secret), str(secret), f"{secret}", f"{secret!r:>90}", f"{[secret]}", secret.fingerprint]
    )
    if len(octets) >= 4:
        assert octets.hex() not in printed.lower()
        assert base64.b64encode(octets).decode().rstrip("=") not in printed
        assert repr(octets)[2:-1] not in printed


def test_a_fingerprint_is_the_truncated_hash_over_tag_and_key():
    # printf 'onem2m-security key fingerprint' | cat - key | openssl dgst -sha256, first 16 digits
    assert Secret(OCTETS).fingerprint == "6fbefc6d0757d4c3"


def test_a_key_that_could_be_guessed_has_no_fingerprint():
    assert Secret(b"123456").fingerprint == "short-key"
    assert Secret(b"x" * 16).fingerprint != "short-key"


def test_equal_keys_are_equal_and_hash_alike():
    assert Secret(OCTETS) == Secret(OCTETS)
    assert Secret(OCTETS) != Secret(OCTETS[:-1] + b"\0")
    assert Secret(OCTETS) != Secret(OCTETS[:-1])
    assert Secret(OCTETS) != OCTETS
    assert len({Secret(OCTETS), Secret(OCTETS)}) == 1
    assert len(Secret(OCTETS)) == 32


def test_generated_keys_differ_and_have_the_length_asked_for():
    made = [Secret.generate(), Secret.generate(), Secret.generate(16)]
    assert made[0] != made[1]
    assert [len(key) for key in made] == [32, 32, 16]


def test_a_secret_is_neither_pickled_nor_given_attributes():
    secret = Secret(OCTETS)
    for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            refuse(secret)
    with pytest.raises(AttributeError):
        secret.octets = OCTETS  # type: ignore[attr-defined]


def resolved(**changes) -> ResolvedKey:
    given_values = {
        "key_id": KeyIdentifier.parse("km@maf.example.com"),
        "key": Secret(OCTETS),
        "framework": Framework.MAF_HANDSHAKE,
        "credential_type": CredentialType.KM_ID,
    }
    return ResolvedKey(**(given_values | changes))


def test_a_resolved_key_names_its_credential_by_the_canonical_identifier():
    assert str(resolved().credential_id) == "11-km@maf.example.com"
    ke_id = KeyIdentifier.parse("ABEiM0RVZneImaq7zN3u/w==@mef.example.com")
    by_ke_id = resolved(key_id=ke_id, credential=KeyIdentifier.parse("km@maf.example.com"))
    assert str(by_ke_id.credential_id) == "11-km@maf.example.com"


def test_a_resolved_key_does_not_print_its_key():
    printed = repr(resolved(expires=datetime(2030, 1, 1, tzinfo=UTC)))
    assert "km" in printed
    assert Secret(OCTETS).fingerprint not in printed
    assert OCTETS.hex() not in printed
