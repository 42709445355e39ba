"""An entity that is about to meet one of its peers: what is needed for it, whatever the framework."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..certificates.trust import Trust
from ..clients.enrolled import Enrolled
from ..errors import ConfigurationError
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import How
from ..identifiers import EntityId, Fqdn
from ..net.link import Link
from ..release import Release

if TYPE_CHECKING:
    from ..store.store import Store


class Role(enum.Enum):
    """What a peer is to us."""

    ENTITY_B = "an Entity B"
    MAF = "a MAF"
    OWN_MEF = "an MEF with which we enrol"
    MEF = "an MEF that we ask"
    BSF = "a BSF"
    HSS = "an HSS"
    EST = "an EST server"


class Proof(Protocol):
    """How we prove ourselves: a member of ``prove``."""

    async def how(self, meeting: Meeting) -> How:
        """How we prove ourselves to this peer."""

    async def enrolee(self, meeting: Meeting, store: Store, instruction: BootstrapInstruction) -> Enrolled:
        """Us as an Enrolee that meets this MEF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Who meets whom, where, and how.

    Attributes:
        local: The identity that we assume.
        peer: The peer's identity.
        role: What it is to us.
        link: Where it listens, over what, within which bounds.
        diameter: Whether it, a BSF, is asked over Diameter.
        release: Whose messages and identifiers to use.
        server_name: SNI host name; None for the peer's own.
        prove: How we prove ourselves.
        trusted: What its certificate must prove.
        closing: Closes what the meeting opened, when it is over.
        here: The directory that relative file names are relative to.
        data: The common data directory; None where there is none.
        enrolled_at: The data directory that keeps our enrolment with an MEF.
        meet: How to meet another peer on the way.
    """

    local: EntityId
    peer: EntityId
    role: Role
    link: Link
    diameter: bool
    release: Release
    server_name: Fqdn | None
    prove: Proof
    trusted: Callable[[], Trust]
    closing: AsyncExitStack
    here: Path
    data: Path | None
    enrolled_at: Callable[[Fqdn], Path]
    meet: Callable[[EntityId, Role], Meeting]

    @property
    def fqdn(self) -> Fqdn:
        """The FQDN of a MAF, MEF or BSF.

        Raises:
            IdentifierError: It has none.
        """
        return Fqdn.parse(str(self.peer))

    async def how(self) -> How:
        """How we prove ourselves to the peer.

        Raises:
            SecurityFrameworkError: As the framework says.
        """
        return await self.prove.how(self)

    def cannot(self, what: str) -> ConfigurationError:
        """The error for a proof that does not fit the peer."""
        return ConfigurationError(f"peer {self.peer}: {what}, and here it is {self.role.value}")
