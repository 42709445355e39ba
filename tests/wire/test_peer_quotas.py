"""No client takes all: quotas for each authenticated peer, and what the others notice of them."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from logged import capture_logs
from maf_sessions import shake_hands
from maf_support import (
    A_OF_TWO,
    EVERYBODY,
    ID_A,
    ID_B,
    ID_C,
    LOOPBACK,
    MAF,
    STAKEHOLDERS,
    A,
    B,
    Client,
    client_registration,
    key_of,
    running_maf,
)
from mef_support import DEVICE, Device
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.configuration.settings import load
from onem2m_security.errors import HandshakeError, PeerRefusedError
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.net.address import Transport
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.onem2m.resources import MafClientRegistration
from onem2m_security.peer_quotas import Ceiling, PeerQuotas, Rate
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.servers.stakeholders import Stakeholder
from onem2m_security.store import KeyKind, Store
from onem2m_security.telemetry import OVER_QUOTA
from test_key_registration import content

LATER = datetime.now(UTC) + timedelta(hours=1)
KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
OTHER_KPSA = saef_psk.credential(KeyIdentifier.parse("other@m.example"), key_of("other"), peer=ID_C)
both_transports = pytest.mark.parametrize("transport", list(Transport))


def refused(quota: str) -> float:
    return OVER_QUOTA.labels(quota).value


async def echo(channel) -> None:
    while data := await channel.read():
        await channel.write(data)


async def register(client, target=ID_B):
    return await client.register_key(expires=LATER, target=target, admin=MAF, key=key_of("own"))


async def in_a_loop(client):
    while True:
        await register(client)


# --- over the wire ---


async def test_a_client_that_registers_keys_in_a_loop_meets_its_quota_and_another_notices_nothing(tmp_path):
    limits = Limits(quotas=PeerQuotas(key_registrations_per_second=0.5))  # ten at once
    greedy, other = Client("greedy", ID_A, (ID_B, ID_C)), Client("other", ID_C, (ID_B, ID_A))
    before = refused("key registrations")
    async with running_maf(tmp_path, clients=[greedy, other, A, B], limits=limits) as maf:
        client, quiet = greedy.maf_client(maf.address), other.maf_client(maf.address)
        with capture_logs() as logs:
            with pytest.raises(PeerRefusedError) as told:
                await in_a_loop(client)
            with pytest.raises(PeerRefusedError):
                await register(client)
        assert told.value.rsc == Rsc.TOO_MANY_REQUESTS
        count = len(await maf.store.records(KeyKind.KC, source=ID_A))
        assert 10 <= count <= 12
        assert refused("key registrations") == before + 2
        lines = [line for line in logs if line["event"] == "over its quota"]
        assert [(line["quota"], line["peer"]) for line in lines] == [("key registrations", str(ID_A))]
        for _ in range(3):
            await register(quiet, ID_B)
        await client.close()
        await quiet.close()


@both_transports
async def test_a_client_that_asks_in_a_loop_is_told_so_and_another_notices_nothing(transport):
    limits = Limits(quotas=PeerQuotas(requests_per_second=0.5))

    async def answer(request, established):
        return Response(Rsc.OK)

    async with EntityB(ID_B, keys=[KPSA, OTHER_KPSA], limits=limits) as b:
        address = await b.listen_requests(LOOPBACK, answer, transport=transport)
        greedy = request_client(Link(address, transport), saef_psk.initiate(ID_A, ID_B, KPSA))
        quiet = request_client(Link(address, transport), saef_psk.initiate(ID_C, ID_B, OTHER_KPSA))
        try:
            answers = [(await greedy.request(Operation.RETRIEVE, ["x"])).rsc for _ in range(14)]
            assert answers[:10] == [Rsc.OK] * 10
            assert answers[-1] is Rsc.TOO_MANY_REQUESTS
            again = request_client(Link(address, transport), saef_psk.initiate(ID_A, ID_B, KPSA))
            assert (await again.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.TOO_MANY_REQUESTS
            await again.close()
            assert (await quiet.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.OK
        finally:
            await greedy.close()
            await quiet.close()


async def test_the_http_status_is_429():
    async def answer(request, established):
        return Response(Rsc.OK)

    limits = Limits(quotas=PeerQuotas(requests_per_second=0.05))
    async with EntityB(ID_B, keys=[KPSA], limits=limits) as b:
        address = await b.listen_requests(LOOPBACK, answer)
        how = saef_psk.initiate(ID_A, ID_B, KPSA)
        request = f"GET /x HTTP/1.1\r\nHost: b\r\nX-M2M-Origin: {ID_A}\r\nX-M2M-RI: 1\r\n\r\n".encode()
        async with await associate(Link(address), how) as channel:
            seen = []
            for _ in range(2):
                await channel.write(request)
                seen.append((await channel.read()).partition(b"\r\n")[0].split()[1])
    assert seen == [b"200", b"429"]


@both_transports
async def test_beyond_its_connections_the_longest_silent_one_of_the_same_peer_gives_way(transport):
    limits = Limits(quotas=PeerQuotas(connections=3))
    before = refused("connections")
    async with (
        EntityB(ID_B, keys=[KPSA, OTHER_KPSA], limits=limits) as b,
        contextlib.AsyncExitStack() as stack,
    ):
        address = await b.listen(LOOPBACK, echo, transport=transport)

        async def another(local=ID_A, kpsa=KPSA):
            channel = await associate(Link(address, transport), saef_psk.initiate(local, ID_B, kpsa))
            return await stack.enter_async_context(channel)

        async def talk(channel) -> bool:
            await channel.write(b"x")
            return await channel.read() == b"x"

        other = await another(ID_C, OTHER_KPSA)
        first, second, third = [await another() for _ in range(3)]
        for channel in (second, third, first):
            assert await talk(channel)
        fourth = await another()
        async with asyncio.timeout(20):
            assert await second.read() == b""
        for channel in (first, third, fourth, other):
            assert await talk(channel)
        assert refused("connections") == before + 1


async def test_a_handshake_of_release_1_beyond_the_rate_fails_with_an_alert(
    tmp_path,
):
    limits = Limits(quotas=PeerQuotas(key_registrations_per_second=0.05))  # one at once
    async with running_maf(tmp_path, limits=limits) as maf:
        client = A.maf_client(maf.address)
        await client.handshake()
        with pytest.raises(HandshakeError) as error:
            await client.handshake()
        assert error.value.alert.name == "internal_error"
        assert len(await maf.store.records(KeyKind.KC)) == 1
        maf.maf.keys._rate._buckets._left.clear()  # as time does


# --- the functions ---


@pytest.fixture
async def store(tmp_path):
    async with await Store.open(tmp_path / "data") as opened:
        await opened.add_many([client.record for client in EVERYBODY])
        yield opened


async def test_the_oldest_key_made_by_a_handshake_gives_way_and_none_of_another_client(store):
    maf = Maf(store, MAF, quotas=PeerQuotas(live_keys=3))
    other = await shake_hands(maf, Client("a", ID_A, (ID_B,)))
    assert other is not None
    await store.add(Client("d", ID_C, (ID_B,)).record)
    assert await shake_hands(maf, Client("d", ID_C, (ID_B,))) is not None
    made = []
    for _ in range(5):
        assert await shake_hands(maf, A) is not None
        made = [record.key_id for record in await store.records(KeyKind.KC, source=ID_A)]
        assert len(made) <= 3
    newest = (await store.records(KeyKind.KC, source=ID_A))[-1]
    assert newest.key_id == made[-1]
    assert len(await store.records(KeyKind.KC, source=ID_C)) == 1


async def test_keys_registered_by_request_never_give_way_and_never_keep_a_handshake_out(store):
    maf = Maf(store, MAF, stakeholders=STAKEHOLDERS, quotas=PeerQuotas(live_keys=2))
    await store.add_registration(client_registration(ID_A))
    session = await shake_hands(maf, A_OF_TWO)

    async def registered():
        own = {"keyValue": "a2V5IG9mIHRoZSBjbGllbnQncyBvd24="}
        return await session.request(Operation.CREATE, "symmKeyReg", content=content(**own))

    answers = [await registered() for _ in range(3)]
    assert [answer.rsc for answer in answers] == [Rsc.CREATED, Rsc.CREATED, Rsc.TOO_MANY_REQUESTS]
    for _ in range(4):
        assert await shake_hands(maf, A) is not None  # the same entity, by the credential of Release 1
    kept = await store.records(KeyKind.KC, source=ID_A)
    assert len([record for record in kept if record.admin_fqdn is not None]) == 2
    assert len([record for record in kept if record.admin_fqdn is None]) == 2
    relative = answers[0].content["sec:skr"]["rkid"]
    assert (await session.request(Operation.DELETE, "symmKeyReg", relative)).rsc is Rsc.DELETED
    assert (await registered()).rsc is Rsc.CREATED


async def test_a_client_registers_for_so_many_stakeholders(store):
    stakeholders = [Stakeholder(Fqdn(f"{name}.example")) for name in ("one", "two", "three")]
    maf = Maf(store, MAF, stakeholders=stakeholders, quotas=PeerQuotas(client_registrations=2))
    session = await shake_hands(maf, B)

    async def registered(admin: str) -> Rsc:
        later = datetime.now(UTC) + timedelta(hours=1)
        asked = MafClientRegistration(fqdn=MAF, expiration_time=later, admin_fqdn=Fqdn(admin))
        return (await session.request(Operation.CREATE, "clientReg", content=asked.encode())).rsc

    assert await registered("one.example") is Rsc.CREATED
    assert await registered("two.example") is Rsc.CREATED
    assert await registered("three.example") is Rsc.TOO_MANY_REQUESTS
    assert await registered("two.example") is Rsc.CREATED  # it is renewed


async def test_an_enrolee_that_bootstraps_in_a_loop_is_refused_and_another_is_not(tmp_path):
    other = Device("another")
    async with await Store.open(tmp_path) as store:
        await store.add_many([DEVICE.record, other.record])
        mef = Mef(store, DEVICE.mef, quotas=PeerQuotas(key_registrations_per_second=0.05))
        async with Server(store, [mef]) as server:
            address = await server.start(LOOPBACK)
            await DEVICE.enrol(address)
            with pytest.raises(HandshakeError):
                await DEVICE.enrol(address)
            await other.enrol(address)


# --- the values ---


def test_a_rate_is_logged_and_counted_by_its_name():
    now = 0.0
    rate = Rate("something", 0.1, clock=lambda: now)
    before = refused("something")
    with capture_logs() as logs:
        assert [rate.wait("a") > 0 for _ in range(5)] == [False, False, True, True, True]
        assert rate.wait("b") == 0
        now = 10.0
        assert rate.wait("a") == 0
    assert refused("something") == before + 3
    assert [(line["quota"], line["peer"]) for line in logs] == [("something", "a")]


def test_a_ceiling_is_reached_by_whoever_has_as_much_as_it():
    ceiling = Ceiling("things", 2, clock=lambda: 0.0)
    assert [ceiling.is_reached("a", count) for count in range(4)] == [False, False, True, True]


def test_the_quotas_are_settings_of_the_configuration_file(tmp_path):
    file = tmp_path / "m2msec.toml"
    maf = f'[maf]\nfqdn = "{MAF}"\nlisten = "127.0.0.1:0"\ndata = "maf"\n'
    file.write_text(maf)
    assert load(file).quotas.quotas() == PeerQuotas()
    file.write_text(
        maf + "[quotas]\nlive-keys = 5\nclient-registrations = 6\nkey-registrations-per-second = 0.5\n"
        "connections = 7\nrequests-per-second = 8\n"
    )
    assert load(file).quotas.quotas() == PeerQuotas(5, 6, 0.5, 7, 8.0)
