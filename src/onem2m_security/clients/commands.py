"""A client's side of MEF Client Commands: ask, carry out, say what came of it (TS-0003 clause 8.3.9).

A command class is a part that is supplied: a function that carries out commands of this class. Nothing here
knows what a command does; what nobody supplied is answered with CLASS_NOT_SUPPORTED.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Protocol

from ..errors import (
    HandshakeError,
    MessageError,
    PeerRefusedError,
    ResolverUnavailableError,
    SecurityFrameworkError,
)
from ..identifiers import EntityId, Fqdn
from ..net.request_client import RequestClient
from ..onem2m.commands import (
    CommandArguments,
    CommandClass,
    CommandDescription,
    CommandStatus,
    NoMoreCommands,
)
from ..onem2m.primitives import Operation, Response, Rsc
from ..onem2m.resources import MefClientCommand
from ..store.records import CarriedOut
from ..telemetry import LOG
from .answers import answered

MOST_AT_ONCE: Final = 200
"""How many commands of one MEF are carried out before the client takes a rest."""

DEFAULT_RETRY: Final = timedelta(hours=1)
"""After what time to ask again, where the MEF does not say it."""

Carry = Callable[[Any], Awaitable[None]]
"""Carries out commands of one class, given their arguments; see ``command_classes``.

