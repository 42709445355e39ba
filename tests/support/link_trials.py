"""Trials on the simulated link, in simulated time: ``test_link.py`` runs them under libfaketime."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import Authority
from link import DEADLINE, IDENTITY, Conditions, Link, ServerSide, VirtualClock, fate, psk_link
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.trust import Trust
from onem2m_security.credentials import Secret
from onem2m_security.frameworks import saef_certificate
from onem2m_security.identifiers import EntityId
from onem2m_security.tls.events import HandshakeCompleted, SessionEnded
from onem2m_security.tls.framing import DatagramFraming
from onem2m_security.tls.records import (
    CONTENT_CHANGE_CIPHER_SPEC,
    CONTENT_HANDSHAKE,
    datagram_fragments,
    epoch_of,
    split_datagram,
)
from onem2m_security.tls.records import HANDSHAKE_CLIENT_KEY_EXCHANGE as KEY_EXCHANGE
from onem2m_security.tls.states import State
from raw_keys import A, B

MTUS = (576, 1232)
LONG_IDENTITY = b"a" * 200 + b"@" + b"m" * 40 + b".example.com"


def types_in(datagram: bytes) -> set[int]:
    """The handshake messages of which a datagram holds a piece in the clear."""
    return {fragment.message_type for fragment in datagram_fragments(datagram)}


def outcome(link: Link) -> str:
    """Run a handshake to its end and hold what must hold of every end."""
    link.run()
    server = link.server
    assert len(server.committed) <= 1, "two keys from one handshake"
    assert len(server.identities) <= len(server.sessions) == (1 if server.sessions else 0)
    assert server.failures == []
    completed = [event for event in link.client_events if isinstance(event, HandshakeCompleted)]
    if link.client.state is State.OPEN:
        assert len(completed) == 1
        assert server.session.state is State.OPEN
        assert link.exports_agree
        return "associated"
    assert completed == []
    link.give_up()
    assert link.client.state is State.ENDED
    [ended] = [event for event in link.client_events if isinstance(event, SessionEnded)]
    assert ended.error is not None
    return "failed"


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("loss", [0.1, 0.2, 0.3])
def test_handshakes_on_a_lossy_link_end_in_one_key_or_a_clear_failure(mtu, loss):
    conditions = Conditions(loss=loss, duplication=0.1, truncation=0.1, delay=0.4, mtu=mtu)
    ends = [
        outcome(psk_link(conditions, fate(conditions, random.Random(seed)), VirtualClock()))
        for seed in range(50)
    ]
    assert ends.count("associated") >= 47  # the others ran out of their two minutes


ARRIVALS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.01, 0.3, 1.5, 4.0]), st.none() | st.floats(0, 1)), max_size=2
)
"""Further arrivals of a datagram: how late, and how much of it (None: all)."""


@pytest.mark.parametrize("mtu", MTUS)
@settings(max_examples=100)
@given(
    delays=st.lists(st.sampled_from([0.0, 0.02, 0.4, 2.5]), min_size=1, max_size=12),
    arrivals=st.lists(ARRIVALS, min_size=1, max_size=12),
)
def test_without_loss_every_handshake_ends_in_one_key(mtu, delays, arrivals):
    """Every datagram arrives, early or late, and perhaps again, and perhaps cut as well."""
    delay, further = itertools.cycle(delays), itertools.cycle(arrivals)

    def drawn(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
        copies = [(later, datagram if cut is None else datagram[: int(cut * len(datagram))])
                  for later, cut in next(further)]  # fmt: skip
        return [(next(delay), datagram), *copies]

    link = psk_link(Conditions(mtu=mtu), drawn, VirtualClock(), identity=LONG_IDENTITY)
    assert outcome(link) == "associated"
    assert link.server.identities == [LONG_IDENTITY]


@pytest.mark.parametrize(("lookup", "loss"), [(0.5, 0.15), (3.0, 0.15), (20.0, 0.0)])
def test_a_slow_lookup_and_a_slow_commit_are_waited_for_and_asked_once(lookup, loss):
    for seed in range(15):
        conditions = Conditions(loss=loss, duplication=0.2, delay=0.3, lookup=lookup, commit=lookup)
        link = psk_link(conditions, fate(conditions, random.Random(seed)), VirtualClock())
        assert outcome(link) == "associated"
        assert link.server.identities == [IDENTITY]


@pytest.mark.parametrize("mtu", [260, 1232])
@pytest.mark.parametrize(("lookup", "commit"), [(2.5, 0.0), (0.0, 2.5), (9.0, 4.0)])
@pytest.mark.parametrize("lost", [False, True], ids=["whole", "its end lost at first"])
def test_a_client_that_repeats_itself_while_it_waits_gets_one_last_flight_and_nothing_beside_it(
    mtu, lookup, commit, lost
):
    """Some clients never recover from a flight of before, or from the last one twice."""
    flight: list[bytes] = []
    sent: list[tuple[int, int]] = []

    def watch(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
        records = [(record[0], epoch_of(record)) for record in split_datagram(datagram)]
        if from_server:
            sent.extend(records if link.server.identities else ())
        elif flight or KEY_EXCHANGE in types_in(datagram):
            flight.append(datagram)
        return [] if lost and len(flight) == 2 and not from_server else [(0.0, datagram)]

    identity = b"a" * 100 + b"@maf.example.com"  # at the small MTU the flight takes two datagrams
    link = psk_link(
        Conditions(mtu=mtu, lookup=lookup, commit=commit), watch, VirtualClock(), identity=identity
    )
    assert outcome(link) == "associated"
    assert len(flight) >= (4 if mtu == 260 else 2)
    assert sent == [(CONTENT_CHANGE_CIPHER_SPEC, 0), (CONTENT_HANDSHAKE, 1)]
    assert link.server.identities == [identity]


def certificate_link(conditions: Conditions, seed: int, authority: Authority, root: Authority) -> Link:
    a, b = (authority.issue(None, f"{name}.sp.example").local() for name in "ab")

    def configuration(name: str, peer: str) -> AssociationConfiguration:
        return AssociationConfiguration.release1(
            certificate_name=f"{name}.sp.example", root_of_trust=root.root_of_trust.hex(), peer=peer
        )

    initiator = saef_certificate.initiate(EntityId("/a"), a, Trust((configuration("b", "/b"),)))
    endpoint = saef_certificate.accept(b, Trust((configuration("a", "/a"),)))
    return Link(
        initiator.session(framing=DatagramFraming(conditions.mtu)),
        ServerSide(endpoint, None, conditions),
        fate(conditions, random.Random(seed)),
        clock=VirtualClock(),
    )


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_certificates_in_many_fragments_survive_the_same(mtu, loss):
    root = Authority.root("link")
    authority = root.intermediate()
    conditions = Conditions(loss=loss, duplication=0.2, truncation=0.1, delay=0.4, mtu=mtu)
    links = [certificate_link(conditions, seed, authority, root) for seed in range(12)]
    ends = [outcome(link) for link in links]
    assert ends.count("associated") >= 11
    sent = [datagram for link in links for datagram in link.sent_datagrams]
    assert max(map(len, sent)) <= mtu
    assert len(sent) > 12 * 6  # the chains do not fit one datagram


def raw_key_link(conditions: Conditions, seed: int) -> Link:
    clock = VirtualClock()  # before the sessions: their library does not bear a clock that goes back
    initiator = saef_certificate.initiate(A.entity, A.certificate, B.trust)
    return Link(
        initiator.session(framing=DatagramFraming(conditions.mtu)),
        ServerSide(saef_certificate.accept(B.certificate, A.trust), None, conditions),
        fate(conditions, random.Random(seed)),
        clock=clock,
    )


@pytest.mark.parametrize("mtu", [260, *MTUS])
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.2, 0.3])
def test_raw_public_keys_survive_the_same(mtu, loss):
    conditions = Conditions(loss=loss, duplication=0.2, truncation=0.1, delay=0.4, mtu=mtu)
    ends, longest = [], 0
    for seed in range(25):
        link = raw_key_link(conditions, seed)
        ends.append(outcome(link))
        longest = max(longest, *map(len, link.sent_datagrams))
    assert ends.count("associated") >= 24
    assert longest <= mtu


@pytest.mark.parametrize("mtu", [260, 1232])
@pytest.mark.parametrize(("lookup", "commit"), [(0.0, 0.0), (2.5, 0.0), (9.0, 4.0)])
def test_a_pre_shared_key_on_a_port_for_raw_public_keys_gets_one_last_flight_and_nothing_beside_it(
    mtu, lookup, commit
):
    sent: list[tuple[int, int]] = []

    def watch(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
        if from_server and link.server.identities:
            sent.extend((record[0], epoch_of(record)) for record in split_datagram(datagram))
        return [(0.0, datagram)]

    clock = VirtualClock()
    link = psk_link(Conditions(mtu=mtu, lookup=lookup, commit=commit), watch, clock)
    link.server.endpoint = saef_certificate.accept(B.certificate, A.trust)
    assert outcome(link) == "associated"
    assert sent == [(CONTENT_CHANGE_CIPHER_SPEC, 0), (CONTENT_HANDSHAKE, 1)]
    assert link.server.identities == [IDENTITY]


@pytest.mark.parametrize("losses", [1, 2, 3])
def test_a_lost_last_flight_comes_again_without_a_second_key(losses):
    lost: list[bytes] = []

    def lose_last_flights(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
        if from_server and link.server.committed and len(lost) < losses:
            lost.append(datagram)
            return []
        return [(0.0, datagram)]

    link = psk_link(Conditions(lookup=0.1), lose_last_flights, VirtualClock())
    assert outcome(link) == "associated"
    assert len(lost) == losses
    assert len(link.server.committed) == 1
    assert link.now > 2**losses - 1.5  # each repetition waits twice as long as the one before


def test_when_the_last_flight_never_arrives_the_server_holds_one_key_and_the_client_none():
    def lose_after_commit(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
        return [] if from_server and link.server.committed else [(0.0, datagram)]

    link = psk_link(Conditions(), lose_after_commit, VirtualClock())
    assert outcome(link) == "failed"
    assert len(link.server.committed) == 1


@pytest.mark.parametrize("server_key", [None, Secret(b"another key of the same identity")])
def test_a_wrong_key_or_an_unknown_identity_ends_in_silence_and_no_key(server_key):
    conditions = Conditions(loss=0.1, delay=0.2)
    for seed in range(10):
        link = psk_link(
            conditions, fate(conditions, random.Random(seed)), VirtualClock(), server_key=server_key
        )
        assert outcome(link) == "failed"
        assert link.server.committed == []


def test_a_dead_link_ends_when_the_engine_has_repeated_itself_in_vain():
    link = psk_link(Conditions(), lambda datagram, from_server: [], VirtualClock())
    link.run(until=1000)
    assert link.client.state is State.ENDED
    [ended] = link.client_events
    assert "silent" in str(ended.error)
    assert len(link.sent_datagrams) == 13  # once, and twelve times in vain
    assert DEADLINE < link.now < 600


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("copies", [1, 2])
def test_fragments_of_an_identity_are_understood_in_every_order(order, copies):
    held: list[bytes] = []

    def shuffle(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
        if from_server or not link.server.sessions or link.server.identities or len(held) == len(order):
            return [(0.0, datagram)]
        held.append(datagram)
        return [(0.01 * order[len(held) - 1] + 0.05 * copy, datagram) for copy in range(copies)]

    conditions = Conditions(mtu=260)  # the engine's least
    link = psk_link(conditions, shuffle, VirtualClock(), identity=LONG_IDENTITY)
    assert outcome(link) == "associated"
    assert [KEY_EXCHANGE in types_in(datagram) for datagram in held].count(True) >= 2
    assert link.server.identities == [LONG_IDENTITY]
