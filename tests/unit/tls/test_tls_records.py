"""What is read of DTLS records from outside the engine, and what is written without it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link import IDENTITY, KEY
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.events import SessionEnded
from onem2m_security.tls.framing import DatagramFraming
from onem2m_security.tls.records import (
    client_hello,
    datagram_alert,
    datagram_fragments,
    epoch_of,
    hello_verify_request,
    sequence_of,
    split_datagram,
)
from onem2m_security.tls.session import Session
from onem2m_security.tls.states import State


def dtls_client(mtu: int = 1232) -> Session:
    return Session(Endpoint(server=False), offer=PskOffer(IDENTITY, KEY), framing=DatagramFraming(mtu))


def first_flight(client: Session | None = None) -> bytes:
    [datagram] = (client or dtls_client()).datagrams_to_send()
    return datagram


def hello_of(
    random: bytes, session_id: bytes, cookie: bytes, rest: bytes, *, sequence: bytes = bytes(6)
) -> bytes:
    """A ClientHello written from RFC 6347 clauses 4.1 and 4.2.1."""
    body = (
        b"\xfe\xfd" + random + bytes((len(session_id),)) + session_id + bytes((len(cookie),)) + cookie + rest
    )
    length = len(body).to_bytes(3, "big")
    message = b"\x01" + length + bytes(2) + bytes(3) + length + body
    return b"\x16\xfe\xff" + bytes(2) + sequence + len(message).to_bytes(2, "big") + message


@given(
    random=st.binary(min_size=32, max_size=32),
    session_id=st.binary(max_size=32),
    cookie=st.binary(max_size=255),
    rest=st.binary(max_size=200),
    sequence=st.binary(min_size=6, max_size=6),
    behind=st.binary(max_size=40),
)
def test_random_cookie_and_sequence_are_read_whatever_stands_around_them(
    random, session_id, cookie, rest, sequence, behind
):
    hello = client_hello(hello_of(random, session_id, cookie, rest, sequence=sequence) + behind)
    assert (hello.random, hello.cookie, hello.record_sequence) == (random, cookie, sequence)


def test_the_engine_s_own_client_hello_is_understood():
    hello = client_hello(first_flight())
    assert hello.cookie == b""
    assert len(hello.random) == 32


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, 23), (0, 21), (1, 3), (3, 1), (4, 1), (13, 2), (13, 16), (21, 1), (24, 0), (12, 0), (59, 255)],
)
def test_what_is_no_whole_client_hello_in_the_clear_is_none(position, value):
    datagram = bytearray(hello_of(bytes(32), b"", b"", bytes(20)))
    datagram[position] = value
    assert client_hello(bytes(datagram)) is None


def test_a_client_hello_cut_anywhere_is_none():
    datagram = hello_of(bytes(range(32)), b"id", b"cookie", b"rest")
    assert client_hello(datagram) is not None
    assert [client_hello(datagram[:end]) for end in range(len(datagram))] == [None] * len(datagram)


def test_a_cookie_that_reaches_behind_the_message_is_none():
    datagram = bytearray(hello_of(bytes(32), b"", b"12345678", b""))
    datagram[60] = 9
    assert client_hello(bytes(datagram) + bytes(40)) is None


@given(st.binary(max_size=300))
def test_no_octets_make_the_readers_raise(octets):
    for datagram in (octets, b"\x16\xfe\xfd" + octets, hello_of(bytes(32), b"", b"", b"")[:30] + octets):
        client_hello(datagram)
        list(datagram_fragments(datagram))
        b"".join(split_datagram(datagram))
        epoch_of(datagram)
        sequence_of(datagram)


def test_the_engine_s_client_answers_our_hello_verify_request_with_the_cookie():
    """RFC 6347 clause 4.2.1: the same random, the cookie, and the next record sequence number."""
    client = dtls_client()
    first = client_hello(first_flight(client))
    assert client.receive(hello_verify_request(first, b"c" * 32)) == []
    second = client_hello(first_flight(client))
    assert (second.random, second.cookie) == (first.random, b"c" * 32)
    assert int.from_bytes(second.record_sequence, "big") == 1


@given(sequence=st.binary(min_size=6, max_size=6), cookie=st.binary(min_size=1, max_size=255))
def test_a_hello_verify_request_is_one_record_with_one_message(sequence, cookie):
    hello = client_hello(hello_of(bytes(32), b"", b"", bytes(40), sequence=sequence))
    datagram = hello_verify_request(hello, cookie)
    [record] = split_datagram(datagram)
    [message] = datagram_fragments(datagram)
    assert record == datagram
    assert record[5:11] == sequence
    assert (message.message_type, message.message_sequence, message.offset) == (3, 0, 0)
    assert message.body == b"\xfe\xff" + bytes((len(cookie),)) + cookie
    assert message.message_length == len(message.body)


def test_an_alert_in_the_clear_ends_an_unfinished_handshake_of_the_engine():
    client = dtls_client()
    first_flight(client)
    [ended] = client.receive(datagram_alert(80, 0))
    assert isinstance(ended, SessionEnded)
    assert ended.error.alert.name == "internal_error"
    assert client.state is State.ENDED


@given(st.lists(st.binary(max_size=50), max_size=8), st.binary(max_size=12))
def test_records_come_out_of_a_datagram_as_they_went_in(bodies, rest):
    records = [b"\x17\xfe\xfd" + bytes(8) + len(body).to_bytes(2, "big") + body for body in bodies]
    assert list(split_datagram(b"".join(records) + rest)) == records
