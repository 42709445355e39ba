"""What every server is told, whatever it serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...defaults import BOOTSTRAPPING_LIFETIME, UB_REQUESTS_PER_SECOND
from ...durations import parse_duration
from ...net.address import Address
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BsfServingOptions(OptionGroup):
    """How a BSF bootstraps, alone or as a part of an MEF."""

    listen_diameter: Annotated[
        Address | None,
        parsed(
            Address.parse,
            "--listen-diameter",
            metavar="HOST:PORT",
            help="Where NAFs ask that speak Diameter (TS 29.109), over TLS.",
        ),
    ] = None
    lifetime: Annotated[
        timedelta,
        parsed(
            parse_duration, "--lifetime", metavar="DURATION", help="How long a bootstrapping lives at most."
        ),
    ] = BOOTSTRAPPING_LIFETIME
    ub_rate: Annotated[
        float,
        typer.Option(
            "--ub-rate",
            metavar="N",
            min=0.1,
            help="Requests a second on Ub from one address (of IPv6: one /64); ten times as many at once.",
        ),
    ] = UB_REQUESTS_PER_SECOND

    def parts(self) -> dict[str, Any]:
        """The same as a service takes it."""
        return {
            "listen_diameter": self.listen_diameter,
            "lifetime": self.lifetime,
            "requests_per_second": self.ub_rate,
        }
