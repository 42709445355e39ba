"""``trust``: what a peer must prove to us, one member for each way (8.1, 8.2).

By a certificate, in the form of either release (8.1.1.2.2, 8.1.2.4): to us as Entity A and as Entity B. By a
key that both hold, or by what a MAF, an MEF or a BSF says: to us as Entity B.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ..certificates.configuration import AssociationConfiguration
from ..certificates.crl import CrlSource
from ..certificates.files import read_public
from ..certificates.flavours import Flavour
from ..certificates.trust import Trust, by_rules
from ..credentials import ResolvedKey
from ..errors import ConfigurationError
from ..frameworks import saef_psk
from ..identifiers import EntityId
from ..release import Release
from .accepting import Accepted
from .key_files import read_key
from .values import (
    ONE_OR_MANY,
    EntitySetting,
    FileSetting,
    FqdnSetting,
    KeyIdSetting,
    Table,
    member_by_keys,
)


class Trusting(Table, abc.ABC):
    """What all members have."""

    @abc.abstractmethod
    def accepted(self, peer: EntityId, here: Path) -> Accepted:
        """By what the peer may prove itself to us, as Entity B; reads the files that are named.

        Raises:
            ConfigurationError: A value is malformed, or a file cannot be used.
            CredentialError: A key cannot be used.
        """


class CertificateTrust(Trusting):
    """What a certificate must prove."""

    crl: FileSetting | None = None
    require_crl: bool = False

    @property
    @abc.abstractmethod
    def release(self) -> Release:
        """Whose rules it follows."""

    @abc.abstractmethod
    def configuration(self, peer: EntityId, here: Path) -> AssociationConfiguration:
        """The association configuration.

        Raises:
            ConfigurationError: A value is malformed, or a file cannot be used.
        """

    def trust(self, peer: EntityId, here: Path) -> Trust:
        """The same as what frameworks take.

        Raises:
            ConfigurationError: As for ``configuration``; or there is no CRL.
        """
        crls = None if self.crl is None else CrlSource(here / self.crl)
        return Trust((self.configuration(peer, here),), self.release, crls, self.require_crl)

    def accepted(self, peer: EntityId, here: Path) -> Accepted:
        """A certificate that proves it."""
        return Accepted(trusts=(self.trust(peer, here),))


class NamedCertificate(CertificateTrust):
    """Release 1: a name in the certificate, under one Root of Trust.

    Attributes:
        certificate_name: The Certificate Name: identical to a value in a name field of its certificate.
        root_of_trust: SHA-256 of the root's public key (SubjectPublicKeyInfo): hex, base64 or ni-URI.
        root_certificate: That root's certificate, PEM, for a peer that does not send it.
        crl: A CRL, or a directory of them; read again when they change.
        require_crl: Refuse a certificate for which there is no valid CRL.
    """

    certificate_name: str
    root_of_trust: str
    root_certificate: FileSetting | None = None

    @property
    def release(self) -> Release:
        """Release 1."""
        return Release.R1

    def configuration(self, peer: EntityId, here: Path) -> AssociationConfiguration:
        """The association configuration."""
        root = None if self.root_certificate is None else read_public(here / self.root_certificate)
        return AssociationConfiguration.release1(
            certificate_name=self.certificate_name,
            root_of_trust=self.root_of_trust,
            root_certificate=root,
            peer=peer,
        )


class FlavouredCertificate(CertificateTrust):
    """Release 3: an identifier in a certificate of one flavour, under trust anchors.

    Attributes:
        flavour: What its certificate identifies: ``device``, ``node-id``, ``cse-id``, ``ae-id`` or ``fqdn``;
            or ``raw-public-key``, which takes ``peer-id`` (ni:///sha-256;…) and no trust anchors.
        trust_anchors: Certificates of trusted authorities, PEM.
        peer_id: The identifier in its certificate; by default the identity of the peer.
        allowed_ae_ids: For a device or Node-ID certificate: the AEs that the peer may act for (8.2.1).
        crl: A CRL, or a directory of them; read again when they change.
        require_crl: Refuse a certificate for which there is no valid CRL.
    """

    flavour: Flavour
    trust_anchors: FileSetting | None = None
    peer_id: str | None = None
    allowed_ae_ids: tuple[EntitySetting, ...] = ()

    @model_validator(mode="after")
    def _under_anchors(self) -> Self:
        if self.trust_anchors is None and self.flavour is not Flavour.RAW_PUBLIC_KEY:
            raise ValueError(f"a certificate that is a {self.flavour.value} one takes trust-anchors")
        return self

    @property
    def release(self) -> Release:
        """Release 3."""
        return Release.R3

    def configuration(self, peer: EntityId, here: Path) -> AssociationConfiguration:
        """The association configuration."""
        return AssociationConfiguration.release3(
            flavour=self.flavour,
            trust_anchors=() if self.trust_anchors is None else read_public(here / self.trust_anchors),
            peer_id=self.peer_id or (None if self.flavour is Flavour.RAW_PUBLIC_KEY else str(peer)),
            peer=peer,
            allowed_ae_ids=self.allowed_ae_ids,
        )


class SharedKey(Trusting):
    """A Provisioned Secure Connection Key that the peer shows to us (8.2.2.1).

    Attributes:
        kpsa_id: Its identifier, relative@issuer-FQDN.
        kpsa_file: The file that holds it.
    """

    kpsa_id: KeyIdSetting
    kpsa_file: FileSetting

    def accepted(self, peer: EntityId, here: Path) -> Accepted:
        """This key."""
        return Accepted(keys=(self.key(peer, here),))

    def key(self, peer: EntityId | None, here: Path) -> ResolvedKey:
        """The key, which proves this peer; without one, whomever the identifier names.

        Raises:
            ConfigurationError: The file cannot be used.
            CredentialError: The key cannot be used.
        """
        return saef_psk.credential(self.kpsa_id, read_key(str(here / self.kpsa_file)), peer=peer)


class SaidByMaf(Trusting):
    """A Connection Key of which this MAF says that it is the peer's (8.2.2.3).

    Attributes:
        maf: The MAF, a peer.
    """

    maf: FqdnSetting

    def accepted(self, peer: EntityId, here: Path) -> Accepted:  # noqa: ARG002 - as every member
        """The word of the MAF."""
        return Accepted(mafs=(self.maf,))


class SaidByMef(Trusting):
    """A key of which this MEF says that it is the peer's: one of its Enrolees (8.3.2.1).

    Attributes:
        mef: The MEF, a peer.
    """

    mef: FqdnSetting

    def accepted(self, peer: EntityId, here: Path) -> Accepted:  # noqa: ARG002 - as every member
        """The word of the MEF."""
        return Accepted(mefs=(self.mef,))


class SaidByBsf(Trusting):
    """A key of which this BSF says that it is the peer's: one of its subscribers (8.2.3.2).

    Attributes:
        bsf: The BSF, a peer.
    """

    bsf: FqdnSetting

    def accepted(self, peer: EntityId, here: Path) -> Accepted:  # noqa: ARG002 - as every member
        """The word of the BSF."""
        return Accepted(bsfs=(self.bsf,))


TRUST: dict[str, type[Table]] = {
    "as name": NamedCertificate,
    "as flavour": FlavouredCertificate,
    "as shared": SharedKey,
    "as said by maf": SaidByMaf,
    "as said by mef": SaidByMef,
    "as said by bsf": SaidByBsf,
}
"""The members by their tag; no key of a file looks like a tag."""

TrustSetting = Annotated[
    Annotated[NamedCertificate, Tag("as name")]
    | Annotated[FlavouredCertificate, Tag("as flavour")]
    | Annotated[SharedKey, Tag("as shared")]
    | Annotated[SaidByMaf, Tag("as said by maf")]
    | Annotated[SaidByMef, Tag("as said by mef")]
    | Annotated[SaidByBsf, Tag("as said by bsf")],
    Discriminator(
        member_by_keys(TRUST),
        custom_error_type="trust",
        custom_error_message="say what the peer must prove: by its certificate, certificate-name and "
        "root-of-trust (Release 1) or flavour and trust-anchors (Release 3); by a key, kpsa-id and "
        "kpsa-file; or through another peer: maf, mef or bsf",
    ),
]

TrustsSetting = Annotated[tuple[TrustSetting, ...], ONE_OR_MANY, Field(min_length=1)]
"""One way or several: any of them will do."""


def trust_in(peer: EntityId, members: Iterable[Trusting], here: Path) -> Trust:
    """What the certificate of a peer that we mean to reach must prove.

    Raises:
        ConfigurationError: They do not say it, or in several ways that no one verifier has; or as for
            ``CertificateTrust.trust``.
    """
    found = by_rules(one.trust(peer, here) for one in members if isinstance(one, CertificateTrust))
    if not found:
        raise ConfigurationError(
            f"peer {peer}: certificates are mutual: say in trust what its own must prove"
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"peer {peer}: who is met by certificate is judged by one release's rules and one crl: "
            "trust names several"
        )
    return found[0]
