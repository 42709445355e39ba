"""Raw public keys (RFC 7250) of a few entities, and who is configured to recognise whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from certificate_support import ID_A, ID_B
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.trust import Trust
from onem2m_security.certificates.verification import PeerVerifier
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release
from onem2m_security.tls.endpoint import Endpoint


@dataclass(frozen=True)
class KeyHolder:
    """An entity with a key pair and no certificate."""

    entity: EntityId
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def named(cls, entity: EntityId | str) -> KeyHolder:
        return cls(EntityId.parse(str(entity)), ec.generate_private_key(ec.SECP256R1()))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def certificate(self) -> LocalCertificate:
        return LocalCertificate.raw_public_key(self.key_pem)

    @property
    def peer_id(self) -> str:
        return str(self.certificate.public_key_id)

    @property
    def configuration(self) -> AssociationConfiguration:
        """What others are configured with to recognise this one."""
        return self.configured()

    def configured(self, **more) -> AssociationConfiguration:
        return AssociationConfiguration.release3(
            flavour="raw-public-key", peer_id=self.peer_id, **{"peer": self.entity, **more}
        )

    @property
    def trust(self) -> Trust:
        return Trust((self.configuration,))

    def recognises(self, *others: KeyHolder) -> PeerVerifier:
        return PeerVerifier([other.configuration for other in others], release=Release.R3)

    def endpoint(self, *others: KeyHolder, server: bool, psk: bool = False, **more) -> Endpoint:
        verifier = self.recognises(*others)
        return Endpoint(server=server, psk=psk, certificate=self.certificate, verifier=verifier, **more)

    def files(self, directory: Path, name: str) -> tuple[Path, Path]:
        """The private key and the public key, PEM."""
        key, public = directory / f"{name}.key", directory / f"{name}.pub"
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        public.write_bytes(
            self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return key, public


A = KeyHolder.named(ID_A)
B = KeyHolder.named(ID_B)
STRANGER = KeyHolder.named("/somebody")
