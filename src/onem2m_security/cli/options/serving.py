"""What every server is told, whatever it serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from ...servers.stakeholders import Stakeholder
from ...tls.framing import DEFAULT_MTU
from ..common import (
    ALL_TRANSPORTS,
    DataOption,
    FqdnOption,
    MetricsOption,
    MtuOption,
    TransportsOption,
    VerboseOption,
    parsed,
)
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...net.limits import Limits

StakeholdersOption = Annotated[
    list[Stakeholder] | None,
    parsed(
        Stakeholder.parse,
        "--stakeholder",
        metavar="FQDN[=SUID,…]",
        help="An administrating stakeholder (adminFQDN) for whom clients may register, and the usages of the "
        "keys that they may have in its name; without it, only the function itself is one.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions(OptionGroup):
    """A server's data, its name, and how it is reached and watched."""

    data: DataOption
    fqdn: FqdnOption
    metrics: MetricsOption = None
    transport: TransportsOption = field(default_factory=ALL_TRANSPORTS.copy)
    mtu: MtuOption = DEFAULT_MTU
    verbose: VerboseOption = False

    @property
    def limits(self) -> Limits:
        """Bounds on what one peer may cost."""
        from ...net.limits import Limits

        return Limits(datagram_octets=self.mtu)
