"""The M2M Enrolment Function: bootstrap, and credentials for Enrolment Targets (TS-0003 clause 8.3).

As a resolver it turns a KpmId into Kpm. When the handshake of an Enrolee is done it exports Ke and makes it
durable before the last flight leaves; from then on an Enrolment Target of that Enrolee may fetch Km or Kpsa.
A client without Enrolment Targets is itself an Enrolment Target: nothing is exported from its session.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ..clock import CLOCK, Clock
from ..credentials import Framework, ResolvedKey
from ..errors import AuthenticationError, QuotaError
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY, BootstrapInstruction, as_credential
from ..frameworks.resolvers import parse_identity
from ..frameworks.steps import Acceptor, Established
from ..identifiers import EntityId, Fqdn
from ..onem2m.resources import MefBase, MefClientCommand, MefClientRegistration
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas, Rate
from ..release import DEFAULT_RELEASE, Release
from ..store.records import KeyKind
from ..store.store import Store
from ..tls.endpoint import Endpoint
from ..tls.suites import Suite
from .client_registration import ClientRegistrations
from .commands import STEERING, ClientCommands, Steering
from .enrolments import Enrolments
from .function import Function, base_routes


class Mef(Function):
    """An MEF over a store.

    Attributes:
        enrolments: The Enrolment Keys that it made.
    """

    def __init__(
        self,
        store: Store,
        fqdn: Fqdn,
        *,
        enrolment_expiry: timedelta = DEFAULT_ENROLMENT_EXPIRY,
        release: Release = DEFAULT_RELEASE,
        steering: Steering = STEERING,
        quotas: PeerQuotas = DEFAULT_QUOTAS,
        endpoint: Endpoint | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        """An MEF at this FQDN.

        Args:
            store: Where Kpm with its instructions and Ke are kept.
            fqdn: The MEF-ID.
            enrolment_expiry: How long Ke may be used by an Enrolee whose credential does not say it.
            release: By which release keys are derived for an Enrolee whose credential does not say it.
            steering: What it tells all its clients.
            quotas: What one client may have and do.
            endpoint: The (D)TLS configuration; by default pre-shared keys only.
            clock: From when lifetimes count.
        """
        super().__init__(fqdn)
        self.enrolments = Enrolments(store, fqdn, clock=clock)
        registrations = ClientRegistrations(
            store, fqdn, MefClientRegistration, children=[MefClientCommand.below], quotas=quotas, clock=clock
        )
        commands = ClientCommands(store, registrations, retry=steering.retry)
        base = MefBase.at(fqdn, device_config_uri=steering.device_config)
        self._rate = Rate("key registrations", quotas.key_registrations_per_second, clock=clock.monotonic)
        self.routes |= self.enrolments.routes() | registrations.routes() | commands.routes()
        self.routes |= base_routes(base)
        self._store = store
        self._enrolment_expiry = enrolment_expiry
        self._release = release
        self.acceptor = Acceptor(
            local=EntityId(str(fqdn)),
            endpoint=replace(endpoint or Endpoint(server=True), requires_extended_master_secret=True),
            resolver=self,
            certificate_framework=Framework.BOOTSTRAP_CERTIFICATE,
            established=self.established,
            revision=store.trust.revision,
        )

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """Kpm for a KpmId, or an Enrolment Target's own key for its identifier."""
        del suite
        key_id = parse_identity(identity)
        record = None if key_id is None else await self._store.find(KeyKind.KPM, key_id)
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
                credential.peer, credential.targets, self._enrolment_expiry, self._release
            )
            await self.enrolments.enrol(established, instruction, limit=credential.expires)
            return
        record = await self._store.find(KeyKind.KPM, credential.key_id)
        current = None if record is None else BootstrapInstruction.of(record)
        if record is None or current is None:
            raise AuthenticationError(f"{credential.key_id} was revoked while its Enrolee was bootstrapping")
        await self.enrolments.enrol(established, current, parent=record.key_id, limit=record.expires)
