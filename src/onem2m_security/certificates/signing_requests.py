"""Certificate Signing Requests (TS-0003 clause 10.1.4): made by a client, granted by an authority.

A request is granted as it stands or not at all: whatever it asks for beyond its key and the one name that is
due is a reason to refuse it, because an authority behind may grant it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID, SignatureAlgorithmOID

from onem2m_security.credentials import Secret
from onem2m_security.errors import CertificateRejectedError, ConfigurationError, CredentialError
from onem2m_security.identifiers import EntityId, EntityKind
from onem2m_security.release import Release
from onem2m_security.texts import shown

from .configuration import AssociationConfiguration
from .flavours import Flavour, is_absolute_ae_id, parse_identifier
from .issued_names import alternative_names, common_name
from .names import CertificateNames, subject_alternative_names
from .profile import CLIENT_AUTH, MALFORMED, SERVER_AUTH, is_authority
from .verification import CHAIN_MAX_CERTIFICATES, PeerVerifier

_FLAVOURS: Final = (Flavour.CSE_ID, Flavour.AE_ID, Flavour.NODE_ID, Flavour.DEVICE)
"""Whom a request may be for: a Node, a CSE or an AE (10.1.4), and the device that it is on."""


@dataclass(frozen=True, slots=True)
class CertifiedName:
    """The one name that a provisioned certificate holds.

    Attributes:
        flavour: The certificate flavour.
        identifier: Its globally unique identifier, canonical.
    """

    flavour: Flavour
    identifier: str

    @classmethod
    def of(cls, entity: EntityId) -> Self:
        """The name of a CSE or an AE, by its own identity.

        Raises:
            CredentialError: It is no absolute CSE-ID or AE-ID, or not sure which of them: a certificate holds
                no other.
        """
        if entity.is_absolute and entity.is_surely_cse and entity.domain_name is not None:
            return cls(Flavour.CSE_ID, str(entity.domain_name))
        if entity.is_absolute and entity.kind is EntityKind.AE and is_absolute_ae_id(entity):
            return cls(Flavour.AE_ID, str(entity))
        raise CredentialError(
            f"a certificate holds an absolute CSE-ID or AE-ID (//sp.example/cse/Cae), and {entity} is none"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``FLAVOUR:IDENTIFIER``: ``node-id:urn:gsma:imei:90420156-025763-0``.

        Raises:
            ConfigurationError: It is not of this form, or of a flavour that is not provisioned.
            IdentifierError: The identifier has not the form of the flavour.
        """
        flavour, _, identifier = text.partition(":")
        if flavour not in {one.value for one in _FLAVOURS}:
            named = ", ".join(one.value for one in _FLAVOURS)
            raise ConfigurationError(f"{shown(text)}: FLAVOUR:IDENTIFIER is expected, with one of {named}")
        return cls(Flavour(flavour), parse_identifier(Flavour(flavour), identifier))

    @property
    def general_names(self) -> list[x509.GeneralName]:
        """The Subject Alternative Name (10.1.1.4 to 10.1.1.8)."""
        return alternative_names(self.flavour, self.identifier)

    @property
    def extension(self) -> bytes:
        """The same as the value of the extension, DER."""
        return x509.SubjectAlternativeName(self.general_names).public_bytes()

    def is_all_of(self, holder: x509.Certificate | x509.CertificateSigningRequest) -> bool:
        """Whether this is the one name of a certificate or of a request.

        The Subject is empty, or one common name that says the same: its values count as names elsewhere.
        """
        try:
            [name] = subject_alternative_names(holder)
            found = CertificateNames.of_general_names([name])
            subject = [(one.oid, one.value) for one in holder.subject]
        except MALFORMED:
            return False
        text = common_name(self.identifier), common_name(f"{self.flavour.value} {self.identifier}")
        subjects = [[(NameOID.COMMON_NAME, next(iter(one)).value)] for one in text]
        is_it = found.identifiers(self.flavour) == {self.identifier} and not found.wildcards
        return is_it and (not subject or subject in subjects)


