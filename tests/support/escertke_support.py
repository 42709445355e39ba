"""Two end-points for ESCertKE tests: Release 1, self-signed, so that certificates are short."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cryptography import x509

from certs import Issued, self_signed
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.public_key_id import key_hash
from onem2m_security.certificates.verification import PeerVerifier
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
