"""A right that ends, ends now: what happens to open sessions, over TLS and DTLS, at both ends."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import ID_A, ID_B, LOOPBACK, A, B, eventually, key_of, running_maf
from onem2m_security import association
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.clock import Clock
from onem2m_security.credentials import ResolvedKey
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.frameworks import maf_handshake, saef_psk
from onem2m_security.frameworks.resolvers import ProvisionedKeys
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net import standing
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import Channel
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.release import Release
from onem2m_security.tls.states import State
from onem2m_security.tls.suites import Suite

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
ENDLESS = dataclasses.replace(KPSA, peer=ID_B)
PATIENCE = 20.0
both_transports = pytest.mark.parametrize("transport", list(Transport))


def ending(key: ResolvedKey, seconds: float) -> ResolvedKey:
    return dataclasses.replace(key, expires=datetime.now(UTC) + timedelta(seconds=seconds))


async def echo(channel: Channel) -> None:
    while data := await channel.read():
        await channel.write(data)


async def to_its_end(channel: Channel) -> bytes:
    """What the other end still says, until close_notify."""
    said = b""
    async with asyncio.timeout(PATIENCE):
        while data := await channel.read():
            said += data
    return said


class WallClock:
    """A wall clock that somebody sets."""

    ahead = timedelta(0)

    def now(self):
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock(monkeypatch):
    wall = WallClock()
    monkeypatch.setattr(association, "CLOCK", Clock(now=wall.now))
    return wall


# --- the end of the association ---


@both_transports
async def test_a_channel_ends_when_kc_ends(tmp_path, transport):
    seen: list[Channel] = []

    async def note(channel: Channel) -> None:
        seen.append(channel)
        await echo(channel)

    lifetime = timedelta(seconds=3)
    async with (
        running_maf(tmp_path, kc_lifetime=lifetime) as maf,
        EntityB(ID_B, mafs=[B.maf_client(maf.address)]) as b,
    ):
        address = await b.listen(LOOPBACK, note, transport=transport)
        async with await associate(
            Link(address, transport), A.maf_client(maf.address).initiator(ID_B, release=Release.R3)
        ) as channel:
            await channel.write(b"in time")
            assert await channel.read() == b"in time"
            assert await to_its_end(channel) == b""
            ends = {end.association.expires for end in (channel, seen[0])}
            assert len(ends) == 1
            assert datetime.now(UTC) >= ends.pop()
            assert channel.closing
            await eventually(lambda: seen[0].closing)
            await eventually(lambda: all(port.connections == 0 for port in b._ports))


@both_transports
@pytest.mark.parametrize("knows", ["a", "b"])
async def test_the_end_that_knows_it_ends_the_channel(transport, knows):
    """In Release 1, Entity A is not told when Kc ends."""
    keys = {"a": ENDLESS, "b": KPSA}
    keys[knows] = ending(keys[knows], 1.0)
    async with EntityB(ID_B, keys=[keys["b"]]) as b:
        address = await b.listen(LOOPBACK, echo, transport=transport)
        channel = await associate(Link(address, transport), saef_psk.initiate(ID_A, ID_B, keys["a"]))
        async with channel:
            await channel.write(b"in time")
            assert await channel.read() == b"in time"
            assert await to_its_end(channel) == b""
            assert datetime.now(UTC) >= keys[knows].expires
            await eventually(lambda: b._ports[0].connections == 0)


@both_transports
async def test_what_is_said_after_the_end_is_not_heard_even_if_the_timer_is_late(transport, clock):
    heard: list[bytes] = []

    async def note(channel: Channel) -> None:
        while data := await channel.read():
            heard.append(data)
            await channel.write(data)

    async with EntityB(ID_B, keys=[ending(KPSA, 3600)]) as b:
        address = await b.listen(LOOPBACK, note, transport=transport)
        async with await associate(
            Link(address, transport), saef_psk.initiate(ID_A, ID_B, ENDLESS)
        ) as channel:
            await channel.write(b"before")
            assert await channel.read() == b"before"
            clock.ahead = timedelta(hours=2)
            await channel.write(b"after")
            assert await to_its_end(channel) == b""
    assert heard == [b"before"]


@both_transports
async def test_a_clock_that_is_set_is_noticed_without_any_traffic(monkeypatch, transport, clock):
    monkeypatch.setattr(standing, "LOOK_SECONDS", 0.05)
    async with EntityB(ID_B, keys=[ending(KPSA, 3600)]) as b:
        address = await b.listen(LOOPBACK, echo, transport=transport)
        async with await associate(
            Link(address, transport), saef_psk.initiate(ID_A, ID_B, ENDLESS)
        ) as channel:
            await channel.write(b"before")
            assert await channel.read() == b"before"
            clock.ahead = timedelta(hours=2)
            assert await to_its_end(channel) == b""


@both_transports
async def test_no_request_is_answered_after_the_end(transport, clock):
    asked: list[str] = []
    go_on = asyncio.Event()

    async def answer(request, established):
        asked.append(request.to[-1])
        if request.to[-1] == "slow":
            await go_on.wait()
        return Response(Rsc.OK)

    async with EntityB(ID_B, keys=[ending(KPSA, 3600)]) as b:
        address = await b.listen_requests(LOOPBACK, answer, transport=transport)
        client = request_client(Link(address, transport), saef_psk.initiate(ID_A, ID_B, ENDLESS))
        try:
            assert (await client.request(Operation.RETRIEVE, ["in-time"])).rsc is Rsc.OK
            slow = asyncio.create_task(client.request(Operation.RETRIEVE, ["slow"]))
            await eventually(lambda: "slow" in asked)
            clock.ahead = timedelta(hours=2)
            go_on.set()
            with pytest.raises(ResolverUnavailableError):
                await slow
            with pytest.raises(ResolverUnavailableError):
                await client.request(Operation.RETRIEVE, ["late"])
        finally:
            await client.close()
    assert asked == ["in-time", "slow"]


class Keys:
    """What somebody provisions, and changes while the server runs."""

    def __init__(self, key: ResolvedKey) -> None:
        self.key: ResolvedKey | None = key

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        return await ProvisionedKeys([self.key] if self.key else []).resolve(identity, suite)


@both_transports
async def test_a_client_opens_anew_what_has_ended(transport):
    sessions = set()

    async def answer(request, established):
        sessions.add(established.session)
        return Response(Rsc.OK)

    keys = Keys(ending(KPSA, 1.0))
    async with EntityB(ID_B, resolvers=[keys]) as b:
        address = await b.listen_requests(LOOPBACK, answer, transport=transport)
        client = request_client(Link(address, transport), saef_psk.initiate(ID_A, ID_B, ENDLESS))
        try:
            assert (await client.request(Operation.RETRIEVE, ["one"])).rsc is Rsc.OK
            ended = client.established.session
            await eventually(lambda: ended.state is State.ENDED)
            keys.key = KPSA
            assert (await client.request(Operation.RETRIEVE, ["two"])).rsc is Rsc.OK
        finally:
            await client.close()
    assert len(sessions) == 2


async def test_a_kept_connection_to_the_maf_is_opened_anew_when_the_master_credential_was_renewed(tmp_path):
    """Km ends at the MAF while a connection is kept; provisioned again, the same client goes on with it."""
    short = dataclasses.replace(B, expires=datetime.now(UTC) + timedelta(seconds=1.5))
    async with running_maf(tmp_path, clients=[A, short]) as maf:
        kc = await A.maf_client(maf.address).handshake()
        client = MafClient(
            kc.kc_id.fqdn,
            Link(maf.address),
            maf_handshake.initiate(ID_B, kc.kc_id.fqdn, maf_handshake.credential(B.km_id, B.km)),
        )
        try:
            assert (await client.retrieve(kc.kc_id)).peer == ID_A
            ended = client._client.established.session
            await eventually(lambda: ended.state is State.ENDED)
            await maf.store.add(B.record, replace=True)
            assert (await client.retrieve(kc.kc_id)).peer == ID_A
        finally:
            await client.close()
