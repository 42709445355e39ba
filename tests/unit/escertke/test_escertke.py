"""ESCertKE between two end-points of ours: the result, and that nothing else than the four messages works."""

from __future__ import annotations

import contextlib
import itertools
import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs import Authority, Flavour, constrained, self_signed
from escertke_support import (
    Outcome,
    Party,
    exchange,
    harmless_bits,
    is_over,
    message_between,
    receiver_of,
)
from onem2m_security.association import Role
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.credentials import Framework, Secret
from onem2m_security.errors import HandshakeError, KeyEstablishmentError
from onem2m_security.escertke.end_points import InitiatingEndPoint, TerminatingEndPoint, acceptor, initiator
from onem2m_security.escertke.exchanges import TerminatingExchanges
from onem2m_security.escertke.messages import MESSAGE_MAX_OCTETS, alert_in, check_message
from onem2m_security.escertke.proof import ClientProof, transcript
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.session import Session
from onem2m_security.tls.suites import CERTIFICATE_SUITES

A = Party.named("/cse1/Ca")
B = Party.named("/cse2/Cb")
C = Party.named("/cse3/Cc")
INITIATOR = A.initiates_with(B)
ACCEPTOR = B.terminates_for(A)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pair() -> tuple[InitiatingEndPoint, TerminatingEndPoint]:
    return InitiatingEndPoint(INITIATOR), TerminatingEndPoint(ACCEPTOR)


def a_whole_exchange() -> Outcome:
    return exchange(*pair())


def up_to(number: int) -> tuple[InitiatingEndPoint, TerminatingEndPoint, bytes]:
    """Two end-points, and the message of this number, which waits to be delivered."""
    end_points = pair()
    return *end_points, message_between(number, end_points)


a_message: dict[int, bytes] = dict(enumerate(a_whole_exchange().messages, start=1))


def refused(number: int, alter: Callable[[bytes], bytes]) -> KeyEstablishmentError:
    """Alter one message of a fresh exchange: the refusal, at whichever end; neither end keeps a state."""
    initiating, terminating, message = up_to(number)
    message = alter(message)
    sent = number
    try:
        while True:
            step = receiver_of(sent, initiating, terminating).process(message)
            assert step.key is None or receiver_of(sent, initiating, terminating) is not initiating
            assert step.message
            assert step.key is None or number == 4, "the terminating end-point got a key"
            message, sent = step.message, sent + 1
    except KeyEstablishmentError as error:
        refusal = error
    other = receiver_of(sent + 1, initiating, terminating)
    if refusal.reply and sent < 4:
        with pytest.raises(KeyEstablishmentError) as told:
            other.process(refusal.reply)
        assert told.value.reply == b""
    other.discard()
    assert is_over(initiating)
    assert is_over(terminating)
    return refusal


# --- the result ---------------------------------------------------------------------------------------------


def test_both_end_points_hold_the_same_key_identifier_and_each_other_s_identity():
    outcome = a_whole_exchange()
    assert outcome.initiating.key == outcome.terminating.key
    assert outcome.initiating.key_id == outcome.terminating.key_id
    assert (len(outcome.initiating.key), len(outcome.initiating.key_id)) == (32, 16)
    assert (outcome.initiating.peer, outcome.terminating.peer) == (B.entity, A.entity)
    assert outcome.initiating.expires == B.x509.not_valid_after_utc
    assert outcome.terminating.expires == A.x509.not_valid_after_utc


def test_the_association_says_which_framework_role_and_suite():
    outcome = a_whole_exchange()
    for key, role in ((outcome.initiating, Role.ENTITY_A), (outcome.terminating, Role.ENTITY_B)):
        assert key.association.framework is Framework.ESCERTKE
        assert key.association.role is role
        assert key.association.protocol == "TLSv1.2"
        assert key.association.cipher_suite == "ECDHE-ECDSA-AES128-GCM-SHA256"


def test_a_key_does_not_show_its_octets():
    key = a_whole_exchange().initiating
    assert key.key.reveal().hex() not in repr(key)
    assert repr(key.key.reveal()) not in repr(key)


def test_two_exchanges_give_different_keys():
    first, second = a_whole_exchange().initiating, a_whole_exchange().initiating
    assert first.key != second.key
    assert first.key_id != second.key_id


