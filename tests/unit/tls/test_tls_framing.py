"""Framing: how octets become records and datagrams, and what waits while a handshake waits."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from link import Conditions, StillClock, prompt, psk_link
from onem2m_security.alerts import Alert
from onem2m_security.tls.events import SessionEnded
from onem2m_security.tls.framing import DatagramFraming, StreamFraming
from onem2m_security.tls.records import sequence_of, split_datagram
from onem2m_security.tls.states import State


def record(body: bytes, *, epoch: int = 0, sequence: int = 0, content_type: int = 22) -> bytes:
    header = bytes((content_type, 0xFE, 0xFD)) + epoch.to_bytes(2, "big") + sequence.to_bytes(6, "big")
    return header + len(body).to_bytes(2, "big") + body


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=20), st.integers(420, 1500))
def test_records_are_packed_into_datagrams_of_at_most_the_mtu_and_none_is_cut(bodies, mtu):
    framing = DatagramFraming(mtu)
    records = [record(body, sequence=number) for number, body in enumerate(bodies)]
    for octets in records:
        framing.write(octets)
    datagrams = framing.collect()
    assert all(len(datagram) <= mtu for datagram in datagrams)
    assert [found for datagram in datagrams for found in split_datagram(datagram)] == records
    assert framing.collect() == []
    for one, next_one in itertools.pairwise(datagrams):
        assert len(one) + len(next(split_datagram(next_one))) > mtu  # no room was wasted


def test_a_stream_is_one_piece():
    framing = StreamFraming()
    framing.write(b"\x16\x03\x03\x00\x01a")
    framing.write(b"\x16\x03\x03\x00\x01b")
    assert framing.collect() == [b"\x16\x03\x03\x00\x01a\x16\x03\x03\x00\x01b"]
    assert framing.collect() == []


def test_datagrams_come_in_order_and_one_that_was_put_back_first():
    framing = DatagramFraming()
    for datagram in (b"1", b"2", b"3"):
        framing.push(datagram)
    first = framing.take()
    framing.put_back(first)
    assert [framing.take(), framing.take_available(), framing.take(), framing.take()] == [
        b"1", b"2", b"3", None,
    ]  # fmt: skip


def test_what_waits_is_bounded_in_octets_and_a_first_datagram_is_always_taken():
    framing = DatagramFraming()
    for _ in range(10_000):
        framing.push(bytes(1000))
    kept = 0
    while framing.take() is not None:
        kept += 1
    assert kept == 16
    framing.push(bytes(18_000))
    framing.push(b"x")
    assert len(framing.take()) == 18_000
    assert framing.take() is None


def test_what_waits_is_bounded_in_number_too():
    """A short datagram costs its object as well."""
    framing = DatagramFraming()
    for _ in range(10_000):
        framing.push(b"x")
    kept = 0
    while framing.take() is not None:
        kept += 1
    assert kept == 64


def test_once_the_client_has_answered_nothing_of_an_earlier_flight_leaves():
    framing = DatagramFraming()
    framing.write(record(b"ServerHello"))
    assert len(framing.collect()) == 1
    framing.begin_last_flight()
    last = [record(b"\1", content_type=20, sequence=3), record(b"Finished", epoch=1)]
    framing.write(record(b"ServerHello", sequence=1) + record(b"ServerHelloDone", sequence=2) + last[0])
    framing.write(last[1])
    assert framing.collect() == [b"".join(last)]
    framing.alert_instead(Alert.internal_error)
    [alert] = framing.collect()
    assert sequence_of(alert) == 4  # never used, also not by what did not leave


def test_discarded_datagrams_make_room_again():
    framing = DatagramFraming()
    for _ in range(20):
        framing.push(bytes(1000))
    framing.discard()
    assert framing.take() is None
    framing.push(b"1")
    framing.push(b"2")
    assert [framing.take(), framing.take()] == [b"1", b"2"]


def test_an_alert_instead_of_the_last_flight_bears_a_sequence_number_that_was_never_used():
    """Otherwise the client would drop it as a replay (RFC 6347 clause 4.1.2.6)."""
    link = psk_link(Conditions(commit=1000), prompt, StillClock())
    link.run(until=1)
    session = link.server.session
    assert session.state is State.WITHHOLDING
    session.abort(Alert.internal_error)
    [alert] = session.datagrams_to_send()
    [ended] = link.client.receive(alert)
    assert isinstance(ended, SessionEnded)
    assert ended.error.alert.name == "internal_error"


def test_the_alert_at_the_end_of_what_waits_is_named():
    framing = DatagramFraming()
    assert framing.alert_sent() is None
    framing.write(record(b"hello"))
    assert framing.alert_sent() is None
    framing.alert_instead(Alert.handshake_failure)
    assert framing.alert_sent() is Alert.handshake_failure
    assert [len(datagram) for datagram in framing.collect()] == [15]
