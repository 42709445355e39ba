"""The resources of a MAF as JSON: strict decoding, and a round trip."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.credentials import Secret
from onem2m_security.identifiers import EntityId, Fqdn, Suid
from onem2m_security.onem2m.primitives import RefusedError, Rsc, parse_timestamp, timestamp
from onem2m_security.onem2m.resources import MAX_LABELS, MAX_TARGETS, Attributes, decode, encode

NAME = "sec:skr"
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
ATTRIBUTES = st.builds(
    Attributes,
    expiration_time=st.none() | MOMENTS,
    labels=st.none() | st.lists(st.text(min_size=1, max_size=20), max_size=MAX_LABELS).map(tuple),
    admin_fqdn=st.none() | st.just(Fqdn("admin.example")),
    fqdn=st.none() | st.just(Fqdn("maf.example.com")),
    suid=st.none() | st.sampled_from(Suid),
    target_ids=st.none()
    | st.lists(st.sampled_from(["/a", "/b", "Cc"]).map(EntityId), unique=True).map(tuple),
    key_value=st.none() | st.binary(min_size=1, max_size=256).map(Secret),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
SHORT = st.sampled_from(["et", "lbl", "adfq", "fq", "suid", "tgis", "kv", "rkid", "src", "x"])


@given(ATTRIBUTES)
def test_what_is_encoded_decodes_to_the_same(attributes):
    encoded = encode(
        NAME,
        expirationTime=attributes.expiration_time,
        labels=attributes.labels,
        adminFQDN=attributes.admin_fqdn,
        fqdn=attributes.fqdn,
        SUID=attributes.suid,
        targetIDs=attributes.target_ids,
        keyValue=attributes.key_value,
    )
    assert decode(encoded, NAME) == attributes


@given(st.one_of(JSON, st.dictionaries(st.just(NAME), st.dictionaries(SHORT, JSON, max_size=4))))
def test_any_json_decodes_or_is_refused(content):
    refused = None
    try:
        decoded = decode(content, NAME)
    except RefusedError as error:
        refused = error
    if refused is None:
        assert isinstance(decoded, Attributes)
    else:
        assert refused.rsc is Rsc.BAD_REQUEST
        assert len(str(refused)) < 500


@pytest.mark.parametrize("content", [None, [], "x", {}, {NAME: {}, "other": {}}, {"other": {}}, {NAME: None}])
def test_content_is_one_object_under_the_name_of_the_resource(content):
    with pytest.raises(RefusedError, match="not one JSON object under 'sec:skr'"):
        decode(content, NAME)


@pytest.mark.parametrize(
    ("attribute", "value", "named"),
    [
        ("et", "soon", "expirationTime"),
        ("et", 5, "expirationTime"),
        ("lbl", "one", "labels"),
        ("lbl", ["x"] * (MAX_LABELS + 1), "labels"),
        ("lbl", ["x" * 129], "labels"),
        ("lbl", [""], "labels"),
        ("adfq", "not a name", "adminFQDN"),
        ("adfq", "x" * 256, "adminFQDN"),
        ("suid", True, "SUID"),
        ("suid", 32.0, "SUID"),
        ("suid", 99, "SUID"),
        ("tgis", ["/a"] * (MAX_TARGETS + 1), "targetIDs"),
        ("tgis", ["//"], "targetIDs"),
        ("kv", "?", "keyValue"),
        ("kv", "", "keyValue"),
        ("kv", base64.b64encode(bytes(257)).decode(), "keyValue"),
    ],
)
def test_an_attribute_that_is_wrong_is_named(attribute, value, named):
    with pytest.raises(RefusedError, match=named) as caught:
        decode({NAME: {attribute: value}}, NAME)
    assert caught.value.rsc is Rsc.BAD_REQUEST


@pytest.mark.parametrize("attribute", ["rkid", "src", "cid", "unknown", ""])
def test_an_attribute_that_a_client_may_not_set_is_refused(attribute):
    with pytest.raises(RefusedError, match="no attribute"):
        decode({NAME: {attribute: "x"}}, NAME)


def test_a_key_that_is_refused_is_not_in_the_message():
    almost = base64.b64encode(b"a very secret key").decode()[:-1] + "?"
    with pytest.raises(RefusedError) as caught:
        decode({NAME: {"kv": almost}}, NAME)
    assert almost[:10] not in str(caught.value)


def test_targets_that_are_named_twice_count_once():
    decoded = decode({NAME: {"tgis": ["//SP.example/cse", "//sp.example/cse"]}}, NAME)
    assert decoded.target_ids == (EntityId("//sp.example/cse"),)


def test_what_is_absent_is_left_out():
    assert encode(NAME, expirationTime=None, SUID=Suid.MAF_SAEF) == {NAME: {"suid": 32}}


@given(MOMENTS)
def test_a_timestamp_parses_back(moment):
    assert parse_timestamp(timestamp(moment)) == moment


@pytest.mark.parametrize("text", ["20300102T030405Z", "20300102T030405,678", "20300102T030405"])
def test_both_forms_of_an_absolute_time_are_read(text):
    assert parse_timestamp(text) == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "2030-01-02T03:04:05", "20301302T030405", "x" * 100, None, 20300102, "+5000"]
)
def test_another_time_is_refused(text):
    with pytest.raises(RefusedError, match="expirationTime"):
        parse_timestamp(text)
