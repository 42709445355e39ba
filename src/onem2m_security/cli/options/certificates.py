"""The options for certificates, the same in every command, and what they stand for.

Release 1 names the peer's certificate by ``--peer-name`` and ``--root-of-trust``, with ``--root-certificate``
for a peer that does not send its root; Release 3 by ``--flavour``, ``--peer-id`` and ``--trust-anchor``.
``--key`` without ``--cert`` is a raw public key of ours; a peer's is a flavour without trust anchors.
Private keys come from files that only their owner can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ...certificates.files import read_public
from ...certificates.flavours import Flavour
from ...errors import ConfigurationError
from ...identifiers import EntityId
from ...release import DEFAULT_RELEASE, Release
from ..common import entity_parser, parsed
from .asked import Way
from .beginning import begin
from .credentials import Aim, Being, MafOptions, Parts
from .grouping import OptionGroup, without

if TYPE_CHECKING:
    from ...certificates.configuration import AssociationConfiguration
    from ...certificates.crl import CrlSource
    from ...certificates.local import LocalCertificate
    from ...certificates.trust import Trust
    from ...clients.maf import MafClient
    from ...configuration.prove import Certificate
    from ...frameworks.steps import How
    from ...tls.endpoint import Endpoint

_FLAVOURS = "|".join(flavour.value for flavour in Flavour)

CertOption = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        metavar="FILE",
        help="Our certificate, then its issuers, PEM; Release 1 peers need the root too. "
        "Without it, --key is a raw public key.",
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Our private signing key, PEM or DER; mode 0600."),
]
PeerNameOption = Annotated[
    str | None,
    typer.Option("--peer-name", metavar="NAME", help="Release 1: the peer's Certificate Name."),
]
RootOfTrustOption = Annotated[
    str | None,
    typer.Option(
        "--root-of-trust",
        metavar="HASH",
        help="Release 1: SHA-256 of the root's public key (SubjectPublicKeyInfo): hex, base64 or ni-URI.",
    ),
]
RootCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--root-certificate",
        metavar="FILE",
        help="Release 1: that root's certificate, PEM, for a peer that does not send it.",
    ),
]
FlavourOption = Annotated[
    str | None,
    typer.Option("--flavour", metavar=_FLAVOURS, help="Release 3: what the peer's certificate identifies."),
]
PeerIdOption = Annotated[
    str | None,
    typer.Option("--peer-id", metavar="ID", help="Release 3: the identifier in the peer's certificate."),
]
TrustAnchorOption = Annotated[
    Path | None,
    typer.Option(
        "--trust-anchor", metavar="FILE", help="Release 3: certificates of trusted authorities, PEM."
    ),
]
CrlOption = Annotated[
    Path | None,
    typer.Option("--crl", metavar="PATH", help="A CRL, or a directory of them; read again when they change."),
]
RequireCrlOption = Annotated[
    bool, typer.Option("--require-crl", help="Refuse a certificate for which there is no valid CRL.")
]
AssociationsOption = Annotated[
    Path | None,
    typer.Option(
        "--associations", metavar="FILE", help="Whose certificates to accept: TOML, [[association]]."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateOptions(OptionGroup):
    """What the options said; each value is None when its option was not given."""

    panel: ClassVar = "By certificate (8.2.2.2)"
    alone: ClassVar = "give a certificate or a key to authenticate us by, not both"

    cert: CertOption = None
    key: KeyOption = None
    peer_name: PeerNameOption = None
    root_of_trust: RootOfTrustOption = None
    root_certificate: RootCertificateOption = None
    flavour: FlavourOption = None
    peer_id: PeerIdOption = None
    trust_anchor: TrustAnchorOption = None
    associations: AssociationsOption = None
    crl: CrlOption = None
    require_crl: RequireCrlOption = False

    @property
    def are_given(self) -> bool:
        """Was anything said about our certificate or about the peer's?"""
        return self.cert is not None or self.key is not None or self.describe_peer

    @property
    def describe_peer(self) -> bool:
        """Was anything said about the peer's certificate?"""
        return self.associations is not None or any(value is not None for value in self._described)

    @property
    def _described(self) -> tuple[object, ...]:
        release1 = (self.peer_name, self.root_of_trust, self.root_certificate)
        return (*release1, self.flavour, self.peer_id, self.trust_anchor)

    def certificate(self) -> LocalCertificate:
        """Our own certificate, chain and key.

        Raises:
            ConfigurationError: --key is missing, or --cert or --key cannot be read.
            CredentialError: They cannot be used.
        """
        return self.proof().load(Path())

    def proof(self) -> Certificate:
        """How we prove ourselves by it.

        Raises:
            ConfigurationError: --key is missing.
        """
        from ...configuration.prove import Certificate

        if self.key is None:
            raise ConfigurationError(
                "certificates are mutual: give our own by --cert FILE and --key FILE, or a raw public key by "
                "--key FILE alone"
            )
        return Certificate.model_construct(certificate=self.cert, private_key=self.key)

    def configuration(self, peer: EntityId | None) -> AssociationConfiguration:
        """What the one peer's certificate must prove.

        Raises:
            ConfigurationError: Neither release's options are complete, or they are mixed.
        """
        from ...certificates.configuration import AssociationConfiguration

        release1, release3 = (self.peer_name, self.root_of_trust), (self.flavour, self.trust_anchor)
        if self.peer_id is None and None not in release1 and release3 == (None, None) and peer is not None:
            root = None if self.root_certificate is None else read_public(self.root_certificate)
            return AssociationConfiguration.release1(
                certificate_name=self.peer_name or "",
                root_of_trust=self.root_of_trust or "",
                root_certificate=root,
                peer=peer,
            )
        mixed = any(value is not None for value in (*release1, self.root_certificate))
        is_raw = self.flavour == Flavour.RAW_PUBLIC_KEY.value
        if self.flavour is not None and (self.trust_anchor is not None or is_raw) and not mixed:
            return AssociationConfiguration.release3(
                flavour=self.flavour,
                trust_anchors=() if self.trust_anchor is None else read_public(self.trust_anchor),
                peer_id=self.peer_id,
                peer=peer,
            )
        raise ConfigurationError(
            "say what the peer's certificate must prove: --peer with --peer-name and --root-of-trust "
            "(Release 1), or --flavour with --trust-anchor and, for one peer, --peer-id (Release 3)"
        )

    def configurations(self, peer: EntityId | None) -> tuple[AssociationConfiguration, ...]:
        """The same for an accepting side: one peer by options, or many from --associations.

        Raises:
            ConfigurationError: As above, or the file cannot be used.
        """
        from ...certificates.associations import load_associations

        if self.associations is None:
            return (self.configuration(peer),)
        if peer is not None or any(value is not None for value in self._described):
            raise ConfigurationError("describe peers in --associations or by options, not both")
        return load_associations(self.associations)

    def crls(self) -> CrlSource | None:
        """Where CRLs are.

        Raises:
            ConfigurationError: --crl leads to no CRL.
        """
        from ...certificates.crl import CrlSource

        return None if self.crl is None else CrlSource(self.crl)

    def trust(self, peer: EntityId | None, release: Release) -> Trust:
        """What the one peer's certificate must prove, and by which rules.

        Raises:
            ConfigurationError: As for ``configuration`` and ``crls``.
        """
        from ...certificates.trust import Trust

        return Trust((self.configuration(peer),), release, self.crls(), self.require_crl)

    def trust_in_many(self, peer: EntityId | None, release: Release) -> Trust:
        """The same for an accepting side.

        Raises:
            ConfigurationError: As for ``configurations`` and ``crls``.
        """
        from ...certificates.trust import Trust

        return Trust(self.configurations(peer), release, self.crls(), self.require_crl)

    def accepting_endpoint(
        self, peer: EntityId | None = None, *, release: Release = DEFAULT_RELEASE, psk: bool = True
    ) -> Endpoint | None:
        """The (D)TLS configuration of an accepting side; None when no option speaks of certificates.

        Raises:
            ConfigurationError: The options are incomplete.
            CredentialError: Our certificate cannot be used.
        """
        from ...frameworks import saef_certificate

        if not self.are_given:
            return None
        return saef_certificate.accept(self.certificate(), self.trust_in_many(peer, release), psk=psk)

    def bootstrap_endpoint(self, release: Release) -> Endpoint | None:
        """The same for an MEF, which must know who each of its clients is.

        Raises:
            ConfigurationError: The options are incomplete, or an association has no peer.
            CredentialError: Our certificate cannot be used.
        """
        from ...frameworks import bootstrap_certificate

        if not self.are_given:
            return None
        return bootstrap_certificate.accept(self.certificate(), self.trust_in_many(None, release))

    async def how(self, aim: Aim) -> How:
        """By our certificate: to the peer itself or, if one is named, through a MAF.

        Raises:
            ConfigurationError: --entity, or an option of these, is missing.
            CredentialError: Our certificate cannot be used.
        """
        from ...configuration.meeting import Role

        if aim.entity is None:
            raise ConfigurationError("--entity ID is missing: which identity we assume")
        if aim.maf.maf is not None:
            return await aim.through(self.maf_client(aim.maf, aim.entity, aim.way))
        return begin(
            self.proof(),
            aim.entity,
            aim.peer,
            Role.ENTITY_B,
            aim.link,
            server_name=aim.server_name,
            trusted=lambda: self.trust(aim.peer, aim.release),
        )

    def maf_client(self, maf: MafOptions, local: EntityId, way: Way) -> MafClient:
        """A MAF that is met by certificate (8.8.2.2).

        Raises:
            ConfigurationError: --maf, --maf-id or --maf-trust-anchor is missing.
        """
        from ...clients.maf import MafClient
        from ...configuration.meeting import Role
        from ...configuration.trust import FlavouredCertificate

        if maf.maf is None or maf.maf_id is None or maf.maf_trust_anchor is None:
            raise ConfigurationError(
                "to meet a MAF by certificate give --maf HOST:PORT, --maf-id FQDN and --maf-trust-anchor FILE"
            )
        must = FlavouredCertificate.model_construct(
            flavour=Flavour.FQDN,
            trust_anchors=maf.maf_trust_anchor,
            crl=self.crl,
            require_crl=self.require_crl,
        )
        peer, link = EntityId(str(maf.maf_id)), way(maf.maf)
        how = begin(self.proof(), local, peer, Role.MAF, link, trusted=lambda: must.trust(peer, Path()))
        return MafClient(maf.maf_id, link, how)


ServerCertificateOptions = Annotated[
    CertificateOptions,
    without("peer_name", "root_of_trust", "root_certificate", "flavour", "peer_id", "trust_anchor"),
]
"""Of a server, whose clients are described in a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptingCertificateOptions(OptionGroup):
    """An Entity B's certificate, and whose it accepts."""

    panel: ClassVar = "By certificate (8.2.2.2)"

    certificates: CertificateOptions
    peer: Annotated[
        EntityId | None,
        parsed(entity_parser, "--peer", metavar="IDA", help="Whom the peer's certificate authenticates."),
    ] = None

    def parts(self, being: Being) -> Parts:
        """The endpoint, and the MAF that is met by the certificate."""
        given, maf = self.certificates, being.maf
        accepts = given.describe_peer or maf.maf_id is None
        by_certificate = maf.maf_id is not None or maf.maf_trust_anchor is not None
        return Parts(
            endpoint=given.accepting_endpoint(self.peer) if accepts else None,
            mafs=(given.maf_client(maf, being.local, being.way),) if by_certificate else (),
        )
