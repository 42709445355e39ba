"""A factory key, with which a command enrols before it does anything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ...defaults import ENROLMENT_EXPIRY
from ...errors import ConfigurationError
from ...identifiers import EntityId, KeyIdentifier
from ...net.address import Address
from ..common import EnroleeIdOption, KpmFileOption, entity_parser, open_store, parsed, read_key
from ..mef import ExpiryOption
from .credentials import SessionOptions
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryOptions(OptionGroup):
    """Kpm, its MEF, and for whom it enrols us."""

    panel: ClassVar = "To enrol first, with --enrol (8.3.2.1)"

    mef: Annotated[
        str | None,
        typer.Option("--mef", metavar="HOST:PORT", help="Where the MEF of --kpm-id listens, or its MEF URI."),
    ] = None
    kpm_id: Annotated[
        KeyIdentifier | None,
        parsed(KeyIdentifier.parse, "--kpm-id", metavar="KPMID", help="The factory key: relative@MEF-FQDN."),
    ] = None
    kpm_file: KpmFileOption = None
    enrolee_id: EnroleeIdOption = None
    target: Annotated[
        list[EntityId] | None,
        parsed(
            entity_parser,
            "--target",
            metavar="ID",
            help="An Enrolment Target, a MAF-ID, CSE-ID or AE-ID; repeat for several; default: --peer.",
        ),
    ] = None
    expires_in: ExpiryOption = ENROLMENT_EXPIRY

    async def enrol(
        self, data: Path | None, peer: EntityId, session: SessionOptions, release: Release
    ) -> None:
        """Bootstrap, unless what came of it before is still good.

        Args:
            data: Where the enrolment is kept.
            peer: For whom, where no target was named.
            session: How sessions travel to the MEF.
            release: Whose messages and rules to use.

        Raises:
            ConfigurationError: Something is missing.
            SecurityFrameworkError: The MEF cannot be reached, or refuses us.
        """
        from ...clients.enrolee import Enrolee
        from ...frameworks.instructions import BootstrapInstruction
        from ...net.link import Link

        if data is None or self.mef is None or not self.kpm_id or not self.kpm_file or not self.enrolee_id:
            raise ConfigurationError(
                "to enrol first give --credentials DIR, where that is kept, --mef, --kpm-id, --kpm-file and "
                "--enrolee-id; or --config FILE with [[enrolment]]"
            )
        address, transport = Address.located(self.mef, session.transport)
        being = BootstrapInstruction(self.enrolee_id, tuple(self.target or [peer]), self.expires_in, release)
        async with await open_store(data, make=True) as store:
            enrolee = await Enrolee.configure(
                store,
                kpm_id=self.kpm_id,
                kpm=read_key(self.kpm_file),
                instruction=being,
                link=Link(address, transport, session.limits),
            )
            for target in enrolee.targets:
                await enrolee.credentials(target)
