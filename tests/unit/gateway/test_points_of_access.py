"""pointOfAccess in a registration: found, changed, and everything else left as it came."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.gateway.points_of_access import mapped, may_register
from onem2m_security.onem2m.carried import CarriedRequest
from onem2m_security.onem2m.primitives import Operation


def request(
    content: bytes, content_type: str = "application/json", operation=Operation.CREATE
) -> CarriedRequest:
    return CarriedRequest(operation, "cse-in", "1", content_type=content_type, content=content)


def moved(uri: str) -> str:
    return uri.replace("http://here", "https://there")


@pytest.mark.parametrize("kind", ["m2m:ae", "m2m:csr"])
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/vnd.onem2m-res+json;charset=utf-8"]
)
def test_each_uri_is_changed_and_what_else_is_said_stays(kind, content_type):
    said = {kind: {"rn": "ä", "poa": ["http://here/x", "mqtt://other"], "lbl": ["http://here"]}}
    made = json.loads(mapped(request(json.dumps(said).encode(), content_type), moved).content)
    assert made == {kind: {"rn": "ä", "poa": ["https://there/x", "mqtt://other"], "lbl": ["http://here"]}}


@pytest.mark.parametrize(
    "content",
    [
        b'{ "m2m:ae": {"poa": ["http://other"]} }',
        b'{"m2m:ae": {"poa": "http://here"}}',
        b'{"m2m:ae": {"poa": [1, "http://here"]}}',
        b'{"m2m:ae": ["http://here"]}',
        b'{"m2m:cnt": {"poa": ["http://here"]}}',
        b'{"m2m:ae": {"poa": ["http://here"]}, "m2m:csr": {}}',
        b'["http://here"]',
        b"<poa>http://here</poa>",
        b"[" * 100_000,
        b"\xff",
        b"",
    ],
)
def test_what_needs_no_change_stays_octet_by_octet(content):
    asked = request(content)
    assert mapped(asked, moved) is asked


def test_only_json_is_looked_into():
    asked = request(b'{"m2m:ae": {"poa": ["http://here"]}}', "application/cbor")
    assert mapped(asked, moved) is asked


def test_a_resource_that_is_said_twice_is_said_once_where_it_was_changed():
    """Whoever reads it after us must not find another address than the one that was looked at."""
    twice = b'{"m2m:ae": {"poa": ["http://hidden"]}, "m2m:ae": {"poa": ["http://here"]}}'
    assert b"hidden" not in mapped(request(twice), moved).content


@pytest.mark.parametrize("operation", Operation)
def test_only_what_makes_or_changes_a_resource_may_register(operation):
    assert may_register(request(b"{}", operation=operation)) is (
        operation in {Operation.CREATE, Operation.UPDATE}
    )


@given(st.binary(max_size=200))
def test_whatever_comes_is_passed_on(content):
    assert mapped(request(content), lambda uri: uri).content == content
