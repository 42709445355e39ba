"""Reading the psk_identity before the engine does: every cut, every lie about a length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.tls.psk_identity import DatagramIdentityReader, StreamIdentityReader
from onem2m_security.tls.records import RECORD_MAX_OCTETS, take_record
from onem2m_security.tls.suites import CERTIFICATE_SUITES, PSK_SUITES, Suite

PSK = PSK_SUITES[-1]
ECDHE_PSK = PSK_SUITES[0]
ECDSA = CERTIFICATE_SUITES[0]


def record(body: bytes, content_type: int = 22) -> bytes:
    return bytes((content_type, 3, 3)) + len(body).to_bytes(2, "big") + body


def server_hello(suite: Suite, session_id: bytes = b"") -> bytes:
    body = (
        b"\3\3" + bytes(32) + bytes((len(session_id),)) + session_id + suite.code.to_bytes(2, "big") + b"\0"
    )
    return record(b"\2" + len(body).to_bytes(3, "big") + body)


def key_exchange(
    identity: bytes, rest: bytes = b"", *, length: int | None = None, message: int | None = None
) -> bytes:
    body = (len(identity) if length is None else length).to_bytes(2, "big") + identity + rest
    return b"\x10" + (len(body) if message is None else message).to_bytes(3, "big") + body


def reader(suite: Suite = PSK) -> StreamIdentityReader:
    made = StreamIdentityReader()
    made.wrote(server_hello(suite), datagram=False)
    return made


# --- records ---


def test_a_record_is_taken_once_it_is_whole():
    whole = record(b"abc")
    for cut in range(len(whole)):
        buffer = bytearray(whole[:cut])
        assert take_record(buffer) is None
        assert buffer == whole[:cut]
    buffer = bytearray(whole + b"rest")
    assert take_record(buffer) == whole
    assert buffer == b"rest"


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1", b"\x16\x02\x00\x00\x05", b"\x18\x03\x03\x00\x00", b"\0" * 5]
)
def test_what_is_no_record_goes_to_the_engine_as_it_is(start):
    buffer = bytearray(start)
    assert take_record(buffer) == start
    assert not buffer


def test_a_record_longer_than_the_standard_allows_is_not_waited_for():
    buffer = bytearray(b"\x16\x03\x03\xff\xff" + b"x" * 10)
    assert take_record(buffer) is not None
    assert not buffer
    limit = RECORD_MAX_OCTETS - 5
    assert take_record(bytearray(b"\x16\x03\x03" + limit.to_bytes(2, "big"))) is None


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 20))
def test_records_come_out_as_they_went_in_whatever_the_cut(bodies, size):
    stream = b"".join(record(body) for body in bodies)
    buffer, taken = bytearray(), []
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        while (found := take_record(buffer)) is not None:
            taken.append(found)
    assert b"".join(taken) == stream
    assert len(taken) == len(bodies)


# --- TLS ---


@pytest.mark.parametrize("suite", PSK_SUITES, ids=lambda suite: suite.openssl_name)
@pytest.mark.parametrize("session_id", [b"", bytes(32)])
def test_the_suite_is_learned_from_our_own_server_hello(suite, session_id):
    made = StreamIdentityReader()
    made.wrote(server_hello(suite, session_id), datagram=False)
    assert made.suite == suite
    assert not made.finished


@pytest.mark.parametrize("suite", CERTIFICATE_SUITES, ids=lambda suite: suite.openssl_name)
def test_with_a_certificate_suite_the_key_exchange_is_no_identity(suite):
    made = reader(suite)
    assert made.finished
    assert made.read(record(key_exchange(b"\x41" + b"p" * 65))) is None


@pytest.mark.parametrize(
    "flight", [b"", b"\x16", b"\x15\3\3\0\2\2\x28", record(b"\2\0\0\1\0"), record(b"\x0b")]
)
def test_other_flights_of_ours_tell_no_suite(flight):
    made = StreamIdentityReader()
    made.wrote(flight, datagram=False)
    assert made.suite is None
    assert made.read(record(key_exchange(b"km"))) is None


@given(st.binary(max_size=255), st.binary(max_size=70))
def test_the_identity_is_what_the_client_wrote(identity, public_key):
    assert reader(PSK).read(record(key_exchange(identity))) == identity
    assert reader(ECDHE_PSK).read(record(key_exchange(identity, public_key))) == identity


@given(st.binary(max_size=60), st.lists(st.integers(1, 30), max_size=6))
def test_a_key_exchange_may_be_spread_over_records(identity, cuts):
    message = key_exchange(identity)
    pieces, at = [], 0
    for size in cuts:
        pieces.append(message[at : at + size])
        at += size
    pieces = [piece for piece in [*pieces, message[at:]] if piece]
    made = reader()
    found = [made.read(record(piece)) for piece in pieces]
    assert [identity] == [one for one in found if one is not None]
    assert made.finished


@pytest.mark.parametrize(
    "lie",
    [
        record(key_exchange(b"km", length=256)),
        record(key_exchange(b"km", length=65_535)),
        record(key_exchange(b"km", length=3, message=4)),
        record(key_exchange(b"km", message=1)),
        record(b"\x0b\0\0\3abc"),
        record(b"\1", content_type=20),
        record(b"\2\x28", content_type=21),
        record(b"data", content_type=23),
    ],
)
def test_what_is_no_identity_is_left_to_the_engine_for_good(lie):
    made = reader()
    assert made.read(lie) is None
    assert made.finished
    assert made.read(record(key_exchange(b"km"))) is None


def test_only_one_identity_is_read():
    made = reader()
    assert made.read(record(key_exchange(b"km"))) == b"km"
    assert made.read(record(key_exchange(b"other"))) is None


@given(st.lists(st.binary(min_size=5, max_size=600), max_size=6))
def test_no_octets_make_the_reader_raise(records):
    made = reader()
    for one in records:
        found = made.read(b"\x16\3\3" + one)
        assert found is None or len(found) <= 255


# --- DTLS ---


def datagram_record(body: bytes, *, epoch: int = 0, content_type: int = 22) -> bytes:
    return (
        bytes((content_type, 0xFE, 0xFD))
        + epoch.to_bytes(2, "big")
        + bytes(6)
        + len(body).to_bytes(2, "big")
        + body
    )


def fragment(
    kind: int, body: bytes, *, at: int = 0, of: int | None = None, piece: bytes | None = None
) -> bytes:
    whole = len(body) if of is None else of
    sent = body if piece is None else piece
    header = (
        bytes((kind,))
        + whole.to_bytes(3, "big")
        + b"\0\1"
        + at.to_bytes(3, "big")
        + len(sent).to_bytes(3, "big")
    )
    return header + sent


def datagram_reader(suite: Suite = PSK) -> DatagramIdentityReader:
    made = DatagramIdentityReader()
    body = b"\xfe\xfd" + bytes(32) + b"\0" + suite.code.to_bytes(2, "big") + b"\0"
    made.wrote(datagram_record(fragment(2, body)), datagram=True)
    return made


def identity_body(identity: bytes) -> bytes:
    return len(identity).to_bytes(2, "big") + identity


@given(st.binary(max_size=100), st.randoms(use_true_random=False), st.integers(1, 20))
def test_fragments_may_come_in_any_order_and_twice(identity, random, size):
    body = identity_body(identity)
    pieces = [(at, body[at : at + size]) for at in range(0, len(body), size)] * 2
    random.shuffle(pieces)
    made = datagram_reader()
    found = [
        made.read(datagram_record(fragment(16, body, at=at, of=len(body), piece=piece)))
        for at, piece in pieces
    ]
    assert [one for one in found if one is not None] == [identity]


def test_fragments_that_contradict_each_other_or_are_too_long_are_not_believed():
    made = datagram_reader()
    assert made.read(datagram_record(fragment(16, b"", of=100_000, piece=b"\0\2"))) is None
    assert made.finished
    made = datagram_reader()
    body = identity_body(b"km")
    made.read(datagram_record(fragment(16, body, of=len(body), piece=body[:1])))
    assert made.read(datagram_record(fragment(16, body, at=1, of=len(body) + 1, piece=body[1:]))) is None
    assert made.read(datagram_record(fragment(16, body, at=1, of=len(body), piece=body[1:]))) == b"km"


def test_an_encrypted_record_is_no_identity():
    made = datagram_reader()
    assert made.read(datagram_record(fragment(16, identity_body(b"km")), epoch=1)) is None


def test_with_a_certificate_suite_a_datagram_holds_no_identity():
    assert datagram_reader(ECDSA).read(datagram_record(fragment(16, identity_body(b"km")))) is None


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_no_datagram_makes_the_reader_raise(datagrams):
    made = datagram_reader()
    for octets in datagrams:
        for datagram in (octets, datagram_record(octets), datagram_record(b"\x10" + octets)):
            found = made.read(datagram)
            assert found is None or len(found) <= 255


@given(st.binary(max_size=200))
def test_no_flight_makes_a_reader_raise(octets):
    StreamIdentityReader().wrote(octets, datagram=False)
    StreamIdentityReader().wrote(record(b"\2" + octets), datagram=False)
    DatagramIdentityReader().wrote(octets, datagram=True)
    DatagramIdentityReader().wrote(datagram_record(b"\2" + octets), datagram=True)
