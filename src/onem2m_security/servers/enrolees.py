"""A MAF's Enrolees: clients whose Master Credential an MEF provides (TS-0003 clauses 8.3.1.2, 8.2.2.3).

A first handshake shows a KeId; the MEF that it names is asked for Km in the middle of it. Km is durable,
under its KmId with the KeId as a second name, before that handshake goes on, so that both identifiers work
from then on, also while the MEF is away. Where it is there, it is asked again after a while whether it still
stands by the Enrolee. A newer Km of the same Enrolee from the same MEF replaces the older one and the
keys that came from it.

The MEF's answer says who the Enrolee is, not whom it may reach: that is the MAF's own Association
Configuration (8.2.2.3), kept here as a policy. It holds at each handshake, not from the day of enrolment.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ..clients.mef import FETCH_SECONDS
from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey
from ..errors import ResolverUnavailableError
from ..frameworks import maf_handshake
from ..frameworks.resolvers import REMEMBERED, Fetch, RemoteKeys, ResolverChain
from ..frameworks.steps import PENDING, Pending, Resolver
from ..identifiers import Fqdn, KeyIdentifier, Suid
from ..keys import km_id_of
from ..store.records import KeyKind, KeyRecord, uss_in, uss_labels
from ..telemetry import KEYS_STORED, LOG
from ..tls.suites import Suite
from .association_policy import AssociationPolicy

if TYPE_CHECKING:
    from ..store.store import Store

CONFIRM_SECONDS: Final = 2.0
"""The same, where we have its answer of before."""

SILENT_SECONDS: Final = 30.0
"""How long an MEF that could not be asked is not asked again about those whom we know."""

_CONFIRMED_MAX: Final = 100_000
_LIFETIME_TOLERANCE: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Provisioning:
    """From whom a MAF has the Km of clients that it was not given.

    Attributes:
        mefs: MEF-ID to the function that asks that MEF for Km (``MefClient.fetch_km``).
        elsewhere: Asked for identities that neither the store nor an MEF knows, such as a BSF.
        policy: Whom these clients may have keys for; by default nobody.
        timeout: Seconds that an MEF may take to answer.
        remembered: How long what an MEF said of an Enrolee counts, before it is asked again.
    """

    mefs: Mapping[Fqdn, Fetch] = field(default_factory=dict)
    elsewhere: Resolver | None = None
    policy: AssociationPolicy = field(default_factory=AssociationPolicy)
    timeout: float = FETCH_SECONDS
    remembered: timedelta = REMEMBERED


class Enrolees:
    """The remotely provisioned clients of one MAF.

    The Km of an Enrolee is durable here, and serves while the MEF cannot be asked. But it is the MEF that may
    revoke the Enrolee: so its word counts for a bounded time, after which it is asked again at the next use.
    If it has no credential for us any more, Km goes, with all keys that came from it. What this MAF's own
    operator removed does not come back, whatever the MEF says.
    """

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        provisioning: Provisioning,
        *,
        clock: Clock = CLOCK,
    ) -> None:
        """Ask these MEFs.

        Args:
            store: Where Km is kept.
            fqdn: The MAF-ID.
            provisioning: Which MEFs, and what their word means.
            clock: What ages their word.
        """
        self._store = store
        self._fqdn = fqdn
        self._policy = provisioning.policy
        self._mefs = frozenset(provisioning.mefs)
        self._remembered = provisioning.remembered.total_seconds()
        self._clock = clock
        self._confirmed: OrderedDict[KeyIdentifier, float] = OrderedDict()
        """Until when the MEF's word about a KeId counts."""
        self._silent: dict[Fqdn, float] = {}
        """Until when an MEF that could not be asked is left alone, where we know the answer of before."""
        # Handshakes with one KeId share one request. Each MEF has its own places, so that one that hangs does
        # not hold up another. Nothing is kept in memory: the store is where it is looked up.
        self._resolver = ResolverChain(
            RemoteKeys(
                {mef: partial(self._provision, fetch)},
                timeout=provisioning.timeout,
                remembered=provisioning.remembered,
                capacity=0,
                clock=clock,
            )
            for mef, fetch in provisioning.mefs.items()
        )

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """Km of an Enrolee that the store does not know, from the MEF that its KeId names.

        What the MEF answers is durable before the handshake goes on.
        """
        return await self._resolver.resolve(identity, suite)

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """None where no MEF has to be asked."""
        return self._resolver.resolve_now(identity, suite)

    async def stop(self) -> None:
        """Wait for no MEF's answer any more."""
        await self._resolver.stop()

    async def confirmed(self, record: KeyRecord, key_id: KeyIdentifier, suite: Suite) -> ResolvedKey | None:
        """A Km from the store, as it was asked for, if the MEF that provided it still stands by it.

        Args:
            record: A remotely provisioned Km.
            key_id: KmId or KeId, as the client showed it.
            suite: The negotiated cipher suite.
        """
        confirmed = self.confirmed_now(record, key_id)
        if not isinstance(confirmed, Pending):
            return confirmed
        ke_id = record.parent or key_id  # it has one, since there is somebody to ask
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                found = await self._resolver.resolve(str(ke_id).encode(), suite)
        except (ResolverUnavailableError, TimeoutError) as error:
            return self._as_credential(record, key_id, self._leave_alone(ke_id.fqdn, error))
        return None if found is None else dataclasses.replace(found, key_id=key_id)

    def confirmed_now(self, record: KeyRecord, key_id: KeyIdentifier) -> ResolvedKey | Pending:
        """The same, unless the MEF has to be asked."""
        ke_id = record.parent
        if ke_id is None or ke_id.fqdn not in self._mefs:
            return self._as_credential(record, key_id, None)
        counts = max(self._confirmed.get(ke_id, 0.0), self._silent.get(ke_id.fqdn, 0.0))
        if counts > self._clock.monotonic():
            return self._as_credential(record, key_id, counts)
        return PENDING

    def _leave_alone(self, mef: Fqdn, error: Exception) -> float:
        """Until when an MEF that could not be asked is not asked; said once, however many waited for it."""
        now = self._clock.monotonic()
        until = self._silent.get(mef, 0.0)
        if until <= now:
            LOG.warning(
                "an MEF cannot be asked about its Enrolees: what it said before counts",
                mef=str(mef),
                error=str(error),
            )
            until = self._silent[mef] = now + SILENT_SECONDS
        return until

    async def _provision(self, fetch: Fetch, ke_id: KeyIdentifier) -> ResolvedKey | None:
        if await self._store.trust.is_revoked(KeyKind.KM, ke_id):
            return None
        asked = self._clock.monotonic()
        fetched = await fetch(ke_id)
        known = await self._store.find(KeyKind.KM, ke_id)
        if fetched is None:
            await self._forget(known)
            return None
        if fetched.peer is None:
            raise ResolverUnavailableError(f"{ke_id.fqdn} did not say whose {ke_id} is")
        record = KeyRecord(
            kind=KeyKind.KM,
            key_id=km_id_of(fetched.key, self._fqdn),
            key=fetched.key,
            issued=self._clock.now(),
            source=fetched.peer,
            alias=ke_id,
            suid=Suid.PROVISIONED_MAF,
            expires=fetched.expires,
            parent=ke_id,
            labels=uss_labels(fetched.user_settings),
        )
        if known is None or not _says_the_same(record, known):
            if not await self._keep(record, ke_id):
                return None
            known = record
        self._confirm(ke_id, asked)
        return self._as_credential(known, ke_id, None)

    async def _keep(self, record: KeyRecord, ke_id: KeyIdentifier) -> bool:
        if not await self._store.trust.add_unless_revoked(record, others=partial(_without_older, ke_id.fqdn)):
            LOG.info("an Enrolee was removed here", enrolee=str(record.source), ke_id=str(ke_id))
            return False
        KEYS_STORED.labels(KeyKind.KM.value).inc()
        LOG.info(
            "remotely provisioned",
            enrolee=str(record.source),
            ke_id=str(ke_id),
            km_id=str(record.key_id),
            fingerprint=record.key.fingerprint,
        )
        return True

    async def _forget(self, known: KeyRecord | None) -> None:
        """The MEF has no credential for us under this KeId, or none any more."""
        if known is None or not is_provisioned(known):
            return
        await self._store.remove(KeyKind.KM, known.key_id, descendants=True)
        LOG.info(
            "an Enrolee is gone: its MEF provides no Km any more",
            enrolee=str(known.source),
            ke_id=str(known.parent),
            km_id=str(known.key_id),
        )

    def _confirm(self, ke_id: KeyIdentifier, asked: float) -> None:
        self._silent.pop(ke_id.fqdn, None)
        self._confirmed[ke_id] = asked + self._remembered
        self._confirmed.move_to_end(ke_id)
        while len(self._confirmed) > _CONFIRMED_MAX:
            self._confirmed.popitem(last=False)

    def _as_credential(self, record: KeyRecord, key_id: KeyIdentifier, counts: float | None) -> ResolvedKey:
        """A remotely provisioned Km, as it was asked for, with the targets that the policy allows now."""
        credential = maf_handshake.credential(
            key_id,
            record.key,
            client=record.source,
            targets=self._policy.targets(record.source),
            expires=record.expires,
            credential=record.key_id,
            suid=Suid.PROVISIONED_MAF,
        )
        return dataclasses.replace(credential, ask_again=counts, user_settings=uss_in(record.labels))


def _says_the_same(new: KeyRecord, known: KeyRecord) -> bool:
    """Whether an MEF's answer is the one of before; its Lifetime is cut to whole seconds each time."""
    if (new.key, new.source, new.labels) != (known.key, known.source, known.labels):
        return False
    if known.expires is None or new.expires is None:
        return False
    return abs(new.expires - known.expires) <= _LIFETIME_TOLERANCE


def _without_older(mef: Fqdn, others: Sequence[KeyRecord]) -> list[KeyRecord]:
    """The other Km of an Enrolee, without those that this MEF provided."""
    return [
        record
        for record in others
        if not is_provisioned(record) or record.parent is None or record.parent.fqdn != mef
    ]


def is_provisioned(record: KeyRecord) -> bool:
    """Did an MEF provide this Km?"""
    return record.suid is Suid.PROVISIONED_MAF
