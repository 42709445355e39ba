from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maf_support import key_of
from mef_support import DEVICE
from onem2m_security.credentials import Secret
from onem2m_security.errors import MessageError
from onem2m_security.identifiers import EntityId
from onem2m_security.onem2m.fetch_credentials import REFUSAL, FetchedCredential

ENROLEES = st.sampled_from(
    [DEVICE.entity, EntityId("/cse"), EntityId("Cae"), EntityId.parse("//bücher.example/c")]
)
GOOD = FetchedCredential(key_of("km"), DEVICE.entity, timedelta(hours=1)).encode()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    key=st.binary(min_size=32, max_size=32).map(Secret),
    enrolee=ENROLEES,
    seconds=st.integers(min_value=1, max_value=10**9),
)
def test_an_answer_comes_back(key, enrolee, seconds):
    answer = FetchedCredential(key, enrolee, timedelta(seconds=seconds))
    assert FetchedCredential.decode(answer.encode()) == answer


def test_the_answer_has_the_parameters_of_table_8_3_2_1_5():
    expected = {
        "Status": True,
        "Credential": base64.b64encode(key_of("km").reveal()).decode(),
        "EnroleeID": str(DEVICE.entity),
        "Lifetime": 3600,
    }
    assert expected == GOOD


def test_the_refusal_has_the_parameters_of_table_8_3_2_1_6():
    assert set(REFUSAL) == {"Status", "ErrorString"}
    assert REFUSAL["Status"] is False
    assert FetchedCredential.decode(dict(REFUSAL)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Status", None),
        ("Status", "true"),
        ("Status", 1),
        ("Credential", None),
        ("Credential", "not base64!"),
        ("Credential", ""),
        ("Credential", base64.b64encode(bytes(31)).decode()),
        ("Credential", base64.b64encode(bytes(33)).decode()),
        ("Credential", base64.b64encode(bytes(10**6)).decode()),
        ("Credential", 7),
        ("EnroleeID", None),
        ("EnroleeID", ""),
        ("EnroleeID", "/a/b/c/d"),
        ("EnroleeID", ["/a"]),
        ("Lifetime", None),
        ("Lifetime", 0),
        ("Lifetime", -1),
        ("Lifetime", 1.5),
        ("Lifetime", True),
        ("Lifetime", "3600"),
        ("Lifetime", 10**12),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(name, value):
    with pytest.raises(MessageError, match=name) as caught:
        FetchedCredential.decode(GOOD | {name: value})
    assert GOOD["Credential"] not in str(caught.value)


@given(JSON)
def test_anything_else_is_refused_or_is_a_refusal(content):
    try:
        decoded = FetchedCredential.decode(content)
    except MessageError:
        return
    assert decoded is None


@given(name=st.sampled_from(sorted(GOOD)), value=JSON)
def test_no_value_of_a_parameter_escapes(name, value):
    try:
        FetchedCredential.decode(GOOD | {name: value})
    except MessageError as error:
        assert len(str(error)) < 120  # noqa: PT017 - not every value is refused
