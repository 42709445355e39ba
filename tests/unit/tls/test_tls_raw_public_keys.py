"""Raw public keys (RFC 7250) by the second TLS library: the same session, without a socket."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import weakref

import pytest

import certificate_support
from certificate_support import Credential, flavoured
from certs import Flavour
from logged import capture_logs
from onem2m_security.alerts import Alert
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.credentials import Secret
from onem2m_security.errors import ConfigurationError
from onem2m_security.private_memory import wipe
from onem2m_security.release import Release
from onem2m_security.tls import gnutls, gnutls_library, gnutls_terms
from onem2m_security.tls.cookies import CookieGate
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.engine import CertificateType, EngineError
from onem2m_security.tls.events import DataReceived, HandshakeCompleted, PskIdentityOffered, SessionEnded
from onem2m_security.tls.framing import DatagramFraming, StreamFraming
from onem2m_security.tls.gnutls import GnuTlsContext
from onem2m_security.tls.records import client_hello
from onem2m_security.tls.session import Session
from onem2m_security.tls.states import State
from onem2m_security.tls.suites import CERTIFICATE_SUITES, PSK_SUITES
from onem2m_security.tls.trial import check_port
from programs import PATIENCE
from raw_keys import STRANGER, A, B
from requirements import needs
from tls_support import IDENTITY, KEY

LABEL = b"EXPORTER-oneM2M-Connection"
OVER = pytest.mark.parametrize("framing", [StreamFraming, DatagramFraming], ids=["tls", "dtls"])


@pytest.fixture(autouse=True)
def _library():
    needs("libgnutls.so.30")


class Ends:
    """A client and a server that hand each other what they have, until nothing moves."""

    def __init__(self, client, server, framing, *, key=KEY, offer=None, server_name=None, release=True):
        self.client = Session(client, framing=framing(), offer=offer, server_name=server_name)
        self.server = server if isinstance(server, Session) else Session(server, framing=framing())
        self.key, self.release = key, release
        self.told = {self.client: [], self.server: []}

    def run(self, alter=lambda octets: octets):
        moving = True
        while moving:
            moving = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                for datagram in source.datagrams_to_send():
                    moving = True
                    self.take(target, target.receive(alter(datagram)))
        return self

    def take(self, session, events):
        self.told[session] += events
        for event in events:
            if isinstance(event, PskIdentityOffered):
                self.take(session, session.answer(self.key))
            elif isinstance(event, HandshakeCompleted) and session is self.server and self.release:
                self.take(session, session.release())

    @property
    def states(self):
        return self.client.state, self.server.state

    @property
    def alerts(self):
        """With which alert it ended at the client and at the server."""
        return [
            next((event.error.alert for event in told if isinstance(event, SessionEnded)), None)
            for told in self.told.values()
        ]

    def texts(self, session):
        return [str(event.error) for event in self.told[session] if isinstance(event, SessionEnded)]


def ends(framing, *, client=None, server=None, **more):
    return Ends(client or A.endpoint(B, server=False), server or B.endpoint(A, server=True), framing, **more)


# --- the session as it is over the other library ---


@OVER
@pytest.mark.parametrize("suite", CERTIFICATE_SUITES, ids=lambda suite: suite.openssl_name)
def test_two_ends_that_know_each_others_key_share_a_session_and_exports(framing, suite):
    made = ends(
        framing,
        client=A.endpoint(B, server=False, suites=(suite,)),
        server=B.endpoint(A, server=True, requires_extended_master_secret=True),
        server_name="b.sp.example",
    ).run()
    assert made.states == (State.OPEN, State.OPEN)
    assert made.client.suite == made.server.suite == suite
    assert made.server.server_name == "b.sp.example"
    assert made.client.protocol == made.server.protocol == ("DTLSv1.2" if framing.datagram else "TLSv1.2")
    assert made.client.has_extended_master_secret
    assert made.server.has_extended_master_secret
    assert len(made.client.export(LABEL, 48)) == 48
    assert made.client.export(LABEL, 48) == made.server.export(LABEL, 48)
    assert made.client.export(LABEL, 48) != made.client.export(b"EXPORTER-oneM2M-ESCertKE", 48)
    assert (made.client.verified_peer.peer, made.server.verified_peer.peer) == (B.entity, A.entity)


@OVER
def test_data_passes_both_ways_and_the_end_is_told(framing):
    made = ends(framing).run()
    made.client.send(b"from the client")
    made.server.send(b"from the server" * 70)
    made.run()
    assert made.told[made.server][-1] == DataReceived(b"from the client")
    assert made.told[made.client][-1] == DataReceived(b"from the server" * 70)
    made.server.close()
    made.run()
    assert made.told[made.client][-1] == SessionEnded(None)


def test_a_long_text_comes_whole_over_tls_and_is_refused_over_dtls():
    stream, datagram = ends(StreamFraming).run(), ends(DatagramFraming).run()
    stream.client.send(b"x" * 100_000)
    stream.run()
    received = [event.data for event in stream.told[stream.server] if isinstance(event, DataReceived)]
    assert b"".join(received) == b"x" * 100_000
    with pytest.raises(EngineError, match="too large"):
        datagram.client.send(b"x" * 16_385)


@OVER
def test_the_last_flight_waits_until_the_owner_releases_it(framing):
    made = ends(framing, release=False).run()
    assert made.states == (State.HANDSHAKE, State.WITHHOLDING)
    assert made.server.datagrams_to_send() == []
    assert len(made.server.export(LABEL, 48)) == 48
    made.take(made.server, made.server.release())
    assert made.run().states == (State.OPEN, State.OPEN)


@OVER
def test_an_owner_that_cannot_keep_what_was_agreed_on_ends_it(framing):
    made = ends(framing, release=False).run()
    made.server.abort(Alert.internal_error)
    made.run()
    assert made.alerts[0] is Alert.internal_error


@OVER
@pytest.mark.parametrize("suite", [s for s in PSK_SUITES if s.code != 0xCCAC], ids=lambda s: s.openssl_name)
def test_clients_with_pre_shared_keys_come_to_the_same_port(framing, suite):
    server = B.endpoint(A, server=True, psk=True)
    client = Endpoint(server=False, suites=(suite,))
    made = Ends(client, server, framing, offer=PskOffer(IDENTITY, KEY)).run()
    assert made.states == (State.OPEN, State.OPEN)
    assert (made.server.psk_identity, made.server.suite) == (IDENTITY, suite)
    assert made.client.export(LABEL, 48) == made.server.export(LABEL, 48)


def test_a_client_may_hold_both_kinds_of_credentials():
    both = A.endpoint(B, server=False, psk=True, suites=(PSK_SUITES[2],))
    made = Ends(both, B.endpoint(A, server=True, psk=True), StreamFraming, offer=PskOffer(IDENTITY, KEY))
    assert made.run().states == (State.OPEN, State.OPEN)
    assert made.server.psk_identity == IDENTITY


@pytest.mark.parametrize(
    ("hides", "alert"), [(True, Alert.bad_record_mac), (False, Alert.unknown_psk_identity)]
)
def test_an_identity_that_nobody_knows_is_hidden_or_told_as_configured(hides, alert):
    server = B.endpoint(A, server=True, psk=True, hide_unknown_identities=hides)
    client = Endpoint(server=False, suites=(PSK_SUITES[2],))
    made = Ends(client, server, StreamFraming, offer=PskOffer(IDENTITY, KEY), key=None).run()
    assert made.alerts == [alert, alert]


def test_a_wrong_pre_shared_key_completes_nothing():
    server = B.endpoint(A, server=True, psk=True)
    client = Endpoint(server=False, suites=(PSK_SUITES[2],))
    made = Ends(client, server, StreamFraming, offer=PskOffer(IDENTITY, KEY), key=Secret.generate()).run()
    assert made.alerts == [Alert.bad_record_mac] * 2


@OVER
def test_the_name_chooses_the_owner_and_with_it_the_key_that_is_shown(framing):
    other = B.endpoint(A, server=True), STRANGER.endpoint(A, server=True)
    server = Session(other[0], framing=framing(), select={"b.example": other[1]}.get)
    made = Ends(A.endpoint(STRANGER, server=False), server, framing, server_name="b.example").run()
    assert made.states == (State.OPEN, State.OPEN)
    assert made.client.verified_peer.peer == STRANGER.entity
    assert made.server.owner is other[1]


@OVER
def test_a_name_that_is_not_served_is_refused(framing):
    server = Session(B.endpoint(A, server=True), framing=framing(), select=lambda name: None)
    made = Ends(A.endpoint(B, server=False), server, framing, server_name="c.example").run()
    assert made.alerts == [Alert.unrecognized_name] * 2


def test_a_name_whose_owner_takes_the_other_library_is_refused_and_never_served_by_the_wrong_one():
    by_openssl = Endpoint(server=True)
    server = Session(B.endpoint(A, server=True), select=lambda name: by_openssl)
    made = Ends(A.endpoint(B, server=False), server, StreamFraming).run()
    assert made.alerts == [Alert.internal_error] * 2
    by_gnutls = B.endpoint(A, server=True)
    server = Session(by_openssl, select=lambda name: by_gnutls)
    made = Ends(Endpoint(server=False), server, StreamFraming, offer=PskOffer(IDENTITY, KEY)).run()
    assert made.alerts == [Alert.internal_error] * 2


def test_one_port_for_both_libraries_is_refused_before_it_opens():
    check_port([B.endpoint(A, server=True)])
    with pytest.raises(ConfigurationError, match="give them different ports"):
        check_port([B.endpoint(A, server=True), Endpoint(server=True)])


# --- who is refused, with which alert, in the middle of the handshake ---


@OVER
def test_another_key_than_the_configured_one_is_refused_at_either_end(framing):
    for made in (
        ends(framing, client=STRANGER.endpoint(B, server=False)),
        ends(framing, client=A.endpoint(STRANGER, server=False)),
    ):
        assert made.run().alerts == [Alert.bad_certificate] * 2
        assert any("no association names the raw public key ni:///" in text
                   for session in made.told for text in made.texts(session))  # fmt: skip


@OVER
def test_who_shows_the_right_key_without_holding_it_is_refused(framing):
    thief = Credential((A.spki,), STRANGER.key, CertificateType.RAW_PUBLIC_KEY)
    with pytest.raises(ConfigurationError, match="does not take a raw public key"):
        Session(
            Endpoint(server=False, psk=False, certificate=thief, verifier=A.recognises(B)), framing=framing()
        )


X509 = {
    "client": certificate_support.CA.issue(Flavour.AE_ID, "//sp.example/Sa"),
    "server": certificate_support.CA.issue(Flavour.FQDN, "b.sp.example"),
}


def by_x509(who, *, server, verifier):
    return Endpoint(server=server, psk=False, certificate=X509[who].local(), verifier=verifier)


TRUSTS_X509 = PeerVerifier(
    [flavoured(Flavour.FQDN, "b.sp.example"), flavoured(Flavour.AE_ID, "//sp.example/Sa")],
    release=Release.R3,
    require_name_constraints=False,
)


@OVER
def test_a_certificate_where_a_raw_public_key_is_named_is_refused(framing):
    """By whoever does not speak of raw public keys, and by whoever does but has a certificate only."""
    plain = by_x509("client", server=False, verifier=TRUSTS_X509)
    made = ends(framing, client=plain).run()
    assert None not in made.alerts
    assert State.OPEN not in made.states
    speaking = Endpoint(server=False, psk=False, certificate=X509["client"].local(), verifier=A.recognises(B))
    made = ends(framing, client=speaking).run()
    assert None not in made.alerts
    assert State.OPEN not in made.states


@OVER
def test_a_raw_public_key_where_a_certificate_is_named_is_refused(framing):
    plain = by_x509("server", server=True, verifier=TRUSTS_X509)
    for client in (
        A.endpoint(B, server=False),
        Endpoint(server=False, psk=False, certificate=A.certificate, verifier=TRUSTS_X509),
    ):
        made = ends(framing, client=client, server=plain).run()
        assert None not in made.alerts
        assert State.OPEN not in made.states
    made = ends(framing, server=B.endpoint(A, server=True), client=Endpoint(
        server=False, psk=False, certificate=A.certificate, verifier=TRUSTS_X509)).run()  # fmt: skip
    assert None not in made.alerts
    assert State.OPEN not in made.states


@OVER
def test_one_end_may_show_a_certificate_and_the_other_a_raw_public_key(framing):
    """A server with a certificate knows its devices by their keys alone, and such a device its server."""
    device = Endpoint(server=False, psk=False, certificate=A.certificate, verifier=TRUSTS_X509)
    server = by_x509("server", server=True, verifier=B.recognises(A))
    made = ends(framing, client=device, server=server).run()
    assert made.states == (State.OPEN, State.OPEN)
    assert made.client.export(LABEL, 48) == made.server.export(LABEL, 48)
    assert made.server.verified_peer.flavour is Flavour.RAW_PUBLIC_KEY
    assert made.client.verified_peer.flavour is Flavour.FQDN


@OVER
def test_a_server_may_know_some_by_their_keys_and_others_by_certificates(framing):
    knows = PeerVerifier(
        [A.configuration, flavoured(Flavour.AE_ID, "//sp.example/Sa")],
        release=Release.R3,
        require_name_constraints=False,
    )
    server = by_x509("server", server=True, verifier=knows)
    for certificate, flavour in ((A.certificate, "raw-public-key"), (X509["client"].local(), "ae-id")):
        client = Endpoint(server=False, psk=False, certificate=certificate, verifier=TRUSTS_X509)
        made = ends(framing, client=client, server=server).run()
        assert made.states == (State.OPEN, State.OPEN)
        assert made.server.verified_peer.flavour.value == flavour


# --- octets of somebody else ---


def recorded(framing):
    """What each end sends in a whole handshake, in its order: (to the server, octets)."""
    sent = []
    made = ends(framing)
    moving = True
    while moving:
        moving = False
        for source, target in ((made.client, made.server), (made.server, made.client)):
            for datagram in source.datagrams_to_send():
                moving = True
                sent.append((target is made.server, datagram))
                made.take(target, target.receive(datagram))
    return sent


@OVER
def test_an_altered_octet_anywhere_completes_nothing(framing):
    flights = [octets for _, octets in recorded(framing)]
    for flight in range(len(flights)):
        for place in range(0, len(flights[flight]), 37):
            seen = itertools.count()

            def alter(octets, flight=flight, place=place, seen=seen):
                if next(seen) != flight or place >= len(octets):
                    return octets
                return octets[:place] + bytes((octets[place] ^ 1,)) + octets[place + 1 :]

            made = ends(framing).run(alter)
            if made.states == (State.OPEN, State.OPEN):
                # Of a ClientHello's record, the version may be 3.1 or 3.3; nothing that is proven differs.
                assert made.client.export(LABEL, 48) == made.server.export(LABEL, 48)
            elif not framing.datagram:
                assert State.OPEN not in made.states or State.ENDED in made.states


@OVER
def test_flights_cut_short_complete_nothing_and_raise_nothing(framing):
    for to_server, octets in recorded(framing):
        for length in range(0, len(octets), 41):
            made = ends(framing)
            session = made.server if to_server else made.client
            events = session.receive(octets[:length])
            assert HandshakeCompleted() not in events
            session.datagrams_to_send()


@OVER
def test_a_flight_cut_anywhere_is_put_together_again_over_tls(framing):
    if framing.datagram:
        made = ends(lambda: DatagramFraming(mtu=300)).run()
    else:
        made = ends(framing)
        moving = True
        while moving:
            moving = False
            for source, target in ((made.client, made.server), (made.server, made.client)):
                octets = source.data_to_send()
                moving |= bool(octets)
                for at in range(len(octets)):
                    made.take(target, target.receive(octets[at : at + 1]))
    assert made.states == (State.OPEN, State.OPEN)


@OVER
def test_garbage_ends_a_handshake_or_is_dropped_and_raises_nothing(framing):
    for octets in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 2000,
        b"\xff" * 2000,
        b"\x16\x03\x03\xff\xff" + b"x" * 70_000,
    ):
        made = ends(framing)
        made.server.receive(octets)
        made.server.datagrams_to_send()
        assert made.server.state in {State.HANDSHAKE, State.ENDED}


@pytest.mark.parametrize("to_server", [True, False], ids=["server", "client"])
def test_a_handshake_message_that_announces_megabytes_is_refused_before_it_came(to_server):
    made = ends(StreamFraming)
    if not to_server:
        made.server.receive(made.client.data_to_send())
        flight = made.server.data_to_send()
        made.client.receive(flight[: 5 + int.from_bytes(flight[3:5], "big")])  # the ServerHello
    session = made.server if to_server else made.client
    kind = b"\x01" if to_server else b"\x0b"
    header, events, given = kind + b"\x80\x00\x00", [], 0
    while not events:
        events = session.receive(b"\x16\x03\x03\x40\x00" + header + b"\0" * (0x4000 - len(header)))
        header, given = b"", given + 0x4000
    assert given <= 5 * 0x4000
    assert "too large" in str(events[0].error)
    assert session.state is State.ENDED


def test_a_datagram_that_announces_megabytes_is_dropped_and_the_handshake_goes_on():
    made = ends(DatagramFraming)
    body = b"\x01" + b"\x80\0\0" + b"\0\0" + b"\0\0\0" + b"\0\1\0" + b"x" * 256
    forged = b"\x16\xfe\xfd\0\0" + bytes(6) + len(body).to_bytes(2, "big") + body
    assert made.server.receive(forged) == []
    assert len(made.server._engine.inbox) == made.server._engine.inbox.taken == 0
    assert made.run().states == (State.OPEN, State.OPEN)


def test_a_record_that_is_too_long_ends_an_open_session():
    made = ends(StreamFraming).run()
    [ended] = made.server.receive(b"\x17\x03\x03\x50\x00" + b"\0" * 0x5000)
    assert isinstance(ended, SessionEnded)
    assert ended.error is not None


def test_a_forged_datagram_does_not_end_an_open_session():
    for suite in CERTIFICATE_SUITES:
        made = ends(DatagramFraming, client=A.endpoint(B, server=False, suites=(suite,))).run()
        made.client.send(b"genuine")
        [datagram] = made.client.datagrams_to_send()
        for at in range(len(datagram)):
            forged = datagram[:at] + bytes((datagram[at] ^ 0x80,)) + datagram[at + 1 :]
            assert made.server.receive(forged) == []
        assert made.server.receive(datagram) == [DataReceived(b"genuine")]
        assert made.server.receive(datagram) == [], "a copy is dropped"


def records_in_the_clear():
    """What anybody who can write a peer's address may send it: of epochs that are over or not yet begun."""

    def hello(number: int) -> bytes:
        return b"\1\0\0\x3c\0" + bytes((number,)) + b"\0\0\0\0\0\x3c" + b"x" * 60

    bodies = {
        20: [b"\1"], 21: [b"\2\x28", b"\1\0", b"\1\x5a"], 22: [hello(0), hello(7), bytes(12), b"x"],
        23: [b"forged", b""], 99: [b"x"],
    }  # fmt: skip
    for kind, forms in bodies.items():
        for body, epoch in itertools.product(forms, range(3)):
            head = bytes((kind, 0xFE, 0xFD, 0, epoch)) + (50).to_bytes(6, "big")
            yield head + len(body).to_bytes(2, "big") + body


