"""The sans-IO session: two of them handshake, wait for their owners, end as they should."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onem2m_security.alerts import Alert
from onem2m_security.credentials import Secret
from onem2m_security.errors import ConfigurationError, HandshakeError, IdentifierError
from onem2m_security.keys import EXPORT_OCTETS, ExportLabel
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.events import DataReceived, PskIdentityOffered, SessionEnded
from onem2m_security.tls.states import State
from onem2m_security.tls.suites import CERTIFICATE_SUITES, PSK_SUITES
from tls_support import IDENTITY, KEY, ONLY_PSK, Pair, client, client_flights, server

LABEL = ExportLabel.CONNECTION.value


def ended(events) -> HandshakeError | None:
    [event] = [event for event in events if isinstance(event, SessionEnded)]
    return event.error


@pytest.mark.parametrize("suite", PSK_SUITES, ids=lambda suite: suite.openssl_name)
def test_both_ends_agree_on_suite_identity_and_export(suite):
    pair = Pair(client(suites=(suite,)), server()).run()
    assert pair.a.state is pair.b.state is State.OPEN
    assert pair.a.suite == pair.b.suite == suite
    assert pair.a.protocol == pair.b.protocol == "TLSv1.2"
    assert pair.a.psk_identity == pair.b.psk_identity == IDENTITY
    assert pair.a.has_extended_master_secret
    assert pair.b.has_extended_master_secret
    assert pair.a.export(LABEL, EXPORT_OCTETS) == pair.b.export(LABEL, EXPORT_OCTETS)
    assert len({pair.a.export(label.value, EXPORT_OCTETS) for label in ExportLabel}) == 3


def test_the_server_prefers_forward_secrecy_whatever_order_the_client_offers():
    pair = Pair(client(suites=tuple(reversed(PSK_SUITES))), server()).run()
    assert pair.b.suite == PSK_SUITES[0]


def test_two_sessions_with_one_key_export_different_octets():
    exported = {Pair(client(), server()).run().b.export(LABEL, EXPORT_OCTETS) for _ in range(3)}
    assert len(exported) == 3


@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
@pytest.mark.parametrize("suites", [ONLY_PSK, PSK_SUITES], ids=["psk", "ecdhe-psk"])
def test_octets_may_arrive_in_any_cut(chunk, suites):
    pair = Pair(client(suites=suites), server(), chunk=chunk).run()
    assert pair.a.state is pair.b.state is State.OPEN
    pair.a.send(b"x" * 1000)
    pair.run()
    assert b"".join(event.data for event in pair.b_events if isinstance(event, DataReceived)) == b"x" * 1000


def test_the_server_waits_for_the_key_and_shows_the_identity_once():
    a, b = client(), server()
    pair = Pair(a, b)
    b.receive(a.data_to_send())
    a.receive(b.data_to_send())
    events = b.receive(a.data_to_send())
    assert events == [PskIdentityOffered(IDENTITY, PSK_SUITES[0])]
    assert b.state is State.RESOLVING
    assert b.data_to_send() == b""
    assert b.receive(b"") == []
    pair.b_events.extend(b.answer(KEY))
    pair.run()
    assert pair.identities == []
    assert a.state is b.state is State.OPEN


def test_the_last_flight_is_withheld_until_it_is_released():
    pair = Pair(client(), server()).run(release=False)
    assert pair.b_completed
    assert not pair.a_completed
    assert pair.b.state is State.WITHHOLDING
    assert pair.b.data_to_send() == b""
    before = pair.b.export(LABEL, EXPORT_OCTETS)
    pair.run()
    assert pair.a_completed
    assert pair.a.export(LABEL, EXPORT_OCTETS) == before


@pytest.mark.parametrize("alert", ["internal_error", "access_denied", "unknown_psk_identity"])
def test_a_server_that_cannot_make_it_durable_ends_it_with_an_alert(alert):
    pair = Pair(client(), server()).run(release=False)
    assert ended(pair.b.abort(Alert[alert])).alert.name == alert
    pair.run()
    assert not pair.a_completed
    assert ended(pair.a_events).alert.name == alert
    assert pair.a.state is State.ENDED


def test_a_server_may_abort_while_it_looks_for_the_key():
    a, b = client(), server()
    b.receive(a.data_to_send())
    a.receive(b.data_to_send())
    b.receive(a.data_to_send())
    b.abort(Alert.internal_error)
    assert b.answer(KEY) == []
    assert ended(a.receive(b.data_to_send())).alert.name == "internal_error"


def test_a_wrong_key_ends_both_sides_and_names_the_reason():
    pair = Pair(client(), server(), answer=Secret(b"another key")).run()
    assert not pair.a_completed
    assert not pair.b_completed
    assert ended(pair.b_events).alert.name == "bad_record_mac"
    assert ended(pair.a_events).alert.name == "bad_record_mac"
    assert "holds another key" in str(ended(pair.a_events))
    assert "holds another key" in str(ended(pair.b_events))


def test_an_unknown_identity_looks_like_a_wrong_key():
    unknown = Pair(client(), server(), answer=None).run()
    assert ended(unknown.a_events).alert.name == "bad_record_mac"


def test_an_unknown_identity_is_named_where_that_is_wanted():
    unknown = Pair(client(), server(hide_unknown_identities=False), answer=None).run()
    assert ended(unknown.a_events).alert.name == "unknown_psk_identity"
    assert "is it provisioned" in str(ended(unknown.a_events))


def test_application_data_sent_with_the_last_flight_waits_for_the_release():
    a, b = client(), server()
    pair = Pair(a, b).run(release=False)
    pair.b.receive(b"")
    pair.run()
    a.send(b"first")
    b.send(b"second")
    pair.run()
    assert [event.data for event in pair.b_events if isinstance(event, DataReceived)] == [b"first"]
    assert [event.data for event in pair.a_events if isinstance(event, DataReceived)] == [b"second"]


@given(st.binary(min_size=1, max_size=70_000))
@settings(max_examples=10)
def test_application_data_of_any_length_comes_through(data):
    pair = Pair(client(), server()).run()
    pair.a.send(data)
    pair.run()
    assert b"".join(event.data for event in pair.b_events if isinstance(event, DataReceived)) == data


def test_an_orderly_close_is_told_without_an_error():
    pair = Pair(client(), server()).run()
    pair.a.close()
    pair.run()
    assert pair.b_events[-1] == SessionEnded(None)
    assert pair.b.state is State.ENDED


@pytest.mark.parametrize(("complete", "during"), [(False, "the handshake"), (True, "the session")])
def test_a_connection_that_breaks_is_an_error(complete, during):
    pair = Pair(client(), server())
    if complete:
        pair.run()
    assert during in str(ended(pair.b.connection_lost()))
    assert pair.b.connection_lost() == []


def test_one_flipped_bit_in_application_data_ends_the_session():
    pair = Pair(client(), server()).run()
    pair.a.send(b"data")
    record = bytearray(pair.a.data_to_send())
    record[-1] ^= 1
    error = ended(pair.b.receive(bytes(record)))
    assert error is not None
    assert pair.b.state is State.ENDED


def test_an_ended_session_ignores_what_comes():
    pair = Pair(client(), server()).run()
    pair.b.connection_lost()
    assert pair.b.receive(b"anything") == []
    assert pair.b.release() == []
    assert pair.b.abort(Alert.internal_error) == []


# --- SNI ---


def test_the_client_s_host_name_chooses_the_endpoint():
    seen = []
    other = Endpoint(server=True, suites=(PSK_SUITES[-1],))

    def select(name):
        seen.append(name)
        return other

    pair = Pair(client(server_name="maf.example.com"), server(select=select)).run()
    assert seen == ["maf.example.com"]
    assert pair.b.endpoint is other
    assert pair.b.suite == PSK_SUITES[-1]
    assert pair.b.server_name == "maf.example.com"


def test_a_name_that_is_not_served_is_refused_with_its_alert():
    pair = Pair(client(server_name="elsewhere.example"), server(select=lambda _: None)).run()
    assert not pair.a_completed
    assert ended(pair.a_events).alert.name == "unrecognized_name"
    assert "does not serve the name" in str(ended(pair.a_events))


def test_a_client_without_a_host_name_is_asked_for_too():
    seen = []
    Pair(client(), server(select=lambda name: seen.append(name) or Endpoint(server=True))).run()
    assert seen == [None]


# --- suites and configuration ---


def test_sides_without_a_common_suite_end_with_handshake_failure():
    b = server(select=lambda _: Endpoint(server=True, suites=(PSK_SUITES[-1],)))
    pair = Pair(client(suites=(PSK_SUITES[0],)), b).run()
    assert not pair.a_completed
    assert ended(pair.a_events).alert.name == "handshake_failure"


def test_an_endpoint_that_could_negotiate_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="no cipher suite"):
        Endpoint(server=True, psk=False)
    with pytest.raises(ConfigurationError, match="no cipher suite"):
        Endpoint(server=True, suites=CERTIFICATE_SUITES)


@pytest.mark.parametrize("identity", [b"", b"x" * 256, b"a\0b", b"\0"])
def test_what_cannot_be_a_psk_identity_is_never_offered(identity):
    with pytest.raises(IdentifierError, match="psk_identity"):
        PskOffer(identity, KEY)


@pytest.mark.parametrize("identity", [b"x", b"x" * 255, b"\xff\xfe\x01", "ü@m.example".encode()])
def test_an_identity_of_any_octets_but_nul_reaches_the_resolver_unchanged(identity):
    pair = Pair(client(identity), server()).run()
    assert pair.identities == [identity]
    assert pair.b.psk_identity == identity
    assert pair.a.state is pair.b.state is State.OPEN


@pytest.mark.parametrize("octets", [1, 32, 256])
def test_keys_of_every_allowed_length_work(octets):
    key = Secret(bytes(octets))
    assert Pair(client(key=key), server(), answer=key).run().a_completed


# --- what is wrong ends the session, whatever it is, and never raises ---


@given(st.binary(min_size=1, max_size=2000))
def test_random_octets_never_raise_and_never_complete(data):
    b = server()
    for event in b.receive(data):
        assert isinstance(event, SessionEnded)
    b.data_to_send()
    assert b.state in {State.HANDSHAKE, State.ENDED}


FLIGHTS = client_flights()


@given(st.integers(0, len(FLIGHTS[0]) - 1), st.integers(1, 255))
def test_a_client_hello_with_a_wrong_octet_never_raises(position, flip):
    hello = bytearray(FLIGHTS[0])
    hello[position] ^= flip
    b = server()
    for event in b.receive(bytes(hello)):
        assert isinstance(event, SessionEnded)
    assert b.state in {State.HANDSHAKE, State.ENDED}


@given(st.integers(0, len(FLIGHTS[1]) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_a_second_flight_with_a_wrong_octet_never_completes(position, flip):
    a, b = client(suites=ONLY_PSK), server()
    b.receive(a.data_to_send())
    a.receive(b.data_to_send())
    flight = bytearray(a.data_to_send())
    position = min(position, len(flight) - 1)
    flight[position] ^= flip
    events = b.receive(bytes(flight))
    if b.state is State.RESOLVING:
        events += b.answer(KEY)
    assert b.state is not State.WITHHOLDING
    assert b.state is not State.OPEN
