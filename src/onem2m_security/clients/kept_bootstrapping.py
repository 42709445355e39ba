"""Where a UE keeps its bootstrapping: in memory, unless something else is supplied."""

from __future__ import annotations

from typing import Protocol

from ..gba.context import BootstrappedContext
from ..gba.keys import Impi
from ..identifiers import Fqdn


class KeptBootstrapping(Protocol):
    """One bootstrapping at a time, used until it ends."""

    async def find(self, impi: Impi, bsf: Fqdn) -> BootstrappedContext | None:
        """The one of this subscriber with this BSF, ended or not."""

    async def put(self, context: BootstrappedContext) -> BootstrappedContext:
        """Keep a new one in place of the old one; returns it as it counts from now on."""


class BootstrappingInMemory:
    """Kept as long as the process lives."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._kept: BootstrappedContext | None = None

    async def find(self, impi: Impi, bsf: Fqdn) -> BootstrappedContext | None:
        """The one that there is."""
        del impi, bsf
        return self._kept

    async def put(self, context: BootstrappedContext) -> BootstrappedContext:
        """Keep this one."""
        self._kept = context
        return context
