"""By what Entity A proves who it is: one of the kinds of credentials, each in a file of its own."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ...identifiers import EntityId, Fqdn
from ...release import DEFAULT_RELEASE
from ..common import ReleaseOption, entity_parser, parsed
from .certificates import CertificateOptions
from .credentials import Aim, CredentialOptions, MafOptions, the_given
from .enrolled import EnrolledOptions
from .gba import GbaOptions
from .grouping import OptionGroup, without
from .keys import KEYS, KmOptions, KpsaOptions

if TYPE_CHECKING:
    from ...frameworks.steps import How
    from ...net.channel import Channel
    from ...net.link import Link


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoOptions(OptionGroup):
    """Who Entity A is, and how it proves it."""

    entity: Annotated[
        EntityId | None,
        parsed(
            entity_parser,
            "--entity",
            metavar="IDA",
            help="Our own CSE-ID or AE-ID; default: from KmId or KpsaId.",
        ),
    ] = None
    maf: MafOptions
    km: KmOptions
    kpsa: Annotated[KpsaOptions, without("kpsa_peer")]
    enrolled: EnrolledOptions
    certificates: Annotated[CertificateOptions, without("associations")]
    gba: GbaOptions
    server_name: Annotated[
        Fqdn | None,
        parsed(Fqdn.parse, "--server-name", metavar="FQDN", help="SNI host name to send to Entity B."),
    ] = None
    release: ReleaseOption = DEFAULT_RELEASE

    @property
    def kinds(self) -> tuple[CredentialOptions, ...]:
        """By what it may prove it."""
        return (self.enrolled, self.gba, self.certificates, self.km, self.kpsa)

    async def associate(self, peer: EntityId, link: Link) -> Channel:
        """Associate with Entity B by the one credential that was given.

        Raises:
            ConfigurationError: None was given, or several, or its options cannot be used.
            HandshakeError: Somebody cannot be reached, or refuses us.
        """
        from ...clients.entity_a import associate

        async with contextlib.AsyncExitStack() as running:
            return await associate(link, await self.how(peer, link, running))

    async def how(self, peer: EntityId, link: Link, running: contextlib.AsyncExitStack) -> How:
        """How we prove ourselves to Entity B by the one credential that was given.

        Args:
            peer: IdB.
            link: The way to it.
            running: Closes what that takes, when nobody proves anything any more.

        Raises:
            ConfigurationError: As for ``associate``.
            HandshakeError: The same.
        """
        credential = the_given(self.kinds, nothing=KEYS)
        aim = Aim(peer, self.entity, link, self.maf, self.release, self.server_name, running)
        return await credential.how(aim)
