"""Keys from files: Km, which we share with a MAF, and Kpsa, which we share with the peer itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ...clients.maf import MafClient
from ...credentials import ResolvedKey
from ...errors import ConfigurationError
from ...frameworks import maf_handshake, saef_psk
from ...frameworks.steps import How
from ...identifiers import EntityId
from ...net.address import Address
from ..common import KmFileOption, KmIdOption, KpsaFileOption, KpsaIdOption, entity_parser, parsed, read_key
from .asked import Way
from .credentials import Aim, Being, Parts
from .grouping import OptionGroup

KEYS = "give --km-id with --km-file (and --maf), or --kpsa-id with --kpsa-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class KmOptions(OptionGroup):
    """The Master Credential that we share with a MAF."""

    panel: ClassVar = "By a MAF (8.2.2.3)"
    alone: ClassVar = KEYS

    km_id: KmIdOption = None
    km_file: KmFileOption = None

    @property
    def are_given(self) -> bool:
        """Whether any of them was given."""
        return self.km_id is not None or self.km_file is not None

    async def how(self, aim: Aim) -> How:
        """Through the MAF that KmId names; our identity is by default the key's relative part."""
        return await aim.through(self._client(aim.entity, aim.maf.maf, aim.way))

    def parts(self, being: Being) -> Parts:
        """The MAF that KmId names, to be asked for Kc."""
        if not self.are_given:
            return Parts()
        return Parts(mafs=(self._client(being.local, being.maf.maf, being.way),))

    def _client(self, local: EntityId | None, maf: Address | None, way: Way) -> MafClient:
        if self.km_id is None or self.km_file is None:
            raise ConfigurationError(KEYS)
        km = maf_handshake.credential(self.km_id, read_key(self.km_file))
        if maf is None:
            raise ConfigurationError("--maf HOST:PORT is missing: where the MAF of --km-id listens")
        maf_id = self.km_id.fqdn
        local = local or EntityId.parse(self.km_id.relative)
        return MafClient(maf_id, way(maf), maf_handshake.initiate(local, maf_id, km))


@dataclass(frozen=True, slots=True, kw_only=True)
class KpsaOptions(OptionGroup):
    """The key that we share with the peer."""

    panel: ClassVar = "By a provisioned key (8.2.2.1)"
    alone: ClassVar = KEYS

    kpsa_id: KpsaIdOption = None
    kpsa_file: KpsaFileOption = None
    kpsa_peer: Annotated[
        EntityId | None,
        parsed(entity_parser, "--kpsa-peer", metavar="IDA", help="Whom the provisioned key authenticates."),
    ] = None

    @property
    def are_given(self) -> bool:
        """Whether any of them was given."""
        return self.kpsa_id is not None or self.kpsa_file is not None

    async def how(self, aim: Aim) -> How:
        """By the key itself; our identity is by default the key's relative part."""
        kpsa = self._key(aim.peer)
        local = aim.entity or EntityId.parse(kpsa.key_id.relative)
        return saef_psk.initiate(local, aim.peer, kpsa, server_name=aim.server_name)

    def parts(self, being: Being) -> Parts:  # noqa: ARG002 - as every kind
        """The key."""
        return Parts(keys=(self._key(self.kpsa_peer),)) if self.are_given else Parts()

    def _key(self, peer: EntityId | None) -> ResolvedKey:
        if self.kpsa_id is None or self.kpsa_file is None:
            raise ConfigurationError(KEYS)
        return saef_psk.credential(self.kpsa_id, read_key(self.kpsa_file), peer=peer)