def make_request(
    name: CertifiedName, key: ec.EllipticCurvePrivateKey, challenge: Secret | None = None
) -> x509.CertificateSigningRequest:
    """A request for a certificate of this name, with the challengePassword that the MEF gave."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(name.general_names), critical=False)
    if challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.reveal())
    return builder.sign(key, hashes.SHA256())


def require_within(request: x509.CertificateSigningRequest, name: CertifiedName) -> None:
    """Refuse a request for anything else than this name and what every certificate has.

    Raises:
        CredentialError: It asks for more or for something else; the text says what, for its sender.
    """
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialError("the key is not on P-256 (secp256r1), which clause 10.1.1.1 requires")
    point = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if point not in request.tbs_certrequest_bytes:
        raise CredentialError("the public key is no named curve with an uncompressed point")
    if request.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise CredentialError("the request is not signed with ECDSA and SHA-256")
    for extension in request.extensions:
        _require_allowed(extension.value)
    if not name.is_all_of(request):
        raise CredentialError(
            f"the request must hold {name.flavour.value} {name.identifier} in subjectAltName, "
            "and no other name"
        )


def _require_allowed(asked: x509.ExtensionType) -> None:
    match asked:
        case x509.SubjectAlternativeName() | x509.SubjectKeyIdentifier():
            return
        case x509.ExtendedKeyUsage() if set(asked) <= {CLIENT_AUTH, SERVER_AUTH}:
            return
        case x509.BasicConstraints(ca=False):
            return
        case x509.KeyUsage(key_cert_sign=False, crl_sign=False):
            return
        case x509.BasicConstraints():
            raise CredentialError("no certificate of a certificate authority (CA:TRUE) is issued here")
    raise CredentialError(f"the extension {asked.oid.dotted_string} is not granted here")


def require_answers(
    chain: Sequence[x509.Certificate], request: x509.CertificateSigningRequest, name: CertifiedName
) -> None:
    """Make sure that a certificate is what a request asked for, whoever issued it, and that peers accept it.

    Args:
        chain: The certificate, then its issuers, the last of which is the trust anchor.
        request: What was asked for.
        name: The name that it is to hold.

    Raises:
        CredentialError: It holds another key or other names, or is not as the profile says.
    """
    what = "the certificate that was issued is not what was asked for"
    try:
        if chain[0].public_key() != request.public_key():
            raise CredentialError(f"{what}: it holds another key")
        if is_authority(chain[0]) or not name.is_all_of(chain[0]):
            raise CredentialError(f"{what}: it is an authority's, or holds other names")
        der = [certificate.public_bytes(Encoding.DER) for certificate in chain]
        trusted = AssociationConfiguration.release3(
            flavour=name.flavour, peer_id=name.identifier, trust_anchors=chain[-1].public_bytes(Encoding.PEM)
        )
        PeerVerifier([trusted], release=Release.R3).verify(der, server=False)
    except (ConfigurationError, CertificateRejectedError, *MALFORMED) as error:
        raise CredentialError(f"{what}: peers would refuse it: {error}") from error


def chain_of(
    certificate: x509.Certificate, authorities: Iterable[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """A certificate and its issuers up to a root, from certificates in any order.

    Raises:
        CredentialError: They do not lead to a root, or the way is longer than peers accept.
    """
    chain, known = [certificate], list(authorities)
    while len(chain) <= CHAIN_MAX_CERTIFICATES and chain[-1].issuer != chain[-1].subject:
        issuers = [one for one in known if _is_issued(chain[-1], one)]
        if not issuers:
            break
        chain.append(issuers[0])
    if chain[-1].issuer != chain[-1].subject or len(chain) > CHAIN_MAX_CERTIFICATES:
        raise CredentialError("the certificates of the authority do not lead from what it issued to a root")
    return tuple(chain)


def _is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *MALFORMED):
        return False
    return True
