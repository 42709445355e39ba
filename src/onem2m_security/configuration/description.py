"""An entity as its file describes it: the functions to run, and how to meet each of its peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..clients.bsf import BsfClient, NafClient
from ..clients.entity_a import associate
from ..clients.est import EstClient
from ..clients.mef import MefClient
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..net.channel import Channel
from ..net.limits import Limits
from ..net.link import Link
from ..servers.enrolees import AssociationPolicy
from ..servers.service import BsfService, MafService, MefService, Service
from .complaints import nearest
from .functions import BsfSettings, FunctionSettings, MafSettings, MefSettings
from .meeting import Meeting, Role
from .peers import MefPeerSettings, PeerSettings
from .prove import OwnProof
from .settings import Settings, load

if TYPE_CHECKING:
    from ..clients.hss import HssClient


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
        services: list[Service[Any]] = [
            *(self._maf(maf) for maf in self.settings.maf),
            *(self._mef(mef) for mef in self.settings.mef),
            *(self._bsf(bsf) for bsf in self.settings.bsf),
        ]
        if not services:
            raise ConfigurationError(
                f"{self.file}: there is nothing to run: give [maf], [mef] or [bsf], or several of them"
            )
        return services

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
        settings = self.settings.peers.get(peer)
        if settings is None:
            known = [str(name) for name in self.settings.peers]
            raise ConfigurationError(f'{self.file}: there is no [peers."{peer}"]{nearest(str(peer), known)}')
        return self._meeting(peer, role, settings, local or self.local, closing or AsyncExitStack())

    async def associate(self, peer: EntityId) -> Channel:
        """Associate with a peer as Entity A, by whatever its entry says.

        Raises:
            ConfigurationError: As for ``meeting``, or a file cannot be used.
            SecurityFrameworkError: As for ``clients.entity_a.associate``.
        """
        async with AsyncExitStack() as closing:
            meeting = self.meeting(peer, closing=closing)
            return await associate(meeting.link, await meeting.how())

    def check(self) -> list[str]:
        """Read every file that is named, and say what was found.

        Raises:
            ConfigurationError: A file cannot be used, or something does not fit.
            CredentialError: A certificate or a key cannot be used.
        """
        told = [f"{service.name}, on {service.listen}" for service in self._all_services()]
        for peer, settings in self.settings.peers.items():
            settings.prove.check(self.here)
            if settings.trust is not None:
                settings.trust.trust(peer, self.here)
            told.append(f"peer {peer}, at {settings.address}")
        return told

    def _all_services(self) -> list[Service[Any]]:
        return self.services() if self.settings.functions else []

    def _meeting(
        self, peer: EntityId, role: Role, settings: PeerSettings, local: EntityId, closing: AsyncExitStack
    ) -> Meeting:
        store = self.settings.store
        return Meeting(
            local=local,
            peer=peer,
            role=role,
            link=Link(settings.address, settings.transport, self.limits),
            diameter=settings.diameter,
            release=settings.release,
            server_name=settings.server_name,
            prove=settings.prove,
            trust=settings.trust,
            closing=closing,
            here=self.here,
            data=None if store is None else self.here / store.data,
            meet=lambda other, its_role: self.meeting(other, its_role, local=local, closing=closing),
        )

    def _maf(self, maf: MafSettings) -> MafService:
        names = [mef.fqdn if isinstance(mef, MefPeerSettings) else mef for mef in maf.mefs]
        if len(set(names)) != len(names) or len(set(maf.bsfs)) != len(maf.bsfs):
            raise ConfigurationError(f"maf {maf.fqdn}: an MEF is given twice among maf.mefs or maf.bsfs")
        return MafService(
            maf.fqdn,
            self.here / maf.data,
            maf.listen,
            kc_lifetime=maf.kc_lifetime,
            mefs=list(self._mef_clients(maf)),
            bsfs=[self._bsf_client(maf.fqdn, bsf) for bsf in maf.bsfs],
            policy=AssociationPolicy.of(maf.enrolee_targets),
            remembered=maf.remember,
            **self._common(maf),
        )

    def _mef(self, mef: MefSettings) -> MefService:
        return MefService(
            mef.fqdn,
            self.here / mef.data,
            mef.listen,
            enrolment_expiry=mef.enrolment_expiry,
            release=mef.release,
            est=None if mef.est is None else mef.est.terms(self.here, partial(self._est_client, mef.fqdn)),
            **self._common(mef),
        )

    def _est_client(self, mef: Fqdn, server: Fqdn, path: str) -> EstClient:
        meeting = self.meeting(EntityId(str(server)), Role.EST, local=EntityId(str(mef)))
        return EstClient(replace(meeting.link, limits=None), _own(meeting).initiate(meeting), path=path)

    def _bsf(self, bsf: BsfSettings) -> BsfService:
        return BsfService(
            bsf.fqdn,
            self.here / bsf.data,
            bsf.listen_zn,
            listen_ub=bsf.listen_ub,
            listen_diameter=bsf.listen_diameter,
            lifetime=bsf.lifetime,
            requests_per_second=bsf.ub_rate,
            hss=None if bsf.hss is None else self._hss_client(bsf, bsf.hss),
            **self._common(bsf),
        )

    def _common(self, function: FunctionSettings) -> dict[str, Any]:
        return {
            "transports": function.transports,
            "endpoint": function.endpoint(self.here),
            "quotas": self.limits.quotas,
        }

    def _mef_clients(self, maf: MafSettings) -> Iterator[MefClient]:
        local = EntityId(str(maf.fqdn))
        for mef in maf.mefs:
            if isinstance(mef, MefPeerSettings):
                meeting = self._meeting(
                    EntityId(str(mef.fqdn)), Role.MEF, mef.peer(), local, AsyncExitStack()
                )
            else:
                meeting = self.meeting(EntityId(str(mef)), Role.MEF, local=local)
            yield MefClient(meeting.fqdn, meeting.link, _own(meeting).initiate(meeting))

    def _hss_client(self, bsf: BsfSettings, hss: Fqdn) -> HssClient:
        # Diameter's dictionary takes long to load: only who asks an HSS waits for it.
        from ..clients.hss import HssClient  # noqa: PLC0415

        if not bsf.hss_nafs:
            raise ConfigurationError(f"bsf {bsf.fqdn}: nobody could have a key: name a NAF in bsf.hss-nafs")
        meeting = self.meeting(EntityId(str(hss)), Role.HSS, local=EntityId(str(bsf.fqdn)))
        nafs = [naf.naf_of_operator() for naf in bsf.hss_nafs]
        return HssClient(hss, meeting.link, _own(meeting).initiate(meeting), bsf=bsf.fqdn, nafs=nafs)

    def _bsf_client(self, naf: Fqdn, bsf: Fqdn) -> BsfClient:
        local = EntityId(str(naf))
        meeting = self.meeting(EntityId(str(bsf)), Role.BSF, local=local)
        how = _own(meeting).initiate(meeting)
        if meeting.diameter:
            # Diameter's dictionary takes long to load: only who speaks Diameter waits for it.
            from ..clients.bsf_diameter import NafDiameterClient  # noqa: PLC0415

            return NafDiameterClient(bsf, meeting.link, how, naf=naf)
        return NafClient(bsf, meeting.link, how, naf=naf)


def _own(meeting: Meeting) -> OwnProof:
    """The proof of a meeting that a server keeps up: one that needs nobody else."""
    if isinstance(meeting.prove, OwnProof):
        return meeting.prove
    raise meeting.cannot("a MAF asks by key-id and key-file, or by certificate and private-key")
