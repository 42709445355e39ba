"""ESCertKE with raw public keys (TS-0003 clause 8.7, RFC 7250): the same four messages."""

from __future__ import annotations

import random

import pytest

from certificate_support import CA, flavoured
from certs import Flavour
from escertke_support import exchange, harmless_bits, message_between, receiver_of
from onem2m_security.alerts import Alert
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.errors import KeyEstablishmentError
from onem2m_security.escertke.end_points import InitiatingEndPoint, TerminatingEndPoint, acceptor, initiator
from onem2m_security.escertke.exchanges import TerminatingExchanges
from onem2m_security.escertke.messages import check_message
from onem2m_security.escertke.proof import ClientProof, transcript
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release
from raw_keys import KeyHolder
from requirements import needs

A, B, C = (KeyHolder.named(name) for name in ("/cse1/Ca", "/cse2/Cb", "/cse3/Cc"))


@pytest.fixture(autouse=True)
def _library():
    needs("libgnutls.so.30")


def initiates(holder=A, peer=B, trusted=B):
    verifier = holder.recognises(trusted)
    return InitiatingEndPoint(
        initiator(holder.entity, peer.entity, certificate=holder.certificate, verifier=verifier)
    )


def accepts(holder=B, *trusted):
    return acceptor(
        holder.entity, certificate=holder.certificate, verifier=holder.recognises(*(trusted or (A,)))
    )


def terminates(holder=B, *trusted):
    return TerminatingEndPoint(accepts(holder, *trusted))


def refused(initiating, terminating) -> KeyEstablishmentError:
    with pytest.raises(KeyEstablishmentError) as refusal:
        exchange(initiating, terminating)
    return refusal.value


def pair():
    return initiates(), terminates()


def up_to(number):
    """Two end-points, and the message of this number, which waits to be delivered."""
    end_points = pair()
    return *end_points, message_between(number, end_points)


def test_two_key_holders_end_with_one_key_and_each_others_identity():
    outcome = exchange(initiates(), terminates())
    assert outcome.initiating.key == outcome.terminating.key
    assert outcome.initiating.key_id == outcome.terminating.key_id
    assert (len(outcome.initiating.key), len(outcome.initiating.key_id)) == (32, 16)
    assert (outcome.initiating.peer, outcome.terminating.peer) == (B.entity, A.entity)
    assert outcome.terminating.expires is None
    for number, message in enumerate(outcome.messages, start=1):
        check_message(number, message)


def test_two_exchanges_give_different_keys():
    keys = {exchange(initiates(), terminates()).initiating.key.reveal() for _ in range(3)}
    assert len(keys) == 3


def test_the_proof_in_message_3_is_read_from_a_raw_public_key():
    initiating, terminating, message_3 = up_to(3)
    first, second = exchange(initiates(), terminates()).messages[:2]
    proof = ClientProof.parse(message_3)
    assert proof.key == A.key.public_key()
    assert not proof.belongs_to(transcript(first, second))
    assert terminating.process(message_3).key.peer == A.entity
    assert initiating is not terminating


def test_another_key_than_the_configured_one_is_refused_at_either_end():
    refusal = refused(initiates(C), terminates())
    assert (refusal.alert, refusal.reply[-1]) == (Alert.bad_certificate, Alert.bad_certificate)
    refusal = refused(initiates(), terminates(C, A))
    assert (refusal.alert, refusal.reply[-1]) == (Alert.bad_certificate, Alert.bad_certificate)


def test_another_known_key_is_not_the_commanded_ones():
    refusal = refused(initiates(peer=B, trusted=C), terminates(C, A))
    assert "not of /cse2/Cb" in str(refusal)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("alter", [lambda message: message[:-1], lambda message: message + b"\0"])
def test_a_message_cut_short_or_longer_by_an_octet_is_refused(number, alter):
    initiating, terminating, message = up_to(number)
    with pytest.raises(KeyEstablishmentError):
        receiver_of(number, initiating, terminating).process(alter(message))


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_message_of_another_exchange_is_refused(number):
    initiating, terminating, _ = up_to(number)
    message = exchange(initiates(), terminates()).messages[number - 1]
    with pytest.raises(KeyEstablishmentError, match="the proof over all messages fails"):
        receiver_of(number, initiating, terminating).process(message)


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_single_bit_counts(number):
    """One bit flipped, every bit of a message in turn: refused, and the initiator has no key.

    As with certificates, the one exception is the ClientHello's record version, 3.1 or 3.3.
    """
    assert harmless_bits(number, pair) == ([22] if number == 1 else [])


def test_interleaved_exchanges_are_kept_apart():
    order, exchanges = random.Random(7), TerminatingExchanges(accepts())
    initiating = {f"exchange {n}": initiates() for n in range(40)}
    waiting = [(name, 1, end_point.start()) for name, end_point in initiating.items()]
    keys = {name: [] for name in initiating}
    while waiting:
        name, number, message = waiting.pop(order.randrange(len(waiting)))
        step = exchanges.process(name, message) if number % 2 else initiating[name].process(message)
        if step.key is not None:
            keys[name].append(step.key)
        if step.message:
            waiting.append((name, number + 1, step.message))
    assert all(len(two) == 2 and two[0].key == two[1].key for two in keys.values())
    assert len({two[0].key.reveal() for two in keys.values()}) == 40


def test_a_message_3_by_a_strangers_key_touches_no_exchange():
    exchanges = TerminatingExchanges(accepts())
    initiating = initiates()
    message_3 = initiating.process(exchanges.process("x", initiating.start()).message).message
    stranger = initiates(C)
    theirs = stranger.process(terminates(B, C).process(stranger.start()).message).message
    with pytest.raises(KeyEstablishmentError, match="belongs to no exchange"):
        exchanges.process("x", theirs)
    at = len(message_3) - 120  # within the signature or beside it: in the clear
    with pytest.raises(KeyEstablishmentError):
        exchanges.process("x", message_3[:at] + bytes((message_3[at] ^ 1,)) + message_3[at + 1 :])
    done = exchanges.process("x", message_3)
    assert initiating.process(done.message).key.key == done.key.key


def test_an_end_point_with_a_certificate_meets_one_with_a_raw_public_key():
    certified = CA.issue(Flavour.CSE_ID, "//sp.example/cse1")
    verifier = PeerVerifier(
        [flavoured(Flavour.CSE_ID, "//sp.example/cse1")], release=Release.R3, require_name_constraints=False
    )
    terminating = TerminatingEndPoint(acceptor(B.entity, certificate=B.certificate, verifier=verifier))
    initiating = InitiatingEndPoint(
        initiator(
            EntityId.parse("//sp.example/cse1"), B.entity, certificate=certified.local(),
            verifier=A.recognises(B),
        )
    )  # fmt: skip
    outcome = exchange(initiating, terminating)
    assert outcome.initiating.key == outcome.terminating.key
    assert str(outcome.terminating.peer) == "//sp.example/cse1"


def test_a_certificate_is_refused_where_a_raw_public_key_is_named():
    certified = CA.issue(Flavour.CSE_ID, "//sp.example/cse1")
    initiating = InitiatingEndPoint(
        initiator(A.entity, B.entity, certificate=certified.local(), verifier=A.recognises(B))
    )
    refusal = refused(initiating, terminates())
    assert refusal.alert in {Alert.unsupported_certificate, Alert.handshake_failure, Alert.bad_certificate}
