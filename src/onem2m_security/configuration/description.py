"""An entity as its file describes it: the functions to run, and how to meet each of its peers."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from ..clients.enrolled import Enrolled
from ..clients.entity_a import associate
from ..clients.entity_b import EntityB
from ..errors import ConfigurationError
from ..frameworks.steps import How
from ..identifiers import EntityId, EntityKind, Fqdn
from ..net.channel import Channel
from ..net.limits import Limits
from ..net.link import Link
from ..servers.service import Service
from .accepting import Accepting
from .clients import bsf_client, maf_client, mef_client
from .complaints import nearest
from .enrolment import EnrolmentSettings, chosen
from .entity_b import EntityBSettings
from .meeting import Meeting, Role
from .peers import PeerSettings
from .proof import OwnProof, own_initiator
from .services import Services
from .settings import Settings, load
from .trust import trust_in


@dataclass(frozen=True, slots=True)
class Description:
    """A configuration file and where it is.

    Attributes:
        file: The file; relative names in it are relative to its directory.
        settings: What it says.
    """

    file: Path
    settings: Settings

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a configuration file.

        Raises:
            ConfigurationError: As for ``settings.load``.
        """
        return cls(file, load(file))

    @property
    def here(self) -> Path:
        """The directory that relative file names are relative to."""
        return self.file.absolute().parent

    @property
    def limits(self) -> Limits:
        """Bounds on time, size and number, for each port; what one peer may have among them."""
        return replace(self.settings.limits.limits(), quotas=self.settings.quotas.quotas())

    @property
    def local(self) -> EntityId:
        """Who we are.

        Raises:
            ConfigurationError: The file does not say it.
        """
        if self.settings.identity is None:
            raise ConfigurationError(f'{self.file}: who are we? Give [identity] with id = "CSE-ID or AE-ID"')
        return self.settings.identity.id

    def services(self) -> list[Service[Any]]:
        """The functions to run; reads the files that they need.

        Raises:
            ConfigurationError: There is none, or a file cannot be used.
            CredentialError: A certificate or a key cannot be used.
        """
        meet = partial(self._meeting, closing=AsyncExitStack())
        services = list(Services(self.here, self.settings, self.limits.quotas, meet))
        if not services:
            raise ConfigurationError(
                f"{self.file}: there is nothing to run: give [maf], [mef] or [bsf], or several of them"
            )
        return services

    def peer(self, peer: EntityId) -> PeerSettings:
        """What the file says of a peer.

        Raises:
            ConfigurationError: There is no such peer.
        """
        settings = self.settings.peers.get(peer)
        if settings is None:
            known = [str(name) for name in self.settings.peers]
            raise ConfigurationError(f'{self.file}: there is no [peers."{peer}"]{nearest(str(peer), known)}')
        return settings

    def meeting(
        self,
        peer: EntityId,
        role: Role = Role.ENTITY_B,
        *,
        local: EntityId | None = None,
        closing: AsyncExitStack | None = None,
    ) -> Meeting:
        """How to meet a peer.

        Args:
            peer: Its identity.
            role: What it is to us.
            local: Who we are to it; by default what ``[identity]`` says.
            closing: Closes what the meeting opens; needed unless our proof lies ready in files.

        Raises:
            ConfigurationError: There is no such peer, or the file does not say who we are.
        """
        return self._meeting(peer, role, local or self.local, closing=closing or AsyncExitStack())

    async def associate(self, peer: EntityId) -> Channel:
        """Associate with a peer as Entity A, by whatever its entry says.

        Raises:
            ConfigurationError: As for ``meeting``, or a file cannot be used.
            SecurityFrameworkError: As for ``clients.entity_a.associate``.
        """
        async with AsyncExitStack() as closing:
            meeting = self.meeting(peer, closing=closing)
            return await associate(meeting.link, await meeting.how())

    @property
    def accepting(self) -> EntityBSettings:
        """Where and how we accept associations.

        Raises:
            ConfigurationError: The file does not say it.
        """
        if self.settings.entity_b is None:
            raise ConfigurationError(
                f'{self.file}: where do we listen? Give [entity-b] with listen = "HOST:PORT"'
            )
        return self.settings.entity_b

    @contextlib.asynccontextmanager
    async def entity_b(
        self, settings: EntityBSettings | None = None, local: EntityId | None = None
    ) -> AsyncIterator[EntityB]:
        """Us as Entity B, with all that the file says of who may associate; it does not listen yet.

        Args:
            settings: How we accept associations; by default as ``[entity-b]`` says.
            local: Who we are; by default whom ``[identity]`` says.

        Raises:
            ConfigurationError: There is no ``[entity-b]``, nobody could associate, or a file cannot be used.
            CredentialError: A certificate or a key cannot be used.
        """
        settings, local = settings or self.accepting, local or self.local
        by = self._accepting(settings, local)
        async with AsyncExitStack() as closing:

            async def meet(name: Fqdn, role: Role) -> tuple[Meeting, How]:
                meeting = self.meeting(EntityId(str(name)), role, local=local, closing=closing)
                return meeting, await meeting.how()

            naf = settings.naf or local.domain_name
            entity_b = EntityB(
                local,
                keys=by.accepted.keys,
                mafs=[maf_client(*await meet(maf, Role.MAF)) for maf in by.accepted.mafs],
                mefs=[mef_client(*await meet(mef, Role.MEF)) for mef in by.accepted.mefs],
                bsfs=[bsf_client(*await meet(bsf, Role.BSF), naf) for bsf in by.accepted.bsfs],
                endpoint=by.endpoint,
                admission=by.admission,
                remembered=settings.remember,
                limits=self.limits,
            )
            yield await closing.enter_async_context(entity_b)

    @contextlib.asynccontextmanager
    async def enrolee(self, mef: Fqdn | None = None) -> AsyncIterator[Enrolled]:
        """Us as an Enrolee, configured in its store, which is made where there is none.

        Args:
            mef: With which MEF; may be left out where the file has one enrolment.

        Raises:
            ConfigurationError: There is no such enrolment, or several; or a file cannot be used.
            CredentialError: A certificate or a key cannot be used.
            StoreError: The store cannot be used.
        """
        from ..store.store import Store  # noqa: PLC0415 - the database's library, for who opens one

        settings = self.enrolment(mef)
        async with AsyncExitStack() as closing:
            meeting = self.meeting(EntityId(str(settings.mef)), Role.OWN_MEF, closing=closing)
            store = await closing.enter_async_context(await Store.open(self.here / settings.data))
            instruction = settings.instruction(self.local, meeting.release)
            yield await meeting.prove.enrolee(meeting, store, instruction)

    def enrolment(self, mef: Fqdn | None = None) -> EnrolmentSettings:
        """The enrolment with this MEF, or the one that there is.

        Raises:
            ConfigurationError: There is none, or there are several.
        """
        return chosen(self.settings.enrolment, mef, self.file)

    def check(self) -> list[str]:
        """Read every file that is named, and say what was found.

        Raises:
            ConfigurationError: A file cannot be used, or something does not fit.
            CredentialError: A certificate or a key cannot be used.
        """
        told = [f"{service.name}, on {service.listen}" for service in self._all_services()]
        for peer, settings in self.settings.peers.items():
            if settings.prove is not None:
                settings.prove.check(self.here)
                self._check_fit(peer, settings)
            for trust in settings.trust:
                trust.accepted(peer, self.here)
            told.append(f"peer {peer}" + (f", at {settings.address}" if settings.address else ""))
        if self.settings.entity_b is not None:
            self._accepting(self.settings.entity_b, self.local)
            told.append(f"Entity B {self.local}, on {self.settings.entity_b.listen}")
        for gateway in self.settings.gateway:
            self._accepting(gateway, gateway.cse_id or self.local)
            told.append(f"gateway to {gateway.to}, on {gateway.listen}")
        for enrolment in self.settings.enrolment:
            self.meeting(EntityId(str(enrolment.mef)), Role.OWN_MEF)
            told.append(f"Enrolee {self.local}, with {enrolment.mef}")
        return told

    def _check_fit(self, peer: EntityId, settings: PeerSettings) -> None:
        """Whether an Entity B can be met by what lies ready in files; a function may have several roles."""
        own = isinstance(settings.prove, OwnProof) and settings.address is not None
        if own and peer.kind is not EntityKind.FUNCTION:
            own_initiator(self.meeting(peer))

    def _accepting(self, settings: EntityBSettings, local: EntityId) -> Accepting:
        """By what everybody may prove itself to us as Entity B; functions are asked, and do not associate."""
        described = {
            peer: functools.reduce(operator.or_, (one.accepted(peer, self.here) for one in known.trust))
            for peer, known in self.settings.peers.items()
            if known.trust and peer.kind is not EntityKind.FUNCTION
        }
        certificate = settings.own_certificate(self.here)
        by = Accepting.of(local, settings.accepted(self.here), described, certificate)
        for peer, accepted in described.items():
            if by.endpoint is None and accepted.trusts and self.settings.peers[peer].prove is None:
                raise ConfigurationError(
                    f"{self.file}: peer {peer}: certificates are mutual: give [{settings.table}] certificate "
                    "and private-key"
                )
        if by.accepts_nobody:
            raise ConfigurationError(
                f"{self.file}: nobody could associate: give peers trust, or [{settings.table}] mafs, mefs, "
                "bsfs or associations"
            )
        return by

    def _enrolled_at(self, mef: Fqdn) -> Path:
        own = [one.data for one in self.settings.enrolment if one.mef == mef]
        common = [] if self.settings.store is None else [self.settings.store.data]
        if not own + common:
            raise ConfigurationError("an enrolment is kept in a store: give data under [store]")
        return self.here / (own + common)[0]

    def _all_services(self) -> list[Service[Any]]:
        return self.services() if self.settings.functions else []

    def _meeting(
        self,
        peer: EntityId,
        role: Role,
        local: EntityId,
        settings: PeerSettings | None = None,
        *,
        closing: AsyncExitStack,
    ) -> Meeting:
        settings = settings or self.peer(peer)
        if settings.address is None or settings.prove is None:
            raise ConfigurationError(
                f"{self.file}: peer {peer}: to meet it say where it is (address) and how we prove ourselves "
                "(prove)"
            )
        return Meeting(
            local=local,
            peer=peer,
            role=role,
            link=Link(settings.address, settings.transport, self.limits, settings.binding),
            diameter=settings.diameter,
            release=settings.release,
            server_name=settings.server_name,
            prove=settings.prove,
            trusted=lambda: trust_in(peer, settings.trust, self.here),
            closing=closing,
            here=self.here,
            data=None if self.settings.store is None else self.here / self.settings.store.data,
            enrolled_at=self._enrolled_at,
            meet=lambda other, its_role: self.meeting(other, its_role, local=local, closing=closing),
        )
