"""Where Entity A keeps its Connection Keys, to use them again while they live (TS-0003 clause 8.2.2.3).

Sealed in a data directory, or in memory where there is none. Either keeps a bounded number, the newest. What
is kept belongs to one Entity A and one Entity B: a key for one peer is never shown to another.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from ..clock import CLOCK, Clock
from ..errors import RecordCorruptedError
from ..frameworks.maf_handshake import ConnectionKey
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..store.records import KeyKind, KeyRecord
from ..telemetry import LOG

if TYPE_CHECKING:
    from ..store.store import Store

KEPT_MAX: Final = 64
"""How many Kc are kept of one Entity A; beyond it the oldest goes, which the MAF still has until its end."""

_TOLD: Final = "told=maf"
"""Label of a Kc of which the MAF itself said for whom it is (Release 3)."""


class ConnectionKeys(Protocol):
    """Kc of one Entity A, by Entity B and MAF."""

    async def find(self, local: EntityId, peer: EntityId, maf: Fqdn) -> ConnectionKey | None:
        """The newest Kc for this peer that has not ended, from this MAF."""
        ...

    async def keep(self, local: EntityId, peer: EntityId, key: ConnectionKey) -> None:
        """Keep a Kc until its end; one without an end is not kept."""
        ...

    async def forget(self, kc_id: KeyIdentifier) -> None:
        """Use this Kc no more."""
        ...


class KeysInMemory:
    """Connection Keys for as long as the process lives."""

    def __init__(self, *, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[EntityId, EntityId, Fqdn], ConnectionKey] = OrderedDict()

    async def find(self, local: EntityId, peer: EntityId, maf: Fqdn) -> ConnectionKey | None:
        """The newest Kc for this peer that has not ended, from this MAF."""
        key = self._kept.get((local, peer, maf))
        return key if key is not None and _lives(key, self._clock) else None

    async def keep(self, local: EntityId, peer: EntityId, key: ConnectionKey) -> None:
        """Keep a Kc until its end; one without an end is not kept."""
        if key.expires is None:
            return
        where = (local, peer, key.kc_id.fqdn)
        self._kept[where] = key
        self._kept.move_to_end(where)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    async def forget(self, kc_id: KeyIdentifier) -> None:
        """Use this Kc no more."""
        for where in [where for where, key in self._kept.items() if key.kc_id == kc_id]:
            del self._kept[where]


class KeysInStore:
    """Connection Keys sealed in the data directory of Entity A, which several processes may have open.

    Methods raise StoreError when it cannot be used.
    """

    def __init__(self, store: Store, *, clock: Clock = CLOCK) -> None:
        self._store = store
        self._clock = clock

    async def find(self, local: EntityId, peer: EntityId, maf: Fqdn) -> ConnectionKey | None:
        """The newest Kc for this peer that has not ended, from this MAF."""
        records = await self._store.records(KeyKind.KC, source=local, on_corrupted=_passed_over)
        for record in reversed(records):
            if record.targets == (peer,) and record.key_id.fqdn == maf and record.expires is not None:
                told = record.targets if _TOLD in record.labels else ()
                key = ConnectionKey(record.key_id, record.key, record.expires, told)
                if _lives(key, self._clock):
                    return key
        return None

    async def keep(self, local: EntityId, peer: EntityId, key: ConnectionKey) -> None:
        """Keep a Kc until its end; one without an end is not kept."""
        if key.expires is None:
            return
        record = KeyRecord(
            kind=KeyKind.KC,
            key_id=key.kc_id,
            key=key.kc,
            issued=self._clock.now(),
            source=local,
            targets=(peer,),
            suid=Suid.MAF_SAEF,
            expires=key.expires,
            labels=(_TOLD,) if peer in key.targets else (),
        )
        await self._store.add(record, replace=True)
        await self._store.keep_newest(KeyKind.KC, local, KEPT_MAX)

    async def forget(self, kc_id: KeyIdentifier) -> None:
        """Use this Kc no more."""
        await self._store.remove(KeyKind.KC, kc_id)


def _lives(key: ConnectionKey, clock: Clock) -> bool:
    return key.expires is not None and clock.now() < key.expires


def _passed_over(error: RecordCorruptedError) -> None:
    """A new Kc does what one that does not open cannot do."""
    LOG.warning("a kept Kc cannot be used", error=str(error))
