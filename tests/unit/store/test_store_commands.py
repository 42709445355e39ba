"""What an MEF commands its Enrolees, and what a device did last: kept in order, bounded and sealed."""

import asyncio
import itertools
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from onem2m_security.clock import Clock
from onem2m_security.errors import QuotaError, RecordCorruptedError
from onem2m_security.identifiers import EntityId, Fqdn
from onem2m_security.onem2m.commands import (
    CommandDescription,
    CommandStatus,
    DeviceConfiguration,
    DeviceConfigUri,
    ManagedObjectNode,
    ObjectType,
)
from onem2m_security.store import Store
from onem2m_security.store.commands import ENDED_MAX, PENDING_MAX
from onem2m_security.store.records import CarriedOut
from store_support import AE, CSE, ISSUED

MEF = Fqdn("mef.example.com")
CONFIGURE = CommandDescription.of(DeviceConfiguration(DeviceConfigUri.parse("3:coaps://mef.example.com")), AE)


def process(path: str) -> CommandDescription:
    return CommandDescription.of(ManagedObjectNode.of(path, ObjectType.TRUST_ANCHOR_CRED))


def ticking() -> Clock:
    """A second later each time that it is asked."""
    moments = (ISSUED + timedelta(seconds=number) for number in itertools.count())
    return Clock(now=lambda: next(moments))


@pytest.fixture
async def store(tmp_path, url):
    async with await Store.open(tmp_path / "data", url=url, clock=ticking()) as opened:
        yield opened


async def kept(store):
    return [command async for page in store.commands.pages() for command in page]


async def test_an_enrolee_is_told_one_command_until_it_says_what_came_of_it_then_the_next(store):
    first, second = await store.commands.add(AE, CONFIGURE), await store.commands.add(AE, process("./b"))
    other = await store.commands.add(CSE, process("./c"))
    told = await store.commands.issue(AE)
    assert (told.command_id, told.description, told.status) == (
        first.command_id,
        CONFIGURE,
        CommandStatus.ISSUED,
    )
    again = await store.commands.issue(AE)
    assert (again.command_id, again.status) == (first.command_id, CommandStatus.REISSUED)
    assert await store.commands.end(AE, first.command_id, CommandStatus.OK)
    assert (await store.commands.issue(AE)).command_id == second.command_id
    assert await store.commands.end(AE, second.command_id, CommandStatus.MO_NODE_NOT_FOUND)
    assert await store.commands.issue(AE) is None
    assert (await store.commands.issue(CSE)).command_id == other.command_id
    assert {one.command_id: [status for status, _ in one.history] for one in await kept(store)} == {
        first.command_id: [CommandStatus.ISSUED, CommandStatus.REISSUED, CommandStatus.OK],
        second.command_id: [CommandStatus.ISSUED, CommandStatus.MO_NODE_NOT_FOUND],
        other.command_id: [CommandStatus.ISSUED],
    }
    for one in await kept(store):
        times = [one.queued, *(since for _, since in one.history)]
        assert times == sorted(set(times))


async def test_nothing_is_kept_of_a_command_but_by_its_own_enrolee_once_it_was_issued_and_once(store):
    command = await store.commands.add(AE, CONFIGURE)
    assert not await store.commands.end(AE, command.command_id, CommandStatus.OK), "not issued yet"
    await store.commands.issue(AE)
    assert not await store.commands.end(CSE, command.command_id, CommandStatus.OK)
    assert not await store.commands.end(AE, "0" * 32, CommandStatus.OK)
    assert await store.commands.find(CSE, command.command_id) is None
    assert await store.commands.end(AE, command.command_id, CommandStatus.OK)
    assert not await store.commands.end(AE, command.command_id, CommandStatus.BAD_ARGUMENTS)
    assert (await store.commands.find(AE, command.command_id)).status is CommandStatus.OK


@pytest.mark.parametrize("text", ["", "a\0b", "a b", "x" * 256, "\ud800"])
async def test_a_text_that_is_no_command_id_names_no_command(store, text):
    assert await store.commands.find(AE, text) is None


async def test_a_queue_has_an_end_for_each_enrolee_alone(store):
    for _ in range(PENDING_MAX):
        last = await store.commands.add(AE, CONFIGURE)
    with pytest.raises(QuotaError, match="commands wait"):
        await store.commands.add(AE, CONFIGURE)
    await store.commands.add(CSE, CONFIGURE)
    assert await store.commands.remove(last.command_id)
    assert not await store.commands.remove(last.command_id)
    await store.commands.add(AE, CONFIGURE)


async def test_of_what_has_ended_the_newest_stay(store):
    for _ in range(ENDED_MAX + 3):
        command = await store.commands.add(AE, CONFIGURE)
        await store.commands.issue(AE)
        await store.commands.end(AE, command.command_id, CommandStatus.OK)
    assert [one.number for one in await kept(store)] == list(range(4, ENDED_MAX + 4))


async def test_commands_that_are_given_at_the_same_time_all_have_their_place(store):
    await asyncio.gather(*(store.commands.add(AE, process(f"./{n}")) for n in range(20)))
    assert [one.number for one in await kept(store)] == list(range(1, 21))


async def test_a_device_knows_what_it_carried_out_last(store):
    assert await store.enrolment.last_command.find() is None
    for name in ("a", "b"):
        await store.enrolment.last_command.put(CarriedOut(MEF, name, CommandStatus.OK))
    assert await store.enrolment.last_command.find() == CarriedOut(MEF, "b", CommandStatus.OK)
    assert await store.rekey() == 1
    assert (await store.enrolment.last_command.find()).command_id == "b"


@pytest.mark.parametrize(("column", "value"), [("enrolee", "/cse2"), ("status", 20), ("description", "{}")])
async def test_an_edited_command_does_not_open(tmp_path, column, value):
    async with await Store.open(tmp_path) as store:
        command = await store.commands.add(AE, CONFIGURE)
        with closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
            connection.execute(f"UPDATE mef_commands SET {column} = ?", (value,))
        [outcome] = await kept(store)
        assert isinstance(outcome, RecordCorruptedError)
        assert command.command_id in str(outcome)
        with pytest.raises(RecordCorruptedError, match="remove it and give it again"):
            await store.commands.issue(EntityId(value) if column == "enrolee" else AE)
        assert await store.commands.remove(command.command_id)
