"""The functions that a file describes, as what runs them takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..clients.bsf import BsfClient
from ..clients.est import EstClient
from ..clients.mef import MefClient
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..peer_quotas import PeerQuotas
from ..servers.association_policy import AssociationPolicy
from ..servers.commands import Steering
from ..servers.mef_gba import MefGbaService
from ..servers.service import BsfService, MafService, MefService, Service
from .clients import bsf_client, hss_client, mef_client
from .functions import BsfSettings, FunctionSettings, GbaSettings, HssNafSettings, MafSettings, MefSettings
from .meeting import Meeting, Role
from .peers import MefPeerSettings, PeerSettings
from .proof import own_initiator
from .settings import Settings

if TYPE_CHECKING:
    from ..clients.hss import HssClient


class Meet(Protocol):
    """How a function meets a peer."""

    def __call__(
        self, peer: EntityId, role: Role, local: EntityId, settings: PeerSettings | None = None, /
    ) -> Meeting:
        """How this function (local) meets this peer, by its entry or by what stands elsewhere."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The functions to run, one after the other; to go through them reads the files that they need.

    Attributes:
        here: The directory that relative file names are relative to.
        settings: What the file says.
        quotas: What one client may have and do.
        meet: How they meet peers.
    """

    here: Path
    settings: Settings
    quotas: PeerQuotas
    meet: Meet

    def __iter__(self) -> Iterator[Service[Any]]:
        """Each function.

        Raises:
            ConfigurationError: A file cannot be used.
            CredentialError: A certificate or a key cannot be used.
        """
        yield from map(self._maf, self.settings.maf)
        yield from map(self._mef, self.settings.mef)
        yield from map(self._bsf, self.settings.bsf)

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
            stakeholders=maf.stakeholders,
            remembered=maf.remember,
            **self._common(maf),
        )

    def _mef(self, mef: MefSettings) -> MefService:
        service: Callable[..., MefService] = MefService
        if mef.listen_ub is not None:
            service = partial(MefGbaService, listen_ub=mef.listen_ub, **self._gba(mef.fqdn, mef))
        return service(
            mef.fqdn,
            self.here / mef.data,
            mef.listen,
            enrolment_expiry=mef.enrolment_expiry,
            release=mef.release,
            steering=Steering(mef.command_retry, mef.device_config_uri),
            stakeholders=mef.stakeholders,
            est=None if mef.est is None else mef.est.terms(self.here, partial(self._est_client, mef.fqdn)),
            **self._common(mef),
        )

    def _est_client(self, mef: Fqdn, server: Fqdn, path: str) -> EstClient:
        meeting = self.meet(EntityId(str(server)), Role.EST, EntityId(str(mef)))
        return EstClient(replace(meeting.link, limits=None), own_initiator(meeting), path=path)

    def _bsf(self, bsf: BsfSettings) -> BsfService:
        return BsfService(
            bsf.fqdn,
            self.here / bsf.data,
            bsf.listen_zn,
            listen_ub=bsf.listen_ub,
            **self._gba(bsf.fqdn, bsf),
            **self._common(bsf),
        )

    def _gba(self, fqdn: Fqdn, gba: GbaSettings) -> dict[str, Any]:
        return {
            "listen_diameter": gba.listen_diameter,
            "lifetime": gba.lifetime,
            "requests_per_second": gba.ub_rate,
            "hss": None if gba.hss is None else self._hss_client(fqdn, gba.hss, gba.hss_nafs),
        }

    def _common(self, function: FunctionSettings) -> dict[str, Any]:
        return {
            "transports": function.transports,
            "endpoint": function.endpoint(self.here),
            "quotas": self.quotas,
        }

    def _mef_clients(self, maf: MafSettings) -> Iterator[MefClient]:
        local = EntityId(str(maf.fqdn))
        for mef in maf.mefs:
            if isinstance(mef, MefPeerSettings):
                name = EntityId(str(mef.fqdn))
                meeting = self.meet(name, Role.MEF, local, mef.peer())
            else:
                meeting = self.meet(EntityId(str(mef)), Role.MEF, local)
            yield mef_client(meeting, own_initiator(meeting))

    def _hss_client(self, bsf: Fqdn, hss: Fqdn, nafs: Sequence[HssNafSettings]) -> HssClient:
        meeting = self.meet(EntityId(str(hss)), Role.HSS, EntityId(str(bsf)))
        return hss_client(meeting, own_initiator(meeting), nafs)

    def _bsf_client(self, naf: Fqdn, bsf: Fqdn) -> BsfClient:
        meeting = self.meet(EntityId(str(bsf)), Role.BSF, EntityId(str(naf)))
        return bsf_client(meeting, own_initiator(meeting), naf)
