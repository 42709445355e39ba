"""The options for GBA, the same in every command, and what they stand for: a UE's, and those of a NAF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ...configuration.suite_names import parse_suite
from ...errors import ConfigurationError
from ...gba.keys import KeyChoice
from ...identifiers import EntityId, Fqdn, KeyIdentifier
from ...net.link import Link
from ...tls.suites import Suite
from ..common import KEY_FORMAT, parsed
from .asked import AskedOptions, FunctionAddress, Way
from .beginning import meeting_by
from .credentials import Aim, Being, Parts
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...clients.bsf import BsfClient
    from ...clients.ue import Ue
    from ...configuration.meeting import Meeting, Role
    from ...configuration.prove import Card
    from ...frameworks.steps import How
    from ...net.limits import Limits

CardOption = Annotated[
    Path | None,
    typer.Option("--card", metavar="FILE", help="GBA: our software card (see m2msec usim make)."),
]
BsfOption = Annotated[
    FunctionAddress | None,
    parsed(
        FunctionAddress.parse,
        "--bsf",
        metavar="FQDN=HOST:PORT",
        help="GBA: our BSF, where it listens for UEs.",
    ),
]
BsfsOption = Annotated[
    list[FunctionAddress] | None,
    parsed(
        FunctionAddress.parse,
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
class GbaOptions(OptionGroup):
    """A UE's card, its BSF, and which of the keys that come of them."""

    panel: ClassVar = "By GBA (8.2.3)"
    alone: ClassVar = "for GBA give --entity, --card and --bsf, and no other key"

    card: CardOption = None
    bsf: BsfOption = None
    naf: NafOption = None
    naf_key: NafKeyOption = None
    suite: SuiteOption = None
    gba_kpsa: GbaKpsaOption = False

    @property
    def are_given(self) -> bool:
        """Whether GBA is what was asked for."""
        return self.card is not None or self.bsf is not None

    def ue(self, limits: Limits | None) -> Ue:
        """A UE with the card.

        Raises:
            ConfigurationError: The card or the BSF is missing.
        """
        card, bsf = self._given()
        return card.load_ue(Path(), bsf.fqdn, Link(bsf.address, limits=limits))

    def _given(self) -> tuple[Card, FunctionAddress]:
        from ...configuration.prove import Card

        if self.card is None or self.bsf is None:
            raise ConfigurationError("give --card FILE and --bsf FQDN=HOST:PORT, both")
        return Card.model_construct(card=self.card), self.bsf

    async def how(self, aim: Aim) -> How:
        """By a bootstrapping: as with a NAF or, if one is named, through a MAF.

        Raises:
            ConfigurationError: --entity, the card, the BSF or the MAF-ID is missing.
        """
        from ...clients.maf import MafClient
        from ...configuration.meeting import Role

        if aim.entity is None:
            raise ConfigurationError(self.alone)
        if aim.maf.maf is None:
            return await self._how(aim, aim.entity, aim.peer, Role.ENTITY_B)
        maf_id = aim.maf.maf_id
        if maf_id is None:
            raise ConfigurationError("give --maf-id FQDN: for which MAF the Master Credential is")
        at_maf = await self._how(aim, aim.entity, EntityId(str(maf_id)), Role.MAF)
        return await aim.through(MafClient(maf_id, aim.way(aim.maf.maf), at_maf))

    async def _how(self, aim: Aim, local: EntityId, peer: EntityId, role: Role) -> How:
        from ...configuration.prove import ByGba

        card, bsf = self._given()
        proof = ByGba.model_construct(
            bsf=bsf.fqdn, naf=self.naf, naf_key=self.naf_key, suite=self.suite, as_kpsa=self.gba_kpsa
        )

        def at_bsf(peer: EntityId, role: Role) -> Meeting:
            return meeting_by(card, local, peer, role, Link(bsf.address, limits=aim.link.limits))

        meeting = meeting_by(proof, local, peer, role, aim.link, server_name=aim.server_name, meet=at_bsf)
        return await meeting.how()


@dataclass(frozen=True, slots=True, kw_only=True)
class NafOptions(OptionGroup):
    """The BSFs whose NAF an Entity B is."""

    panel: ClassVar = "By GBA (8.2.3)"

    bsf: BsfsOption = None
    bsf_key_id: BsfKeyIdsOption = None
    bsf_key_file: BsfKeyFilesOption = None
    bsf_diameter: BsfDiameterOption = False
    naf: NafOption = None

    def parts(self, being: Being) -> Parts:
        """The BSFs, to be asked for their subscribers' keys."""
        return Parts(bsfs=tuple(self.clients(being.local, being.way)))

    def clients(self, local: EntityId, way: Way = Link) -> list[BsfClient]:
        """Our clients of the BSFs; the FQDN of a key's identifier says whose it is.

        Raises:
            ConfigurationError: A BSF without a key, a key without a BSF, one of them twice, or no NAF-FQDN.
        """
        from ...clients.bsf import naf_client
        from ...configuration.meeting import Role

        given = AskedOptions("--bsf", self.bsf or (), self.bsf_key_id or (), self.bsf_key_file or ())
        asked = given.over(way)
        if not asked:
            return []
        naf = self.naf or local.domain_name
        if naf is None:
            raise ConfigurationError(f"{local} has no domain name: give --naf FQDN, our name as a NAF")
        return [
            naf_client(bsf.fqdn, bsf.link, bsf.how(local, Role.BSF), naf=naf, diameter=self.bsf_diameter)
            for bsf in asked
        ]
