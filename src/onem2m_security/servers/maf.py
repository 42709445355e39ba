"""The M2M Authentication Function: the MAF Handshake and the keys that it distributes (TS-0003 clause 8.8).

As a resolver it turns a KmId into Km, and a KeId into the Km that an MEF provides (8.3.1.2); as a function it
answers client registration, key registration and key retrieval. In Release 1
every handshake of a client that was configured with exactly one target registers Kc for it, before the last
flight leaves. A client with several targets says which in a key registration request (Release 3), or by the
KmId that it shows (Release 1: one for each target), since one Kc that two of them hold would let either pass
for the client at the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ..clock import CLOCK, Clock
from ..credentials import Framework, ResolvedKey
from ..defaults import KC_LIFETIME
from ..frameworks import maf_handshake
from ..frameworks.resolvers import ResolverChain, parse_identity
from ..frameworks.steps import PENDING, Acceptor, Done, Established, Pending, resolve_now
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..onem2m.resources import MafBase, MafClientRegistration
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas
from ..store.records import KeyKind, KeyRecord, Later
from ..telemetry import LOG
from ..tls.endpoint import Endpoint
from ..tls.suites import Suite
from .client_registration import ClientRegistrations
from .enrolees import Enrolees, Provisioning, is_provisioned
from .function import Function, base_routes
from .key_registration import KeyRegistrations
from .stakeholders import Stakeholder, Stakeholders

if TYPE_CHECKING:
    from ..store.store import Store

DEFAULT_KC_LIFETIME = KC_LIFETIME


class Maf(Function):
    """A MAF over a store.

    Attributes:
        keys: The keys that it distributes.
    """

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        *,
        kc_lifetime: timedelta = DEFAULT_KC_LIFETIME,
        provisioning: Provisioning | None = None,
        stakeholders: Iterable[Stakeholder] = (),
        quotas: PeerQuotas = DEFAULT_QUOTAS,
        endpoint: Endpoint | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        """A MAF at this FQDN.

        Args:
            store: Where Km and Kc are kept.
            fqdn: The MAF-ID.
            kc_lifetime: How long Kc may be used; never longer than the Km it came from.
            provisioning: Who provides the Km of further clients; by default nobody.
            stakeholders: Who may be named as adminFQDN, and for which usages, beside the MAF itself.
            quotas: What one client may have and do.
            endpoint: The (D)TLS configuration; by default pre-shared keys only.
            clock: From when lifetimes count.
        """
        super().__init__(fqdn)
        registrations = ClientRegistrations(
            store,
            fqdn,
            MafClientRegistration,
            stakeholders=Stakeholders(fqdn, stakeholders),
            quotas=quotas,
            clock=clock,
        )
        self.keys = KeyRegistrations(
            store, fqdn, clients=registrations, lifetime=kc_lifetime, quotas=quotas, clock=clock
        )
        self.routes |= self.keys.routes() | registrations.routes() | base_routes(MafBase.at(fqdn))
        self._store = store
        provisioning = provisioning or Provisioning()
        self._enrolees = Enrolees(store, fqdn, provisioning, clock=clock)
        further = [] if provisioning.elsewhere is None else [provisioning.elsewhere]
        self._elsewhere = ResolverChain([self._enrolees, *further])
        self.acceptor = Acceptor(
            local=EntityId(str(fqdn)),
            endpoint=replace(endpoint or Endpoint(server=True), requires_extended_master_secret=True),
            resolver=self,
            certificate_framework=Framework.MAF_HANDSHAKE,
            established=self.established,
            commit=self.commit,
            revision=store.trust.revision,
        )

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """Km for a KmId, or for a KeId by which the Km is known too."""
        found = self.resolve_now(identity, suite)
        if not isinstance(found, Pending):
            return found
        key_id = parse_identity(identity, KeyIdentifier.parse_km_id)
        if key_id is None:
            return None
        record = await self._store.find(KeyKind.KM, key_id)
        if record is None:
            return await self._elsewhere.resolve(identity, suite)
        if is_provisioned(record):
            return await self._enrolees.confirmed(record, key_id, suite)
        return _as_credential(record, key_id)

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The same, where neither the store's thread nor an MEF nor a BSF has to be asked."""
        key_id = parse_identity(identity, KeyIdentifier.parse_km_id)
        if key_id is None:
            return None
        record = self._store.find_now(KeyKind.KM, key_id)
        if isinstance(record, Later):
            return PENDING
        if record is None:
            return resolve_now(self._elsewhere, identity, suite)
        if is_provisioned(record):
            return self._enrolees.confirmed_now(record, key_id)
        return _as_credential(record, key_id)

    async def stop(self) -> None:
        """Ask no MEF and no BSF any more."""
        await self._elsewhere.stop()

    async def established(self, established: Established) -> None:
        """Release 1: register Kc for the one target of the client, durably, before it can believe in it."""
        credential = established.credential
        if credential is None or not credential.targets:
            return
        if len(credential.targets) == 1:
            await self.keys.register_export(established, credential.targets[0])
            return
        self._say_that_there_is_none(established)

    def commit(self, established: Established, done: Done) -> bool:
        """The same without a task, unless the client's keys have to be counted or make room."""
        credential = established.credential
        targets = () if credential is None else credential.targets
        if len(targets) == 1:
            return self.keys.register_export_soon(established, targets[0], done)
        if targets:
            self._say_that_there_is_none(established)
        done(None)
        return True

    def _say_that_there_is_none(self, established: Established) -> None:
        LOG.info(
            "no key by this handshake: the client has several targets, and names one in a key registration "
            "(Release 3) or by a KmId that has that one only (Release 1)",
            local=str(self.fqdn),
            client=established.holder,
            targets=0 if established.credential is None else len(established.credential.targets),
        )


def _as_credential(record: KeyRecord, key_id: KeyIdentifier) -> ResolvedKey:
    return maf_handshake.credential(
        key_id,
        record.key,
        client=record.source,
        targets=record.targets,
        expires=record.expires,
        credential=record.key_id,
    )
