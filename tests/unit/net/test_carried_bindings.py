"""Carried primitives as HTTP messages and as CoAP messages, and from one to the other."""

from __future__ import annotations

from dataclasses import replace

import aiocoap
import pytest
from aiocoap.numbers.codes import Code
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.errors import MessageError
from onem2m_security.net import coap_carried, http_carried
from onem2m_security.net.coap_messages import read_message
from onem2m_security.net.http_carried import HttpRequestHead
from onem2m_security.onem2m.carried import CarriedRequest, CarriedResponse
from onem2m_security.onem2m.primitives import Operation, RefusedError, Rsc

BASE = [(b"X-M2M-RI", b"r1"), (b"x-m2m-origin", b"Cae")]
CREATE = CarriedRequest(
    Operation.CREATE,
    "/cse-id/cse",
    "r1",
    originator="Cae",
    resource_type=2,
    release_version="3",
    query="rcn=1&rt=3",
    parameters={"ot": "20300101T000000", "vsi": "maker", "ec": "4"},
    accept="application/cbor",
    content_type="application/json",
    content=b'{"m2m:ae": {"api": "N1"}}',
)


def head(method: str, target: str, *headers: tuple[bytes, bytes], base=tuple(BASE)) -> HttpRequestHead:
    path, _, query = target.partition("?")
    return HttpRequestHead(method, path.encode(), query.encode("latin-1"), [*base, *headers])


def over_http(request: CarriedRequest) -> CarriedRequest:
    message = http_carried.write_request(request)
    headers = [(name.encode(), value.encode()) for name, value in message.headers]
    return http_carried.read_request(
        head(message.method, message.target, *headers, base=()), message.body or b""
    )


def over_coap(request: CarriedRequest) -> CarriedRequest:
    message, refusal = read_message(encoded(coap_carried.write_request(request)), None)
    assert refusal is None
    return coap_carried.read_request(message)


def encoded(message: aiocoap.Message) -> bytes:
    message.mtype, message.mid = aiocoap.CON, 1
    return message.encode()


def answered_over_http(response: CarriedResponse) -> CarriedResponse:
    _, headers = http_carried.write_response(response)
    return http_carried.read_response([(n.encode(), v.encode()) for n, v in headers], response.content)


def answered_over_coap(response: CarriedResponse, operation=Operation.RETRIEVE) -> CarriedResponse:
    message, _ = read_message(encoded(coap_carried.write_response(response, operation)), None)
    return coap_carried.read_response(message)


@pytest.mark.parametrize("over", [over_http, over_coap, lambda one: over_http(over_coap(over_http(one)))])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"originator": ""},
        {"originator": "C", "accept": "", "release_version": ""},
        {"operation": Operation.NOTIFY, "resource_type": None},
        {"operation": Operation.RETRIEVE, "resource_type": None, "content": b"", "content_type": ""},
        {"operation": Operation.UPDATE, "resource_type": None},
        {"operation": Operation.DELETE, "resource_type": None, "content": b"", "content_type": ""},
        {"to": "//sp.example/cse-id/cse/" + "x/" * 20 + "y"},
        {"to": "cse/a%2Fb", "query": "fu=1&ty=2+3&lbl=a%26b&smf=x%20y"},
        {"content": b"\xa1\x01\x02", "content_type": "application/cbor"},
        {"content": b"<m2m:ae/>", "content_type": "application/vnd.onem2m-res+xml"},
        {"parameters": {"rtu": "http://a/b&http://c/d", "gid": "g", "tkns": "a.b.c+d.e.f"}},
    ],
)
def test_a_request_comes_back_as_it_was_sent(over, changed):
    request = replace(CREATE, **changed)
    assert over(request) == request


@pytest.mark.parametrize("over", [answered_over_http, answered_over_coap])
def test_a_response_comes_back_as_it_was_sent(over):
    response = CarriedResponse(
        2001,
        "r1",
        originator="/cse-id",
        release_version="3",
        parameters={"ot": "20300101T000000", "rset": "20300101T000000"},
        location="/cse/a%20b/c",
        content_type="application/json",
        content=b"{}",
    )
    assert over(response) == response


@pytest.mark.parametrize("rsc", [*map(int, Rsc), 2999, 4999, 5999, 6999])
def test_every_status_code_of_ts_0004_comes_back_over_both_bindings(rsc):
    assert answered_over_http(CarriedResponse(rsc)).rsc == answered_over_coap(CarriedResponse(rsc)).rsc == rsc
    assert http_carried.status_of(rsc) // 100 == int(coap_carried.code_of(rsc)) >> 5


