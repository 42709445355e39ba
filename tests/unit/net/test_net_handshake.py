"""The rules of a handshake, without a socket and without a clock."""

from __future__ import annotations

import pytest

from maf_support import ID_A, ID_B, key_of
from onem2m_security.alerts import Alert
from onem2m_security.errors import HandshakeTimeoutError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.handshake import Begin, Commit, Deliver, Fail, Handshake, Resolve, Shut
from onem2m_security.tls.endpoint import Endpoint
from onem2m_security.tls.events import SessionEnded
from onem2m_security.tls.framing import DatagramFraming, StreamFraming
from onem2m_security.tls.states import State

KEY = saef_psk.credential(KeyIdentifier.parse("k@b.example.com"), key_of("k"), peer=ID_A)
LABEL = b"EXPORTER-oneM2M-Connection"


class Ends:
    """An initiator and an acceptor, each with its rules; octets pass when ``pass_on`` is called."""

    def __init__(self, framing):
        acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KEY]))
        self.a = saef_psk.initiate(ID_A, ID_B, KEY).session(framing=framing())
        self.b = Authorities({}, default=acceptor).session(framing())
        self.at_a, self.at_b = Handshake(self.a, 5.0), Handshake(self.b, 5.0)

    def pass_on(self):
        """Everything that there is to send, until nothing moves; what follows from it at A and at B."""
        done = {self.a: [], self.b: []}
        moved = True
        while moved:
            moved = False
            for source, target, rules in ((self.a, self.b, self.at_b), (self.b, self.a, self.at_a)):
                for datagram in source.datagrams_to_send():
                    moved = True
                    done[target] += rules.happened(target.receive(datagram))
        return done[self.a], done[self.b]

    def until_offered(self):
        at_a, [resolve] = self.pass_on()
        assert at_a == []
        assert isinstance(resolve, Resolve)
        return resolve

    def until_completed(self):
        self.until_offered()
        [commit] = self.at_b.resolved(KEY)
        assert isinstance(commit, Commit)
        return commit


@pytest.fixture(params=[StreamFraming, DatagramFraming], ids=["TLS", "DTLS"])
def ends(request):
    return Ends(request.param)


def kinds(commands):
    return [type(command) for command in commands]


def test_each_step_asks_for_the_next_and_the_last_flight_leaves_after_the_commit(ends):
    assert ends.until_offered().identity == b"k@b.example.com"
    [commit] = ends.at_b.resolved(KEY)
    assert commit.established.association.peer == ID_A
    assert ends.b.datagrams_to_send() == []
    assert kinds(ends.at_b.committed()) == [Begin]
    [begin], at_b = ends.pass_on()
    assert at_b == []
    assert begin.established.association.peer == ID_B
    assert ends.a.export(LABEL, 48) == ends.b.export(LABEL, 48)
    ends.a.send(b"hello")
    assert ends.pass_on()[1] == [Deliver(b"hello")]


def test_a_maf_that_answers_after_the_deadline_changes_nothing(ends):
    ends.until_offered()
    fail, shut = ends.at_b.expired()
    assert isinstance(fail.error, HandshakeTimeoutError)
    assert "within 5 s: the key for the client's identity is still being looked up" in str(fail.error)
    assert shut == Shut()
    assert ends.at_b.resolved(KEY) == []
    [failed, ended], at_b = ends.pass_on()
    assert (failed.error.alert, ended, at_b) == (Alert.internal_error, Shut(), [])
    assert ends.b.state is State.ENDED


def test_a_commit_that_ends_after_the_deadline_lets_no_client_believe(ends):
    ends.until_completed()
    fail, _ = ends.at_b.expired()
    assert "what was agreed on is not durable yet" in str(fail.error)
    assert ends.at_b.committed() == []
    at_a, _ = ends.pass_on()
    assert kinds(at_a) == [Fail, Shut]


@pytest.mark.parametrize("step", ["until_offered", "until_completed"])
def test_a_refused_step_fails_the_handshake_once(ends, step):
    getattr(ends, step)()
    assert kinds(ends.at_b.refused()) == [Fail, Shut]
    assert ends.at_b.refused() == ends.at_b.resolved(KEY) == ends.at_b.committed() == []


@pytest.mark.parametrize("step", ["until_offered", "until_completed"])
def test_what_comes_for_a_client_that_has_left_changes_nothing(ends, step):
    getattr(ends, step)()
    assert kinds(ends.at_b.happened(ends.b.connection_lost())) == [Fail, Shut]
    assert ends.at_b.resolved(KEY) == ends.at_b.committed() == []


def test_a_deadline_that_comes_too_late_ends_no_session(ends):
    ends.until_completed()
    assert kinds(ends.at_b.committed()) == [Begin]
    assert ends.at_b.expired() == []
    assert ends.b.state is State.OPEN


def test_no_step_is_taken_twice(ends):
    ends.until_completed()
    assert ends.at_b.resolved(KEY) == []
    assert kinds(ends.at_b.committed()) == [Begin]
    assert ends.at_b.committed() == []


def test_the_end_of_a_session_is_no_failure_of_its_handshake(ends):
    ends.until_completed()
    ends.at_b.committed()
    assert ends.at_b.happened([SessionEnded(None)]) == [Shut()]
