"""A small issuing authority for tests, labs and small deployments (profiles: TS-0003 clause 10.1.1).

Makes roots, constrained intermediates, certificates of each flavour, Release 1 certificates, self-signed
ones and CRLs. It keeps no state and writes no file; it is no registration authority: whoever calls it
vouches for names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..clock import CLOCK, Clock
from ..defaults import DEVICE_INDICATION_ID
from ..errors import ConfigurationError, CredentialError, IdentifierError
from .flavours import Flavour
from .issued_names import alternative_names, common_name, identifies, subject_for
from .local import LocalCertificate
from .names import CertificateNames, subject_alternative_names
from .profile import MALFORMED, anchor_findings
from .public_key_id import key_hash

_CLOCK_SKEW = timedelta(minutes=5)
_CA_USAGE = ("digital_signature", "key_cert_sign", "crl_sign")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its issuers and, if it was made here, its key.

    Attributes:
        chain: The certificate, then its issuers up to and with the root.
        private_key: None for a certificate that a request asked for.
    """

    chain: tuple[x509.Certificate, ...]
    private_key: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False, compare=False)

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def chain_pem(self) -> bytes:
        """PEM, without the root unless that is all there is: what Release 3 peers need."""
        return _pem(self.chain[:-1] or self.chain)

    @property
    def full_chain_pem(self) -> bytes:
        """PEM with the root: what Release 1 peers need, who know only the root's key hash."""
        return _pem(self.chain)

    @property
    def key_pem(self) -> bytes:
        """The private key in PKCS #8, PEM, not encrypted.

        Raises:
            CredentialError: The key was never here.
        """
        if self.private_key is None:
            raise CredentialError("the private key is with whoever made the certificate signing request")
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def local(self, *, with_root: bool = True) -> LocalCertificate:
        """The same as the TLS floor takes it."""
        return LocalCertificate.from_octets(
            self.full_chain_pem if with_root else self.chain_pem, self.key_pem
        )


class Authority:
    """A certificate authority: its key, and its certificate with the issuers above."""

    def __init__(
        self,
        chain: Sequence[x509.Certificate],
        private_key: ec.EllipticCurvePrivateKey,
        *,
        clock: Clock = CLOCK,
    ) -> None:
        """Take an authority's own certificate, its issuers up to the root, and its key.

        Raises:
            CredentialError: The key is another one's, or this is no authority's certificate by the profile.
        """
        if private_key.public_key() != chain[0].public_key():
            raise CredentialError(
                "the private key does not belong to the certificate authority's certificate"
            )
        findings = anchor_findings(chain[0])
        if findings:
            raise CredentialError(f"the certificate authority cannot be used: {findings[0]}")
        self.chain = tuple(chain)
        self._private_key = private_key
        self._clock = clock

    @classmethod
    def root(
        cls,
        name: str = "oneM2M test root",
        *,
        days: int = 3650,
        path_length: int | None = None,
        permitted: Iterable[x509.GeneralName] = (),
        excluded: Iterable[x509.GeneralName] = (),
        not_before: datetime | None = None,
    ) -> Authority:
        """A new root: self-signed, with the name constraints given."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = common_name(name)
        builder = _builder(subject, subject, key.public_key(), days, _start(not_before))
        builder = _as_authority(builder, path_length, permitted, excluded)
        certificate = _sign(builder, key, key.public_key())
        return cls((certificate,), key)

    @property
    def issued(self) -> Issued:
        """The authority's own certificate and key, to be kept."""
        return Issued(self.chain, self._private_key)

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own certificate."""
        return self.chain[0]

    @property
    def trust_anchor_pem(self) -> bytes:
        """The root of this authority, PEM: what a Release 3 peer configures."""
        return _pem(self.chain[-1:])

    @property
    def root_of_trust(self) -> bytes:
        """The Release 1 Root of Trust: SHA-256 of the root's SubjectPublicKeyInfo, 32 octets."""
        return key_hash(self.chain[-1])

    def intermediate(
        self,
        name: str = "oneM2M test authority",
        *,
        days: int = 1825,
        path_length: int | None = 0,
        permitted: Iterable[x509.GeneralName] = (),
        excluded: Iterable[x509.GeneralName] = (),
        not_before: datetime | None = None,
    ) -> Authority:
        """An authority below this one; Release 3 wants its names constrained (8.1.2.2): permitted_names."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(
            common_name(name),
            self.certificate.subject,
            key.public_key(),
            days,
            _start(not_before, self._clock),
        )
        builder = _as_authority(builder, path_length, permitted, excluded)
        return Authority((self._sign(builder, key.public_key()), *self.chain), key, clock=self._clock)

    def issue(
        self,
        flavour: Flavour | None,
        identifier: str,
        *,
        days: int = 365,
        not_before: datetime | None = None,
        indication_id: str = DEVICE_INDICATION_ID,
    ) -> Issued:
        """A key and a certificate of a flavour; None makes one of Release 1 with that Certificate Name.

        Raises:
            ConfigurationError: Raw public keys were asked for.
            IdentifierError: The identifier has not the form of the flavour.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = alternative_names(flavour, identifier, indication_id=indication_id)
        subject = subject_for(flavour, identifier)
        return self._issue(key.public_key(), subject, names, days, not_before, private_key=key)

    def issue_for_request(
        self, request: x509.CertificateSigningRequest, flavour: Flavour, *, days: int = 365
    ) -> Issued:
        """A certificate for a request (clause 10.1.4): its key and its one name of the flavour, no more.

        Raises:
            CredentialError: Its signature or key is not as the profile says.
            IdentifierError: Its Subject Alternative Name does not hold exactly one identifier of the flavour.
        """
        if not request.is_signature_valid:
            raise CredentialError("the signing request is not signed with its own key")
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise CredentialError("the signing request's key is not on P-256 (secp256r1): clause 10.1.1.1")
        try:
            names = CertificateNames.of(request)
        except MALFORMED as error:
            raise CredentialError("the signing request holds a malformed extension") from error
        identifiers = names.identifiers(flavour)
        if len(identifiers) != 1 or names.wildcards:
            raise IdentifierError(
                f"the signing request must hold one {flavour.value} in subjectAltName, not {len(identifiers)}"
            )
        (identifier,) = identifiers
        wanted = [
            name for name in subject_alternative_names(request) if identifies(name, flavour, identifier)
        ]
        return self._issue(key, subject_for(flavour, identifier), wanted, days, None)

    def crl(
        self,
        revoked: Iterable[x509.Certificate | int] = (),
        *,
        days: int = 7,
        previous: x509.CertificateRevocationList | None = None,
        this_update: datetime | None = None,
    ) -> x509.CertificateRevocationList:
        """A full CRL over what is revoked now and what the previous list holds.

        Args:
            revoked: Certificates of this authority, or serial numbers.
            days: Until the next update.
            previous: The list before; must be this authority's.
            this_update: When it is issued (UTC); the present if None.

        Raises:
            CredentialError: A certificate or the previous list is another issuer's.
        """
        moment = this_update or self._clock.now()
        serials = {}
        number = 1
        if previous is not None:
            if previous.issuer != self.certificate.subject or not previous.is_signature_valid(
                self._private_key.public_key()
            ):
                raise CredentialError("the previous CRL is not this authority's")
            serials = {entry.serial_number: entry.revocation_date_utc for entry in previous}
            number = previous.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1
        for one in revoked:
            if isinstance(one, x509.Certificate) and one.issuer != self.certificate.subject:
                raise CredentialError(f"{one.subject.rfc4514_string()!r} was not issued by this authority")
            serials.setdefault(one if isinstance(one, int) else one.serial_number, moment)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(moment)
            .next_update(moment + timedelta(days=days))
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(_authority_key(self._private_key), critical=False)
        )
        for serial, when in serials.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._private_key, hashes.SHA256())

    def _issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        names: list[x509.GeneralName],
        days: int,
        not_before: datetime | None,
        *,
        private_key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Issued:
        builder = _builder(
            subject, self.certificate.subject, public_key, days, _start(not_before, self._clock)
        )
        return Issued((self._sign(_as_end_entity(builder, names), public_key), *self.chain), private_key)

    def _sign(
        self, builder: x509.CertificateBuilder, public_key: ec.EllipticCurvePublicKey
    ) -> x509.Certificate:
        return _sign(builder, self._private_key, public_key)


