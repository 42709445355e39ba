"""MEF Client Commands: an MEF steers what its clients do in their Enrolment Exchange (TS-0003 clause 8.3.9).

Each registration of a client has one <mefClientCmd> below it, which shows the command that the client is to
carry out now: the first in its queue that has not ended or, where there is none, when to ask again. Whatever
registration a client asks by, its queue is the same. What belongs to another client is answered like what
does not exist.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ..defaults import COMMAND_RETRY
from ..frameworks.steps import Established
from ..identifiers import EntityId
from ..onem2m import paths
from ..onem2m.commands import CommandDescription, CommandStatus, DeviceConfigUri, NoMoreCommands
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from ..onem2m.resources import MefClientCommand
from ..telemetry import LOG
from ..texts import shown
from .client_registration import ClientRegistrations
from .function import Handler, Route, asked_of

if TYPE_CHECKING:
    from ..store.store import Store

DEFAULT_RETRY: Final = COMMAND_RETRY
"""After what time a client without commands is to ask again."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What an MEF tells all its clients.

    Attributes:
        retry: After what time a client without commands is to ask again; whole seconds.
        device_config: deviceConfigURI: where devices are configured; None for nowhere.
    """

    retry: timedelta = DEFAULT_RETRY
    device_config: DeviceConfigUri | None = None


STEERING: Final = Steering()


class ClientCommands:
    """The <mefClientCmd> of one MEF's registrations."""

    def __init__(self, store: Store, registrations: ClientRegistrations, *, retry: timedelta) -> None:
        """Serve the commands in the store to those who are registered.

        Args:
            store: Where they are kept.
            registrations: Who is registered.
            retry: As in Steering.
        """
        self._store = store
        self._registrations = registrations
        self._retry = retry

    def routes(self) -> dict[Route, Handler]:
        """The requests that are answered; the MEF itself makes the resource."""
        path = MefClientCommand.path
        return {(Operation.RETRIEVE, path, 2): self.retrieve, (Operation.UPDATE, path, 2): self.update}

    async def retrieve(self, request: Request, established: Established) -> Response:
        """MEF Client Command Retrieve (8.3.9.2): the command, which counts as issued from now on."""
        client = await self._client(request, established)
        return Response(Rsc.OK, await self._next(client))

    async def update(self, request: Request, established: Established) -> Response:
        """MEF Client Command Update (8.3.9.3): what came of a command; the answer is the next one.

        A cmdID that is not the command's that was issued last is passed over, as that clause says; so is what
        is said of a command for the second time, so that a request may be repeated.
        """
        client = await self._client(request, established)
        asked = asked_of(request, MefClientCommand)
        found = await self._store.commands.find(client, asked.cmd_id)
        if not asked.cmd_status.is_outcome_of(None if found is None else found.description.command_class):
            raise RefusedError(
                Rsc.BAD_REQUEST, f"cmdStatus {int(asked.cmd_status)} is not a client's to say of this command"
            )
        is_kept = found is not None and await self._store.commands.end(client, asked.cmd_id, asked.cmd_status)
        LOG.info(
            "command ended" if is_kept else "status of no command passed over",
            enrolee=str(client),
            command=shown(asked.cmd_id),
            status=asked.cmd_status.name,
        )
        return Response(Rsc.UPDATED, await self._next(client))

    async def _client(self, request: Request, established: Established) -> EntityId:
        """Who asks, by a registration of its own.

        Raises:
            RefusedError: NOT_FOUND, for everybody else and everything else.
        """
        registration = await self._registrations.find_own(request.to[-2], established)
        if request.to[-1] != paths.MEF_CLIENT_CMD:
            raise RefusedError(Rsc.NOT_FOUND, "nothing is found here")
        return registration.client

    async def _next(self, client: EntityId) -> dict[str, object]:
        command = await self._store.commands.issue(client)
        if command is None:
            described = CommandDescription.of(NoMoreCommands(self._retry), client)
            return _shown(secrets.token_hex(16), CommandStatus.ISSUED, described)
        LOG.info(
            "command issued",
            enrolee=str(client),
            command=command.command_id,
            status=(command.status or CommandStatus.ISSUED).name,
        )
        return _shown(command.command_id, command.status or CommandStatus.ISSUED, command.description)


def _shown(command_id: str, status: CommandStatus, described: CommandDescription) -> dict[str, object]:
    resource = MefClientCommand(cmd_id=command_id, cmd_status=status, cmd_description=described)
    return resource.encode()