def test_forged_records_of_any_kind_do_not_end_an_open_session():
    made = ends(DatagramFraming).run()
    for session, other in ((made.server, made.client), (made.client, made.server)):
        for record in records_in_the_clear():
            assert session.receive(record) == []
            assert session.datagrams_to_send() == []
        other.send(b"genuine")
        [datagram] = other.datagrams_to_send()
        assert session.receive(datagram) == [DataReceived(b"genuine")]


def test_a_datagram_that_was_cut_short_takes_nothing_of_the_next_with_it():
    for length in range(0, 60, 3):
        made = ends(DatagramFraming)
        [hello] = made.client.datagrams_to_send()
        made.server.receive(hello[:length])
        made.take(made.server, made.server.receive(hello))
        assert made.run().states == (State.OPEN, State.OPEN)


def test_an_alert_of_the_peer_is_told_by_its_name():
    made = ends(StreamFraming)
    made.server.receive(made.client.data_to_send())
    [ended] = made.server.receive(b"\x15\x03\x03\x00\x02\x02\x50")
    assert ended.error.alert is Alert.internal_error
    assert "the peer answered with internal_error" in str(ended.error)


# --- DTLS ---


def test_a_client_that_has_proven_its_address_is_answered():
    gate = CookieGate(lambda: Session(B.endpoint(A, server=True), framing=DatagramFraming()))
    client = Session(A.endpoint(B, server=False), framing=DatagramFraming())
    [first] = client.datagrams_to_send()
    asked = gate.receive(client_hello(first), first, b"address")
    assert isinstance(asked, bytes)
    client.receive(asked)
    [second] = client.datagrams_to_send()
    server = gate.receive(client_hello(second), second, b"address")
    assert isinstance(server, Session)
    told = server.receive(second)
    while flight := server.datagrams_to_send():
        for datagram in flight:
            told += client.receive(datagram)
        for datagram in client.datagrams_to_send():
            told += server.receive(datagram)
        if server.state is State.WITHHOLDING:
            server.release()
    assert (client.state, server.state) == (State.OPEN, State.OPEN)


