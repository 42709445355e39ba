"""What it takes to run a MAF, an MEF or a BSF, as one frozen value: by flags or by a file it is the same."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..clients.bsf import BsfClient
from ..clients.mef import MefClient
from ..frameworks import bootstrap_gba
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY
from ..frameworks.resolvers import REMEMBERED
from ..identifiers import Fqdn
from ..net.address import Address, Transport
from ..net.limits import Limits
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas
from ..release import DEFAULT_RELEASE, Release
from ..tls.endpoint import Endpoint
from .association_policy import AssociationPolicy
from .bsf import Bsf
from .bsf_ports import WithBsf
from .commands import STEERING, Steering
from .enrolees import Provisioning
from .est import Est, EstTerms
from .function import Function
from .issued import IssuedCertificates
from .maf import DEFAULT_KC_LIFETIME, Maf
from .mef import Mef
from .ports import Closable, FurtherPort
from .stakeholders import Stakeholder

if TYPE_CHECKING:
    from ..store.store import Store

ALL_TRANSPORTS = (Transport.TLS, Transport.DTLS)

_F = TypeVar("_F", bound=Function)


@dataclass(frozen=True)
class Service(abc.ABC, Generic[_F]):
    """One function to run.

    Attributes:
        fqdn: Its identity.
        data: Its data directory; made when it is not there.
        listen: Where it listens; services that name the same address and port share it by SNI.
        transports: Over what to listen; services that share a port share these.
        endpoint: Its (D)TLS configuration, for clients with certificates; None for pre-shared keys only.
        quotas: What one client may have and do; what a port counts is in the limits of ``serve``.
    """

    kind: ClassVar[str] = "function"

    fqdn: Fqdn
    data: Path
    listen: Address
    _: KW_ONLY
    transports: Sequence[Transport] = ALL_TRANSPORTS
    endpoint: Endpoint | None = None
    quotas: PeerQuotas = DEFAULT_QUOTAS

    @property
    def name(self) -> str:
        """What it is, for people: ``MAF maf.example.com``."""
        return f"{self.kind} {self.fqdn}"

    @property
    def clients(self) -> Sequence[Closable]:
        """Its clients of other functions, closed after it."""
        return ()

    @property
    def further_tcp_ports(self) -> int:
        """How many TCP ports there are beside the one for requests."""
        return 0

    @abc.abstractmethod
    def build(self, store: Store) -> _F:
        """The function over its store."""

    def ports(self, function: _F, limits: Limits) -> Iterator[FurtherPort]:
        """The ports of the function that ``build`` made beside the one for requests."""
        del function, limits
        yield from ()


@dataclass(frozen=True)
class MafService(Service[Maf]):
    """A MAF to run.

    Attributes:
        kc_lifetime: How long Kc may be used.
        mefs: The MAF's clients of the MEFs that may provide its clients' Master Credentials.
        bsfs: The MAF's clients of the BSFs that may provide them: the MEFs of the GBA-based framework.
        policy: Whom the clients that these provide may have keys for.
        stakeholders: Who may be named as adminFQDN, and for which usages, beside the MAF itself.
        remembered: How long what an MEF or a BSF said of a client counts, before it is asked again.
    """

    kind: ClassVar[str] = "MAF"

    kc_lifetime: timedelta = DEFAULT_KC_LIFETIME
    mefs: Sequence[MefClient] = ()
    bsfs: Sequence[BsfClient] = ()
    policy: AssociationPolicy = field(default_factory=AssociationPolicy)
    stakeholders: Sequence[Stakeholder] = ()
    remembered: timedelta = REMEMBERED

    @property
    def clients(self) -> Sequence[Closable]:
        """Those of its MEFs and BSFs."""
        return (*self.mefs, *self.bsfs)

    def build(self, store: Store) -> Maf:
        """The MAF over its store."""
        by_gba = bootstrap_gba.accept_at_maf(
            {client.bsf: client.fetch for client in self.bsfs},
            self.policy.targets,
            remembered=self.remembered,
        )
        return Maf(
            store,
            self.fqdn,
            kc_lifetime=self.kc_lifetime,
            provisioning=Provisioning(
                {client.mef: client.fetch_km for client in self.mefs},
                by_gba if self.bsfs else None,  # whoever is not asked takes no time of an unknown identity
                self.policy,
                remembered=self.remembered,
            ),
            stakeholders=self.stakeholders,
            quotas=self.quotas,
            endpoint=self.endpoint,
        )


@dataclass(frozen=True)
class MefService(Service[Mef]):
    """An MEF to run.

    Attributes:
        enrolment_expiry: How long Ke may be used by an Enrolee whose instructions do not say it.
        release: By which release keys are derived for Enrolees with certificates.
        steering: What it tells all its clients.
        stakeholders: Who may be named as adminFQDN, and for which usages, beside the MEF itself.
        est: Who provisions certificates to its clients by EST, over TLS; None for nobody.
    """

    kind: ClassVar[str] = "MEF"

    enrolment_expiry: timedelta = DEFAULT_ENROLMENT_EXPIRY
    release: Release = DEFAULT_RELEASE
    steering: Steering = STEERING
    stakeholders: Sequence[Stakeholder] = ()
    est: EstTerms | None = None

    def build(self, store: Store) -> Mef:
        """The MEF over its store."""
        return Mef(store, self.fqdn, **self._parts())

    def _parts(self) -> dict[str, Any]:
        return {
            "enrolment_expiry": self.enrolment_expiry,
            "endpoint": self.endpoint,
            "release": self.release,
            "steering": self.steering,
            "stakeholders": self.stakeholders,
            "quotas": self.quotas,
            "est": None if self.est is None else Est(self.fqdn, self.est, IssuedCertificates(self.records)),
        }

    @property
    def records(self) -> Path:
        """Where the certificates are on record that it provisioned."""
        return self.data / "certificates" / str(self.fqdn)


@dataclass(frozen=True)
class BsfService(WithBsf, Service[Bsf]):
    """A BSF to run; ``listen`` is where NAFs ask, in our own form of Zn."""

    kind: ClassVar[str] = "BSF"

    def build(self, store: Store) -> Bsf:
        """The BSF over its store."""
        return Bsf(store, self.fqdn, endpoint=self.endpoint, **self.bsf_parts())

    def ports(self, function: Bsf, limits: Limits) -> Iterator[FurtherPort]:
        """Ub, and Diameter if it is wanted."""
        return self.bsf_ports(self.name, function, function.acceptor, limits)
