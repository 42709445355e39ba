"""What ``m2msec enrol`` keeps, as a credential."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ...errors import ConfigurationError
from ..common import open_store
from .credentials import Aim
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...frameworks.steps import How


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledOptions(OptionGroup):
    """The directory of an Enrolee; Ke is renewed first if it is about to expire."""

    panel: ClassVar = "By what m2msec enrol keeps (8.3)"
    alone: ClassVar = "--credentials says who we are and by which key: leave out the others"

    credentials: Annotated[
        Path | None,
        typer.Option(
            "--credentials",
            metavar="DIR",
            help="Use what m2msec enrol keeps here: Kpsa if IdB is an Enrolment Target, else Km.",
        ),
    ] = None

    @property
    def are_given(self) -> bool:
        """Whether it was given."""
        return self.credentials is not None

    async def how(self, aim: Aim) -> How:
        """By Kpsa, if the peer is an Enrolment Target and no MAF is named; else through the MAF.

        Raises:
            ConfigurationError: Nobody is enrolled there, or not for this peer nor for a MAF.
        """
        from ...clients.card_enrolee import load_enrolee

        if aim.entity is not None or self.credentials is None:
            raise ConfigurationError(self.alone)
        store = await aim.running.enter_async_context(await open_store(self.credentials))
        enrolee = await load_enrolee(store, limits=aim.link.limits)
        if aim.peer in enrolee.targets and aim.maf.maf is None:
            return enrolee.initiator(aim.peer, transport=aim.link.transport, server_name=aim.server_name)
        named = enrolee.maf_ids() if aim.maf.maf_id is None else [aim.maf.maf_id]
        if aim.maf.maf is None or len(named) != 1:
            raise ConfigurationError(
                f"{enrolee.local} is not enrolled for {aim.peer}: give --maf HOST:PORT of a MAF that it is "
                "enrolled for, and --maf-id if there are several"
            )
        client = enrolee.maf_client(named[0], aim.way(aim.maf.maf))
        return await aim.through(client, enrolee.release)
