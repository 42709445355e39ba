"""Every task of a port has an owner: failures are reported, and what runs ends with the port."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from logged import capture_logs
from maf_support import ID_A, ID_B, LOOPBACK, eventually, key_of
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys, RemoteKeys
from onem2m_security.frameworks.steps import Acceptor, Authorities, Established
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.net import tcp, udp_client
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ports import channel_port
from onem2m_security.onem2m.primitives import Request, Response, Rsc
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.run import serve
from onem2m_security.servers.service import FurtherPort, MafService
from onem2m_security.tasks import Tasks, together
from onem2m_security.tls.endpoint import Endpoint

KPSA = saef_psk.credential(KeyIdentifier.parse("k@b.example.com"), key_of("k"), peer=ID_A)
BOTH = pytest.mark.parametrize("transport", Transport)
INITIATOR = saef_psk.initiate(ID_A, ID_B, KPSA)


def port(transport, handler):
    acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KPSA]))
    return channel_port(transport, Authorities({}, default=acceptor), handler, Limits())


async def connect(transport, address):
    return await open_channel(Link(address, transport), INITIATOR)


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
    place = tcp if transport is Transport.TLS else udp_client
    completed = place.completed

    async def late(connection, initiator, address):
        established = await completed(connection, initiator, address)
        await eventually(lambda: connection.closed if place is udp_client else connection._upper is None)
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


class Together:
    """Handlers that end only when each of them has heard that its port is stopping."""

    def __init__(self, how_many: int) -> None:
        self.ended: list[str] = []
        self.begun = asyncio.Event()
        self._how_many = how_many
        self._here = self._stopping = 0
        self._all = asyncio.Event()

    async def handle(self, channel: Channel) -> None:
        self._here += 1
        if self._here == self._how_many:
            self.begun.set()
        try:
            while await channel.read():
                pass
            self._stopping += 1
            if self._stopping == self._how_many:
                self._all.set()
            await self._all.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("in peace")


async def test_entity_b_stops_its_ports_at_the_same_time():
    handlers = Together(2)
    async with EntityB(ID_B, keys=[KPSA]) as b:
        channels = [
            await connect(transport, await b.listen(LOOPBACK, handlers.handle, transport=transport))
            for transport in Transport
        ]
        await handlers.begun.wait()
        await b.stop()
        assert handlers.ended == ["in peace"] * 2
    await together(*(channel.close() for channel in channels))


@BOTH
async def test_a_handler_may_stop_its_own_entity_b(transport):
    stopped = asyncio.Event()

    async def stop(channel: Channel) -> None:
        await b.stop()
        stopped.set()

    b = EntityB(ID_B, keys=[KPSA])
    channel = await connect(transport, await b.listen(LOOPBACK, stop, transport=transport))
    await stopped.wait()
    await channel.close()


@BOTH
async def test_entity_b_has_stopped_only_when_what_it_asked_others_has(transport):
    asked, ended = asyncio.Event(), []

    async def silent(key_id: KeyIdentifier) -> None:
        asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            ended.append(key_id)

    keys = RemoteKeys({Fqdn("b.example.com"): silent}, timeout=1e6)
    async with EntityB(ID_B, resolvers=[keys]) as b:
        address = await b.listen(LOOPBACK, lambda channel: channel.close(), transport=transport)
        opening = asyncio.create_task(associate(Link(address, transport), INITIATOR))
        await asked.wait()
        await b.stop()
        assert ended == [KPSA.key_id]
    opening.cancel()
    with contextlib.suppress(HandshakeError, asyncio.CancelledError):
        await opening


class WithChannels(MafService):
    """A MAF beside which there is a port whose handlers end only together."""

    handlers: Together

    def ports(self, function: Maf, limits: Limits):
        acceptor = Acceptor(ID_B, Endpoint(server=True), ProvisionedKeys([KPSA]))
        authorities = Authorities({}, default=acceptor)
        port = channel_port(Transport.TLS, authorities, self.handlers.handle, limits)
        yield FurtherPort(f"channels of {self.fqdn}", (Transport.TLS,), port, LOOPBACK)


async def test_servers_that_run_together_stop_all_their_ports_at_the_same_time(tmp_path):
    WithChannels.handlers = handlers = Together(2)
    services = [WithChannels(Fqdn(f"{name}.example.com"), tmp_path / name, LOOPBACK) for name in "ab"]
    bound = {}

    async def until_all_are_here() -> None:
        for name, address in bound.items():
            if name.startswith("channels"):
                channels.append(await connect(Transport.TLS, address))
        await handlers.begun.wait()

    channels: list[Channel] = []
    await serve(
        services,
        ready=lambda listening, address: bound.update({listening.name: address}),
        until=until_all_are_here,
    )
    assert handlers.ended == ["in peace"] * 2
    await together(*(channel.close() for channel in channels))


async def test_what_fails_among_what_is_done_together_is_raised_once_the_rest_is_done():
    done = []

    async def fail() -> None:
        raise ValueError("cannot be stopped")

    async def late() -> None:
        await asyncio.sleep(0)
        done.append("late")

    with pytest.raises(ValueError, match="cannot be stopped"):
        await together(fail(), late())
    assert done == ["late"]


@BOTH
async def test_an_idle_session_keeps_nothing_of_the_tasks_of_its_handshake(transport):
    async def answer(request: Request, established: Established) -> Response:
        return Response(Rsc.OK)

    def finished() -> list[asyncio.Task]:
        gc.collect()
        tasks = (one for one in gc.get_objects() if isinstance(one, asyncio.Task) and one.done())
        return [task for task in tasks if "SecureConnection" in task.get_coro().__qualname__]

    async with EntityB(ID_B, keys=[KPSA]) as b, contextlib.AsyncExitStack() as channels:
        address = await b.listen_requests(LOOPBACK, answer, transport=transport)
        for _ in range(5):
            await channels.enter_async_context(await connect(transport, address))
        await eventually(lambda: not finished())
