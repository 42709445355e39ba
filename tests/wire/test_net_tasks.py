"""Every task of a port has an owner: failures are reported, and what runs ends with the port."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from logged import capture_logs
from maf_support import ID_A, ID_B, LOOPBACK, eventually, key_of
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities, Established
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net import tcp, udp
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.ports import channel_port
from onem2m_security.net.tasks import Tasks
from onem2m_security.tls.endpoint import Endpoint

KPSA = saef_psk.credential(KeyIdentifier.parse("k@b.example.com"), key_of("k"), peer=ID_A)
BOTH = pytest.mark.parametrize("transport", Transport)
INITIATOR = saef_psk.initiate(ID_A, ID_B, KPSA)


def port(transport, handler):
    acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KPSA]))
    return channel_port(transport, Authorities({}, default=acceptor), handler, Limits())


async def connect(transport, address):
    return await open_channel(INITIATOR, address, transport=transport)


@BOTH
async def test_a_handler_that_fails_is_reported_once_with_its_peer_and_nothing_else_is_told(transport):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def fail(channel: Channel) -> None:
        raise ValueError("a handler's own mistake")

    with capture_logs() as logged:
        async with port(transport, fail) as opened:
            channel = await connect(transport, await opened.start(LOOPBACK))
            assert await channel.read() == b""
            await channel.close()
        gc.collect()
    [line] = [entry for entry in logged if entry["event"] == "handler failed"]
    assert (line["peer"], line["log_level"]) == (str(ID_A), "error")
    assert "a handler's own mistake" in line["error"]
    assert told == []


@BOTH
async def test_a_port_has_stopped_only_when_its_handlers_have(transport):
    begun, done = asyncio.Event(), []

    async def linger(channel: Channel) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            done.append(channel.association.peer)

    opened = port(transport, linger)
    channel = await connect(transport, await opened.start(LOOPBACK))
    await begun.wait()
    await opened.stop(grace=0)
    assert done == [ID_A]
    assert len(opened.tasks) == 0
    await channel.close()


@BOTH
async def test_a_handler_that_ends_within_the_grace_period_is_not_cancelled(transport):
    begun, done = asyncio.Event(), []

    async def say_goodbye(channel: Channel) -> None:
        begun.set()
        while await channel.read():
            pass
        await asyncio.sleep(0)
        done.append("in peace")

    opened = port(transport, say_goodbye)
    channel = await connect(transport, await opened.start(LOOPBACK))
    await begun.wait()
    await opened.stop()
    assert done == ["in peace"]
    await channel.close()


@BOTH
async def test_a_handler_may_stop_its_own_port(transport):
    stopped = asyncio.Event()

    async def stop(channel: Channel) -> None:
        await opened.stop()
        stopped.set()

    opened = port(transport, stop)
    channel = await connect(transport, await opened.start(LOOPBACK))
    await stopped.wait()
    await channel.close()


@BOTH
async def test_a_connection_that_the_peer_has_closed_meanwhile_opens_as_one_that_has_ended(
    monkeypatch, transport
):
    """The peer may close it between the handshake and the moment at which its opener goes on."""
    place = tcp if transport is Transport.TLS else udp
    completed = place.completed

    async def late(connection, initiator, address):
        established = await completed(connection, initiator, address)
        await eventually(lambda: connection.closed if place is udp else connection._upper is None)
        return established

    async def say_and_close(channel: Channel) -> None:
        await channel.write(b"bye")

    monkeypatch.setattr(place, "completed", late)
    async with port(transport, say_and_close) as opened:
        channel = await connect(transport, await opened.start(LOOPBACK))
        assert await channel.read() == b"bye"
        assert await channel.read() == b""
        assert channel.closing


async def test_what_fails_while_a_port_stops_is_reported_too():
    reported, begun = [], asyncio.Event()

    async def fail() -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise ValueError("on the way out")

    tasks = Tasks()
    tasks.start(fail(), reported.append)
    await begun.wait()
    await tasks.stop(0)
    assert [str(error) for error in reported] == ["on the way out"]


@BOTH
async def test_a_commit_that_heeds_no_cancellation_leaves_nothing_behind_after_the_deadline(transport):
    handled, committed = [], asyncio.Event()

    async def stubborn(established: Established) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        committed.set()

    async def note(channel: Channel) -> None:
        handled.append(channel)

    acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KPSA]), established=stubborn)
    limits = Limits(handshake_seconds=0.2)
    async with channel_port(transport, Authorities({}, default=acceptor), note, limits) as opened:
        with pytest.raises(HandshakeError):
            await connect(transport, await opened.start(LOOPBACK))
        await committed.wait()
        await eventually(lambda: opened.connections == 0)
    assert handled == []