@pytest.mark.parametrize("suite", CERTIFICATE_SUITES, ids=lambda suite: suite.openssl_name)
def test_every_suite_of_the_certificate_frameworks_does(suite):
    narrow = Endpoint(
        server=True,
        psk=False,
        certificate=B.certificate,
        verifier=B.recognises(A),
        suites=(suite,),
    )
    configured = B.terminates_for(A)
    configured.endpoint = narrow
    outcome = exchange(InitiatingEndPoint(INITIATOR), TerminatingEndPoint(configured))
    assert outcome.initiating.key == outcome.terminating.key
    assert outcome.initiating.association.cipher_suite == suite.openssl_name


def test_release_3_certificates_with_a_chain():
    root = Authority.root("root")
    middle = constrained(root)
    anchors = (root.certificate,)
    ids = [EntityId.parse("//sp.example/cse1/Ca"), EntityId.parse("//sp.example/cse2/Cb")]
    issued = [middle.issue(Flavour.AE_ID, str(entity)) for entity in ids]
    a, b = (LocalCertificate.from_octets(one.full_chain_pem, one.key_pem) for one in issued)

    def recognises(entity: EntityId) -> PeerVerifier:
        configuration = AssociationConfiguration.release3(
            flavour=Flavour.AE_ID, peer_id=str(entity), trust_anchors=anchors
        )
        return PeerVerifier([configuration], release=Release.R3)

    initiating = InitiatingEndPoint(initiator(ids[0], ids[1], certificate=a, verifier=recognises(ids[1])))
    terminating = TerminatingEndPoint(acceptor(ids[1], certificate=b, verifier=recognises(ids[0])))
    outcome = exchange(initiating, terminating)
    assert outcome.initiating.key == outcome.terminating.key
    assert (outcome.initiating.peer, outcome.terminating.peer) == (ids[1], ids[0])
    assert str(outcome.terminating.association.credential_id).startswith("33-")


def test_end_points_say_what_is_wrong_with_their_use():
    initiating = InitiatingEndPoint(INITIATOR)
    with pytest.raises(KeyEstablishmentError, match="has not begun"):
        initiating.process(a_message[2])
    initiating.discard()
    initiating.start()
    with pytest.raises(KeyEstablishmentError, match="serves one exchange"):
        initiating.start()