HTTP = {
    "200": "2000 2002 2004",
    "201": "2001",
    "202": "1000 1001 1002",
    "400": "4000 4102 4110 4120 4122 4123 4143 6010 6022 6023 6024",
    "403": (
        "4101 4103 5105 5203 5205 4106 4107 4108 4109 4111 4112 4113 4114 4115 4116 4117 "
        "4126 4127 5208 5214 5215 5218 5222"
    ),
    "404": "4004 4118 4119 4121 5103 5107 6003 6005",
    "405": "4005",
    "406": "5207",
    "409": "4104 4105 4124 5106 5219 5220 6028 6029",
    "415": "4015",
    "500": "5000 5204 5209 5210 5211 5212 5216 5217 5221 6020 6021 6025 6026",
    "501": "4001 4125 5001 5206",
    "504": "4008 6030 6031",
}
"""TS-0009 V3.9.1, table 6.3.2-1."""
COAP = {
    "2.01": "1001 2001",
    "2.05": "2000",
    "2.02": "2002",
    "2.04": "2004",
    "4.00": "4000 4102 4104 4110 4123 4124 4143 5106 5219 5220 6010 6022 6023 6024 6028 6029",
    "5.01": "4001 4125 5001 5206",
    "4.04": "4004 4118 4119 4121 5103 5107 6003 6005",
    "4.05": "4005",
    "5.04": "4008 6030 6031",
    "4.15": "4015",
    "4.03": (
        "4101 4103 4105 4106 4107 4108 4109 4111 4112 4113 4114 4115 4116 4117 4126 4127 "
        "5105 5203 5205 5208 5214 5215 5218 5222"
    ),
    "4.02": "4120 4122",
    "5.00": "5000 5204 5209 5210 5211 5212 5216 5217 5221 6020 6021 6025 6026",
    "4.06": "5207",
}
"""TS-0008 V3.9.0, table 6.2.4-1, but for 1000 (not used) and 1002 (2.01 or 2.04)."""


def test_every_status_code_has_the_http_status_and_the_coap_code_of_the_published_tables():
    http = {int(rsc): int(status) for status, codes in HTTP.items() for rsc in codes.split()}
    assert {rsc: http_carried.status_of(rsc) for rsc in http} == http
    coap = {int(rsc): code for code, codes in COAP.items() for rsc in codes.split()}
    assert {rsc: coap_carried.code_of(rsc).dotted for rsc in coap} == coap
    unlisted = {4029, 4128}  # the first is OURS; TS-0004 has the second
    assert set(Rsc) - unlisted == set(http)
    assert set(Rsc) - unlisted - {1000, 1002} == set(coap)


def test_a_notification_is_answered_over_coap_with_changed_and_without_a_payload():
    response = CarriedResponse(2000, "1", content_type="application/json", content=b"{}")
    message = coap_carried.write_response(response, Operation.NOTIFY)
    assert (message.code, message.payload) == (Code.CHANGED, b"")
    assert coap_carried.write_response(response, Operation.RETRIEVE).code == Code.CONTENT


def test_a_coap_answer_says_its_status_by_its_code_where_one_alone_has_that_code():
    assert coap_carried.read_response(aiocoap.Message(code=Code.CREATED)).rsc == 2001
    with pytest.raises(MessageError):
        coap_carried.read_response(aiocoap.Message(code=Code.FORBIDDEN))


def test_a_post_is_a_create_where_it_has_a_resource_type_and_a_notify_elsewhere():
    typed = (b"content-type", b"application/json; ty=2")
    assert http_carried.read_request(head("POST", "/cse", typed)).operation is Operation.CREATE
    assert http_carried.read_request(head("POST", "/cse")).operation is Operation.NOTIFY
    put = http_carried.read_request(head("PUT", "/cse", typed))
    assert (put.operation, put.resource_type) == (Operation.UPDATE, None)


def test_an_operation_in_the_query_of_a_coap_post_is_the_operation():
    message = coap_carried.write_request(replace(CREATE, query=""))
    message.opt.uri_query = ("op=2", "rt=1")
    request = coap_carried.read_request(message)
    assert (request.operation, request.query, request.resource_type) == (Operation.RETRIEVE, "rt=1", None)
    for queries in [("op=9",), ("op=2", "op=1"), ("fr=CAdmin",)]:
        message.opt.uri_query = queries
        with pytest.raises(RefusedError):
            coap_carried.read_request(message)


