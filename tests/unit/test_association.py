"""The association: its JSON form, and the registrar's check."""

from __future__ import annotations

import dataclasses
import itertools
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.association import Association, Role
from onem2m_security.credentials import Framework
from onem2m_security.identifiers import CredentialId, EntityId, EntityKind

ASSOCIATION = Association(
    role=Role.ENTITY_B,
    framework=Framework.SAEF_MAF,
    local=EntityId.parse("/in-cse"),
    peer=EntityId.parse("/in-cse/Csensor"),
    credential_id=CredentialId.parse("12-00112233445566778899aabbccddeeff@maf.example.com"),
    cipher_suite="PSK-AES128-GCM-SHA256",
    protocol="TLSv1.2",
    expires=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    server_name="in-cse.sp.example",
)


def with_peer(text: str | None, *allowed: str) -> Association:
    peer = None if text is None else EntityId.parse(text)
    return dataclasses.replace(ASSOCIATION, peer=peer, allowed_ae_ids=tuple(map(EntityId.parse, allowed)))


def test_the_json_form_holds_everything_in_plain_values():
    assert json.loads(json.dumps(ASSOCIATION.as_dict())) == {
        "role": "entity-b",
        "framework": "saef-maf",
        "local": "/in-cse",
        "peer": "/in-cse/Csensor",
        "credential_id": "12-00112233445566778899aabbccddeeff@maf.example.com",
        "cipher_suite": "PSK-AES128-GCM-SHA256",
        "protocol": "TLSv1.2",
        "expires": "2030-01-02T03:04:05+00:00",
        "server_name": "in-cse.sp.example",
        "allowed_ae_ids": [],
        "peer_proof": "authenticated",
        "user_settings": [],
    }


def test_every_field_of_an_association_is_in_its_json_form():
    assert set(ASSOCIATION.as_dict()) == {field.name for field in dataclasses.fields(Association)}


def test_what_is_not_known_is_null():
    bare = dataclasses.replace(ASSOCIATION, peer=None, credential_id=None, expires=None).as_dict()
    assert {name for name, value in bare.items() if value is None} == {
        "peer",
        "credential_id",
        "expires",
        "peer_proof",
    }


@pytest.mark.parametrize("originator", ["/in-cse/Csensor", "Csensor"])
def test_an_ae_may_write_its_identity_in_full_or_as_its_stem(originator):
    assert ASSOCIATION.authenticates(originator)


@pytest.mark.parametrize(
    "originator", ["", "Cother", "/in-cse", "/in-cse/Cother", "/in-cse/Csensor/", "csensor"]
)
def test_another_originator_is_not_authenticated(originator):
    assert not ASSOCIATION.authenticates(originator)


@pytest.mark.parametrize("originator", ["Cany", "/other/Cany", "/mn-cse"])
def test_a_cse_forwards_the_requests_of_others(originator):
    assert with_peer("/mn-cse").authenticates(originator)


def test_nobody_is_authenticated_when_only_the_credential_is_known():
    assert not with_peer(None).authenticates("Csensor")
    assert not with_peer(None).authenticates("")


def test_a_device_credential_acts_for_its_aes_and_no_others():
    several = with_peer("Cfirst", "Cfirst", "/in-cse/Csecond")
    assert several.authenticates("Cfirst")
    assert several.authenticates("Csecond")
    assert not several.authenticates("Cthird")


REGISTRAR = "//sp.example/cse1"
FORMS = ("Cae", "/cse1/Cae", "//sp.example/cse1/Cae")
"""One identity at that registrar."""
S_FORMS = ("Sae", "/Sae", "//sp.example/Sae")
OTHERS = (
    "/cse2/Cae",
    "//sp.example/cse2/Cae",
    "//other.example/cse1/Cae",
    "/cse1/Sae",
    "//sp.example/cse1/Sae",
    "/cse2/Sae",
    "//other.example/Sae",
    "Cother",
    "Sother",
)


def at(local: str, peer: str) -> Association:
    known = EntityId.parse(peer).known_as(EntityKind.AE)
    return dataclasses.replace(ASSOCIATION, local=EntityId.parse(local), peer=known)


@pytest.mark.parametrize("forms", [FORMS, S_FORMS], ids=["C", "S"])
def test_all_forms_of_one_identity_are_equal_at_the_registrar(forms):
    for peer, originator in itertools.product(forms, forms):
        assert at(REGISTRAR, peer).authenticates(originator), (peer, originator)


def test_different_identities_are_never_equal_whatever_their_form():
    identities = [FORMS, S_FORMS, *((other,) for other in OTHERS)]
    same = [{"/cse2/Cae", "//sp.example/cse2/Cae"}, {"/cse1/Sae", "//sp.example/cse1/Sae"}]
    for one, other in itertools.permutations(identities, 2):
        for peer, originator in itertools.product(one, other):
            if {peer, originator} not in same:
                assert not at(REGISTRAR, peer).authenticates(originator), (peer, originator)


@pytest.mark.parametrize(
    "peer", ["/cse2/Cvictim", "//sp.example/cse2/Cvictim", "//other.example/cse1/Cvictim"]
)
@pytest.mark.parametrize("local", ["/cse1", REGISTRAR])
def test_an_ae_of_another_cse_does_not_speak_as_the_ae_of_this_one_that_has_its_stem(local, peer):
    for victim in ("Cvictim", "/cse1/Cvictim", "//sp.example/cse1/Cvictim"):
        assert not at(local, peer).authenticates(victim)
    assert at(local, peer).authenticates(peer)


def test_a_registrar_that_does_not_know_its_service_provider_takes_no_absolute_identity_for_its_own():
    absolute = at("/cse1", "//sp.example/cse1/Cae")
    assert absolute.authenticates("//sp.example/cse1/Cae")
    assert not absolute.authenticates("Cae")
    assert not at("/cse1", "Cae").authenticates("//sp.example/cse1/Cae")
    assert at("/cse1", "Cae").authenticates("/cse1/Cae")


@pytest.mark.parametrize(
    "originator", ["\uff23ae", "//SP.example/cse1/Cae", "//sp.example./cse1/Cae", " Cae"]
)
def test_what_is_not_written_in_canonical_form_is_nobody(originator):
    assert not at(REGISTRAR, "Cae").authenticates(originator)


@given(text=st.text(max_size=40))
def test_no_text_makes_the_check_fail_in_another_way(text):
    assert at(REGISTRAR, "Cae").authenticates(text) is (text in FORMS)


def test_an_association_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ASSOCIATION.peer = None
