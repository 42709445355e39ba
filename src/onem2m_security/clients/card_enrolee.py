"""The Enrolee whose MEF is its BSF: from a card to credentials for a MAF or a CSE (TS-0003 clause 8.3.2.3).

It bootstraps over Ub (GBA): Ke is Ks, KeId is B-TID. Its Enrolment Targets are NAFs: Km and Kpsa are NAF
keys for their FQDNs, one for each cipher suite. Ks is kept in its sealed store until it ends or is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..clock import CLOCK, Clock
from ..frameworks import bootstrap_gba, saef_gba
from ..frameworks.bootstrap_psk import EnrolmentKey
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import Ask, Initiator
from ..gba.context import BootstrappedContext
from ..identifiers import EntityId, EntityKind, Fqdn
from ..net.address import Address, Transport
from ..net.limits import Limits
from ..net.link import Link
from ..store.records import ByCard, Enrolment
from ..tls.suites import Suite
from .bootstrapping_in_store import BootstrappingInStore
from .card import SoftwareCard
from .enrolee import Enrolee
from .enrolled import Derived, Enrolled, require_targets
from .ue import NafChoice, Ue, suite_over

if TYPE_CHECKING:
    from ..store.store import Store


class CardEnrolee(Enrolled):
    """An Enrolee with a card; made by ``configure`` or ``load_enrolee``."""

    def __init__(
        self,
        store: Store,
        card: SoftwareCard,
        instruction: BootstrapInstruction,
        *,
        bsf: Fqdn,
        link: Link,
        clock: Clock = CLOCK,
    ) -> None:
        super().__init__(store, bsf, instruction, clock)
        kept = BootstrappingInStore(store, instruction.enrolment_expiry)
        self._ue = Ue(card, bsf, link, kept=kept, clock=clock)

    @classmethod
    async def configure(
        cls,
        store: Store,
        *,
        card: SoftwareCard,
        instruction: BootstrapInstruction,
        bsf: Fqdn,
        link: Link,
        clock: Clock = CLOCK,
    ) -> Self:
        """Keep the Bootstrap Instruction Configuration, and where the card is, in the device's store.

        Args:
            store: The device's own store; another configuration in it is replaced.
            card: The card.
            instruction: Enrolee-ID, Enrolment Targets, Enrolment Expiry.
            bsf: The BSF's FQDN, which is the MEF-ID.
            link: Where it listens for Ub.
            clock: What ends a bootstrapping.

        Raises:
            ConfigurationError: There is no Enrolment Target.
            CredentialError: One has no FQDN, so no key can be derived for it.
            StoreError: The store could not be written.
        """
        require_targets(instruction)
        for target in instruction.targets:
            saef_gba.naf_of(target, None)
        by = ByCard(card.path.absolute())
        await store.enrolment.put(Enrolment(bsf, str(link.address), None, instruction, by))
        return cls(store, card, instruction, bsf=bsf, link=link, clock=clock)

    async def enrol(self) -> EnrolmentKey:
        """Bootstrap now: Ke is Ks, KeId is B-TID.

        Raises:
            AuthenticationError: The BSF did not prove itself, or it refused us.
            ResolverUnavailableError: It cannot be reached.
            StoreError: Ks could not be kept.
        """
        context = await self._ue.bootstrap()
        return EnrolmentKey(context.b_tid, context.ks, context.expires)

    def initiator(
        self, peer: EntityId, *, transport: Transport = Transport.TLS, server_name: Fqdn | None = None
    ) -> Ask:
        """By the NAF key for the peer's domain name, as Kpsa, with the one suite of this transport."""
        self._check(peer)
        naf = NafChoice(suite_over(transport), provisions=True, server_name=server_name)
        return self._ue.initiator(self.local, peer, naf)

    def at_maf(self, maf: Fqdn, link: Link) -> Ask:
        """By the NAF key for the MAF-ID, as Km, with the one suite of the MAF's transport."""
        self._check(EntityId(str(maf)))
        return self._ue.at_maf(self.local, maf, NafChoice(suite_over(link.transport)))

    async def credentials(self, target: EntityId) -> list[Derived]:
        """Km or Kpsa for one Enrolment Target: one with the suite of TLS, one with that of DTLS."""
        context, found = await self._ue.context(), []
        for suite in map(suite_over, Transport):
            initiator = self._initiate(context, target, suite)
            if initiator.credential is not None:
                found.append(Derived(initiator.credential, suite))
        return found

    def _initiate(self, context: BootstrappedContext, target: EntityId, suite: Suite) -> Initiator:
        if target.kind is EntityKind.FUNCTION:
            return bootstrap_gba.initiate_at_maf(self.local, Fqdn(target.text), context, suite=suite)
        return bootstrap_gba.initiate(self.local, target, context, suite=suite)


async def load_enrolee(
    store: Store,
    *,
    limits: Limits | None = None,
    initiator: Initiator | None = None,
    clock: Clock = CLOCK,
) -> Enrolled:
    """The Enrolee that was configured in this store, however it bootstraps.

    Args:
        store: The device's own store.
        limits: Bounds on time and size towards the MEF.
        initiator: How one with a certificate meets its MEF again; see ``Enrolee.load``.
        clock: What ends keys.

    Raises:
        ConfigurationError: There is none, or its card cannot be used.
    """
    kept = await store.enrolment.find()
    if kept is None or not isinstance(kept.by, ByCard) or kept.address is None:
        return await Enrolee.load(store, limits=limits, initiator=initiator, clock=clock)
    link = Link(Address.parse(kept.address), limits=limits)
    card = SoftwareCard.load(kept.by.card)
    return CardEnrolee(store, card, kept.instruction, bsf=kept.mef, link=link, clock=clock)
