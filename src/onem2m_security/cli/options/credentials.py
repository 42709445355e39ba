"""What every kind of credential has in common: who connects gets the ``How`` of the one that was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

import typer

from ...credentials import ResolvedKey
from ...errors import ConfigurationError
from ...identifiers import EntityId, Fqdn
from ...net.address import Address, Transport
from ...release import Release
from ...tls.framing import DEFAULT_MTU
from ..common import JsonOption, MafOption, MtuOption, TransportOption, VerboseOption, open_store, parsed
from .asked import Way
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...clients.bsf import BsfClient
    from ...clients.maf import MafClient
    from ...clients.mef import MefClient
    from ...frameworks.steps import How
    from ...net.limits import Limits
    from ...net.link import Link
    from ...tls.endpoint import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions(OptionGroup):
    """How sessions travel."""

    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for a handshake.")] = 10.0
    transport: TransportOption = Transport.TLS
    mtu: MtuOption = DEFAULT_MTU

    @property
    def limits(self) -> Limits:
        """Bounds on time and size."""
        from ...net.limits import Limits

        return Limits(handshake_seconds=self.timeout, datagram_octets=self.mtu)

    def link(self, address: Address) -> Link:
        """The way to a peer there."""
        from ...net.link import Link

        return Link(address, self.transport, self.limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions(OptionGroup):
    """What a command says."""

    as_json: JsonOption = False
    verbose: VerboseOption = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MafOptions(OptionGroup):
    """The MAF through which we associate."""

    panel: ClassVar = "By a MAF (8.2.2.3)"

    maf: MafOption = None
    maf_id: Annotated[
        Fqdn | None,
        parsed(
            Fqdn.parse, "--maf-id", metavar="FQDN", help="The MAF-ID, to meet --maf by --cert (Release 3)."
        ),
    ] = None
    maf_trust_anchor: Annotated[
        Path | None,
        typer.Option(
            "--maf-trust-anchor", metavar="FILE", help="Certificates of the MAF's authorities, PEM."
        ),
    ] = None
    kc_data: Annotated[
        Path | None,
        typer.Option(
            "--kc-data",
            metavar="DIR",
            help="Keep Kc here, sealed, and use it again until it ends; default: with --credentials, there.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Aim:
    """The association that a credential is wanted for.

    Attributes:
        peer: IdB.
        entity: IdA, where it was said.
        link: The way to Entity B.
        maf: The MAF, where one was named.
        release: Whose messages and rules to use.
        server_name: SNI host name for Entity B.
        running: What is to be closed when the association is made.
    """

    peer: EntityId
    entity: EntityId | None
    link: Link
    maf: MafOptions
    release: Release
    server_name: Fqdn | None
    running: contextlib.AsyncExitStack

    def way(self, address: Address) -> Link:
        """The way to somebody else, as to Entity B."""
        return replace(self.link, address=address)

    async def through(self, maf: MafClient, release: Release | None = None) -> How:
        """How Entity A proves itself through this MAF, whose client is closed in the end."""
        from ...clients.connection_keys import KeysInStore

        if self.maf.kc_data is not None:
            store = await self.running.enter_async_context(await open_store(self.maf.kc_data, make=True))
            maf.keep_in(KeysInStore(store))
        self.running.push_async_callback(maf.close)
        return maf.initiator(self.peer, release=release or self.release, server_name=self.server_name)


class CredentialOptions(Protocol):
    """One kind of credential, as the options name it."""

    @property
    def alone(self) -> str:
        """What to say to whoever gives another credential beside it."""
        ...

    @property
    def are_given(self) -> bool:
        """Whether any of its options was given."""
        ...

    async def how(self, aim: Aim) -> How:
        """How we prove ourselves by it.

        Raises:
            ConfigurationError: Options of it are missing, or cannot be used.
            SecurityFrameworkError: What it comes from cannot be had.
        """
        ...


def the_given(kinds: Iterable[CredentialOptions], *, nothing: str) -> CredentialOptions:
    """The one credential whose options were given.

    Raises:
        ConfigurationError: There is none, or several.
    """
    given = [kind for kind in kinds if kind.are_given]
    if len(given) != 1:
        raise ConfigurationError(given[0].alone if given else nothing)
    return given[0]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a kind of credential contributes to an Entity B.

    Attributes:
        keys: Provisioned keys.
        mafs: MAFs to ask for Kc.
        mefs: MEFs to ask for Kpsa.
        bsfs: BSFs to ask for NAF keys.
        endpoint: The (D)TLS configuration of one that has a certificate.
    """

    keys: tuple[ResolvedKey, ...] = ()
    mafs: tuple[MafClient, ...] = ()
    mefs: tuple[MefClient, ...] = ()
    bsfs: tuple[BsfClient, ...] = ()
    endpoint: Endpoint | None = None

    def __or__(self, other: Parts) -> Parts:
        """Both together."""
        return Parts(
            keys=self.keys + other.keys,
            mafs=self.mafs + other.mafs,
            mefs=self.mefs + other.mefs,
            bsfs=self.bsfs + other.bsfs,
            endpoint=self.endpoint or other.endpoint,
        )

    @property
    def accept_somebody(self) -> bool:
        """Whether anybody could associate by them."""
        return bool(self.keys or self.mafs or self.mefs or self.bsfs) or self.endpoint is not None


@dataclass(frozen=True, slots=True)
class Being:
    """The Entity B that parts are wanted for.

    Attributes:
        local: IdB.
        maf: The MAF, where one was named.
        way: How sessions travel to the MAFs, MEFs and BSFs that it asks.
    """

    local: EntityId
    maf: MafOptions
    way: Way


class PartOptions(Protocol):
    """Options from which parts of an Entity B come."""

    def parts(self, being: Being) -> Parts:
        """What they contribute; nothing if none was given.

        Raises:
            ConfigurationError: Some are missing, or cannot be used.
        """
        ...