@pytest.mark.parametrize(
    "twice", [b"X-M2M-Origin", b"x-m2m-origin", b"X-M2M-RI", b"X-M2M-RVI", b"X-M2M-OT", b"Content-Type"]
)
def test_a_header_field_that_is_there_twice_is_refused(twice):
    with pytest.raises(RefusedError) as refused:
        http_carried.read_request(head("GET", "/cse", (twice, b"a/b"), (twice, b"a/b")))
    assert refused.value.rsc is Rsc.BAD_REQUEST


def test_what_is_for_one_connection_only_goes_no_further():
    more = [
        b"Connection",
        b"Keep-Alive",
        b"TE",
        b"Upgrade",
        b"Proxy-Authorization",
        b"X-Forwarded-For",
        b"Cookie",
    ]
    smuggled = [b"X_M2M_Origin", b"X-M2M-Origin\x00", b"X-oneM2M-Credential-ID"]
    request = http_carried.read_request(head("GET", "/cse", *((name, b"CAdmin") for name in more + smuggled)))
    written = http_carried.write_request(request).headers
    assert dict(written) == {"X-M2M-Origin": "Cae", "X-M2M-RI": "r1"}


@pytest.mark.parametrize("value", [b"Cae\r\nX-M2M-Origin: CAdmin", b"Cae\x00", b"\xff"])
def test_a_value_is_text_without_control_characters(value):
    with pytest.raises(RefusedError):
        http_carried.read_request(head("GET", "/cse", (b"X-M2M-Origin", value), base=BASE[:1]))
    with pytest.raises(MessageError):
        http_carried.read_response([(b"X-M2M-RSC", b"2000"), (b"X-M2M-OT", value)])


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "OPTIONS", "TRACE", "get", ""])
def test_another_method_is_no_operation(method):
    with pytest.raises(RefusedError) as refused:
        http_carried.read_request(head(method, "/cse"))
    assert refused.value.rsc is Rsc.OPERATION_NOT_ALLOWED


@pytest.mark.parametrize("status", [b"", b"200", b"20000", b"abcd", b"2\xb2\xb200"])
def test_an_answer_without_a_status_code_is_no_response_primitive(status):
    with pytest.raises(MessageError):
        http_carried.read_response([(b"x-m2m-rsc", status)], b"<html>")


@pytest.mark.parametrize(
    ("changed", "rsc"),
    [
        ({"content_type": "text/html"}, Rsc.UNSUPPORTED_MEDIA_TYPE),
        ({"accept": "text/html"}, Rsc.NOT_ACCEPTABLE),
        ({"parameters": {"if-match": "x"}}, Rsc.NOT_IMPLEMENTED),
        ({"parameters": {"ec": "x"}}, Rsc.BAD_REQUEST),
        ({"parameters": {"vsi": "x" * 256}}, Rsc.BAD_REQUEST),
        ({"to": "cse/" + "x" * 256}, Rsc.BAD_REQUEST),
        ({"query": "lbl=" + "x" * 256}, Rsc.BAD_REQUEST),
    ],
)
def test_what_coap_cannot_carry_is_refused_and_never_left_out(changed, rsc):
    with pytest.raises(RefusedError) as refused:
        coap_carried.write_request(replace(CREATE, **changed))
    assert refused.value.rsc is rsc


@pytest.mark.parametrize(
    ("accept", "number"),
    [("*/*", None), ("application/xml;q=0.5, */*", 41), ("text/html, application/json", 50), ("", None)],
)
def test_coap_asks_for_the_first_format_that_it_has(accept, number):
    assert coap_carried.write_request(replace(CREATE, accept=accept)).opt.accept == number


@given(
    st.binary(max_size=60), st.lists(st.tuples(st.sampled_from([b"X-M2M-Origin", b"Accept"]), st.binary()))
)
def test_whatever_is_read_is_written_and_read_again_as_it_was(path, headers):
    try:
        request = http_carried.read_request(
            HttpRequestHead("GET", b"/" + path, b"", [(b"x-m2m-ri", b"1"), *headers])
        )
    except RefusedError:
        return
    assert over_http(request) == request
