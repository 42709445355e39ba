"""User security settings: their forms, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import ConfigurationError, MessageError
from onem2m_security.onem2m.fetch_credentials import FetchedCredential
from onem2m_security.user_settings import (
    MAX_SETTINGS,
    MAX_TEXT,
    MAX_VALUES,
    Uss,
    as_list,
    of_list,
    require_few,
)

TEXTS = st.text(min_size=1, max_size=20).filter(str.isprintable)
NUMBERS = st.integers(0, 2**31 - 1)
USS = st.builds(
    Uss,
    TEXTS,
    NUMBERS,
    st.none() | TEXTS,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.frozensets(NUMBERS, max_size=3),
)


@given(st.lists(USS, max_size=MAX_SETTINGS).map(tuple))
def test_what_is_handed_on_comes_back(settings):
    assert of_list(json.loads(json.dumps(as_list(settings)))) == settings
    assert all(uss.can_travel for uss in settings)


@pytest.mark.parametrize(
    "value",
    [
        {},
        "x",
        [[]],
        [{}],
        [{"id": 1}],
        [{"id": ""}],
        [{"id": "1\n"}],
        [{"id": "x" * (MAX_TEXT + 1)}],
        [{"id": "1", "type": True}],
        [{"id": "1", "type": -1}],
        [{"id": "1", "uids": "ab"}],
        [{"id": "1", "uids": ["a"] * (MAX_VALUES + 1)}],
        [{"id": "1", "flags": [2**31]}],
        [{"id": "1", "flags": [1.0]}],
        [{"id": "1"}] * (MAX_SETTINGS + 1),
    ],
)
def test_what_is_not_of_the_form_is_refused(value):
    with pytest.raises(ValueError, match="is expected"):
        of_list(value)
    answer = {"Status": True, "Credential": "A" * 43 + "=", "EnroleeID": "/a", "Lifetime": 1}
    assert FetchedCredential.decode(answer) is not None
    with pytest.raises(MessageError, match="USS: "):
        FetchedCredential.decode(answer | {"USS": value})


def test_an_operator_writes_them_in_one_word():
    assert Uss.parse("1000001") == Uss("1000001")
    assert Uss.parse("1000001,uid=/meter,flag=1,uid=a=b,flag=7,type=2,group=eu") == Uss(
        "1000001", 2, "eu", ("/meter", "a=b"), frozenset({1, 7})
    )


@pytest.mark.parametrize(
    "text", ["", "x", "1,", "1,uid", "1,uid=", "1,flag=x", "1,type=1,type=2", "1,colour=red"]
)
def test_what_an_operator_mistypes_is_told_with_the_form(text):
    with pytest.raises(ConfigurationError, match=r"no user security settings: GSID\["):
        Uss.parse(text)


def test_an_operator_is_told_when_there_are_too_many():
    assert len(require_few([Uss("1")] * MAX_SETTINGS)) == MAX_SETTINGS
    with pytest.raises(ConfigurationError, match="at most 8"):
        require_few([Uss("1")] * (MAX_SETTINGS + 1))
