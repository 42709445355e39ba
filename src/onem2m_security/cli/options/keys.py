"""Keys from files: Km, which we share with a MAF, and Kpsa, which we share with the peer itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from ...errors import ConfigurationError
from ...identifiers import EntityId, KeyIdentifier
from ...net.address import Address
from ..common import KmFileOption, KmIdOption, KpsaFileOption, KpsaIdOption, entity_parser, parsed
from .asked import Way
from .beginning import begin
from .credentials import Aim, Being, Parts
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...clients.maf import MafClient
    from ...frameworks.steps import How

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
        from ...clients.maf import MafClient
        from ...configuration.key_proofs import MasterCredential
        from ...configuration.meeting import Role

        if self.km_id is None or self.km_file is None:
            raise ConfigurationError(KEYS)
        if maf is None:
            raise ConfigurationError("--maf HOST:PORT is missing: where the MAF of --km-id listens")
        maf_id, link = self.km_id.fqdn, way(maf)
        local = local or EntityId.parse(self.km_id.relative)
        prove = MasterCredential.model_construct(km_id=self.km_id, km_file=Path(self.km_file))
        return MafClient(maf_id, link, begin(prove, local, EntityId(str(maf_id)), Role.MAF, link))


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
        from ...configuration.key_proofs import ProvisionedKey
        from ...configuration.meeting import Role

        kpsa_id, kpsa_file = self._both()
        local = aim.entity or EntityId.parse(kpsa_id.relative)
        prove = ProvisionedKey.model_construct(kpsa_id=kpsa_id, kpsa_file=kpsa_file)
        return begin(prove, local, aim.peer, Role.ENTITY_B, aim.link, server_name=aim.server_name)

    def parts(self, being: Being) -> Parts:  # noqa: ARG002 - as every kind
        """The key."""
        from ...configuration.trust import SharedKey

        if not self.are_given:
            return Parts()
        kpsa_id, kpsa_file = self._both()
        trust = SharedKey.model_construct(kpsa_id=kpsa_id, kpsa_file=kpsa_file)
        return Parts(keys=(trust.key(self.kpsa_peer, Path()),))

    def _both(self) -> tuple[KeyIdentifier, Path]:
        if self.kpsa_id is None or self.kpsa_file is None:
            raise ConfigurationError(KEYS)
        return self.kpsa_id, Path(self.kpsa_file)
