"""What every server is told, whatever it serves."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...net.limits import Limits
from ...tls.framing import DEFAULT_MTU
from ..common import (
    ALL_TRANSPORTS,
    DataOption,
    FqdnOption,
    MetricsOption,
    MtuOption,
    TransportsOption,
    VerboseOption,
)
from .grouping import OptionGroup


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
        return Limits(datagram_octets=self.mtu)
