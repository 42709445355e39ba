"""``m2msec mef command``: what the MEF commands its Enrolees (TS-0003 clause 8.3.9)."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..errors import ConfigurationError, IdentifierError, MessageError
from ..identifiers import EntityId, EntityKind, Suid
from ..onem2m.commands import (
    CertificateProvisioning,
    CertProvProtocol,
    CertSubjectType,
    CommandArguments,
    CommandClass,
    CommandDescription,
    DeviceConfiguration,
    ManagedObjectNode,
    ObjectType,
    ServerUri,
)
from .common import DataOption, entity_parser, log_to_stderr, open_store, parsed
from .options.grouping import OptionGroup, grouped
from .options.listing import ListOptions
from .options.steering import device_config_uri
from .tables import Row, list_pages

if TYPE_CHECKING:
    from ..clients.command_classes import Subject
    from ..store.records import MefCommand
    from ..store.store import Store

app = typer.Typer(help="What the MEF commands its Enrolees.", no_args_is_help=True)


class Named(enum.Enum):
    """The classes of commands, as they are typed."""

    CERT_PROV = "cert-prov"
    DEV_CFG = "dev-cfg"
    MO_NODE = "mo-node"


class Protocol(enum.Enum):
    """How a certificate is got, as it is typed."""

    EST = "est"
    SCEP = "scep"


class NodeType(enum.Enum):
    """What an MO node is, as it is typed."""

    AUTHENTICATION_PROFILE = "authentication-profile"
    TRUST_ANCHOR_CRED = "trust-anchor-cred"
    MAF_CLIENT_REG_CFG = "maf-client-reg-cfg"


def _suid(text: str) -> Suid:
    try:
        return Suid(int(text))
    except ValueError:
        raise ConfigurationError(f"{text[:20]!r} is not the number of a Security Usage Identifier") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentOptions(OptionGroup):
    """The arguments of a command; which of them belong to it, its class says."""

    uri: Annotated[
        str | None,
        typer.Option(
            "--uri",
            metavar="URI",
            help="Of the server, at the MEF's FQDN: cert-prov https://…, dev-cfg 3:coaps://… (3 is LwM2M).",
        ),
    ] = None
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="cert-prov: the protocol. Default: est.")
    ] = None
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            metavar="ID",
            help="cert-prov: a CSE-ID, AE-ID or Node-ID for the certificate. Default: the Enrolee.",
        ),
    ] = None
    path: Annotated[
        str | None, typer.Option("--path", metavar="PATH", help="mo-node: where the node is (objectPath).")
    ] = None
    object_type: Annotated[
        NodeType | None, typer.Option("--object-type", help="mo-node: what the node is.")
    ] = None
    suid: Annotated[
        Suid | None,
        parsed(
            _suid,
            "--suid",
            metavar="SUID",
            help="mo-node: what the credential of an authentication-profile is for.",
        ),
    ] = None

    @property
    def given(self) -> set[str]:
        """The names of those that were given."""
        return {name for name in self.__dataclass_fields__ if getattr(self, name) is not None}


def _subject(text: str) -> Subject:
    """Who a certificate is for.

    Raises:
        IdentifierError: It is no CSE-ID, AE-ID or Node-ID.
    """
    from ..certificates.flavours import Flavour, parse_identifier
    from ..clients.command_classes import subject_of

    try:
        entity = EntityId.parse(text)
    except IdentifierError:
        entity = None
    if entity is not None and entity.kind is not EntityKind.FUNCTION:
        return subject_of(entity)
    return CertSubjectType.NODE_ID, parse_identifier(Flavour.NODE_ID, text)


def _cert_prov(given: ArgumentOptions, enrolee: EntityId) -> CertificateProvisioning:
    from ..clients.command_classes import subject_of

    protocol = CertProvProtocol[(given.protocol or Protocol.EST).name]
    subject = subject_of(enrolee) if given.subject is None else _subject(given.subject)
    return CertificateProvisioning(protocol, ServerUri.parse(given.uri or ""), *subject)


def _dev_cfg(given: ArgumentOptions, enrolee: EntityId) -> DeviceConfiguration:
    del enrolee
    return DeviceConfiguration(device_config_uri(given.uri or ""))


def _mo_node(given: ArgumentOptions, enrolee: EntityId) -> ManagedObjectNode:
    del enrolee
    node = NodeType.TRUST_ANCHOR_CRED if given.object_type is None else given.object_type
    if (node is NodeType.AUTHENTICATION_PROFILE) != (given.suid is not None):
        raise ConfigurationError("--suid belongs to an authentication-profile, which has one (8.3.9.9.1)")
    arguments = ManagedObjectNode.of(given.path or "", ObjectType[node.name], given.suid)
    ManagedObjectNode.decode(arguments.encode())
    return arguments


@dataclass(frozen=True, slots=True)
class _Class:
    """How the options of a class become its arguments.

    Attributes:
        needed: The options that there must be.
        possible: Those that there may be beside.
        arguments: The arguments, for this Enrolee.
    """

    needed: frozenset[str]
    possible: frozenset[str]
    arguments: Callable[[ArgumentOptions, EntityId], CommandArguments]


_CLASSES: Final[Mapping[Named, _Class]] = {
    Named.CERT_PROV: _Class(frozenset({"uri"}), frozenset({"protocol", "subject"}), _cert_prov),
    Named.DEV_CFG: _Class(frozenset({"uri"}), frozenset(), _dev_cfg),
    Named.MO_NODE: _Class(frozenset({"path", "object_type"}), frozenset({"suid"}), _mo_node),
}


@app.command()
@grouped
def add(
    command_class: Annotated[Named, typer.Argument(metavar="CLASS", help="cert-prov, dev-cfg or mo-node.")],
    data: DataOption,
    enrolee_id: Annotated[
        EntityId,
        parsed(entity_parser, "--enrolee-id", metavar="ID", help="The CSE-ID or AE-ID of the Enrolee."),
    ],
    given: ArgumentOptions,
) -> None:
    """Put a command at the end of an Enrolee's queue; prints its cmdID.

    The Enrolee hears of it when it asks the next time: after its registration, or when it was told to ask
    again (mef serve --command-retry). A queue holds 100 commands.
    """
    import asyncio

    log_to_stderr(verbose=False)
    arguments = _arguments(command_class, given, enrolee_id)

    async def put() -> MefCommand:
        async with await open_store(data) as store:
            await _require_own_server(store, enrolee_id, arguments)
            return await store.commands.add(enrolee_id, CommandDescription.of(arguments, enrolee_id))

    print(asyncio.run(put()).command_id)


@app.command("list")
@grouped
def list_commands(wanted: ListOptions) -> None:
    """List the commands with their statuses, Enrolee by Enrolee, in the order of each queue.

    Of each Enrolee the newest 100 that have ended are kept.
    """
    log_to_stderr(verbose=False)
    list_pages(lambda store: store.commands.pages(), _row, wanted)


@app.command()
def remove(
    data: DataOption,
    command_id: Annotated[str, typer.Option("--cmd-id", metavar="CMDID", help="The command, as listed.")],
) -> None:
    """Remove a command, however it stands. An Enrolee that was told already may still carry it out."""
    import asyncio

    log_to_stderr(verbose=False)

    async def delete() -> bool:
        async with await open_store(data) as store:
            return await store.commands.remove(command_id)

    if not asyncio.run(delete()):
        raise ConfigurationError(f"there is no command {command_id[:40]!r}: m2msec mef command list")


def _arguments(named: Named, given: ArgumentOptions, enrolee: EntityId) -> CommandArguments:
    of = _CLASSES[named]
    missing, foreign = of.needed - given.given, given.given - of.needed - of.possible
    if missing or foreign:
        told = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(missing or foreign))
        verb = "needs" if missing else "does not take"
        raise ConfigurationError(f"{named.value} {verb} {told}")
    try:
        return of.arguments(given, enrolee)
    except (MessageError, IdentifierError) as error:
        raise ConfigurationError(str(error)) from None


async def _require_own_server(store: Store, enrolee: EntityId, arguments: CommandArguments) -> None:
    """The server must be at the FQDN of the MEF (8.3.9.7, 8.3.9.8), which the Enrolee's KpmId tells."""
    from ..store.records import KeyKind

    uris = {
        CommandClass.CERT_PROV: lambda one: one.uri,
        CommandClass.DEV_CFG: lambda one: one.server.uri,
    }
    uri_of = uris.get(arguments.command_class)
    mefs = {record.key_id.fqdn for record in await store.records(KeyKind.KPM, source=enrolee)}
    if uri_of is not None and mefs and uri_of(arguments).fqdn not in mefs:
        raise ConfigurationError(
            f"{uri_of(arguments)} is not at {', '.join(map(str, mefs))}: {enrolee} would refuse the command"
        )


def _row(command: MefCommand) -> Row:
    described = command.description
    known = {int(one): one.name for one in CommandClass}
    return {
        "cmd_id": command.command_id,
        "enrolee": str(command.enrolee),
        "class": known.get(described.command_class, str(described.command_class)),
        "status": "QUEUED" if command.status is None else command.status.name,
        "arguments": json.dumps(described.arguments, separators=(",", ":")),
        "history": [
            f"{name} {since.isoformat(timespec='seconds')}"
            for name, since in (
                ("QUEUED", command.queued),
                *((status.name, since) for status, since in command.history),
            )
        ],
    }
