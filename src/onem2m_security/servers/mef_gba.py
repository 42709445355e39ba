"""An MEF that is a BSF (TS-0003 clause 8.3.2.3): one FQDN, one data directory, one port for their clients.

Enrolees and Enrolment Targets meet the MEF, UEs meet Ub. Zn is on the port of the MEF: by a NAF with
its key of Zn, who can do nothing else there, or by an Enrolment Target for its own FQDN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from ..clock import CLOCK, Clock
from ..credentials import Framework, ResolvedKey
from ..frameworks.steps import PENDING, Established, Pending
from ..gba.subscriber import Hss
from ..identifiers import Fqdn
from ..net.limits import Limits
from ..net.plain import PlainAnswer, PlainHandler, PlainRequest
from ..onem2m.primitives import Request, Response
from ..tls.suites import Suite
from .bsf import Bsf
from .bsf_ports import WithBsf
from .mef import Mef
from .ports import FurtherPort
from .service import MefService
from .ub import DEFAULT_LIFETIME, DEFAULT_REQUESTS_PER_SECOND

if TYPE_CHECKING:
    from ..store.store import Store


class MefGba(Mef):
    """An MEF over a store, and the BSF over the same store.

    Attributes:
        bsf: The BSF.
    """

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        *,
        hss: Hss | None = None,
        lifetime: timedelta = DEFAULT_LIFETIME,
        requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND,
        clock: Clock = CLOCK,
        **mef: Any,  # noqa: ANN401 - those of an MEF
    ) -> None:
        """Both at this FQDN.

        Args:
            store: Where the records of both are kept.
            fqdn: The MEF-ID, which is the BSF's FQDN.
            hss: Whom the BSF asks for vectors (Zh); by default the subscribers in the store.
            lifetime: How long a bootstrapping lives at most.
            requests_per_second: How often one address may ask on Ub; see ``Ub``.
            clock: From when lifetimes count.
            mef: As for ``Mef``.
        """
        super().__init__(store, fqdn, clock=clock, **mef)
        self.bsf = Bsf(
            store, fqdn, hss=hss, lifetime=lifetime, requests_per_second=requests_per_second, clock=clock
        )
        self.routes |= self.bsf.routes
        self.well_known = {name: _not_for_nafs(handler) for name, handler in self.well_known.items()}

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """What the MEF has for an identifier, or the key of Zn that it names.

        Both are asked whoever has it: so an unknown identity costs what a known one costs.
        """
        of_mef, of_naf = await asyncio.gather(
            super().resolve(identity, suite), self.bsf.resolve(identity, suite)
        )
        return of_mef or of_naf

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The same, unless the store's thread has to be asked."""
        answers = (super().resolve_now(identity, suite), self.bsf.resolve_now(identity, suite))
        return PENDING if PENDING in answers else answers[0] or answers[1]

    async def handle(self, request: Request, established: Established) -> Response:
        """Answer a request; a NAF's goes to the BSF, which knows nothing of the MEF."""
        if _is_of_naf(established):
            return await self.bsf.handle(request, established)
        return await super().handle(request, established)

    async def established(self, established: Established) -> None:
        """As at any MEF; the session of a NAF is no bootstrap."""
        if not _is_of_naf(established):
            await super().established(established)


def _is_of_naf(established: Established) -> bool:
    return established.association.framework is Framework.SAEF_PSK


def _not_for_nafs(handler: PlainHandler) -> PlainHandler:
    async def handle(request: PlainRequest, established: Established) -> PlainAnswer:
        if _is_of_naf(established):
            return PlainAnswer.refusal(403, "a key of Zn is for Zn only")
        return await handler(request, established)

    return handle


@dataclass(frozen=True)
class MefGbaService(WithBsf, MefService):
    """An MEF to run that is a BSF; those who speak Diameter are met as on the port of the MEF."""

    kind: ClassVar[str] = "MEF and BSF"

    def build(self, store: Store) -> MefGba:
        """Both over their store."""
        return MefGba(store, self.fqdn, **self.bsf_parts(), **self._parts())

    def ports(self, function: Mef, limits: Limits) -> Iterator[FurtherPort]:
        """Ub, and Diameter if it is wanted."""
        if isinstance(function, MefGba):
            yield from self.bsf_ports(self.name, function.bsf, function.acceptor, limits)
