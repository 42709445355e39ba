"""What it takes to run a BSF beside the port for requests, alone or as a part of an MEF (8.3.2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ..frameworks.steps import Acceptor, Authorities
from ..net.address import Address, Transport
from ..net.limits import Limits
from .bsf import Bsf
from .ports import Closable, FurtherPort
from .ub import DEFAULT_LIFETIME, DEFAULT_REQUESTS_PER_SECOND

if TYPE_CHECKING:
    from ..clients.hss import HssClient


@dataclass(frozen=True)
class WithBsf:
    """A service that runs a BSF.

    Attributes:
        listen_ub: Where UEs bootstrap, over plain HTTP.
        listen_diameter: Where NAFs ask that speak Diameter (TS 29.109), over TLS; None for nowhere.
        lifetime: How long a bootstrapping lives at most.
        hss: The HSS to ask (Zh); None for the subscribers in the store.
        requests_per_second: How often one address may ask on Ub; see ``Ub``.
    """

    _: KW_ONLY
    listen_ub: Address
    listen_diameter: Address | None = None
    lifetime: timedelta = DEFAULT_LIFETIME
    hss: HssClient | None = None
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND

    @property
    def clients(self) -> Sequence[Closable]:
        """That of its HSS."""
        return () if self.hss is None else (self.hss,)

    @property
    def further_tcp_ports(self) -> int:
        """Ub's, and Diameter's if there is one."""
        return 1 + (self.listen_diameter is not None)

    def bsf_parts(self) -> dict[str, Any]:
        """What ``Bsf`` is made with."""
        return {
            "hss": self.hss,
            "lifetime": self.lifetime,
            "requests_per_second": self.requests_per_second,
        }

    def bsf_ports(self, name: str, bsf: Bsf, acceptor: Acceptor, limits: Limits) -> Iterator[FurtherPort]:
        """Ub, and Diameter if it is wanted.

        Args:
            name: What the service is, for people.
            bsf: The BSF.
            acceptor: What meets those that speak Diameter.
            limits: Bounds on time, size and number.
        """
        from ..net.ub import UbListener  # noqa: PLC0415 - a device has no web server

        yield FurtherPort(f"{name}, Ub,", (), UbListener(bsf.ub.handle, limits=limits), self.listen_ub)
        if self.listen_diameter is not None:
            # Diameter's dictionary takes long to load: only who speaks Diameter waits for it.
            from ..net.diameter import diameter_port  # noqa: PLC0415
            from .zn_diameter import ZnDiameter  # noqa: PLC0415

            authorities = Authorities({bsf.fqdn: acceptor}, default=acceptor)
            port = diameter_port(authorities, partial(ZnDiameter, bsf), limits)
            yield FurtherPort(f"{name}, Diameter,", (Transport.TLS,), port, self.listen_diameter)