What it raises, the MEF is told as a status: that of a NotCarriedOutError; else, that it failed at the other
side, or here."""

_ELSEWHERE: Final = {
    CommandClass.CERT_PROV: CommandStatus.CERT_PROV_SERVER_ERROR,
    CommandClass.DEV_CFG: CommandStatus.DEV_CFG_SERVER_ERROR,
    CommandClass.MO_NODE: CommandStatus.MO_NODE_EXECUTION_ERROR,
}
"""Where a command failed because a server could not be reached, refused or gave no usable answer."""

_HERE: Final = {
    CommandClass.CERT_PROV: CommandStatus.CERT_PROV_CLIENT_ERROR,
    CommandClass.DEV_CFG: CommandStatus.DEV_CFG_CLIENT_ERROR,
    CommandClass.MO_NODE: CommandStatus.MO_NODE_EXECUTION_ERROR,
}
"""Where it failed for any other reason."""

_OTHER_SIDE: Final = (HandshakeError, PeerRefusedError, ResolverUnavailableError, OSError)


class NotCarriedOutError(SecurityFrameworkError):
    """A command was not carried out, for a reason that has a status of its own (8.3.9.5).

    Attributes:
        status: What the MEF is told.
    """

    def __init__(self, status: CommandStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Memory(Protocol):
    """What a device remembers of the commands that it carried out: ``Store.enrolment.last_command``."""

    async def find(self) -> CarriedOut | None:
        """The last one; None when there is none."""

    async def put(self, last: CarriedOut) -> None:
        """Keep it; it is durable when this returns."""


class CommandClient:
    """Asks for commands, and reports, over the connections of a request client."""

    def __init__(self, client: RequestClient, path: tuple[str, ...]) -> None:
        """A client of the <mefClientCmd> here.

        Args:
            client: A client of the MEF.
            path: Where it is, as the registration's answer says.
        """
        self._client = client
        self._path = path

    async def retrieve(self) -> MefClientCommand:
        """MEF Client Command Retrieve (8.3.9.2).

        Raises:
            PeerRefusedError: There is no such registration of ours.
            ResolverUnavailableError: The MEF cannot be reached, or its answer cannot be used.
        """
        return _issued(await self._client.request(Operation.RETRIEVE, self._path), Rsc.OK)

    async def report(self, command_id: str, status: CommandStatus) -> MefClientCommand:
        """MEF Client Command Update (8.3.9.3); returns the next command.

        Raises:
            PeerRefusedError: There is no such registration of ours, or the status is not ours to say.
            ResolverUnavailableError: The MEF cannot be reached, or its answer cannot be used.
        """
        said = MefClientCommand(cmd_id=command_id, cmd_status=status)
        response = await self._client.request(Operation.UPDATE, self._path, content=said.encode())
        return _issued(response, Rsc.UPDATED)


class Obedience:
    """Carries out the commands of one MEF, in its order, none of them twice."""

    def __init__(
        self,
        mef: Fqdn,
        entities: frozenset[EntityId],
        carry: Mapping[CommandClass, Carry],
        memory: Memory,
    ) -> None:
        """Obey this MEF.

        Args:
            mef: The MEF-ID.
            entities: Whom commands may be for (targetID).
            carry: What carries out the commands of each class; other classes are not supported.
            memory: Where we remember what we carried out, so that a command that comes again after a
                failure is answered and not carried out again.
        """
        self._mef = mef
        self._entities = entities
        self._carry = {int(one): (one, supplied) for one, supplied in carry.items()}
        self._memory = memory

    async def follow(self, commands: CommandClient) -> timedelta:
        """Carry out commands until there are no more for now; returns after what time to ask again.

        Raises:
            PeerRefusedError: The MEF refused: there is no such registration of ours.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
            StoreError: What we carried out could not be remembered.
        """
        command = await commands.retrieve()
        for _ in range(MOST_AT_ONCE):
            if _described(command).command_class == CommandClass.NO_MORE_COMMANDS:
                return await _rest(commands, command)
            status = await self._outcome(command)
            LOG.info("command carried out", mef=str(self._mef), command=command.cmd_id, status=status.name)
            command = await commands.report(command.cmd_id, status)
        LOG.warning("the MEF has commands without end", mef=str(self._mef))
        return DEFAULT_RETRY

    async def _outcome(self, command: MefClientCommand) -> CommandStatus:
        """What came of the command, now or when it was carried out (8.3.9.2, step 5)."""
        last = await self._memory.find()
        if last is not None and (last.mef, last.command_id) == (self._mef, command.cmd_id):
            is_asked_again = command.cmd_status is CommandStatus.REISSUED
            return last.status if is_asked_again else CommandStatus.REPEATED_CMD_ID
        status = await self._carried_out(_described(command))
        await self._memory.put(CarriedOut(self._mef, command.cmd_id, status))
        return status

    async def _carried_out(self, described: CommandDescription) -> CommandStatus:
        supplied = self._carry.get(described.command_class)
        if supplied is None:
            return CommandStatus.CLASS_NOT_SUPPORTED
        try:
            arguments = described.parsed()
        except MessageError as error:
            LOG.warning("arguments of a command cannot be read", mef=str(self._mef), error=str(error))
            return CommandStatus.BAD_ARGUMENTS
        if described.target is not None and described.target not in self._entities:
            return CommandStatus.UNACCEPTABLE_ARGUMENTS
        return await _tried(*supplied, arguments)


async def _tried(
    command_class: CommandClass, carry: Carry, arguments: CommandArguments | None
) -> CommandStatus:
    """What came of the supplied part's work."""
    try:
        await carry(arguments)
    except NotCarriedOutError as error:
        status, why = error.status, str(error)
    except _OTHER_SIDE as error:
        status, why = _ELSEWHERE[command_class], str(error)
    except Exception as error:  # noqa: BLE001 - whatever a supplied part raises, the MEF is to hear that it failed
        status, why = _HERE[command_class], repr(error)
    else:
        return CommandStatus.OK
    LOG.warning("command failed", command_class=command_class.name, status=status.name, error=why)
    return status


async def _rest(commands: CommandClient, command: MefClientCommand) -> timedelta:
    """After what time to ask again (8.3.9.6)."""
    try:
        arguments = _described(command).parsed()
    except MessageError:
        await commands.report(command.cmd_id, CommandStatus.BAD_ARGUMENTS)
        return DEFAULT_RETRY
    return arguments.retry if isinstance(arguments, NoMoreCommands) else DEFAULT_RETRY


def _issued(response: Response, accepted: Rsc) -> MefClientCommand:
    command = answered(response, MefClientCommand, accepted)
    if command.cmd_description is None or command.cmd_status.is_outcome_of(None):
        raise ResolverUnavailableError(
            "the answer is no command: cmdDescription is missing, or cmdStatus is wrong"
        )
    return command


def _described(command: MefClientCommand) -> CommandDescription:
    assert command.cmd_description is not None  # noqa: S101 - _issued looked
    return command.cmd_description
