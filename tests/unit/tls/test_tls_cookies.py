"""The stateless cookie exchange: who has not proven its address costs nothing and learns nothing."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onem2m_security.tls.cookies import CookieGate
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.events import PskIdentityOffered
from onem2m_security.tls.framing import DatagramFraming
from onem2m_security.tls.records import client_hello
from onem2m_security.tls.session import Session
from test_tls_records import dtls_client, first_flight, hello_of

ADDRESS = b"192.0.2.1 40000"


class Gate(CookieGate):
    """Counts the sessions that were made."""

    def __init__(self) -> None:
        self.made = 0
        self.endpoint = Endpoint(server=True)
        super().__init__(self.make)

    def make(self) -> Session:
        self.made += 1
        return Session(self.endpoint, framing=DatagramFraming())

    def ask(self, datagram: bytes, address: bytes = ADDRESS) -> Session | bytes | None:
        return self.receive(client_hello(datagram), datagram, address)


def with_cookie(gate: Gate, address: bytes = ADDRESS) -> tuple[Session, bytes]:
    """A client that was asked for its cookie, and its second ClientHello."""
    client = dtls_client()
    client.receive(gate.ask(first_flight(client), address))
    return client, first_flight(client)


def test_a_client_that_returns_its_cookie_gets_a_session_of_its_own():
    gate = Gate()
    client, second = with_cookie(gate)
    assert gate.made == 0
    session = gate.ask(second)
    assert isinstance(session, Session)
    session.receive(second)
    for datagram in session.datagrams_to_send():
        client.receive(datagram)
    events = [event for datagram in client.datagrams_to_send() for event in session.receive(datagram)]
    assert isinstance(events[0], PskIdentityOffered)
    assert gate.made == 1


def test_a_cookie_is_good_for_its_address_only():
    gate = Gate()
    _, second = with_cookie(gate)
    for other in (b"192.0.2.1 40001", b"192.0.2.2 40000", b"", b"192.0.2.1 4000"):
        assert isinstance(gate.ask(second, other), bytes)
    assert gate.made == 0


def test_a_cookie_is_good_for_its_client_hello_only():
    gate = Gate()
    _, second = with_cookie(gate)
    hello = client_hello(second)
    stolen = hello_of(secrets.token_bytes(32), b"", hello.cookie, bytes(40))
    assert isinstance(gate.ask(stolen), bytes)
    assert gate.made == 0


def test_a_cookie_outlives_one_change_of_the_secret_and_no_second():
    gate = Gate()
    _, second = with_cookie(gate)
    gate.rotate()
    assert isinstance(gate.ask(second), Session)
    gate.rotate()
    assert isinstance(gate.ask(second), bytes)


def test_the_cookie_of_one_port_is_not_taken_by_another():
    _, second = with_cookie(Gate())
    assert isinstance(Gate().ask(second), bytes)


@pytest.mark.parametrize("position", [0, 15, 31])
def test_a_cookie_with_a_wrong_octet_is_asked_for_again(position):
    gate = Gate()
    _, second = with_cookie(gate)
    cookie = bytearray(client_hello(second).cookie)
    cookie[position] ^= 1
    forged = replace(client_hello(second), cookie=bytes(cookie))
    assert isinstance(gate.receive(forged, second, ADDRESS), bytes)


@given(st.binary(max_size=255))
def test_no_guessed_cookie_is_taken(cookie):
    gate = Gate()
    datagram = hello_of(bytes(32), b"", cookie, bytes(40))
    assert isinstance(gate.ask(datagram), bytes)
    assert gate.made == 0


@given(st.binary(max_size=60))
def test_a_right_cookie_in_a_hello_that_the_engine_cannot_read_leaves_nothing(rest):
    """Whoever owns an address may send nonsense from it."""
    gate = Gate()
    asked = gate.ask(hello_of(bytes(32), b"", b"", rest))
    gate_cookie = asked[-32:]
    datagram = hello_of(bytes(32), b"", gate_cookie, rest)
    session = gate.ask(datagram)
    if session is not None:
        assert isinstance(session, Session)
        session.receive(datagram)


def test_the_answer_is_shorter_than_any_question():
    """Amplification: at most 3 before the cookie is asked by RFC 9147; here it is below 1."""
    shortest = hello_of(bytes(32), b"", b"", b"\0\2\0\xa8\1\0")
    gate = Gate()
    assert len(gate.ask(shortest)) < len(shortest)
    assert len(gate.ask(first_flight())) < len(first_flight())


def test_the_second_answer_to_one_client_is_the_first_again():
    gate = Gate()
    datagram = first_flight()
    assert gate.ask(datagram) == gate.ask(datagram)
