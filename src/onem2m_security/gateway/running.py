"""Running a gateway: Entity B in front of a CSE, until it is told to stop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from ..clients.entity_b import EntityB
from ..identifiers import EntityId
from ..net.address import Address, Transport
from ..net.limits import Limits
from .back_routes import BackRoutes
from .bound import BoundAeIds, KeptAeIds
from .door import Behind, Door
from .places import Places
from .registrar import Registrar
from .upstream import upstream
from .upstream_terms import UpstreamAddress, UpstreamTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayService:
    """A gateway that does not run yet.

    Attributes:
        entity_b: Accepts the associations.
        listen: Where.
        transports: Over what.
        to: The CSE behind it.
        terms: What that is asked at most.
        limits: Bounds on time and size.
        data: Where AE-IDs are remembered; None for in memory only.
        tells: Whether the CSE is told what associations have proven.
        peers: Whom a key or certificate is configured for.
        back: Where the CSE reaches registrees in the clear, on loopback; None for no way back.
    """

    entity_b: AbstractAsyncContextManager[EntityB]
    listen: Address
    transports: Sequence[Transport]
    to: UpstreamAddress
    terms: UpstreamTerms
    limits: Limits
    data: Path | None = None
    tells: bool = False
    peers: Collection[EntityId] = ()
    back: Address | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[EntityId, Address]]:
        """Run it: the CSE-ID, and the address in use. In the end requests that are under way are finished.

        Raises:
            ConfigurationError: The address or the data directory cannot be used, or the extra ``server`` is
                missing.
        """
        bound = BoundAeIds() if self.data is None else KeptAeIds.open(self.data)
        behind = Behind(
            upstream(self.to, self.limits, self.terms),
            Places(self.terms.under_way, self.terms.waiting, self.terms.each),
            bound,
            self.tells,
        )
        async with contextlib.AsyncExitStack() as closing:
            closing.callback(bound.close)
            closing.push_async_callback(behind.upstream.close)
            entity_b = await closing.enter_async_context(self.entity_b)
            local = entity_b.acceptor.local
            others = {str(peer.seen_from(local)) for peer in self.peers}
            registrar = Registrar(
                local,
                bound,
                registrees=[peer for peer in self.peers if peer.is_surely_cse],
                is_others=lambda ae_id: str(ae_id) in others,
            )
            routes = BackRoutes(Door(registrar, behind).handle, self.limits)
            closing.push_async_callback(routes.stop)
            if self.back is not None:
                await routes.listen(self.back)
            yield local, await entity_b.carry_over(self.transports, self.listen, routes.handle)
