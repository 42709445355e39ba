"""Two end-points for ESCertKE tests: Release 1, self-signed, so that certificates are short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import pytest
from cryptography import x509

from certs import Issued, self_signed
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.public_key_id import key_hash
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.errors import KeyEstablishmentError
from onem2m_security.escertke.end_points import (
    InitiatingEndPoint,
    PairwiseE2EKey,
    TerminatingEndPoint,
    acceptor,
    initiator,
)
from onem2m_security.frameworks.steps import Acceptor, Initiator
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release


@dataclass(frozen=True)
class Party:
    """An entity with a self-signed certificate."""

    entity: EntityId
    issued: Issued

    @classmethod
    def named(cls, entity: str, *, days: int = 365) -> Party:
        return cls(EntityId.parse(entity), self_signed(days=days))

    @cached_property
    def certificate(self) -> LocalCertificate:
        return LocalCertificate.from_octets(self.issued.full_chain_pem, self.issued.key_pem)

    @property
    def x509(self) -> x509.Certificate:
        return self.issued.certificate

    @property
    def configuration(self) -> AssociationConfiguration:
        """What others are configured with to recognise this one."""
        digest = key_hash(self.issued.certificate)
        return AssociationConfiguration.release1(
            certificate_name=digest.hex(), root_of_trust=digest, peer=self.entity
        )

    def recognises(self, *others: Party) -> PeerVerifier:
        return PeerVerifier([other.configuration for other in others], release=Release.R1)

    def initiates_with(self, peer: Party) -> Initiator:
        return initiator(
            self.entity, peer.entity, certificate=self.certificate, verifier=self.recognises(peer)
        )

    def terminates_for(self, *peers: Party) -> Acceptor:
        return acceptor(self.entity, certificate=self.certificate, verifier=self.recognises(*peers))


@dataclass(frozen=True)
class Outcome:
    """A whole exchange: its four messages and the key at either end."""

    messages: tuple[bytes, bytes, bytes, bytes]
    initiating: PairwiseE2EKey
    terminating: PairwiseE2EKey


def exchange(initiating: InitiatingEndPoint, terminating: TerminatingEndPoint) -> Outcome:
    """Carry the four messages between two end-points of ours."""
    message_1 = initiating.start()
    message_2 = terminating.process(message_1).message
    message_3 = initiating.process(message_2).message
    done = terminating.process(message_3)
    assert done.key is not None
    key = initiating.process(done.message).key
    assert key is not None
    return Outcome((message_1, message_2, message_3, done.message), key, done.key)


EndPoints = tuple[InitiatingEndPoint, TerminatingEndPoint]


def receiver_of(
    number: int, initiating: InitiatingEndPoint, terminating: TerminatingEndPoint
) -> InitiatingEndPoint | TerminatingEndPoint:
    """The end-point that the message of this number is for."""
    return terminating if number % 2 else initiating


def message_between(number: int, end_points: EndPoints) -> bytes:
    """The message of this number, which waits to be delivered; those before it are delivered."""
    message = end_points[0].start()
    for sent in range(1, number):
        message = receiver_of(sent, *end_points).process(message).message
    return message


@cache
def a_first_message() -> bytes:
    asking, asked = Party.named("/cse1/Ca"), Party.named("/cse2/Cb")
    return InitiatingEndPoint(asking.initiates_with(asked)).start()


def is_over(end_point: InitiatingEndPoint | TerminatingEndPoint) -> bool:
    """Whatever it is given, it is refused: there is no state."""
    with pytest.raises(KeyEstablishmentError) as refused:
        end_point.process(a_first_message())
    return "this exchange is over" in str(refused.value) and refused.value.reply == b""


def harmless_bits(number: int, pair: Callable[[], EndPoints]) -> list[int]:
    """Flip every bit of this message in turn, in an exchange of its own; those that change nothing.

    Every other one is refused in time, the initiator has no key, and who has noticed keeps no state.
    """
    harmless = []
    position = 0
    while True:
        end_points = pair()
        message = message_between(number, end_points)
        if position >= 8 * len(message):
            return harmless
        altered = bytearray(message)
        altered[position // 8] ^= 0x80 >> position % 8
        message, sent, keys = bytes(altered), number, {}
        try:
            for sent in range(number, 5):
                step = receiver_of(sent, *end_points).process(message)
                if step.key is not None:
                    keys[sent] = step.key
                message = step.message
            assert keys[3].key == keys[4].key
            harmless.append(position)
        except KeyEstablishmentError:
            # With message 4 alone the terminating end-point is done before anything can be noticed.
            assert set(keys) == ({3} if sent == 4 and number < 4 else set())
            assert sent < 4 or number == 4, f"bit {position} of message {number} was noticed too late"
            assert is_over(receiver_of(sent, *end_points))
        position += 1