@pytest.mark.parametrize("mtu", [256, 576, 1232])
def test_no_datagram_is_longer_than_the_mtu(mtu):
    lengths = []
    made = ends(lambda: DatagramFraming(mtu=mtu))
    made.run(lambda octets: lengths.append(len(octets)) or octets)
    assert made.states == (State.OPEN, State.OPEN)
    assert max(lengths) <= mtu


def test_nothing_is_repeated_before_its_time_or_when_nothing_waits():
    made = ends(DatagramFraming)
    assert made.server.retransmit_in() is None
    assert 0 < made.client.retransmit_in() <= 1
    made.client.datagrams_to_send()
    assert made.client.retransmit() == []
    assert made.client.datagrams_to_send() == []
    made = ends(DatagramFraming).run()
    assert made.client.retransmit_in() is made.server.retransmit_in() is None


# --- the library, and what it gets of ours ---


@pytest.fixture
def _library_anew():
    gnutls_library.load.cache_clear()
    yield
    gnutls_library.load.cache_clear()


@pytest.mark.usefixtures("_library_anew")
def test_where_the_library_is_not_installed_one_line_says_so(monkeypatch):
    monkeypatch.setattr(gnutls_library, "LIBRARY", "libgnutls-is-not-here.so.30")
    with pytest.raises(ConfigurationError, match=r"RFC 7250.*take GnuTLS.*libgnutls30.*not installed"):
        A.endpoint(B, server=False)


