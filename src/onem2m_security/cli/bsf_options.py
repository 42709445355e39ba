"""The options for GBA, the same in every command, and what they stand for: a UE's, and those of a NAF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from ..clients.bsf import BsfClient, NafClient
from ..clients.card import SoftwareCard
from ..clients.entity_a import associate
from ..clients.maf import MafClient
from ..clients.ue import NafChoice, Ue, suite_over
from ..configuration.key_files import KEY_FORMAT, read_key
from ..configuration.suite_names import parse_suite
from ..errors import ConfigurationError
from ..frameworks import saef_gba, saef_psk
from ..gba.keys import KeyChoice
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..net.channel import Channel
from ..net.limits import Limits
from ..net.link import Link
from ..release import Release
from ..tls.suites import Suite
from .common import parsed
from .mef_options import MefAddress

BsfAddress = MefAddress
"""``FQDN=HOST:PORT``; a BSF is the MEF of the GBA-based framework (8.3.2.3)."""


CardOption = Annotated[
    Path | None,
    typer.Option("--card", metavar="FILE", help="GBA: our software card (see m2msec usim make)."),
]
BsfOption = Annotated[
    BsfAddress | None,
    parsed(
        BsfAddress.parse, "--bsf", metavar="FQDN=HOST:PORT", help="GBA: our BSF, where it listens for UEs."
    ),
]
BsfsOption = Annotated[
    list[BsfAddress] | None,
    parsed(
        BsfAddress.parse,
        "--bsf",
        metavar="FQDN=HOST:PORT",
        help="A BSF that may be asked for its subscribers' keys, where it listens for NAFs; repeatable.",
    ),
]
BsfKeyIdsOption = Annotated[
    list[KeyIdentifier] | None,
    parsed(
        KeyIdentifier.parse,
        "--bsf-key-id",
        metavar="KEYID",
        help="Our own key's identifier at that BSF, relative@BSF-FQDN (see m2msec bsf add-naf).",
    ),
]
BsfKeyFilesOption = Annotated[
    list[str] | None,
    typer.Option("--bsf-key-file", metavar="FILE|-", help=f"The key of --bsf-key-id: {KEY_FORMAT}."),
]
BsfDiameterOption = Annotated[
    bool, typer.Option("--bsf-diameter", help="Ask these BSFs over Diameter (TS 29.109), with TLS.")
]
NafOption = Annotated[
    Fqdn | None,
    parsed(
        Fqdn.parse,
        "--naf",
        metavar="FQDN",
        help="GBA: Entity B's FQDN as a NAF; default: the domain name of an absolute CSE-ID.",
    ),
]
NafKeyOption = Annotated[
    KeyChoice | None,
    typer.Option("--naf-key", help="GBA: which key; default: Ks_NAF, or Ks_ext_NAF of a card with GBA_U."),
]
SuiteOption = Annotated[
    Suite | None,
    parsed(
        parse_suite,
        "--suite",
        metavar="NAME",
        help="GBA: the one cipher suite to offer; default: the mandatory one of the transport.",
    ),
]
GbaKpsaOption = Annotated[
    bool,
    typer.Option("--gba-kpsa", help="GBA: show B-TID as the KpsaId of a provisioned key (8.3.2.3)."),
]


@dataclass(frozen=True, slots=True)
class GbaOptions:
    """What a UE was given on the command line."""

    card: Path | None = None
    bsf: BsfAddress | None = None
    naf: Fqdn | None = None
    naf_key: KeyChoice | None = None
    suite: Suite | None = None
    gba_kpsa: bool = False

    @property
    def are_given(self) -> bool:
        """Whether GBA is what was asked for."""
        return self.card is not None or self.bsf is not None

    @staticmethod
    def local(entity: EntityId | None, *others: object) -> EntityId:
        """The identity that we assume.

        Raises:
            ConfigurationError: It is missing, or another key is given beside GBA.
        """
        if entity is None or any(others):
            raise ConfigurationError("for GBA give --entity, --card and --bsf, and no other key")
        return entity

    def ue(self, limits: Limits) -> Ue:
        """A UE with the card.

        Raises:
            ConfigurationError: The card or the BSF is missing.
        """
        if self.card is None or self.bsf is None:
            raise ConfigurationError("give --card FILE and --bsf FQDN=HOST:PORT, both")
        return Ue(SoftwareCard.load(self.card), self.bsf.fqdn, Link(self.bsf.address, limits=limits))

    def key(self, transport: Transport, server_name: Fqdn | None = None) -> NafChoice:
        """Which key the options ask for."""
        suite = self.suite or suite_over(transport)
        return NafChoice(suite, self.naf, self.naf_key, self.gba_kpsa, server_name)

    async def associate(
        self,
        link: Link,
        *,
        local: EntityId,
        peer: EntityId,
        maf: Address | None,
        maf_id: Fqdn | None,
        release: Release,
        server_name: Fqdn | None,
    ) -> Channel:
        """Bootstrap, then associate with Entity B: as with a NAF, or through a MAF if one is given.

        Raises:
            ConfigurationError: The card, the BSF or the MAF-ID is missing.
            AuthenticationError: BSF and card do not accept each other.
            HandshakeError: The MAF or Entity B cannot be reached, or refuses us.
            ResolverUnavailableError: The BSF cannot be reached.
        """
        key = self.key(link.transport, server_name)
        if maf is None:
            return await associate(link, self.ue(link.limits or Limits()).initiator(local, peer, key))
        if maf_id is None:
            raise ConfigurationError("give --maf-id FQDN: for which MAF the Master Credential is")
        at_maf = self.ue(link.limits or Limits()).at_maf(local, maf_id, key)
        client = MafClient(maf_id, replace(link, address=maf), at_maf)
        try:
            return await associate(link, client.initiator(peer, release=release, server_name=server_name))
        finally:
            await client.close()


def naf_clients(
    local: EntityId,
    naf: Fqdn | None,
    bsfs: list[BsfAddress] | None,
    key_ids: list[KeyIdentifier] | None,
    key_files: list[str] | None,
    *,
    diameter: bool = False,
    transport: Transport = Transport.TLS,
    limits: Limits | None = None,
) -> list[BsfClient]:
    """Our clients of the BSFs that the options name; the FQDN of a key's identifier says whose it is.

    Raises:
        ConfigurationError: A BSF without a key, a key without a BSF, one of them twice, or no NAF-FQDN.
    """
    addresses = {bsf.fqdn: bsf.address for bsf in bsfs or ()}
    named = [key_id.fqdn for key_id in key_ids or ()]
    if (
        sorted(map(str, addresses)) != sorted(map(str, named))
        or len(addresses) != len(bsfs or ())
        or len(named) != len(key_files or ())
    ):
        raise ConfigurationError(
            "for each BSF give one --bsf FQDN=HOST:PORT, one --bsf-key-id relative@FQDN, one --bsf-key-file"
        )
    naf = naf or local.domain_name
    if named and naf is None:
        raise ConfigurationError(f"{local} has no domain name: give --naf FQDN, our name as a NAF")
    make: Callable[..., BsfClient] = NafClient
    if diameter:
        # Diameter's dictionary takes long to load: only who speaks Diameter waits for it.
        from ..clients.bsf_diameter import NafDiameterClient  # noqa: PLC0415

        make = NafDiameterClient
    return [
        make(
            key_id.fqdn,
            Link(addresses[key_id.fqdn], transport, limits),
            saef_gba.initiate_zn(local, key_id.fqdn, saef_psk.credential(key_id, read_key(file))),
            naf=naf,
        )
        for key_id, file in zip(key_ids or (), key_files or (), strict=True)
        if naf is not None
    ]
