"""Association Configuration for certificates: whom to accept, by what (seed 8.1.1.2.2, TS-0003 8.1.2.4).

Two forms. Release 1: Certificate Name, Root of Trust and the peer's identity; also the root's certificate,
for peers that do not send it. Release 3: a certificate flavour, its globally unique identifier and trust
anchors. Holds public values only; opens no file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from cryptography import x509

from onem2m_security.errors import ConfigurationError, IdentifierError
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.texts import nfkc
from onem2m_security.user_settings import Uss, require_few

from .flavours import Flavour, cse_id_of, parse_ae_id_uri, parse_identifier
from .profile import MALFORMED, anchor_findings
from .public_key_id import PublicKeyIdentifier, key_hash, parse_root_of_trust

TRUST_ANCHORS_MAX_OCTETS = 1024 * 1024
"""The largest bundle of trust anchors read, in octets."""

_SEVERAL_AES = (Flavour.DEVICE, Flavour.NODE_ID, Flavour.RAW_PUBLIC_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationConfiguration:
    """What one peer's certificate must prove. Make it with ``release1`` or ``release3``.

    Attributes:
        certificate_name: Release 1: the Certificate Name.
        root_of_trust: Release 1: SHA-256 of the root's SubjectPublicKeyInfo (DER), 32 octets.
        root_certificate: Release 1: the certificate of that root, to complete the chain of a peer that leaves
            it out (RFC 5246 clause 7.4.2); None where the peer sends it.
        flavour: Release 3: the certificate flavour.
        peer_id: Release 3: the globally unique identifier, canonical; None to accept any that the trust
            anchors certify and to take the identity from the certificate (8.1.2.4 for Entity B).
        trust_anchors: Release 3: the trust anchor certificates; none for a raw public key, which is the one
            that ``peer_id`` names.
        peer: The identity that a successful verification authenticates; None when only the credential is
            known.
        allowed_ae_ids: For device and Node-ID certificates, and raw public keys: the AEs that the credential
            may act for (8.2.1).
        targets: Enrolment Targets or MAF targets of this peer, for the frameworks above.
        uss: What is said of this peer beside its identity: to us and, at an MEF, to its Enrolment Targets.
        name: What the operator calls this configuration, to tell which one matched.
    """

    certificate_name: str | None = None
    root_of_trust: bytes | None = None
    root_certificate: x509.Certificate | None = None
    flavour: Flavour | None = None
    peer_id: str | None = None
    trust_anchors: tuple[x509.Certificate, ...] = ()
    peer: EntityId | None = None
    allowed_ae_ids: tuple[EntityId, ...] = ()
    targets: tuple[EntityId, ...] = ()
    uss: tuple[Uss, ...] = ()
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if (self.flavour is None) == (self.certificate_name is None):
            raise ConfigurationError(
                "a certificate association needs either certificate_name and root_of_trust (Release 1) or "
                "flavour and trust_anchors (Release 3)"
            )
        if self.flavour is None:
            self._check_release1()
        else:
            self._check_release3(self.flavour)

    @classmethod
    def release1(
        cls,
        *,
        certificate_name: str,
        root_of_trust: str | bytes,
        peer: EntityId | str,
        root_certificate: str | bytes | x509.Certificate | None = None,
        targets: tuple[EntityId, ...] = (),
        uss: tuple[Uss, ...] = (),
        name: str | None = None,
    ) -> Self:
        """The seeds' form (8.1.1.2.2).

        Args:
            certificate_name: Identical to a value in a name field of the peer's certificate; for a
                self-signed certificate its key hash, in any form that ``root_of_trust`` takes.
            root_of_trust: SHA-256 over the root's SubjectPublicKeyInfo: 32 octets, hex, base64 or ni-URI.
            peer: The identity of the peer.
            root_certificate: The root's certificate, PEM or parsed, for a peer that does not send it.
            targets: Its Enrolment Targets or MAF targets.
            uss: What is said of it beside its identity.
            name: What the operator calls this configuration.

        Raises:
            ConfigurationError: A value is missing or malformed.
        """
        try:
            return cls(
                certificate_name=nfkc(certificate_name),
                root_of_trust=parse_root_of_trust(root_of_trust),
                root_certificate=_root_certificate(root_certificate),
                peer=_entity(peer),
                targets=targets,
                uss=require_few(uss),
                name=name,
            )
        except IdentifierError as error:
            raise ConfigurationError(f"certificate association {certificate_name!r}: {error}") from error

    @classmethod
    def release3(
        cls,
        *,
        flavour: Flavour | str,
        trust_anchors: str | bytes | tuple[x509.Certificate, ...] = (),
        peer_id: str | None = None,
        peer: EntityId | str | None = None,
        allowed_ae_ids: tuple[EntityId | str, ...] = (),
        targets: tuple[EntityId, ...] = (),
        uss: tuple[Uss, ...] = (),
        name: str | None = None,
    ) -> Self:
        """The published form (8.1.2.4).

        Args:
            flavour: The peer's certificate flavour.
            trust_anchors: PEM certificates, one after the other, or parsed ones; none for a raw public key.
            peer_id: The globally unique identifier; see flavours.parse_identifier for the forms.
            peer: The identity of the peer; for CSE-ID, AE-ID and FQDN it follows from ``peer_id``.
            allowed_ae_ids: For device and Node-ID certificates, and raw public keys.
            targets: Its Enrolment Targets or MAF targets.
            uss: What is said of it beside its identity.
            name: What the operator calls this configuration.

        Raises:
            ConfigurationError: A value is missing or malformed.
        """
        try:
            flavour = Flavour(flavour)
        except ValueError as error:
            known = ", ".join(one.value for one in Flavour)
            raise ConfigurationError(
                f"there is no certificate flavour {flavour!r}: use one of {known}"
            ) from error
        if not isinstance(trust_anchors, tuple):
            trust_anchors = load_trust_anchors(trust_anchors)
        try:
            return cls(
                flavour=flavour,
                peer_id=None if peer_id is None else parse_identifier(flavour, peer_id),
                trust_anchors=trust_anchors,
                peer=_implied_peer(flavour, peer_id) if peer is None else _entity(peer),
                allowed_ae_ids=tuple(map(_entity, allowed_ae_ids)),
                targets=targets,
                uss=require_few(uss),
                name=name,
            )
        except IdentifierError as error:
            raise ConfigurationError(f"certificate association ({flavour.value}): {error}") from error

    def _check_release1(self) -> None:
        if not self.certificate_name or self.root_of_trust is None or self.peer is None:
            raise ConfigurationError("a Release 1 association needs certificate_name, root_of_trust and peer")
        if self.peer_id is not None or self.trust_anchors or self.allowed_ae_ids:
            raise ConfigurationError(
                "peer_id, trust_anchors and allowed_ae_ids belong to a Release 3 association"
            )
        if self.root_certificate is not None:
            _check_anchor("root_certificate", self.root_certificate)
            if key_hash(self.root_certificate) != self.root_of_trust:
                raise ConfigurationError(
                    "root_certificate holds another key than the one that root_of_trust is the hash of"
                )

    def _check_release3(self, flavour: Flavour) -> None:
        if self.root_of_trust is not None or self.root_certificate is not None:
            raise ConfigurationError(
                "root_of_trust and root_certificate belong to a Release 1 association: use trust_anchors"
            )
        if flavour is Flavour.RAW_PUBLIC_KEY:
            self._check_raw_public_key()
        elif not self.trust_anchors:
            raise ConfigurationError(f"a {flavour.value} association needs trust_anchors: PEM certificates")
        for anchor in self.trust_anchors:
            _check_anchor("the trust anchor", anchor)
        if flavour is Flavour.AE_ID and self.peer is not None and str(self.peer) != self.peer_id:
            raise ConfigurationError(
                f"an AE-ID certificate for {self.peer_id} does not authenticate {self.peer}"
            )
        if self.allowed_ae_ids and flavour not in _SEVERAL_AES:
            raise ConfigurationError(
                "allowed_ae_ids belong to device and Node-ID certificates and to raw public keys, "
                f"not {flavour.value}"
            )
        if self.peer_id is None and self.peer is not None:
            raise ConfigurationError(f"a {flavour.value} association that names a peer needs its peer_id too")
        if self.peer_id is None and self.allowed_ae_ids:
            raise ConfigurationError(f"a {flavour.value} association with allowed_ae_ids needs a peer_id")

    def _check_raw_public_key(self) -> None:
        if self.peer_id is None:
            raise ConfigurationError(
                "a raw-public-key association needs peer_id: the public key identifier (ni:///sha-256;…)"
            )
        if self.trust_anchors:
            raise ConfigurationError(
                "a raw-public-key association takes no trust_anchors: peer_id says which key it is"
            )

    @property
    def description(self) -> str:
        """What to call this configuration: its name, else what it demands."""
        if self.name is not None:
            return self.name
        if self.flavour is None:
            return f"certificate name {self.certificate_name}"
        return f"{self.flavour.value} {self.peer_id or 'by trust anchor'}"

    @property
    def key_hash(self) -> bytes | None:
        """The Certificate Name as a key hash, 32 octets; None if it is another kind of name (8.1.1.2.1)."""
        try:
            identifier = PublicKeyIdentifier.parse(self.certificate_name or "")
        except IdentifierError:
            return None
        return identifier.digest if identifier.algorithm == "sha-256" else None


def load_trust_anchors(pem: str | bytes) -> tuple[x509.Certificate, ...]:
    """Parse trust anchors; whether each is an authority's by the profile, the configuration looks at.

    Raises:
        ConfigurationError: Empty, larger than 1 MiB, or malformed.
    """
    octets = pem.encode("utf-8") if isinstance(pem, str) else pem
    if len(octets) > TRUST_ANCHORS_MAX_OCTETS:
        raise ConfigurationError(f"trust anchors: larger than {TRUST_ANCHORS_MAX_OCTETS} octets")
    try:
        return tuple(x509.load_pem_x509_certificates(octets))
    except MALFORMED as error:
        raise ConfigurationError(
            "trust anchors: PEM certificates (-----BEGIN CERTIFICATE-----) expected"
        ) from error


def _check_anchor(what: str, anchor: x509.Certificate) -> None:
    """Refuse what the profile does not allow, in whatever form the certificate was given (10.1.1.3)."""
    try:
        findings, name = anchor_findings(anchor), anchor.subject.rfc4514_string()
    except MALFORMED as error:
        raise ConfigurationError(f"{what} is malformed") from error
    if findings:
        raise ConfigurationError(f"{what} {name!r} cannot be used: {findings[0]}")


def _root_certificate(given: str | bytes | x509.Certificate | None) -> x509.Certificate | None:
    if given is None or isinstance(given, x509.Certificate):
        return given
    certificates = load_trust_anchors(given)
    if len(certificates) != 1:
        raise ConfigurationError(f"root_certificate: one certificate is expected, not {len(certificates)}")
    return certificates[0]


def peer_of(flavour: Flavour, identifier: str) -> EntityId | None:
    """The identity that a certificate itself proves (TS-0003 clause 8.2.1); None for device and Node-ID.

    Raises:
        IdentifierError: A domain name that is not the public domain name of a CSE.
    """
    match flavour:
        case Flavour.CSE_ID:
            return cse_id_of(Fqdn.parse(identifier))
        case Flavour.AE_ID:
            return parse_ae_id_uri(identifier)
        case Flavour.FQDN:
            return EntityId.parse(identifier)
        case _:
            return None


def _implied_peer(flavour: Flavour, peer_id: str | None) -> EntityId | None:
    if peer_id is None:
        return None
    if flavour is Flavour.CSE_ID and peer_id.startswith("/"):
        return EntityId.parse(peer_id)
    return peer_of(flavour, parse_identifier(flavour, peer_id))


def _entity(value: EntityId | str) -> EntityId:
    return value if isinstance(value, EntityId) else EntityId.parse(value)