@pytest.mark.usefixtures("_library_anew")
def test_where_the_library_is_too_old_one_line_says_so(monkeypatch):
    monkeypatch.setattr(gnutls_library, "NEEDED", "99.0.0")
    with pytest.raises(ConfigurationError, match=r"take GnuTLS 99.0.0 or later.*older here"):
        A.endpoint(B, server=False)


def test_only_the_suites_of_the_standard_can_come_of_any_choice_of_them():
    for suites in (None, *((suite,) for suite in (*PSK_SUITES[1:], *CERTIFICATE_SUITES))):
        B.endpoint(A, server=True, psk=True, suites=suites).context(datagram=True)
    with pytest.raises(ConfigurationError, match="cannot be kept to these cipher suites"):
        B.endpoint(A, server=True, psk=True, suites=(PSK_SUITES[2], CERTIFICATE_SUITES[1])).context(
            datagram=False
        )


def test_the_private_key_is_wiped_where_it_was_handed_over(monkeypatch):
    handed = []
    monkeypatch.setattr(gnutls_terms, "wipe", lambda octets: (handed.append(octets), wipe(octets)))
    B.endpoint(A, server=True).context(datagram=False)
    [key] = handed
    assert len(key) > 100
    assert key == bytes(len(key))


SECRETS = """
import sys
from raw_keys import A, B
from onem2m_security.tls.framing import StreamFraming
from test_tls_raw_public_keys import Ends
Ends(A.endpoint(B, server=False), B.endpoint(A, server=True), StreamFraming).run()
"""


