"""The M2M Enrolment Function: bootstrap, and credentials for Enrolment Targets (TS-0003 clause 8.3).

As a resolver it turns a KpmId into Kpm. When the handshake of an Enrolee is done it exports Ke and makes it
durable before the last flight leaves; from then on an Enrolment Target of that Enrolee may fetch Km or Kpsa.
A client without Enrolment Targets is itself an Enrolment Target: nothing is exported from its session.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ..clock import CLOCK, Clock
from ..credentials import Framework, ResolvedKey
from ..errors import AuthenticationError, QuotaError
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY, BootstrapInstruction, as_credential
from ..frameworks.resolvers import parse_identity
from ..frameworks.steps import PENDING, Acceptor, Established, Pending
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..onem2m.primitives import Request, Response
from ..onem2m.resources import MefBase, MefClientCommand, MefClientRegistration
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas, Rate
from ..release import DEFAULT_RELEASE, Release
from ..store.records import KeyKind, Later
from ..tls.endpoint import Endpoint
from ..tls.suites import Suite
from .client_registration import ClientRegistrations
from .commands import STEERING, ClientCommands, Steering
from .distribution import BY_MEF
from .enrolments import Enrolments
from .est import Est
from .function import Function, Handler, base_routes
from .key_registration import KeyRegistrations
from .stakeholders import Stakeholder, Stakeholders

if TYPE_CHECKING:
    from ..store.store import Store


class Mef(Function):
    """An MEF over a store.

    Attributes:
        enrolments: The Enrolment Keys that it made.
        keys: The keys that it distributes for its clients (8.3.5.2.7 to 10).
    """

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        *,
        enrolment_expiry: timedelta = DEFAULT_ENROLMENT_EXPIRY,
        release: Release = DEFAULT_RELEASE,
        steering: Steering = STEERING,
        stakeholders: Iterable[Stakeholder] = (),
        quotas: PeerQuotas = DEFAULT_QUOTAS,
        endpoint: Endpoint | None = None,
        clock: Clock = CLOCK,
        est: Est | None = None,
    ) -> None:
        """An MEF at this FQDN.

        Args:
            store: Where Kpm with its instructions and Ke are kept.
            fqdn: The MEF-ID.
            enrolment_expiry: How long Ke may be used by an Enrolee whose credential does not say it.
            release: By which release keys are derived for an Enrolee whose credential does not say it.
            steering: What it tells all its clients.
            stakeholders: Who may be named as adminFQDN, and for which usages, beside the MEF itself.
            quotas: What one client may have and do.
            endpoint: The (D)TLS configuration; by default pre-shared keys only.
            clock: From when lifetimes count.
            est: What provisions certificates (8.3.6), over TLS; by default nothing does.
        """
        super().__init__(fqdn)
        self._store = store
        self._enrolment_expiry = enrolment_expiry
        self._release = release
        self._est = est
        self._rate = Rate("key registrations", quotas.key_registrations_per_second, clock=clock.monotonic)
        self.enrolments = Enrolments(store, fqdn, clock=clock)
        registrations = ClientRegistrations(
            store,
            fqdn,
            MefClientRegistration,
            stakeholders=Stakeholders(fqdn, stakeholders),
            children=[MefClientCommand.below],
            quotas=quotas,
            clock=clock,
        )
        self.keys = KeyRegistrations(
            store,
            fqdn,
            clients=registrations,
            lifetime=enrolment_expiry,
            distribution=BY_MEF,
            quotas=quotas,
            clock=clock,
        )
        self._offer(registrations, steering)
        self.acceptor = self._accepting(endpoint or Endpoint(server=True))

    def _offer(self, registrations: ClientRegistrations, steering: Steering) -> None:
        """Have requests reach who answers them."""
        managed = {route: self._managing(handler) for route, handler in self.keys.routes().items()}
        commands = ClientCommands(self._store, registrations, retry=steering.retry)
        base = MefBase.at(self.fqdn, device_config_uri=steering.device_config)
        self.routes |= self.enrolments.routes() | registrations.routes() | managed
        self.routes |= commands.routes() | base_routes(base)
        if self._est is not None:
            self.well_known["est"] = self._est.handle

    def _accepting(self, endpoint: Endpoint) -> Acceptor:
        """What meets Enrolees and Enrolment Targets; sessions of both export keys."""
        return Acceptor(
            local=EntityId(str(self.fqdn)),
            endpoint=replace(endpoint, requires_extended_master_secret=True),
            resolver=self,
            certificate_framework=Framework.BOOTSTRAP_CERTIFICATE,
            established=self.established,
            revision=self._store.trust.revision,
            is_shown=_is_shown,
        )

    def _managing(self, handler: Handler) -> Handler:
        """The handler, for sessions that are then no bootstrap."""

        async def handle(request: Request, established: Established) -> Response:
            if established.credential is not None and established.credential.targets:
                await self.enrolments.withdraw(established)
            return await handler(request, established)

        return handle

    async def stop(self) -> None:
        """Ask no issuing authority any more."""
        if self._est is not None:
            await self._est.stop()

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """Kpm for a KpmId, or an Enrolment Target's own key for its identifier."""
        found = self.resolve_now(identity, suite)
        if not isinstance(found, Pending):
            return found
        key_id = parse_identity(identity)
        record = None if key_id is None else await self._store.find(KeyKind.KPM, key_id)
        return None if record is None else as_credential(record)

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The same, unless the store's thread has to be asked."""
        del suite
        key_id = parse_identity(identity)
        record = None if key_id is None else self._store.find_now(KeyKind.KPM, key_id)
        if isinstance(record, Later):
            return PENDING
        return None if record is None else as_credential(record)

    async def established(self, established: Established) -> None:
        """Make Ke durable before the Enrolee can believe in it; an Enrolment Target has none.

        Raises:
            AuthenticationError: The Enrolee was revoked during its handshake.
            ParentGoneError: The same, a moment later; or its Kpm was replaced.
            QuotaError: It bootstraps too often.
            StoreError: Ke could not be stored.
        """
        credential = established.credential
        if credential is None or credential.peer is None or not credential.targets:
            return
        if self._rate.wait(str(credential.peer)):
            raise QuotaError(f"{credential.peer} bootstraps too often")
        if not isinstance(credential, ResolvedKey):
            instruction = BootstrapInstruction(
                credential.peer,
                credential.targets,
                self._enrolment_expiry,
                self._release,
                credential.user_settings,
            )
            await self.enrolments.enrol(established, instruction, limit=credential.expires)
            return
        record = await self._store.find(KeyKind.KPM, credential.key_id)
        current = None if record is None else BootstrapInstruction.of(record)
        if record is None or current is None:
            raise AuthenticationError(f"{credential.key_id} was revoked while its Enrolee was bootstrapping")
        await self.enrolments.enrol(established, current, parent=record.key_id, limit=record.expires)


def _is_shown(key_id: KeyIdentifier) -> bool:
    """An exported identifier with an MEF's FQDN is a KeId: the Enrolee shows it to its Enrolment Targets."""
    return key_id.octets is None
