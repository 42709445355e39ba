"""An entity that is about to meet one of its peers: what is needed for it, whatever the framework."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..certificates.trust import Trust
from ..errors import ConfigurationError
from ..frameworks.steps import How
from ..identifiers import EntityId, Fqdn
from ..net.link import Link
from ..release import Release


class Role(enum.Enum):
    """What a peer is to us."""

    ENTITY_B = "Entity B"
    MAF = "MAF"
    MEF = "MEF"
    BSF = "BSF"
    HSS = "HSS"
    EST = "EST server"


class Proof(Protocol):
    """How we prove ourselves: a member of ``prove``."""

    async def how(self, meeting: Meeting) -> How:
        """How we prove ourselves to this peer."""


class Trusted(Protocol):
    """What a certificate must prove: a member of ``trust``."""

    def trust(self, peer: EntityId, here: Path) -> Trust:
        """Whom we trust, as frameworks take it."""


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
        trust: What its certificate must prove; None where it has none.
        closing: Closes what the meeting opened, when it is over.
        here: The directory that relative file names are relative to.
        data: Our own data directory, for what an enrolment left there; None for none.
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
    trust: Trusted | None
    closing: AsyncExitStack
    here: Path
    data: Path | None
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