def test_no_variable_of_the_environment_has_the_library_write_secrets(tmp_path):
    """SSLKEYLOGFILE and GNUTLS_DEBUG_LEVEL have GnuTLS do so by itself."""
    log = tmp_path / "secrets"
    environment = os.environ | {
        "SSLKEYLOGFILE": str(log),
        "GNUTLS_DEBUG_LEVEL": "99",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", SECRETS], env=environment, capture_output=True, timeout=PATIENCE, check=True
    )
    assert not log.exists() or log.read_bytes() == b""
    assert b"SECRET" not in done.stderr
    assert b"INT:" not in done.stderr  # its word for key blocks; of its own start it tells before it is asked


def test_a_session_is_released_before_the_credentials_that_it_was_made_with(monkeypatch):
    """In whatever order the collector finds them: here both are of one circle."""
    library, released = gnutls_library.load(), []

    def owned(owner, pointer, release, *kept):
        weakref.finalize(owner, lambda *_: (released.append(release), release(pointer)), *kept)
        return pointer

    for module in (gnutls, gnutls_terms, gnutls_library):
        monkeypatch.setattr(module, "owned", owned)
    circle = [Session(B.endpoint(A, server=True))]
    circle.append(circle)
    gc.collect()
    assert released == []
    del circle
    gc.collect()
    assert len(released) == 3
    assert released[0] == library.gnutls_deinit


