"""The command classes that TS-0003 knows (clauses 8.3.9.7 to 9), each around the part that does the work.

What is here is what the standard says of every client: which arguments are acceptable, and which status says
what became of a command. How a certificate is got, a device configured or a node processed is supplied.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from ..errors import ConfigurationError, IdentifierError, MessageError
from ..identifiers import EntityId, EntityKind, Fqdn, Suid
from ..onem2m.commands import (
    CertificateProvisioning,
    CertProvProtocol,
    CertSubjectType,
    CommandStatus,
    DeviceConfiguration,
    DeviceConfigUri,
    DevMgmt,
    ManagedObjectNode,
    ObjectType,
)
from .commands import Carry, NotCarriedOutError

Subject = tuple[CertSubjectType, str]
"""What a certificate may name: the type, and the Node-ID, CSE-ID or AE-ID."""

_KINDS: Final = {CertSubjectType.CSE_ID: EntityKind.CSE, CertSubjectType.AE_ID: EntityKind.AE}


def subject_of(entity: EntityId) -> Subject:
    """The subject that a CSE or an AE is.

    Raises:
        ConfigurationError: It is neither.
    """
    for subject_type, kind in _KINDS.items():
        if entity.kind is kind:
            return subject_type, str(entity)
    raise ConfigurationError(f"{entity} is neither a CSE-ID nor an AE-ID")


def certificate_provisioning(
    mef: Fqdn,
    subjects: frozenset[Subject],
    provision: Mapping[CertProvProtocol, Callable[[CertificateProvisioning], Awaitable[None]]],
) -> Carry:
    """CERT_PROV (8.3.9.7).

    Args:
        mef: The MEF-ID: certificates are got from no other host.
        subjects: Whom a certificate may name.
        provision: What gets a certificate, by protocol; it raises what ``clients`` raise.
    """

    async def carry(command: CertificateProvisioning) -> None:
        supplied = provision.get(command.protocol)
        if supplied is None:
            raise _unacceptable(f"{command.protocol.name} is not supported")
        if command.uri.fqdn != mef:
            raise _unacceptable(f"{command.uri} is not at {mef}")
        if not _is_among(subjects, command):
            raise _unacceptable("the certificate would name somebody else")
        await supplied(command)

    return carry


def device_configuration(
    mef: Fqdn, configure: Mapping[DevMgmt, Callable[[DeviceConfigUri], Awaitable[None]]]
) -> Carry:
    """DEV_CFG (8.3.9.8).

    Args:
        mef: The MEF-ID: the device is configured from no other host.
        configure: What has the device configured by the server there, by protocol; it raises what ``clients``
            raise.
    """

    async def carry(command: DeviceConfiguration) -> None:
        supplied = configure.get(command.server.management)
        if supplied is None:
            raise _unacceptable(f"{command.server.management.name} is not supported")
        if command.server.uri.fqdn != mef:
            raise _unacceptable(f"{command.server.uri} is not at {mef}")
        await supplied(command.server)

    return carry


class ManagedObject(Protocol):
    """An MO node that was configured before (TS-0022).

    Attributes:
        object_type: The specialization of <mgmtObj> that it is of.
        suid: Its SUID, if it is an [authenticationProfile].
    """

    object_type: ObjectType
    suid: Suid | None

    async def process(self) -> None:
        """Do what clauses 8.3.9.9.2 to 8 say of its type.

        Raises:
            ConfigurationError: It does not fit its parent, its children or itself (step 4 of 8.3.9.9.2).
        """


def mo_node(find: Callable[[str], Awaitable[ManagedObject | None]]) -> Carry:
    """MO_NODE (8.3.9.9).

    Args:
        find: The node at an objectPath; None when there is none.
    """

    async def carry(command: ManagedObjectNode) -> None:
        node = await find(command.path)
        if node is None:
            raise NotCarriedOutError(CommandStatus.MO_NODE_NOT_FOUND, "there is no such MO node")
        if node.object_type is not command.object_type:
            raise NotCarriedOutError(
                CommandStatus.MO_NODE_TYPE_CONFLICT, f"the MO node is of the type {node.object_type.name}"
            )
        if command.object_type is ObjectType.AUTHENTICATION_PROFILE:
            _check_suid(command, node)
        try:
            await node.process()
        except ConfigurationError as error:
            raise NotCarriedOutError(CommandStatus.MO_NODE_INCONSISTENT_CONFIG, str(error)) from error

    return carry


def _is_among(subjects: frozenset[Subject], command: CertificateProvisioning) -> bool:
    try:
        named = command.subject
        if command.subject_type is not CertSubjectType.NODE_ID:
            named = str(EntityId.parse(named))
    except IdentifierError:
        return False
    return (command.subject_type, named) in subjects


def _check_suid(command: ManagedObjectNode, node: ManagedObject) -> None:
    try:
        suid = command.suid
    except MessageError as error:
        raise NotCarriedOutError(CommandStatus.MO_NODE_BAD_ARGS, str(error)) from None
    if suid is not node.suid:
        raise NotCarriedOutError(
            CommandStatus.MO_NODE_UNACCEPTABLE_ARGS, f"SUID {int(suid)} is not the MO node's"
        )


def _unacceptable(why: str) -> NotCarriedOutError:
    return NotCarriedOutError(CommandStatus.UNACCEPTABLE_ARGUMENTS, why)
