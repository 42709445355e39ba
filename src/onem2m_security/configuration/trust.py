"""``trust``: what a peer's certificate must prove, in the form of either release (8.1.1.2.2, 8.1.2.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Discriminator, Tag

from ..certificates.configuration import AssociationConfiguration
from ..certificates.crl import CrlSource
from ..certificates.files import read_public
from ..certificates.flavours import Flavour
from ..certificates.trust import Trust
from ..identifiers import EntityId
from ..release import Release
from .values import FileSetting, Table, member_by_keys


class _Trust(Table):
    crl: FileSetting | None = None
    require_crl: bool = False

    @property
    def release(self) -> Release:
        """Whose rules it follows."""
        raise NotImplementedError

    def configuration(self, peer: EntityId, here: Path) -> AssociationConfiguration:
        """The association configuration.

        Raises:
            ConfigurationError: A value is malformed, or a file cannot be used.
        """
        raise NotImplementedError

    def trust(self, peer: EntityId, here: Path) -> Trust:
        """The same as what frameworks take.

        Raises:
            ConfigurationError: As for ``configuration``; or there is no CRL.
        """
        crls = None if self.crl is None else CrlSource(here / self.crl)
        return Trust((self.configuration(peer, here),), self.release, crls, self.require_crl)


class NamedCertificate(_Trust):
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
        """The association configuration.

        Raises:
            ConfigurationError: A value is malformed, or a file cannot be used.
        """
        root = None if self.root_certificate is None else read_public(here / self.root_certificate)
        return AssociationConfiguration.release1(
            certificate_name=self.certificate_name,
            root_of_trust=self.root_of_trust,
            root_certificate=root,
            peer=peer,
        )


class FlavouredCertificate(_Trust):
    """Release 3: an identifier in a certificate of one flavour, under trust anchors.

    Attributes:
        flavour: What its certificate identifies: ``device``, ``node-id``, ``cse-id``, ``ae-id`` or ``fqdn``;
            or ``raw-public-key``, which takes ``peer-id`` (ni:///sha-256;…) and no trust anchors.
        trust_anchors: Certificates of trusted authorities, PEM.
        peer_id: The identifier in its certificate; by default the identity of the peer.
        crl: A CRL, or a directory of them; read again when they change.
        require_crl: Refuse a certificate for which there is no valid CRL.
    """

    flavour: Flavour
    trust_anchors: FileSetting | None = None
    peer_id: str | None = None

    @property
    def release(self) -> Release:
        """Release 3."""
        return Release.R3

    def configuration(self, peer: EntityId, here: Path) -> AssociationConfiguration:
        """The association configuration.

        Raises:
            ConfigurationError: A value is malformed, or a file cannot be used.
        """
        return AssociationConfiguration.release3(
            flavour=self.flavour,
            trust_anchors=() if self.trust_anchors is None else read_public(here / self.trust_anchors),
            peer_id=self.peer_id or (None if self.flavour is Flavour.RAW_PUBLIC_KEY else str(peer)),
            peer=peer,
        )


TRUST: dict[str, type[Table]] = {"as name": NamedCertificate, "as flavour": FlavouredCertificate}
"""The members by their tag; no key of a file looks like a tag."""

TrustSetting = Annotated[
    Annotated[NamedCertificate, Tag("as name")] | Annotated[FlavouredCertificate, Tag("as flavour")],
    Discriminator(
        member_by_keys(TRUST),
        custom_error_type="trust",
        custom_error_message="say what the peer's certificate must prove: "
        "certificate-name and root-of-trust (Release 1), or flavour and trust-anchors (Release 3)",
    ),
]
