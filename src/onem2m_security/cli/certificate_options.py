"""The options for certificates, the same in every command, and what they stand for.

Release 1 names the peer's certificate by ``--peer-name`` and ``--root-of-trust``, with ``--root-certificate``
for a peer that does not send its root; Release 3 by ``--flavour``, ``--peer-id`` and ``--trust-anchor``.
Private keys come from files that only their owner can read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..certificates.associations import load_associations
from ..certificates.configuration import AssociationConfiguration
from ..certificates.crl import CrlSource
from ..certificates.files import read_public
from ..certificates.flavours import Flavour, raw_public_key_error
from ..certificates.local import LocalCertificate
from ..clients.maf import MafClient
from ..credentials import Framework
from ..errors import ConfigurationError
from ..frameworks import bootstrap_certificate, saef_certificate
from ..identifiers import EntityId, Fqdn
from ..net.address import Address, Transport
from ..net.limits import Limits
from ..net.link import Link
from ..release import DEFAULT_RELEASE, Release
from ..tls.endpoint import Endpoint
from .common import parsed

_FLAVOURS = "|".join(flavour.value for flavour in Flavour)

CertOption = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        metavar="FILE",
        help="Our certificate, then its issuers, PEM; Release 1 peers need the root too.",
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
MafIdOption = Annotated[
    Fqdn | None,
    parsed(Fqdn.parse, "--maf-id", metavar="FQDN", help="The MAF-ID, to meet --maf by --cert (Release 3)."),
]
MafTrustAnchorOption = Annotated[
    Path | None,
    typer.Option("--maf-trust-anchor", metavar="FILE", help="Certificates of the MAF's authorities, PEM."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateOptions:
    """What the options said; each value is None when its option was not given."""

    cert: Path | None = None
    key: Path | None = None
    peer_name: str | None = None
    root_of_trust: str | None = None
    root_certificate: Path | None = None
    flavour: str | None = None
    peer_id: str | None = None
    trust_anchor: Path | None = None
    associations: Path | None = None
    crl: Path | None = None
    require_crl: bool = False

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
            ConfigurationError: --cert or --key is missing or cannot be read.
            CredentialError: They cannot be used.
        """
        if self.cert is None or self.key is None:
            raise ConfigurationError("certificates are mutual: give our own by --cert FILE and --key FILE")
        return LocalCertificate.load(self.cert, self.key)

    def configuration(self, peer: EntityId | None) -> AssociationConfiguration:
        """What the one peer's certificate must prove.

        Raises:
            ConfigurationError: Neither release's options are complete, or they are mixed, or raw public keys
                are asked for.
        """
        if self.flavour == Flavour.RAW_PUBLIC_KEY.value:
            raise raw_public_key_error()
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
        if self.flavour is not None and self.trust_anchor is not None and not mixed:
            return AssociationConfiguration.release3(
                flavour=self.flavour,
                trust_anchors=read_public(self.trust_anchor),
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
        return None if self.crl is None else CrlSource(self.crl)

    def accepting_endpoint(
        self, peer: EntityId | None = None, *, release: Release = DEFAULT_RELEASE, psk: bool = True
    ) -> Endpoint | None:
        """The (D)TLS configuration of an accepting side; None when no option speaks of certificates.

        Raises:
            ConfigurationError: The options are incomplete.
            CredentialError: Our certificate cannot be used.
        """
        if not self.are_given:
            return None
        return saef_certificate.accept(
            self.certificate(),
            self.configurations(peer),
            release=release,
            crls=self.crls(),
            require_crl=self.require_crl,
            psk=psk,
        )

    def bootstrap_endpoint(self, release: Release) -> Endpoint | None:
        """The same for an MEF, which must know who each of its clients is.

        Raises:
            ConfigurationError: The options are incomplete, or an association has no peer.
            CredentialError: Our certificate cannot be used.
        """
        if not self.are_given:
            return None
        return bootstrap_certificate.accept(
            self.certificate(),
            self.configurations(None),
            release=release,
            crls=self.crls(),
            require_crl=self.require_crl,
        )

    def maf_client(
        self,
        maf: Address | None,
        maf_id: Fqdn | None,
        trust_anchor: Path | None,
        *,
        local: EntityId,
        transport: Transport,
        limits: Limits,
    ) -> MafClient:
        """A MAF that is met by certificate (8.8.2.2).

        Raises:
            ConfigurationError: --maf, --maf-id or --maf-trust-anchor is missing.
        """
        if maf is None or maf_id is None or trust_anchor is None:
            raise ConfigurationError(
                "to meet a MAF by certificate give --maf HOST:PORT, --maf-id FQDN and --maf-trust-anchor FILE"
            )
        configuration = AssociationConfiguration.release3(
            flavour=Flavour.FQDN, trust_anchors=read_public(trust_anchor), peer_id=str(maf_id)
        )
        initiator = saef_certificate.initiate_with_function(
            Framework.MAF_HANDSHAKE,
            local,
            maf_id,
            self.certificate(),
            configuration,
            release=Release.R3,
            crls=self.crls(),
            require_crl=self.require_crl,
        )
        return MafClient(maf_id, Link(maf, transport, limits), initiator)
