"""What every Enrolee has, however it bootstraps: by Kpm or certificate (``Enrolee``), or by a card."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..clock import Clock
from ..credentials import ResolvedKey
from ..errors import ConfigurationError
from ..frameworks.bootstrap_psk import EnrolmentKey
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import Ask
from ..identifiers import EntityId, EntityKind, Fqdn
from ..net.address import Transport
from ..net.link import Link
from ..release import Release
from ..tls.suites import Suite
from .connection_keys import KeysInStore
from .maf import MafClient

if TYPE_CHECKING:
    from ..store.store import Store


@dataclass(frozen=True, slots=True)
class Derived:
    """Km or Kpsa as it comes of an enrolment.

    Attributes:
        key: The key.
        suite: The one cipher suite that it is for; None when it is for all.
    """

    key: ResolvedKey
    suite: Suite | None = None


def require_targets(instruction: BootstrapInstruction) -> None:
    """Refuse to configure an Enrolee for nobody.

    Raises:
        ConfigurationError: There is no Enrolment Target.
    """
    if not instruction.targets:
        raise ConfigurationError("an Enrolee is bootstrapped for at least one Enrolment Target: name it")


class Enrolled(abc.ABC):
    """An Enrolee with its MEF, its instructions and its sealed store."""

    def __init__(self, store: Store, mef_id: Fqdn, instruction: BootstrapInstruction, clock: Clock) -> None:
        self._store = store
        self._mef_id = mef_id
        self._instruction = instruction
        self._clock = clock

    @property
    def local(self) -> EntityId:
        """Enrolee-ID."""
        return self._instruction.enrolee

    @property
    def targets(self) -> tuple[EntityId, ...]:
        """The Enrolment Targets."""
        return self._instruction.targets

    @property
    def release(self) -> Release:
        """Whose derivations and identifiers are used."""
        return self._instruction.release

    @property
    def mef(self) -> Fqdn:
        """The MEF-ID."""
        return self._mef_id

    @abc.abstractmethod
    async def enrol(self) -> EnrolmentKey:
        """Bootstrap now; the new Ke takes the place of the old one.

        Raises:
            SecurityFrameworkError: As the framework says.
            StoreError: Ke could not be kept.
        """

    @abc.abstractmethod
    async def credentials(self, target: EntityId) -> list[Derived]:
        """What comes of the present Ke for one Enrolment Target: Km for a MAF, Kpsa for a CSE or an AE.

        Raises:
            CredentialError: Nothing can be derived for it.
            SecurityFrameworkError: There was no Ke, and as for ``enrol``.
        """

    @abc.abstractmethod
    def initiator(
        self, peer: EntityId, *, transport: Transport = Transport.TLS, server_name: Fqdn | None = None
    ) -> Ask:
        """How we prove ourselves to a CSE or an AE that we are enrolled for.

        Args:
            peer: The Enrolment Target.
            transport: Over what.
            server_name: SNI host name; by default the FQDN representation of an absolute identity.

        Raises:
            ConfigurationError: It is not one of our Enrolment Targets.
        """

    @abc.abstractmethod
    def at_maf(self, maf: Fqdn, link: Link) -> Ask:
        """How we prove ourselves to a MAF that we are enrolled for.

        Args:
            maf: The MAF-ID.
            link: Where the MAF listens.

        Raises:
            ConfigurationError: The MAF is not one of our Enrolment Targets.
        """

    def maf_client(self, maf: Fqdn, link: Link) -> MafClient:
        """A client of a MAF that we are enrolled for; its Kc are kept in our store.

        Raises:
            ConfigurationError: The MAF is not one of our Enrolment Targets.
        """
        kept = KeysInStore(self._store, clock=self._clock)
        return MafClient(maf, link, self.at_maf(maf, link), kept=kept, clock=self._clock)

    def maf_ids(self) -> list[Fqdn]:
        """The MAFs among the Enrolment Targets."""
        return [Fqdn(t.text) for t in self.targets if t.kind is EntityKind.FUNCTION]

    def _check(self, target: EntityId) -> None:
        if target not in self.targets:
            named = ", ".join(map(str, self.targets))
            raise ConfigurationError(f"{target} is not an Enrolment Target of {self.local}: {named}")
