"""The association: its JSON form, and the registrar's check."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from onem2m_security.association import Association, Role
from onem2m_security.credentials import Framework
from onem2m_security.identifiers import CredentialId, EntityId

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
    }


def test_every_field_of_an_association_is_in_its_json_form():
    assert set(ASSOCIATION.as_dict()) == {field.name for field in dataclasses.fields(Association)}


def test_what_is_not_known_is_null():
    bare = dataclasses.replace(ASSOCIATION, peer=None, credential_id=None, expires=None).as_dict()
    assert (bare["peer"], bare["credential_id"], bare["expires"]) == (None, None, None)


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


def test_an_association_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ASSOCIATION.peer = None