def self_signed(*, days: int = 365, not_before: datetime | None = None) -> Issued:
    """A Release 1 self-signed certificate: its key hash, in hex, is its Certificate Name (8.1.1.2.1)."""
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    subject = common_name(hashlib.sha256(spki).hexdigest())
    builder = _as_end_entity(_builder(subject, subject, key.public_key(), days, _start(not_before)), [])
    return Issued((_sign(builder, key, key.public_key()),), key)


def signing_request(
    flavour: Flavour, identifier: str, *, indication_id: str = DEVICE_INDICATION_ID
) -> tuple[x509.CertificateSigningRequest, ec.EllipticCurvePrivateKey]:
    """A new key and a request for a certificate of a flavour (clause 10.1.4).

    Raises:
        ConfigurationError: Raw public keys were asked for.
        IdentifierError: The identifier has not the form of the flavour.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = alternative_names(flavour, identifier, indication_id=indication_id)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_for(flavour, identifier))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()), key


def _start(not_before: datetime | None, clock: Clock = CLOCK) -> datetime:
    return not_before or clock.now() - _CLOCK_SKEW


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    days: int,
    start: datetime,
) -> x509.CertificateBuilder:
    if days < 1:
        raise ConfigurationError("a certificate is valid for at least one day")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _as_authority(
    builder: x509.CertificateBuilder,
    path_length: int | None,
    permitted: Iterable[x509.GeneralName],
    excluded: Iterable[x509.GeneralName],
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(_usage(*_CA_USAGE), critical=True)
    allow, forbid = list(permitted) or None, list(excluded) or None
    if allow or forbid:
        builder = builder.add_extension(x509.NameConstraints(allow, forbid), critical=True)
    return builder


def _as_end_entity(
    builder: x509.CertificateBuilder, names: list[x509.GeneralName]
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage("digital_signature"), critical=True)
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False) if names else builder


def _sign(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey
) -> x509.Certificate:
    subject_key = x509.SubjectKeyIdentifier.from_public_key(public_key)
    builder = builder.add_extension(subject_key, critical=False)
    builder = builder.add_extension(_authority_key(key), critical=False)
    return builder.sign(key, hashes.SHA256())


def _authority_key(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*granted: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{usage: usage in granted for usage in every})


def _pem(chain: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
