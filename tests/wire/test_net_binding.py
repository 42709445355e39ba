"""What the bindings to HTTP and CoAP share: octets to primitives and back, and the same words over both."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maf_support import B, running_maf
from onem2m_security.errors import MessageError
from onem2m_security.net.address import Transport
from onem2m_security.net.binding import (
    read_content,
    read_response,
    request_primitive,
    write_content,
)
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.carried import MAX_REQUEST_ID
from onem2m_security.onem2m.primitives import Operation, RefusedError, Response, Rsc

LIMITS = Limits(body_octets=2048)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
CONTENTS = st.none() | st.dictionaries(st.text(max_size=6), JSON, max_size=4)
DIGITS = st.sampled_from(Rsc).map(lambda rsc: str(int(rsc)))


@given(st.sampled_from(Rsc), CONTENTS)
def test_a_response_that_is_written_reads_as_the_same(rsc, content):
    written = write_content(content)
    assert read_response(str(int(rsc)), written, LIMITS) == Response(rsc, content)
    assert read_response(str(int(rsc)).encode(), written, LIMITS) == Response(rsc, content)


@given(CONTENTS)
def test_the_content_of_a_request_that_is_written_reads_as_the_same(content):
    assert read_content(write_content(content), LIMITS, is_json=True) == content


@given(st.none() | st.text(max_size=8) | st.binary(max_size=8) | DIGITS, st.none() | st.binary(max_size=80))
def test_any_octets_are_a_response_or_refused_by_the_one_error(status, body):
    try:
        assert isinstance(read_response(status, body, LIMITS), Response)
    except MessageError as error:
        assert len(str(error)) < 100  # noqa: PT017 - some are responses


@given(st.none() | st.binary(max_size=80), st.booleans())
def test_any_octets_are_content_or_refused(body, is_json):
    try:
        read_content(body, LIMITS, is_json=is_json)
    except RefusedError as refused:
        expected = {Rsc.BAD_REQUEST, Rsc.CONTENTS_UNACCEPTABLE, Rsc.UNSUPPORTED_MEDIA_TYPE}
        assert refused.rsc in expected  # noqa: PT017 - some are content


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 9000, b"9" * 5000, b"\xff\xfe", b"{"])
def test_json_that_no_reader_survives_unprepared_is_refused(body):
    with pytest.raises(RefusedError, match="not JSON"):
        read_content(body, Limits(), is_json=True)
    with pytest.raises(MessageError, match="no oneM2M response"):
        read_response("2000", body, Limits())


@pytest.mark.parametrize("body", [b"[]", b"1", b'"m2m:dbg"', b"true"])
def test_the_content_of_an_answer_is_an_object(body):
    with pytest.raises(MessageError, match="not a JSON object"):
        read_response("2000", body, LIMITS)


def test_a_body_is_as_long_as_it_may_be_and_no_longer():
    whole = json.dumps({"a": "x" * (LIMITS.body_octets - 9)}).encode()
    assert len(whole) == LIMITS.body_octets
    assert read_response("2000", whole, LIMITS).content == read_content(whole, LIMITS, is_json=True)
    for longer in (whole + b" ", None):
        with pytest.raises(MessageError, match="too long"):
            read_response("2000", longer, LIMITS)
        with pytest.raises(RefusedError, match="more than 2048 octets") as caught:
            read_content(longer, LIMITS, is_json=True)
        assert caught.value.rsc is Rsc.CONTENTS_UNACCEPTABLE


def test_a_request_has_one_of_four_operations_an_identifier_and_a_path_of_any_depth():
    path = ("x",) * 100
    request = request_primitive(Operation.RETRIEVE, path, "/a" * 300, "i" * MAX_REQUEST_ID)
    assert (request.to, len(request.originator), request.content) == (path, 255, None)
    for operation, to, request_id, rsc in (
        (None, path, "1", Rsc.OPERATION_NOT_ALLOWED),
        (Operation.RETRIEVE, path, "", Rsc.BAD_REQUEST),
        (Operation.RETRIEVE, path, "i" * (MAX_REQUEST_ID + 1), Rsc.BAD_REQUEST),
    ):
        with pytest.raises(RefusedError) as caught:
            request_primitive(operation, to, "/a", request_id)
        assert caught.value.rsc is rsc


async def test_a_request_is_refused_in_the_same_words_over_both_transports(tmp_path):
    told = {}
    limits = Limits(body_octets=2048)
    async with running_maf(tmp_path, limits=limits) as maf:
        for transport in Transport:
            client = request_client(Link(maf.address, transport), B.initiator())
            path = ("maf", "symmKeyReg")
            told[transport] = [
                await client.request(Operation.RETRIEVE, ["x"] * 100),
                await client.request(Operation.CREATE, path, content={"x": 1}),
                await client.request(Operation.CREATE, path, content={"x": 1}, resource_type=65001),
                await client.request(
                    Operation.CREATE, path, content={"sec:skr": {"rkid": "x"}}, resource_type=65001
                ),
                await client.request(Operation.RETRIEVE, (*path, "0" * 32)),
            ]
            await client.close()
    assert told[Transport.TLS] == told[Transport.DTLS]
    assert [response.rsc for response in told[Transport.TLS]] == [
        Rsc.NOT_FOUND,
        Rsc.BAD_REQUEST,
        Rsc.BAD_REQUEST,
        Rsc.BAD_REQUEST,
        Rsc.NOT_FOUND,
    ]
