"""The Enrolee: from one pre-provisioned key to credentials for a MAF or a CSE (TS-0003 clause 8.3.2.1).

It bootstraps with its MEF, keeps Kpm and Ke in a sealed store of its own, derives Km and Kpsa when they are
needed, and bootstraps again when Ke is about to expire. Kpm is shown to nobody but the MEF, and Ke to nobody.

With a certificate instead of Kpm (clause 8.3.2.2) nothing of it is kept here: whoever has it makes the
Enrolee by ``with_certificate``; one that is loaded without it uses the Ke that is kept, until that expires.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey, Secret
from ..errors import ConfigurationError, HandshakeError, PeerRefusedError, ResolverUnavailableError
from ..frameworks import saef_psk
from ..frameworks.bootstrap_psk import EnrolmentKey
from ..frameworks.instructions import (
    BootstrapInstruction,
    enrolee_record,
    require_derivable,
)
from ..frameworks.steps import Ask, Initiator
from ..identifiers import EntityId, EntityKind, Fqdn, KeyIdentifier, Suid
from ..net.address import Address, Transport
from ..net.limits import Limits
from ..net.link import Link
from ..store.records import ByCertificate, Enrolment, KeyKind
from ..telemetry import LOG
from .at_maf import AtMaf
from .at_mef import AtMef
from .commands import Memory
from .distributed_keys import DistributedKey, derived_key
from .enrolled import Derived, Enrolled, require_targets
from .enrolment_exchange import Bootstrap, EnrolmentExchange
from .est import EstClient
from .kept_key import KeptKey, as_enrolment_key, renewal

if TYPE_CHECKING:
    from ..store.store import Store

RETRY_INTERVAL: Final = timedelta(seconds=30)
"""Between attempts to bootstrap again while the MEF cannot be reached."""

_NOT_CONFIGURED: Final = "no Enrolee is configured here: enrol it first (m2msec enrol)"
_UNREACHED: Final = (HandshakeError, ResolverUnavailableError, PeerRefusedError)


class Enrolee(Enrolled):
    """An Enrolee with its MEF, its instructions and its sealed store; made by ``configure`` or ``load``."""

    def __init__(
        self,
        store: Store,
        instruction: BootstrapInstruction,
        at_mef: AtMef,
        clock: Clock = CLOCK,
    ) -> None:
        super().__init__(store, at_mef.mef, instruction, clock)
        self._kept = KeptKey(store, instruction, at_mef.parent, clock)
        self._bootstrap = Bootstrap(at_mef, instruction, self._kept, clock)
        self._turn = asyncio.Lock()

    @classmethod
    async def configure(
        cls,
        store: Store,
        *,
        kpm_id: KeyIdentifier,
        kpm: Secret,
        instruction: BootstrapInstruction,
        link: Link,
        clock: Clock = CLOCK,
    ) -> Self:
        """Pre-provision this device: keep Kpm and the Bootstrap Instruction Configuration in its store.

        Args:
            store: The device's own store; another configuration in it is replaced.
            kpm_id: KpmId; its FQDN is the MEF-ID.
            kpm: Kpm.
            instruction: Enrolee-ID, Enrolment Targets, Enrolment Expiry.
            link: Where the MEF listens, over TLS or DTLS.
            clock: What ends keys, and makes them anew before.

        Raises:
            ConfigurationError: There is no Enrolment Target, or one that no key can be derived for.
            StoreError: The store could not be written.
        """
        require_targets(instruction)
        record = enrolee_record(kpm_id, kpm, instruction, clock=clock)
        record = replace(record, labels=())  # the enrolment says it
        kept = Enrolment(kpm_id.fqdn, str(link.address), link.transport.value, instruction, by=kpm_id)
        await store.enrolment.put(kept, kpm=record)
        return cls(store, instruction, AtMef.by_key(instruction.enrolee, record, link), clock)

    @classmethod
    async def with_certificate(
        cls,
        store: Store,
        *,
        initiator: Initiator,
        instruction: BootstrapInstruction,
        ends: datetime,
        link: Link,
        clock: Clock = CLOCK,
    ) -> Self:
        """An Enrolee that meets its MEF by certificate (8.3.2.2).

        Args:
            store: The device's own store; a Kpm in it is removed, with what came of it.
            initiator: How it meets the MEF (``bootstrap_certificate.initiate``).
            instruction: Enrolee-ID, Enrolment Targets, Enrolment Expiry.
            ends: When our certificate ends (UTC): Ke does not outlive it.
            link: Where the MEF listens, over TLS or DTLS.
            clock: What ends keys, and makes them anew before.

        Raises:
            ConfigurationError: There is no Enrolment Target, or one that no key can be derived for.
            StoreError: The store could not be written.
        """
        require_targets(instruction)
        require_derivable(instruction)
        mef_id = Fqdn.parse(initiator.peer.text)
        kept = Enrolment(mef_id, str(link.address), link.transport.value, instruction, by=ByCertificate(ends))
        await store.enrolment.put(kept)
        at_mef = AtMef(mef=mef_id, initiator=initiator, link=link, ends=ends)
        return cls(store, instruction, at_mef, clock)

    @classmethod
    async def load(
        cls,
        store: Store,
        *,
        limits: Limits | None = None,
        initiator: Initiator | None = None,
        clock: Clock = CLOCK,
    ) -> Self:
        """The Enrolee that was configured in this store.

        Args:
            store: The device's own store.
            limits: Bounds on time and size towards the MEF.
            initiator: How one with a certificate meets its MEF again; without it, it has the Ke that is kept.
            clock: What ends keys, and makes them anew before.

        Raises:
            ConfigurationError: There is none.
        """
        kept = await store.enrolment.find()
        if kept is None:
            raise ConfigurationError(_NOT_CONFIGURED)
        link = None
        if kept.address is not None:
            link = Link(Address.parse(kept.address), Transport(kept.transport or Transport.TLS), limits)
        if isinstance(kept.by, ByCertificate):
            at_mef = AtMef(mef=kept.mef, initiator=initiator, link=link, ends=kept.by.ends)
            return cls(store, kept.instruction, at_mef, clock)
        for kpm in await store.records(KeyKind.KPM):
            if kpm.key_id == kept.by and link is not None:
                at_mef = AtMef.by_key(kept.instruction.enrolee, kpm, link)
                return cls(store, kept.instruction, at_mef, clock)
        raise ConfigurationError(_NOT_CONFIGURED)

    @property
    def last_command(self) -> Memory:
        """What was carried out last of what the MEF commanded."""
        return self._store.enrolment.last_command

    # --- bootstrap ------------------------------------------------------------------------------------------

    async def enrol(self) -> EnrolmentKey:
        """Bootstrap now; the new Ke takes the place of the old one, which the MEF refuses once it is used.

        Raises:
            HandshakeError: The MEF cannot be reached, or does not know us by Kpm.
            ResolverUnavailableError: Release 3: the MEF gave no usable answer.
            PeerRefusedError: Release 3: the MEF refused to register us.
            StoreError: Ke could not be kept.
        """
        async with self._turn:
            return await self._bootstrap.enrol()

    async def enrolment_key(self) -> EnrolmentKey:
        """Ke: the one that is kept or, if there is none or it is about to expire, a new one.

        While the MEF cannot be reached, the one that is kept serves until it expires.

        Raises:
            HandshakeError: There is no usable Ke, and the MEF cannot be reached or does not know us.
            ResolverUnavailableError: The same in Release 3.
            PeerRefusedError: The same, in Release 3, when the MEF refused to register us.
        """
        async with self._turn:
            kept = await self._kept.find()
            if kept is not None and (not self._bootstrap.is_possible or self._clock.now() < renewal(kept)):
                return as_enrolment_key(kept)
            try:
                return await self._bootstrap.enrol()
            except _UNREACHED as error:
                if kept is None or kept.expired(self._clock.now()):
                    raise
                LOG.warning("Ke is about to expire and could not be renewed", error=str(error))
                return as_enrolment_key(kept)

    async def keep_enrolled(self, *, retry: timedelta = RETRY_INTERVAL) -> None:
        """Bootstrap again whenever Ke is about to expire; runs until it is cancelled.

        Args:
            retry: Between attempts while the MEF cannot be reached.
        """
        while True:
            try:
                await self.enrolment_key()
            except _UNREACHED as error:
                LOG.warning("not enrolled", mef=str(self.mef), error=str(error))
            kept = await self._kept.find()
            due = 0.0 if kept is None else (renewal(kept) - self._clock.now()).total_seconds()
            await asyncio.sleep(due if due > 0 else retry.total_seconds())

    @contextlib.asynccontextmanager
    async def exchange(self) -> AsyncIterator[EnrolmentExchange]:
        """Bootstrap, register, and go on with further procedures of the Enrolment Exchange (8.3.4).

        Raises:
            HandshakeError: The MEF cannot be reached, or does not know us.
            ResolverUnavailableError: It gave no usable answer.
            PeerRefusedError: It refused to register us.
            StoreError: Ke could not be kept.
        """
        async with contextlib.AsyncExitStack() as open_exchange:
            async with self._turn:  # others may ask for Ke while the exchange goes on
                exchange = await open_exchange.enter_async_context(self._bootstrap.exchange())
            yield exchange

    @contextlib.asynccontextmanager
    async def est(self) -> AsyncIterator[EstClient]:
        """A client of the MEF by which it provisions us a certificate (8.3.6.2), over TLS.

        Its session makes a Ke too, which is kept in the end: the MEF soon refuses the one before.

        Raises:
            ConfigurationError: Our certificate is not here.
            StoreError: Ke could not be kept.
        """
        async with self._turn, self._bootstrap.est() as client:
            yield client

    # --- what comes of it ---------------------------------------------------------------------------------

    async def master_credential(self, maf: Fqdn) -> ResolvedKey:
        """Km for a MAF, named by KeId; its ``credential`` is KmId.

        Raises:
            ConfigurationError: The MAF is not one of our Enrolment Targets.
            HandshakeError: As for ``enrolment_key``.
        """
        self._check(EntityId(str(maf)))
        return (await self.enrolment_key()).master_credential(self.release, maf)

    async def provisioned_key(self, target: EntityId) -> ResolvedKey:
        """Kpsa for a CSE or an AE, named by KeId.

        Raises:
            ConfigurationError: It is not one of our Enrolment Targets.
            CredentialError: Release 3 derives Kpsa for an absolute CSE-ID or AE-ID only.
            HandshakeError: As for ``enrolment_key``.
        """
        self._check(target)
        return (await self.enrolment_key()).provisioned_key(self.release, target)

    async def end_to_end_key(self, target: EntityId, suid: Suid) -> DistributedKey:
        """The key that we share with a CSE or an AE for one usage, SUID 22 to 25 (10.3.7), named by KeId.

        Raises:
            CredentialError: Our release derives no such key, or none for this target.
        """
        self._check(target)
        return derived_key(await self.enrolment_key(), self.release, target, suid)

    async def credentials(self, target: EntityId) -> list[Derived]:
        """Km or Kpsa for one Enrolment Target, whatever the cipher suite."""
        key = await self.enrolment_key()
        if target.kind is EntityKind.FUNCTION:
            return [Derived(key.master_credential(self.release, Fqdn(target.text)))]
        return [Derived(key.provisioned_key(self.release, target))]

    def initiator(
        self, peer: EntityId, *, transport: Transport = Transport.TLS, server_name: Fqdn | None = None
    ) -> Ask:
        """How we prove ourselves to a CSE or an AE that we are enrolled for: by Kpsa of the Ke that is due.

        Args:
            peer: The Enrolment Target.
            transport: Over what; Kpsa is the same over both.
            server_name: SNI host name; by default the FQDN representation of an absolute identity.

        Raises:
            ConfigurationError: It is not one of our Enrolment Targets.
        """
        del transport
        self._check(peer)

        made: dict[KeyIdentifier, Initiator] = {}  # one for as long as Ke is

        async def by_kpsa() -> Initiator:
            kpsa = await self.provisioned_key(peer)
            if kpsa.key_id not in made:
                made.clear()
                made[kpsa.key_id] = saef_psk.initiate(self.local, peer, kpsa, server_name=server_name)
            return made[kpsa.key_id]

        return by_kpsa

    def at_maf(self, maf: Fqdn, link: Link) -> Ask:
        """How we prove ourselves to a MAF that we are enrolled for: by Km of the Ke that is due.

        In Release 3 we register first, and then show the KmId that the MAF assigned (8.8.2.3).

        Args:
            maf: The MAF-ID.
            link: Where the MAF listens: to register.

        Raises:
            ConfigurationError: The MAF is not one of our Enrolment Targets.
        """
        self._check(EntityId(str(maf)))
        return AtMaf(
            self.local, self.release, maf, link, partial(self.master_credential, maf), clock=self._clock
        )
