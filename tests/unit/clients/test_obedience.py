"""What a device makes of an MEF that does not keep to the standard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from onem2m_security.clients.commands import DEFAULT_RETRY, MOST_AT_ONCE, CommandClient, Obedience
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.frameworks.steps import Established
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.net.request_client import Asked, RequestClient
from onem2m_security.onem2m.commands import (
    CommandClass,
    CommandDescription,
    CommandStatus,
    DeviceConfiguration,
    DeviceConfigUri,
    NoMoreCommands,
)
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.onem2m.resources import MefClientCommand
from onem2m_security.store.records import CarriedOut

MEF = Fqdn("mef.example.com")
CONFIGURE = CommandDescription.of(DeviceConfiguration(DeviceConfigUri.parse("3:coaps://mef.example.com")))
REST = CommandDescription.of(NoMoreCommands(timedelta(hours=2)))
PATH = ("mef", "clientReg", "1", "mefClientCmd")


class ScriptedMef(RequestClient):
    """Answers the requests of a device one after the other, and remembers what it was told."""

    def __init__(self, *answers: Mapping[str, Any], again: Callable[[], Mapping[str, Any]] | None = None):
        self._answers = list(answers)
        self._again = again
        self.told: list[CommandStatus] = []

    async def send(self, asked: Asked) -> Response:
        assert asked.to == PATH
        if asked.operation is Operation.UPDATE:
            self.told.append(MefClientCommand.decode_request(asked.content).cmd_status)
        content = self._again() if self._again is not None and not self._answers else self._answers.pop(0)
        return Response(Rsc.OK if asked.operation is Operation.RETRIEVE else Rsc.UPDATED, content)

    @property
    def established(self) -> Established:
        raise NotImplementedError

    async def close(self) -> None:
        """There is nothing to close."""


class Memory:
    """What a device remembers while it runs."""

    def __init__(self, last: CarriedOut | None = None) -> None:
        self.last = last

    async def find(self) -> CarriedOut | None:
        return self.last

    async def put(self, last: CarriedOut) -> None:
        self.last = last


def told(cmd_id: str, status=CommandStatus.ISSUED, described=CONFIGURE) -> dict[str, Any]:
    return MefClientCommand(cmd_id=cmd_id, cmd_status=status, cmd_description=described).encode()


async def follow(mef: ScriptedMef, memory: Memory | None = None) -> tuple[timedelta, int]:
    """When it asks again, and how often it configured itself."""
    done: list[object] = []

    async def configure(command: DeviceConfiguration) -> None:
        done.append(command)

    obedience = Obedience(
        MEF, frozenset({EntityId("Cae")}), {CommandClass.DEV_CFG: configure}, memory or Memory()
    )
    return await obedience.follow(CommandClient(mef, PATH)), len(done)


async def test_a_command_that_is_issued_as_new_under_the_id_of_the_last_one_is_not_done_again():
    mef = ScriptedMef(told("a"), told("a"), told("b", described=REST))
    assert await follow(mef) == (timedelta(hours=2), 1)
    assert mef.told == [CommandStatus.OK, CommandStatus.REPEATED_CMD_ID]


async def test_a_command_that_is_reissued_is_answered_as_it_was_before():
    last = CarriedOut(MEF, "a", CommandStatus.DEV_CFG_SERVER_ERROR)
    mef = ScriptedMef(told("a", CommandStatus.REISSUED), told("b", described=REST))
    assert await follow(mef, Memory(last)) == (timedelta(hours=2), 0)
    assert mef.told == [CommandStatus.DEV_CFG_SERVER_ERROR]


async def test_what_another_mef_had_carried_out_under_this_id_is_another_command():
    last = CarriedOut(Fqdn("other.example.com"), "a", CommandStatus.DEV_CFG_SERVER_ERROR)
    mef = ScriptedMef(told("a", CommandStatus.REISSUED), told("b", described=REST))
    assert await follow(mef, Memory(last)) == (timedelta(hours=2), 1)
    assert mef.told == [CommandStatus.OK]


async def test_commands_without_end_come_to_an_end():
    names = iter(range(10**6))
    mef = ScriptedMef(again=lambda: told(str(next(names))))
    assert await follow(mef) == (DEFAULT_RETRY, MOST_AT_ONCE)


async def test_a_rest_that_cannot_be_read_is_reported_once_and_taken_all_the_same():
    unreadable = CommandDescription(0, {"nmca": {"rtyd": "soon"}})
    mef = ScriptedMef(again=lambda: told("a", described=unreadable))
    assert await follow(mef) == (DEFAULT_RETRY, 0)
    assert mef.told == [CommandStatus.BAD_ARGUMENTS]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"sec:mefcc": {"cmid": "a", "cmst": 10}},
        {"sec:mefcc": {"cmid": "a", "cmst": 20, "cmde": CONFIGURE.encode()}},
        {"sec:mefcc": {"cmid": "a", "cmst": 10, "cmde": {"ccid": "x", "carg": {}}}},
        {"sec:mefcc": {"cmst": 10, "cmde": CONFIGURE.encode()}},
    ],
)
async def test_an_answer_that_is_no_command_is_said_to_be_none_and_nothing_is_done(content):
    mef = ScriptedMef(content)
    with pytest.raises(ResolverUnavailableError):
        await follow(mef)
    assert mef.told == []