def test_sessions_leave_nothing_behind():
    ends(StreamFraming).run()
    gc.collect()
    living = sum(isinstance(thing, gnutls.GnuTlsEngine) for thing in gc.get_objects())
    for framing in (StreamFraming, DatagramFraming) * 5:
        ends(framing).run()
        ends(framing, client=STRANGER.endpoint(B, server=False)).run()
    gc.collect()
    assert sum(isinstance(thing, gnutls.GnuTlsEngine) for thing in gc.get_objects()) <= living
    assert gnutls._running == {}


def test_a_verifier_that_fails_lets_nobody_in_and_no_exception_out():
    class Broken:
        certificate_types = frozenset({CertificateType.RAW_PUBLIC_KEY})

        def verify(self, chain, *, server):
            raise RuntimeError("a mistake")

    server = Endpoint(server=True, psk=False, certificate=B.certificate, verifier=Broken())
    with capture_logs() as logs:
        made = ends(StreamFraming, server=server).run()
    assert State.OPEN not in made.states
    assert made.alerts == [Alert.bad_certificate] * 2
    [log] = logs
    assert "a mistake" in log["error"]


def test_a_context_names_its_library_and_its_terms_alone():
    context = B.endpoint(A, server=True).context(datagram=False)
    assert isinstance(context, GnuTlsContext)
    assert "credential" not in repr(context.terms)
