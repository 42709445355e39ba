"""Identifiers: what parses, what is refused, what is equal."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import IdentifierError
from onem2m_security.identifiers import (
    CredentialId,
    CredentialType,
    EntityId,
    EntityKind,
    Fqdn,
    KeyIdentifier,
    Suid,
)
from onem2m_security.texts import nfkc, shown

RELATIVE = bytes.fromhex("00112233445566778899aabbccddeeff")
RELATIVE_BASE64 = "ABEiM0RVZneImaq7zN3u/w=="  # openssl base64
ANY_TEXT = st.text(max_size=300) | st.text("@./-_:aA0=+ü\0", max_size=60)
ANY_OCTETS = st.binary(max_size=300) | ANY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass"))


# --- FQDN ---


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("maf.example.com", "maf.example.com"),
        ("MAF.Example.COM.", "maf.example.com"),
        ("localhost", "localhost"),
        ("_maf._tcp.example.com", "_maf._tcp.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("maf。example。com", "maf.example.com"),
    ],
)
def test_all_spellings_of_a_domain_name_are_one(text, canonical):
    assert str(Fqdn.parse(text)) == canonical
    assert Fqdn.parse(text) == Fqdn.parse(canonical)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", "-a.example", "a-.example", "*.example.com", "a b.example", "a@b", "a/b",
        "a" * 64 + ".example", ".".join(["a" * 60] * 5), "maf.example.com\0", "maf.example.com\n", "ü" * 200,
        "\ud800.example",
    ],
)  # fmt: skip
def test_what_is_no_domain_name_is_refused(text):
    with pytest.raises(IdentifierError):
        Fqdn.parse(text)


def test_a_key_derivation_takes_the_unicode_form_of_a_domain_name():
    assert Fqdn.parse("xn--bcher-kva.example").unicode == "bücher.example"
    assert Fqdn.parse("maf.example.com").unicode == "maf.example.com"
    assert Fqdn("xn--0.example").unicode == "xn--0.example"


@given(ANY_TEXT)
def test_a_domain_name_parses_to_itself_or_not_at_all(text):
    try:
        parsed = Fqdn.parse(text)
    except IdentifierError:
        return
    assert Fqdn.parse(str(parsed)) == parsed
    assert 1 <= len(str(parsed)) <= 253
    assert str(parsed) == str(parsed).lower()


# --- entity identifiers ---


@pytest.mark.parametrize(
    ("text", "kind", "domain_name"),
    [
        ("/in-cse", EntityKind.CSE, None),
        ("//sp.example/in-cse", EntityKind.CSE, "in-cse.sp.example"),
        ("Csensor", EntityKind.AE, None),
        ("Ssensor", EntityKind.AE, None),
        ("C.with.dots", EntityKind.AE, None),
        ("/in-cse/Csensor", EntityKind.AE, None),
        ("//sp.example/in-cse/Csensor", EntityKind.AE, "csensor.in-cse.sp.example"),
        ("maf.example.com", EntityKind.FUNCTION, "maf.example.com"),
    ],
)
def test_an_entity_identifier_tells_its_kind_and_domain_name(text, kind, domain_name):
    entity = EntityId.parse(text)
    assert str(entity) == text
    assert entity.kind is kind
    assert (None if entity.domain_name is None else str(entity.domain_name)) == domain_name
    assert EntityId.parse(text.encode()) == entity


def test_the_service_provider_in_an_entity_identifier_is_not_case_sensitive():
    assert EntityId.parse("//SP.Example/in-cse") == EntityId.parse("//sp.example/in-cse")
    assert EntityId.parse("/IN-cse") != EntityId.parse("/in-cse")


def test_an_entity_identifier_is_normalised_before_it_is_compared():
    assert EntityId.parse("/\uff49\uff4e-cse") == EntityId.parse("/in-cse")


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "//", "///", "/a/b/c", "//sp.example", "//sp.example/", "//sp.example/a/b/c", "//*.x/cse",
        "/in cse", "/in\0cse", "/in-cse\n", "a@b", "/" + "x" * 255, b"/\xff\xfe", "/\ud800",
        "//" + "ü." * 20 + "example/" + "x" * 180,
    ],
)  # fmt: skip
def test_what_is_no_entity_identifier_is_refused(text):
    with pytest.raises(IdentifierError):
        EntityId.parse(text)


@given(ANY_OCTETS | ANY_TEXT)
def test_an_entity_identifier_parses_to_itself_or_not_at_all(given_text):
    try:
        parsed = EntityId.parse(given_text)
    except IdentifierError:
        return
    assert EntityId.parse(str(parsed)) == parsed
    assert parsed.kind in EntityKind
    assert parsed.domain_name is None or Fqdn.parse(str(parsed.domain_name)) == parsed.domain_name


# --- key identifiers ---


def test_base64_and_hex_name_the_same_exported_key():
    as_base64 = KeyIdentifier.parse(f"{RELATIVE_BASE64}@maf.example.com")
    as_hex = KeyIdentifier.parse(f"{RELATIVE.hex().upper()}@MAF.example.com")
    assert as_base64 == as_hex == KeyIdentifier.from_octets(RELATIVE, Fqdn.parse("maf.example.com"))
    assert as_hex.octets == RELATIVE
    assert as_hex.base64 == f"{RELATIVE_BASE64}@maf.example.com"
    assert as_base64.hex == "00112233445566778899AABBCCDDEEFF@maf.example.com"


def test_a_named_key_identifier_is_the_same_in_every_form():
    key_id = KeyIdentifier.parse("Sensor_1.km-2@maf.example.com")
    assert key_id.octets is None
    assert key_id.base64 == key_id.hex == str(key_id) == "Sensor_1.km-2@maf.example.com"


def test_only_a_km_id_is_not_case_sensitive():
    assert KeyIdentifier.parse_km_id("KM@maf.example.com") == KeyIdentifier.parse_km_id("km@maf.example.com")
    assert KeyIdentifier.parse("KM@maf.example.com") != KeyIdentifier.parse("km@maf.example.com")


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "km", "km@", "@maf.example.com", "k m@maf.example.com", "k/m@maf.example.com",
        "km@maf@example.com", "km\0@maf.example.com", "km@maf.example.com\0", "a" * 256 + "@m.example",
        RELATIVE_BASE64[:-3] + "x==@m.example", "AAAAAAAAAAAAAAAAAAAAAB==@m.example",
        b"\xff@m.example", b"\0", "a" * 200 + "@" + "ü" * 45 + ".example",
    ],
)  # fmt: skip
def test_what_is_no_key_identifier_is_refused(text):
    with pytest.raises(IdentifierError):
        KeyIdentifier.parse(text)


@pytest.mark.parametrize("octets", [0, 15, 17])
def test_a_relative_key_identifier_has_sixteen_octets(octets):
    with pytest.raises(IdentifierError, match="16 octets"):
        KeyIdentifier.from_octets(bytes(octets), Fqdn("m.example"))


@given(st.binary(min_size=16, max_size=16))
def test_both_wire_forms_of_any_exported_identifier_parse_back(relative):
    key_id = KeyIdentifier.from_octets(relative, Fqdn("maf.example.com"))
    assert KeyIdentifier.parse(key_id.base64) == KeyIdentifier.parse(key_id.hex) == key_id
    assert KeyIdentifier.parse(str(key_id).encode()) == key_id
    assert base64.b64decode(key_id.base64.partition("@")[0]) == key_id.octets == relative


@given(ANY_OCTETS | ANY_TEXT)
def test_a_key_identifier_parses_to_itself_or_not_at_all(given_text):
    try:
        parsed = KeyIdentifier.parse(given_text)
    except IdentifierError:
        return
    assert KeyIdentifier.parse(str(parsed)) == parsed


def test_an_error_shows_untrusted_text_safely_and_in_short():
    with pytest.raises(IdentifierError) as caught:
        KeyIdentifier.parse(b"\x1b[2J\r\n\xff" + b"x" * 200)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 200


@given(ANY_OCTETS | ANY_TEXT)
def test_shown_text_is_printable_and_bounded(given_text):
    assert shown(given_text).isprintable()
    assert len(shown(given_text)) <= 80 * 10


# --- Credential-ID, SUID ---


@pytest.mark.parametrize("credential_type", CredentialType)
def test_a_credential_id_of_every_type_parses_back(credential_type):
    credential_id = CredentialId(credential_type, "km@maf.example.com")
    assert CredentialId.parse(str(credential_id)) == credential_id


@pytest.mark.parametrize(
    "text", ["", "11", "11-", "-km@m", "99-km@m", "1१-km@m", "11-k m", "00011-km", "11-ü"]
)
def test_what_is_no_credential_id_is_refused(text):
    with pytest.raises(IdentifierError):
        CredentialId.parse(text)


def test_the_credential_types_are_those_of_ts_0003():
    # TS-0003 table 12.3.2.1-1
    numbers = [*range(10, 17), *range(30, 35), *range(41, 46), *range(51, 56)]
    assert [int(credential_type) for credential_type in CredentialType] == numbers


def test_the_usage_numbers_are_those_of_ts_0004():
    # TS-0004 clause 6.3.4.2.39
    numbers = [*range(10, 16), *range(21, 26), *range(32, 36), *range(40, 46)]
    assert [int(suid) for suid in Suid] == numbers


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(text):
    assert nfkc(nfkc(text)) == nfkc(text)
