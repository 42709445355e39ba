"""A UE's bootstrapping in the store of its device, sealed.

Apart from the one in memory: a UE that keeps nothing loads no database.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ..gba.context import BootstrappedContext
from ..gba.keys import Impi
from ..gba.subscriber import Guss
from ..identifiers import Fqdn
from ..store.records import Bootstrapping

if TYPE_CHECKING:
    from ..store.store import Store


class BootstrappingInStore:
    """Kept sealed in the device's own store, for no longer than its Enrolment Expiry.

    Methods raise StoreUnavailableError as those of the store do.
    """

    def __init__(self, store: Store, lifetime: timedelta) -> None:
        """Keep them in this store.

        Args:
            store: The device's own store.
            lifetime: How long one may be used at most.
        """
        self._store = store
        self._lifetime = lifetime

    async def find(self, impi: Impi, bsf: Fqdn) -> BootstrappedContext | None:
        """The one of this subscriber with this BSF.

        Raises:
            RecordCorruptedError: The record does not open.
        """
        kept = await self._store.bootstrappings.newest(impi)
        return None if kept is None or kept.context.b_tid.fqdn != bsf else kept.context

    async def put(self, context: BootstrappedContext) -> BootstrappedContext:
        """Keep this one, and no other of its subscriber."""
        bounded = replace(context, expires=min(context.expires, context.issued + self._lifetime))
        await self._store.bootstrappings.put_only(Bootstrapping(bounded, Guss()))
        return bounded