# --- anything else than the four messages -------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_truncated_message_is_refused_wherever_it_is_cut(number):
    for kept in (0, 1, 4, 5, 6, 9, len(a_message[number]) // 2, -17, -2, -1):
        error = refused(number, lambda message, kept=kept: message[:kept])
        assert error.reply


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_message_extended_by_one_octet_is_refused(number):
    for octet in (0, 20, 22, 255):
        refused(number, lambda message, octet=octet: message + bytes((octet,)))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_message_sent_twice_in_one_is_refused(number):
    refused(number, lambda message: message + message)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_message_of_another_exchange_is_refused(number):
    if number == 1:
        # As a first message it cannot be told apart; its message 2 then is of no use to our initiator.
        other = InitiatingEndPoint(INITIATOR).start()
        refused(1, lambda _: other)
        return
    other = up_to(number)[2]
    error = refused(number, lambda _: other)
    assert error.alert.name in {"decrypt_error", "bad_record_mac"}


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("instead", [1, 2, 3, 4])
def test_a_message_in_the_place_of_another_is_refused(number, instead):
    """Dropped, reordered or repeated: another number's message comes where this one is expected."""
    if number != instead:
        refused(number, lambda _: a_message[instead])


@pytest.mark.parametrize("number", [2, 3])
def test_a_repeated_message_ends_the_exchange(number):
    """The end-point that has just taken a message takes it no second time, and gives up."""
    initiating, terminating, message = up_to(number - 1)
    end_point = receiver_of(number - 1, initiating, terminating)
    end_point.process(message)
    with pytest.raises(KeyEstablishmentError):
        end_point.process(message)
    assert is_over(end_point)


def test_a_fifth_message_is_refused_at_both_ends():
    initiating, terminating = pair()
    outcome = exchange(initiating, terminating)
    for message in outcome.messages:
        for end_point in (initiating, terminating):
            with pytest.raises(KeyEstablishmentError, match="is over"):
                end_point.process(message)


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_every_single_bit_counts(number):
    """One bit flipped, every bit of a message in turn: refused, and the initiator has no key.

    The one exception is the ClientHello's record version: 3.1 and 3.3 mean the same (RFC 5246 appendix E.1),
    nobody reads it, and both ends get the same key.
    """
    assert harmless_bits(number, pair) == ([22] if number == 1 else [])


@given(message=st.binary(max_size=200), number=st.integers(1, 4))
def test_arbitrary_octets_are_refused_in_plain_words(message, number):
    with pytest.raises(HandshakeError):
        check_message(number, message)


@given(st.integers(1, 4), st.data())
def test_damaged_messages_never_raise_anything_else(number, data):
    message = bytearray(a_message[number])
    for _ in range(data.draw(st.integers(1, 8))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(HandshakeError):
        check_message(number, bytes(message))


@given(st.data())
def test_what_damaged_messages_3_show_is_read_or_refused_and_nothing_else(data):
    message = bytearray(a_message[3])
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(9, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(HandshakeError):
        ClientProof.parse(bytes(message)).belongs_to(transcript(a_message[1], a_message[2]))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_oversized_message_is_refused_before_it_is_read(number):
    with pytest.raises(HandshakeError, match="longer than"):
        check_message(number, bytes(MESSAGE_MAX_OCTETS + 1))


# --- handshake messages and records -------------------------------------------------------------------------


def refragmented(message: bytes, size: int) -> bytes:
    """The same handshake messages in records of another size."""
    body, position = b"", 0
    while position < len(message) and message[position] == 22:
        end = position + 5 + int.from_bytes(message[position + 3 : position + 5], "big")
        body += message[position + 5 : end]
        position = end
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    records = [message[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces]
    return b"".join(records) + message[position:]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 64, 1 << 14])
def test_messages_cut_over_records_or_sharing_one_are_taken(number, size):
    """RFC 5246 clause 6.2.1: record boundaries mean nothing, and the proof over all messages ignores them."""
    initiating, terminating, message = up_to(number)
    message = refragmented(message, size)
    keys = {}
    for sent in range(number, 5):
        step = receiver_of(sent, initiating, terminating).process(message)
        keys[sent], message = step.key, step.message
    assert keys[3].key == keys[4].key


def record(kind: int, body: bytes, version: bytes = b"\3\3") -> bytes:
    return bytes((kind,)) + version + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    ("number", "added", "words"),
    [
        (1, record(22, b"\0\0\0\0", b"\3\1"), "HelloRequest after its end"),
        (1, record(20, b"\1"), "more than its handshake messages"),
        (2, record(22, b"\x16\0\0\0"), "CertificateStatus after its end"),
        (2, record(23, b"hello"), "more than its handshake messages"),
        (3, record(23, b"early data"), "does not end with ChangeCipherSpec and Finished alone"),
        (4, record(22, bytes(40)), "does not end with ChangeCipherSpec and Finished alone"),
        (4, record(21, bytes(26)), "does not end with ChangeCipherSpec and Finished alone"),
    ],
)
def test_nothing_may_follow_the_last_tls_message(number, added, words):
    assert words in str(refused(number, lambda message: message + added))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (record(22, b"\4\0\0\6" + bytes(6)) + a_message[4], "NewSessionTicket after its end"),
        (record(20, b"\2") + record(22, bytes(40)), "ChangeCipherSpec and Finished alone"),
        (record(20, b"\1"), "ChangeCipherSpec and Finished alone"),
        (record(20, b"\1") + record(22, bytes(513)), "a record of 513 octets"),
        (record(20, b"\1") + record(22, b""), "a record of 0 octets"),
        (record(20, b"\1", b"\3\2") + record(22, bytes(40)), "not of TLS 1.2"),
        (record(23, b"data"), "ChangeCipherSpec and Finished alone"),
    ],
    ids=itertools.count(),  # some of the messages are other octets in each process
)
def test_message_4_is_change_cipher_spec_and_finished_and_nothing_else(message, words):
    assert words in str(refused(4, lambda _: message))


# --- versions and suites ------------------------------------------------------------------------------------


