"""Entity A: the initiating side of an association (TS-0003 clause 8.2.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..certificates.configuration import AssociationConfiguration
from ..certificates.crl import CrlSource
from ..certificates.local import LocalCertificate
from ..credentials import ResolvedKey
from ..frameworks import bootstrap_gba, saef_certificate, saef_gba, saef_maf, saef_psk
from ..frameworks.saef_maf import ConnectionKey
from ..gba.context import BootstrappedContext
from ..gba.keys import KeyChoice
from ..identifiers import EntityId, Fqdn
from ..net.address import Address, Transport
from ..net.channel import Channel, open_channel
from ..net.limits import Limits
from ..release import DEFAULT_RELEASE, Release
from ..tls.suites import Suite
from .maf import MafClient

PROPOSED_LIFETIME = timedelta(hours=24)
"""What Release 3 proposes to the MAF as the lifetime of Kc; the MAF decides."""


async def associate(
    address: Address,
    *,
    local: EntityId,
    peer: EntityId,
    kpsa: ResolvedKey,
    server_name: Fqdn | None = None,
    transport: Transport = Transport.TLS,
    limits: Limits | None = None,
) -> Channel:
    """Associate with Entity B by a key that both hold (8.2.2.1).

    Args:
        address: Where Entity B listens.
        local: IdA, the identity that we assume.
        peer: IdB, whom we mean to reach.
        kpsa: Kpsa with its KpsaId.
        server_name: SNI host name; by default the FQDN representation of an absolute IdB.
        transport: TLS or DTLS.
        limits: Bounds on time.

    Raises:
        HandshakeError: Entity B cannot be reached, or does not hold this key.
    """
    initiator = saef_psk.initiate(local, peer, kpsa, server_name=server_name)
    return await open_channel(initiator, address, transport=transport, limits=limits)


async def associate_by_certificate(
    address: Address,
    *,
    local: EntityId,
    certificate: LocalCertificate,
    configuration: AssociationConfiguration,
    release: Release = DEFAULT_RELEASE,
    crls: CrlSource | None = None,
    require_crl: bool = False,
    server_name: Fqdn | None = None,
    transport: Transport = Transport.TLS,
    limits: Limits | None = None,
) -> Channel:
    """Associate with Entity B by certificates at both ends (8.2.2.2).

    Args:
        address: Where Entity B listens.
        local: IdA, the identity that we assume.
        certificate: Our certificate, chain and private signing key.
        configuration: IdB, and what its certificate must prove.
        release: Whose rules to hold the certificate to.
        crls: Where Certificate Revocation Lists are.
        require_crl: Refuse an Entity B for which no list is at hand.
        server_name: SNI host name; by default the FQDN representation of an absolute IdB.
        transport: TLS or DTLS.
        limits: Bounds on time.

    Raises:
        ConfigurationError: The configuration does not say who Entity B is.
        HandshakeError: Entity B cannot be reached, does not prove what is configured, or refuses us.
    """
    initiator = saef_certificate.initiate(
        local,
        certificate,
        configuration,
        release=release,
        crls=crls,
        require_crl=require_crl,
        server_name=server_name,
    )
    return await open_channel(initiator, address, transport=transport, limits=limits)


async def obtain_connection_key(maf: MafClient, peer: EntityId, *, release: Release) -> ConnectionKey:
    """A new Kc for this peer: Release 1 by the handshake alone, Release 3 by registration (8.8.2.7).

    Raises:
        HandshakeError: The MAF cannot be reached, or does not know us.
        PeerRefusedError: Release 3: the MAF does not allow us this peer.
    """
    if release is Release.R1:
        return await maf.handshake()
    return await maf.register_key(expires=datetime.now(UTC) + PROPOSED_LIFETIME, target=peer, admin=maf.maf)


async def associate_through_maf(
    address: Address,
    *,
    local: EntityId,
    peer: EntityId,
    maf: MafClient,
    release: Release = DEFAULT_RELEASE,
    server_name: Fqdn | None = None,
    transport: Transport = Transport.TLS,
    limits: Limits | None = None,
) -> Channel:
    """Associate with Entity B through a MAF that both trust (8.2.2.3).

    Args:
        address: Where Entity B listens.
        local: IdA, the identity that the MAF knows us by.
        peer: IdB, whom we mean to reach.
        maf: Our MAF.
        release: Whose messages and identifiers to use.
        server_name: SNI host name; by default the FQDN representation of an absolute IdB.
        transport: TLS or DTLS.
        limits: Bounds on time.

    Raises:
        HandshakeError: The MAF or Entity B cannot be reached, or refuses us.
        PeerRefusedError: Release 3: the MAF does not allow us this peer.
    """
    key = await obtain_connection_key(maf, peer, release=release)
    initiator = saef_maf.initiate(local, peer, key, release=release, server_name=server_name)
    return await open_channel(initiator, address, transport=transport, limits=limits)


async def associate_by_gba(
    address: Address,
    *,
    local: EntityId,
    peer: EntityId,
    context: BootstrappedContext,
    suite: Suite | None = None,
    naf: Fqdn | None = None,
    choice: KeyChoice | None = None,
    provisions: bool = False,
    server_name: Fqdn | None = None,
    transport: Transport = Transport.TLS,
    limits: Limits | None = None,
) -> Channel:
    """Associate with Entity B, a NAF, by a key of our bootstrapping with a BSF (8.2.3.2).

    Args:
        address: Where Entity B listens.
        local: IdA, the identity that we assume.
        peer: IdB, whom we mean to reach.
        context: Our bootstrapping (``Ue.bootstrap``).
        suite: The one cipher suite to offer; by default the mandatory one of the transport (10.2.2).
        naf: Entity B's FQDN as a NAF; by default the FQDN representation of an absolute IdB.
        choice: Which NAF key; by default Ks_NAF, or Ks_ext_NAF with GBA_U.
        provisions: Use the key as the Kpsa of the bootstrap framework, under B-TID as KpsaId (8.3.2.3).
        server_name: SNI host name; by default the NAF's FQDN.
        transport: TLS or DTLS.
        limits: Bounds on time.

    Raises:
        CredentialError: IdB has no FQDN representation, or the choice does not fit the bootstrapping.
        HandshakeError: Entity B cannot be reached, or the BSF gives it no key of ours.
    """
    initiate = bootstrap_gba.initiate if provisions else saef_gba.initiate
    initiator = initiate(
        local,
        peer,
        context,
        suite=suite or gba_suite(transport),
        naf=naf,
        choice=choice,
        server_name=server_name,
    )
    return await open_channel(initiator, address, transport=transport, limits=limits)


def gba_suite(transport: Transport) -> Suite:
    """The one suite that an Entity A offers with a key from GBA, unless told otherwise (10.2.2)."""
    return saef_gba.DTLS_SUITE if transport is Transport.DTLS else saef_gba.TLS_SUITE
