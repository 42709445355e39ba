"""The Ke that an Enrolee keeps in its store: one at a time, used until it is about to expire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..clock import Clock
from ..frameworks.bootstrap_psk import EnrolmentKey
from ..frameworks.instructions import BootstrapInstruction
from ..identifiers import KeyIdentifier
from ..store.records import KeyKind, KeyRecord
from ..telemetry import LOG

if TYPE_CHECKING:
    from ..store.store import Store

RENEWAL_MARGIN: Final = 0.1
"""The last part of Ke's life in which it counts as about to expire."""


class KeptKey:
    """The Ke of one Enrolee in its store."""

    def __init__(
        self, store: Store, instruction: BootstrapInstruction, parent: KeyIdentifier | None, clock: Clock
    ) -> None:
        """Keep what comes of this key in the store; of a credential that is not in it, if it is None."""
        self._store = store
        self._instruction = instruction
        self._parent = parent
        self._clock = clock

    async def find(self) -> KeyRecord | None:
        """The one that is kept, unless it has expired."""
        now = self._clock.now()
        records = await self._store.records(KeyKind.KE, source=self._instruction.enrolee)
        live = [r for r in records if r.parent == self._parent and not r.expired(now)]
        return live[-1] if live else None

    async def put(self, key: EnrolmentKey, *, issued: datetime) -> EnrolmentKey:
        """Keep a new one in place of the old one, which serves until this moment.

        Args:
            key: The new one.
            issued: From when it counts (UTC).
        """
        record = KeyRecord(
            kind=KeyKind.KE,
            key_id=key.ke_id,
            key=key.ke,
            issued=issued,
            source=self._instruction.enrolee,
            targets=self._instruction.targets,
            expires=key.expires,
            parent=self._parent,
        )
        await self._store.add(record, others=lambda _: ())
        LOG.info(
            "enrolled",
            mef=str(key.ke_id.fqdn),
            ke_id=str(record.key_id),
            fingerprint=record.key.fingerprint,
        )
        return key


def renewal(ke: KeyRecord) -> datetime:
    """From when on a Ke counts as about to expire (UTC)."""
    if ke.expires is None:
        return datetime.max.replace(tzinfo=UTC)
    return ke.expires - RENEWAL_MARGIN * (ke.expires - ke.issued)


def as_enrolment_key(record: KeyRecord) -> EnrolmentKey:
    """A Ke as those who derive from it take it."""
    return EnrolmentKey(record.key_id, record.key, record.expires)
