"""The AE-ID in a CSE's answer, in each serialization."""

from __future__ import annotations

import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import MessageError
from onem2m_security.gateway.assigned import CreatedAe, read_created_ae
from onem2m_security.identifiers import EntityId
from onem2m_security.onem2m.carried import CarriedResponse

AE = {"m2m:ae": {"rn": "x", "ri": "Cnew", "aei": "Cnew", "lbl": ["aei"]}}
XML = '<m2m:ae xmlns:m2m="http://www.onem2m.org/xml/protocols" rn="x"><ri>Cnew</ri><aei>Cnew</aei></m2m:ae>'
RCE = f'<m2m:rce xmlns:m2m="http://www.onem2m.org/xml/protocols"><uri>/x</uri>{XML}</m2m:rce>'


def answer(content: bytes | str, kind: str) -> CarriedResponse:
    return CarriedResponse(
        2001, "1", content_type=kind, content=content if isinstance(content, bytes) else content.encode()
    )


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (json.dumps(AE), "application/json"),
        (json.dumps(AE), "application/vnd.onem2m-res+json;charset=utf-8"),
        (json.dumps({"m2m:rce": {"uri": "/x", **AE}}), "application/json"),
        (json.dumps({"ae": AE["m2m:ae"]}), "application/json"),
        (cbor2.dumps(AE), "application/cbor"),
        (cbor2.dumps({"m2m:rce": {"uri": "/x", **AE}}), "application/vnd.onem2m-res+cbor"),
        (XML, "application/xml"),
        (RCE, "application/vnd.onem2m-res+xml"),
    ],
)
def test_the_ae_id_is_found_in_each_serialization(content, kind):
    assert read_created_ae(answer(content, kind)) == CreatedAe(EntityId.parse("Cnew"), "Cnew")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('{"m2m:uri": "/x"}', "application/json"),
        ('{"m2m:ae": {"rn": "x"}}', "application/json"),
        ('{"m2m:ae": ["aei"]}', "application/json"),
        ('{"m2m:cnt": {"aei": "Cnew"}}', "application/json"),
        ("[]", "application/json"),
        ("", "application/json"),
        ('{"m2m:ae": {"aei": "Cnew"}}', "text/plain"),
        ("<x><aei>Cnew</aei></x>", "application/xml"),
    ],
)
def test_an_answer_that_does_not_say_it_says_nothing(content, kind):
    assert read_created_ae(answer(content, kind)) is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("{", "application/json"),
        ("[" * 100_000, "application/json"),
        (b"\xff\xff", "application/cbor"),
        (b"\x81" * 2000, "application/cbor"),
        ("<a", "application/xml"),
        ('<!DOCTYPE a [<!ENTITY b "Cnew">]><ae><aei>&b;</aei></ae>', "application/xml"),
        ('{"m2m:ae": {"aei": "not an id"}}', "application/json"),
        ('{"m2m:ae": {"aei": ""}}', "application/json"),
    ],
)
def test_an_answer_that_is_damaged_is_an_error(content, kind):
    with pytest.raises(MessageError):
        read_created_ae(answer(content, kind))


@given(st.binary(max_size=80), st.sampled_from(["application/json", "application/cbor", "application/xml"]))
def test_any_octets_are_read_or_refused_by_the_one_error(content, kind):
    try:
        found = read_created_ae(answer(content, kind))
    except MessageError:
        return
    assert found is None or isinstance(found.ae_id, EntityId)