def client_hello(**settings) -> bytes:
    """A foreign ClientHello, from the interpreter's own TLS library."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    for name, value in settings.items():
        setattr(context, name, value)
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


def test_tls_1_3_alone_or_as_well_is_refused():
    for minimum in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        hello = client_hello(minimum_version=minimum, maximum_version=ssl.TLSVersion.TLSv1_3)
        error = refused(1, lambda _, hello=hello: hello)
        assert error.alert.name == "protocol_version"
        assert "offer nothing else" in str(error)


def test_tls_1_1_is_refused_at_either_end():
    for number in (1, 2):
        error = refused(number, lambda message: message[:9] + b"\3\2" + message[11:])
        assert error.alert.name == "protocol_version"


def test_a_foreign_tls_1_2_hello_is_accepted():
    hello = client_hello(minimum_version=ssl.TLSVersion.TLSv1_2, maximum_version=ssl.TLSVersion.TLSv1_2)
    step = TerminatingEndPoint(ACCEPTOR).process(hello)
    assert step.message
    check_message(2, step.message)


def with_suites(hello: bytes, codes: bytes) -> bytes:
    """A ClientHello that offers other suites (the first two octets of the list stay in length)."""
    at = 5 + 4 + 34 + 1 + hello[43]
    length = int.from_bytes(hello[at : at + 2], "big")
    body = hello[9:at] + len(codes).to_bytes(2, "big") + codes + hello[at + 2 + length :]
    return record(22, b"\1" + len(body).to_bytes(3, "big") + body, hello[1:3])


@pytest.mark.parametrize(
    "codes",
    [
        "00ae",  # TLS_PSK_WITH_AES_128_CBC_SHA256
        "cca8",  # TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        "c018",  # TLS_ECDH_anon_WITH_AES_128_CBC_SHA
        "006c",  # TLS_DH_anon_WITH_AES_128_CBC_SHA256
        "c006",  # TLS_ECDHE_ECDSA_WITH_NULL_SHA
        "c009",  # TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
        "1301",  # TLS_AES_128_GCM_SHA256
    ],
)
def test_other_suites_are_refused_at_either_end(codes):
    code = bytes.fromhex(codes)
    error = refused(1, lambda hello: with_suites(hello, code))
    assert error.alert.name == "handshake_failure"
    at = 5 + 4 + 34 + 1 + a_message[2][43]
    error = refused(2, lambda hello: hello[:at] + code + hello[at + 2 :])
    assert error.alert.name in {"illegal_parameter", "handshake_failure"}


def test_a_client_with_a_pre_shared_key_is_refused():
    offer = PskOffer(b"someone@example.com", Secret.generate())
    hello = Session(Endpoint(server=False), offer=offer).data_to_send()
    assert refused(1, lambda _: hello).alert.name == "handshake_failure"


def without_extension(message: bytes, code: int) -> bytes:
    """A hello whose extension of this code is called by an unknown one."""
    at = message.index(code.to_bytes(2, "big") + b"\0\0", 44)
    return message[:at] + b"\xfa\xfa" + message[at + 2 :]


@pytest.mark.parametrize("number", [1, 2])
def test_a_hello_without_extended_master_secret_is_refused(number):
    error = refused(number, lambda message: without_extension(message, 23))
    assert "Extended Master Secret" in str(error)
    assert error.alert.name == "handshake_failure"


def test_a_hello_with_an_extension_twice_is_refused():
    at = a_message[1].index(b"\0\x16\0\0", 44)  # encrypt_then_mac, empty like extended_master_secret
    error = refused(1, lambda message: message[:at] + b"\0\x17" + message[at + 2 :])
    assert "an extension twice" in str(error)


# --- certificates -------------------------------------------------------------------------------------------


def run_to_refusal(initiating: InitiatingEndPoint, terminating: TerminatingEndPoint):
    """The error at the end that refuses, and the one with which the other end learns of it."""
    message, number = initiating.start(), 1
    try:
        for number in range(1, 5):
            step = receiver_of(number, initiating, terminating).process(message)
            assert step.key is None
            message = step.message
    except KeyEstablishmentError as error:
        other = receiver_of(number + 1, initiating, terminating)
        with pytest.raises(KeyEstablishmentError) as told:
            other.process(error.reply)
        assert is_over(initiating)
        assert is_over(terminating)
        return number, error, told.value
    raise AssertionError("the exchange was not refused")


def test_a_terminating_end_point_with_an_unknown_certificate_is_refused():
    number, error, told = run_to_refusal(
        InitiatingEndPoint(INITIATOR), TerminatingEndPoint(C.terminates_for(A))
    )
    assert (number, error.alert.name, told.alert.name) == (2, "unknown_ca", "unknown_ca")
    assert "the peer ended the exchange with unknown_ca" in str(told)


def test_another_known_peer_s_certificate_is_not_the_commanded_one_s():
    configured = initiator(A.entity, B.entity, certificate=A.certificate, verifier=A.recognises(B, C))
    number, error, told = run_to_refusal(
        InitiatingEndPoint(configured), TerminatingEndPoint(C.terminates_for(A))
    )
    assert (number, error.alert.name, told.alert.name) == (2, "bad_certificate", "bad_certificate")
    assert "it is the certificate of /cse3/Cc, not of /cse2/Cb" in str(error)


def test_an_initiating_end_point_with_an_unknown_certificate_is_refused():
    number, error, told = run_to_refusal(
        InitiatingEndPoint(C.initiates_with(B)), TerminatingEndPoint(ACCEPTOR)
    )
    assert (number, error.alert.name, told.alert.name) == (3, "unknown_ca", "unknown_ca")


@pytest.mark.parametrize("expired_end", ["initiating", "terminating"])
def test_an_expired_certificate_is_refused(expired_end):
    long_ago = datetime.now(UTC) - timedelta(days=30)
    old = Party(EntityId.parse("/old/Cold"), self_signed(days=3, not_before=long_ago))
    if expired_end == "initiating":
        configured = old.initiates_with(B), B.terminates_for(old)
    else:
        configured = A.initiates_with(old), old.terminates_for(A)
    number, error, told = run_to_refusal(
        InitiatingEndPoint(configured[0]), TerminatingEndPoint(configured[1])
    )
    assert number == (3 if expired_end == "initiating" else 2)
    assert error.alert.name == told.alert.name == "certificate_expired"


def test_an_initiator_without_a_certificate_is_refused():
    """Message 3 of a client that has none begins with an empty Certificate."""

    def empty(message: bytes) -> bytes:
        return record(22, b"\x0b\0\0\3\0\0\0") + b"".join(records_of(message)[1:])

    records_of_3 = records_of(a_message[3])
    assert records_of_3[0][5] == 11
    assert refused(3, empty).alert is not None


def records_of(message: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(message):
        end = position + 5 + int.from_bytes(message[position + 3 : position + 5], "big")
        found.append(message[position:end])
        position = end
    return found


# --- alerts, time limits ------------------------------------------------------------------------------------


def test_an_alert_from_the_peer_ends_the_exchange_and_is_not_answered():
    for alert, name in ((48, "unknown_ca"), (200, "close_notify")):
        initiating, _, _ = up_to(2)
        with pytest.raises(KeyEstablishmentError, match=f"ended the exchange with {name}") as told:
            initiating.process(record(21, bytes((2, alert))))
        assert (told.value.alert.name, told.value.reply) == (name, b"")
        assert is_over(initiating)


def test_the_reply_to_a_wrong_message_is_an_alert():
    error = refused(2, lambda _: b"")
    assert alert_in(error.reply).name == error.alert.name == "unexpected_message"


@pytest.mark.parametrize("number", [2, 3, 4])
def test_an_exchange_that_takes_too_long_is_over(number):
    clock = Clock()
    initiating = InitiatingEndPoint(INITIATOR, seconds=60, clock=clock)
    terminating = TerminatingEndPoint(ACCEPTOR, seconds=60, clock=clock)
    message = initiating.start()
    for sent in range(1, number):
        message = receiver_of(sent, initiating, terminating).process(message).message
    clock.now += 60
    end_point = receiver_of(number, initiating, terminating)
    with pytest.raises(KeyEstablishmentError, match="took too long") as late:
        end_point.process(message)
    assert late.value.alert.name == "user_canceled"
    assert is_over(end_point)


def test_an_exchange_within_its_time_is_not():
    clock = Clock()
    initiating = InitiatingEndPoint(INITIATOR, seconds=60, clock=clock)
    terminating = TerminatingEndPoint(ACCEPTOR, seconds=60, clock=clock)
    message_3 = initiating.process(terminating.process(initiating.start()).message).message
    clock.now += 59.9
    assert initiating.process(terminating.process(message_3).message).key is not None


# --- many exchanges -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_thousand_interleaved_exchanges_give_a_thousand_different_matching_keys():
    order = random.Random(7)
    exchanges = TerminatingExchanges(ACCEPTOR, capacity=1000)
    initiating = {f"exchange {n}": InitiatingEndPoint(INITIATOR) for n in range(1000)}
    waiting = [(name, 1, end_point.start()) for name, end_point in initiating.items()]
    keys: dict[str, list] = {name: [] for name in initiating}
    most = 0
    while waiting:
        name, number, message = waiting.pop(order.randrange(len(waiting)))
        step = exchanges.process(name, message) if number % 2 else initiating[name].process(message)
        most = max(most, len(exchanges))
        if step.key is not None:
            keys[name].append(step.key)
        if step.message:
            waiting.append((name, number + 1, step.message))
    assert all(len(two) == 2 and two[0].key == two[1].key for two in keys.values())
    assert len({two[0].key.reveal() for two in keys.values()}) == 1000
    assert len({two[0].key_id for two in keys.values()}) == 1000
    assert most > 100
    assert len(exchanges) == 0


def test_the_oldest_exchange_makes_room_when_there_are_too_many():
    exchanges = TerminatingExchanges(ACCEPTOR, capacity=2)
    initiating = {name: InitiatingEndPoint(INITIATOR) for name in ("first", "second", "third")}
    answers = {name: exchanges.process(name, one.start()).message for name, one in initiating.items()}
    assert len(exchanges) == 2
    with pytest.raises(KeyEstablishmentError, match="no exchange is under way under 'first'") as lost:
        exchanges.process("first", initiating["first"].process(answers["first"]).message)
    assert alert_in(lost.value.reply).name == "unexpected_message"
    for name in ("second", "third"):
        done = exchanges.process(name, initiating[name].process(answers[name]).message)
        assert initiating[name].process(done.message).key.key == done.key.key


def test_half_finished_exchanges_do_not_grow_old():
    clock = Clock()
    exchanges = TerminatingExchanges(ACCEPTOR, seconds=60, clock=clock)
    initiating = InitiatingEndPoint(INITIATOR)
    message_3 = initiating.process(exchanges.process("x", initiating.start()).message).message
    clock.now += 30
    exchanges.process("y", a_message[1])
    clock.now += 30
    assert len(exchanges) == 1
    with pytest.raises(KeyEstablishmentError, match="took too long; begin a new one"):
        exchanges.process("x", message_3)


def test_after_a_restart_the_initiator_learns_that_it_must_begin_again():
    initiating = InitiatingEndPoint(INITIATOR)
    message_2 = TerminatingExchanges(ACCEPTOR).process("x", initiating.start()).message
    message_3 = initiating.process(message_2).message
    with pytest.raises(KeyEstablishmentError, match="lost with a restart") as lost:
        TerminatingExchanges(ACCEPTOR).process("x", message_3)
    with pytest.raises(KeyEstablishmentError, match="the peer ended the exchange"):
        initiating.process(lost.value.reply)


def waiting(exchanges: TerminatingExchanges, name: str = "x") -> tuple[InitiatingEndPoint, bytes]:
    """An exchange under this id, and its message 3, which waits to be delivered."""
    initiating = InitiatingEndPoint(INITIATOR)
    return initiating, initiating.process(exchanges.process(name, initiating.start()).message).message


def succeeds(exchanges: TerminatingExchanges, initiating: InitiatingEndPoint, message_3: bytes, name="x"):
    done = exchanges.process(name, message_3)
    assert initiating.process(done.message).key.key == done.key.key


def test_a_message_under_another_exchange_id_is_refused_and_changes_nothing():
    exchanges = TerminatingExchanges(ACCEPTOR)
    one, one_3 = waiting(exchanges, "one")
    two, two_3 = waiting(exchanges, "two")
    for name in ("two", "three"):
        with pytest.raises(KeyEstablishmentError):
            exchanges.process(name, one_3)
    succeeds(exchanges, one, one_3, "one")
    succeeds(exchanges, two, two_3, "two")


def flipped(message: bytes, position: int) -> bytes:
    return message[:position] + bytes((message[position] ^ 1,)) + message[position + 1 :]


def not_message_3() -> dict[str, bytes]:
    """What somebody may send in its place who has not seen message 2, and some who have."""
    own = records_of(a_message[3])
    key_exchange, verify = len(own[0]) + 20, len(own[0]) + len(own[1]) + 20
    return {
        "nothing": b"",
        "noise": random.Random(3).randbytes(500),
        "an alert": record(21, b"\2\x28"),
        "a warning": record(21, b"\1\0"),
        "message 2": a_message[2],
        "message 3 of another exchange": a_message[3],
        "message 4": a_message[4],
        "half of a message 3": a_message[3][:100],
        "an empty certificate": record(22, b"\x0b\0\0\3\0\0\0") + b"".join(own[1:]),
        "no certificate": record(22, b"\x0b\0\0\6\0\0\3\0\0\0") + b"".join(own[1:]),
        "a certificate that is none": record(22, b"\x0b\0\0\7\0\0\4\0\0\1x") + b"".join(own[1:]),
        "another key exchange": flipped(a_message[3], key_exchange),
        "another signature": flipped(a_message[3], verify),
    }


@pytest.mark.parametrize("kind", not_message_3())
def test_what_is_no_message_3_of_an_exchange_is_refused_and_ends_none_that_is_under_way(kind):
    exchanges = TerminatingExchanges(ACCEPTOR)
    initiating, message_3 = waiting(exchanges)
    for _ in range(3):
        with pytest.raises(KeyEstablishmentError) as refusal:
            exchanges.process("x", not_message_3()[kind])
        told = alert_in(not_message_3()[kind]) is not None
        assert alert_in(refusal.value.reply) == (None if told else refusal.value.alert)
    succeeds(exchanges, initiating, message_3)


def test_every_octet_of_message_3_that_is_in_the_clear_counts_before_the_handshake_state_is_touched():
    exchanges = TerminatingExchanges(ACCEPTOR)
    initiating, message_3 = waiting(exchanges)
    for position in range(sum(len(one) for one in records_of(message_3)[:3])):
        with pytest.raises(KeyEstablishmentError):
            exchanges.process("x", flipped(message_3, position))
    succeeds(exchanges, initiating, message_3)


def test_a_signature_under_a_stranger_s_key_over_another_exchange_ends_nothing():
    exchanges = TerminatingExchanges(ACCEPTOR)
    initiating, message_3 = waiting(exchanges)
    stranger = InitiatingEndPoint(C.initiates_with(B))
    theirs = stranger.process(
        TerminatingEndPoint(B.terminates_for(C)).process(stranger.start()).message
    ).message
    with pytest.raises(KeyEstablishmentError, match="belongs to no exchange"):
        exchanges.process("x", theirs)
    succeeds(exchanges, initiating, message_3)


def test_an_altered_finished_ends_its_own_exchange_and_no_other():
    """The limit: who holds the genuine message 3, and could keep it back as well, spoils that exchange."""
    exchanges = TerminatingExchanges(ACCEPTOR)
    initiating, message_3 = waiting(exchanges)
    _, other_3 = waiting(exchanges)
    with pytest.raises(KeyEstablishmentError) as refusal:
        exchanges.process("x", flipped(other_3, len(other_3) - 1))
    assert refusal.value.alert.name == "bad_record_mac"
    assert len(exchanges) == 1
    succeeds(exchanges, initiating, message_3)


def test_a_message_1_begins_an_exchange_beside_those_that_are_under_way():
    exchanges = TerminatingExchanges(ACCEPTOR)
    both = [waiting(exchanges) for _ in range(2)]
    with pytest.raises(KeyEstablishmentError):
        exchanges.process("x", a_message[1] + b"\0")
    for initiating, message_3 in both:
        succeeds(exchanges, initiating, message_3)
    with pytest.raises(KeyEstablishmentError, match="no exchange is under way"):
        exchanges.process("x", both[0][1])


def test_a_flood_of_message_1_under_one_id_costs_no_other_id_anything():
    exchanges = TerminatingExchanges(ACCEPTOR, capacity=10, capacity_per_id=3)
    initiating, message_3 = waiting(exchanges, "owner")
    for _ in range(20):
        exchanges.process("x", a_message[1])
    assert len(exchanges) == 4
    succeeds(exchanges, initiating, message_3, "owner")


def test_a_refused_first_message_leaves_nothing():
    exchanges = TerminatingExchanges(ACCEPTOR)
    for message in (b"", a_message[3], with_suites(a_message[1], b"\0\xae"), a_message[1] + b"\0"):
        with pytest.raises(KeyEstablishmentError):
            exchanges.process("x", message)
        assert len(exchanges) == 0
