"""What ``m2msec maf serve`` and ``m2msec listen`` share: the MEFs that provide credentials of Enrolees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ...identifiers import EntityId, KeyIdentifier
from ...net.link import Link
from ...servers.association_policy import AssociationRule
from ..common import KEY_FORMAT, parsed
from .asked import AskedOptions, FunctionAddress, Way
from .credentials import Being, Parts
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...clients.mef import MefClient

MefsOption = Annotated[
    list[FunctionAddress] | None,
    parsed(
        FunctionAddress.parse,
        "--mef",
        metavar="FQDN=HOST:PORT",
        help="An MEF that may be asked for the credentials of its Enrolees; repeat for several.",
    ),
]
MefKeyIdsOption = Annotated[
    list[KeyIdentifier] | None,
    parsed(
        KeyIdentifier.parse,
        "--mef-key-id",
        metavar="KEYID",
        help="Our own key's identifier at that MEF, relative@MEF-FQDN (see m2msec mef add-target).",
    ),
]
MefKeyFilesOption = Annotated[
    list[str] | None,
    typer.Option("--mef-key-file", metavar="FILE|-", help=f"The key of --mef-key-id: {KEY_FORMAT}."),
]
EnroleeTargetsOption = Annotated[
    list[AssociationRule] | None,
    parsed(
        AssociationRule.parse,
        "--enrolee-target",
        metavar="[ENROLEE=]IDB",
        help="An Entity B that clients provisioned by an MEF (or the one that is named) may have keys for; "
        "with exactly one, each handshake makes Kc.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MefOptions(OptionGroup):
    """The MEFs whose Enrolment Target an Entity B is."""

    panel: ClassVar = "By an MEF (8.3)"

    mef: MefsOption = None
    mef_key_id: MefKeyIdsOption = None
    mef_key_file: MefKeyFilesOption = None

    def parts(self, being: Being) -> Parts:
        """The MEFs, to be asked for Kpsa of their Enrolees."""
        return Parts(mefs=tuple(self.clients(being.local, being.way)))

    def clients(self, local: EntityId, way: Way = Link) -> list[MefClient]:
        """Our clients of the MEFs; the FQDN of a key's identifier says whose it is.

        Raises:
            ConfigurationError: An MEF without a key, a key without an MEF, or one of them twice.
        """
        from ...clients.mef import MefClient
        from ...configuration.meeting import Role

        given = AskedOptions("--mef", self.mef or (), self.mef_key_id or (), self.mef_key_file or ())
        return [MefClient(mef.fqdn, mef.link, mef.how(local, Role.MEF)) for mef in given.over(way)]
