"""The parts of a carried primitive: To in its three forms, queries, media types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.onem2m.carried import (
    CarriedResponse,
    checked_query,
    media_type_of,
    path_of,
    segments_of,
    to_of,
    to_of_path,
)
from onem2m_security.onem2m.primitives import RefusedError, Rsc


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/CSEBase/ae12/cont27/contInst696", "CSEBase/ae12/cont27/contInst696"),
        ("/~/CSE178/CSEBase/ae12/cont27/contInst696", "/CSE178/CSEBase/ae12/cont27/contInst696"),
        ("/_/mym2msp.org/CSE178/CSEBase/ae12", "//mym2msp.org/CSE178/CSEBase/ae12"),
        ("/_/mym2msp.org/CSE178/cin00856", "//mym2msp.org/CSE178/cin00856"),
        ("/cin00856", "cin00856"),
        ("/a%2Fb/c", "a%2Fb/c"),
        ("/" + "x/" * 100 + "y", "x/" * 100 + "y"),
        ("/cse/", "cse/"),
    ],
)
def test_to_is_the_path_as_table_6_2_2_1_1_of_ts_0009_has_it(path, to):
    assert to_of_path(path.encode()) == to
    assert path_of(to) == path
    assert to_of(segments_of(to)) == to


def test_one_resource_written_in_two_ways_is_one_to():
    assert to_of_path(b"/%7E/cse%2dx/%41") == to_of_path(b"/~/cse-x/A") == "/cse-x/A"


@pytest.mark.parametrize("path", ["//evil/x", "/~", "/~//x", "/_", "/_//x", "/%FF", "/%7e"])
def test_a_path_that_another_receiver_could_read_otherwise_is_refused(path):
    with pytest.raises(RefusedError) as refused:
        to_of_path(path.encode())
    assert refused.value.rsc is Rsc.BAD_REQUEST


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_segments_come_back_from_the_path(segments):
    try:
        to = to_of(segments)
    except RefusedError:
        assert segments in (["~"], ["_"])
        return
    assert list(segments_of(to)) == segments
    assert to_of_path(path_of(to).encode()) == to


@pytest.mark.parametrize(
    "query", ["rcn=4&fu=1", "ty=2+3&lbl=a%26b", "smf=PREFIX%20rdf%3A", "", "atrl=ri+lbl"]
)
def test_a_query_stays_as_it_was(query):
    assert checked_query(query) == query


@pytest.mark.parametrize("name", ["fr", "FR", "f%72", "%66r", "to", "op", "rqi", "pc", "+fr"])
@pytest.mark.parametrize("form", ["{}=CAdmin", "rcn=4&{}=CAdmin", "rcn=4;{}=CAdmin", "{}"])
def test_a_query_does_not_say_what_stands_elsewhere(name, form):
    with pytest.raises(RefusedError):
        checked_query(form.format(name))


@pytest.mark.parametrize("query", ["a b", "a#b", "a\r\nX: y", "\x7f", "\xe4"])
def test_a_query_holds_what_a_query_may_hold(query):
    with pytest.raises(RefusedError):
        checked_query(query)


def test_a_media_type_is_read_with_its_parameters():
    assert media_type_of("Application/JSON; Ty=2;charset=utf-8") == (
        "application/json",
        {"ty": "2", "charset": "utf-8"},
    )
    assert media_type_of("") == ("", {})


@pytest.mark.parametrize(
    "text",
    ["application/json;ty=2;ty=3", 'application/json;x=";ty=2"', "application", "a/b;", "a/b;x", "a/b\x00"],
)
def test_a_media_type_that_could_be_read_in_two_ways_is_refused(text):
    with pytest.raises(RefusedError):
        media_type_of(text)


def test_a_refusal_is_a_response_primitive_with_debug_text():
    refused = CarriedResponse.refusal(RefusedError(Rsc.NOT_FOUND, "nothing is found here"), "7", "3")
    assert (refused.rsc, refused.request_id, refused.release_version) == (4004, "7", "3")
    assert refused.content == b'{"m2m:dbg": "nothing is found here"}'
    assert refused.content_type == "application/json"
