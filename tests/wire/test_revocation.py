"""What is revoked loses its open sessions too, at MAF, MEF, BSF and Entity B, over TLS and DTLS."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import certificate_support as pki
from gba_support import CSE_NAF, running_bsf
from logged import capture_logs
from maf_support import ID_A, ID_B, ID_C, LOOPBACK, MAF, A, B, C, eventually, key_of, running_maf
from mef_support import DEVICE, THE_MAF, running_mef
from onem2m_security.certificates.crl import CrlSource
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clock import Clock
from onem2m_security.credentials import ResolvedKey
from onem2m_security.errors import HandshakeError, PeerRefusedError, ResolverUnavailableError
from onem2m_security.frameworks import saef_maf, saef_psk
from onem2m_security.frameworks.resolvers import RemoteKeys
from onem2m_security.frameworks.saef_maf import initiate
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net import open_sessions, standing
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.paths import MAF_SYMM_KEY_REG
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.release import Release
from onem2m_security.store import KeyKind, Store
from onem2m_security.tls.suites import PSK_SUITES

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
OTHER_KPSA = saef_psk.credential(KeyIdentifier.parse("other@m.example"), key_of("other"), peer=ID_C)
PATIENCE = 20.0
SOMETHING = (*MAF_SYMM_KEY_REG, "ab" * 16)
both_transports = pytest.mark.parametrize("transport", list(Transport))


async def echo(channel: Channel) -> None:
    while data := await channel.read():
        await channel.write(data)


async def ended(channel: Channel) -> bool:
    """Wait for close_notify."""
    async with asyncio.timeout(PATIENCE):
        return await channel.read() == b""


async def goes_on(channel: Channel) -> bool:
    await channel.write(b"still here?")
    return await channel.read() == b"still here?"


@contextlib.asynccontextmanager
async def another_process(data):
    """A store on the same data directory, as a command beside the server has it."""
    async with await Store.open(data) as store:
        yield store


# --- at the MAF ---


@both_transports
async def test_a_removed_client_loses_its_idle_session_at_the_maf(tmp_path, transport):
    async with (
        running_maf(tmp_path) as maf,
        await open_channel(Link(maf.address, transport), A.initiator()) as gone,
        await open_channel(Link(maf.address, transport), B.initiator()) as stays,
    ):
        async with another_process(tmp_path) as store:
            assert await store.trust.revoke(KeyKind.KM, A.km_id) is not None
        assert await ended(gone)
        assert not stays.closing


@both_transports
async def test_a_removed_client_is_refused_and_then_its_session_is_closed(monkeypatch, tmp_path, transport):
    monkeypatch.setattr(open_sessions, "WATCH_SECONDS", 3600.0)  # it is the request that finds out
    async with running_maf(tmp_path) as maf:
        client = request_client(Link(maf.address, transport), A.initiator())
        try:
            assert (await client.request(Operation.RETRIEVE, SOMETHING)).rsc is Rsc.NOT_FOUND
            async with another_process(tmp_path) as store:
                await store.trust.revoke(KeyKind.KM, A.km_id)
            refused = await client.request(Operation.RETRIEVE, SOMETHING)
            assert refused.rsc is Rsc.ORIGINATOR_NOT_AUTHENTICATED
            await eventually(lambda: all(port.connections == 0 for port in maf.server._ports))
            with pytest.raises(ResolverUnavailableError):
                await client.request(Operation.RETRIEVE, SOMETHING)
        finally:
            await client.close()


async def test_a_client_with_another_km_loses_the_session_of_the_old_one(tmp_path):
    async with (
        running_maf(tmp_path) as maf,
        await open_channel(Link(maf.address), A.initiator()) as channel,
    ):
        async with another_process(tmp_path) as store:
            await store.add(dataclasses.replace(A.record, key=key_of("another")), replace=True)
        assert await ended(channel)


async def test_a_client_s_targets_are_those_of_the_moment_of_its_request(tmp_path):
    async with running_maf(tmp_path) as maf:
        client = A.maf_client(maf.address)
        later = datetime.now(UTC) + timedelta(hours=1)
        try:
            registrations = client.registration()
            await registrations._client.request(Operation.RETRIEVE, SOMETHING)
            session = registrations._client.established.session
            async with another_process(tmp_path) as store:
                await store.add(dataclasses.replace(A.record, targets=(ID_C,)), replace=True)
            assert (await registrations._client.request(Operation.RETRIEVE, SOMETHING)).rsc is Rsc.NOT_FOUND
            assert registrations._client.established.session is session
            with pytest.raises(PeerRefusedError):
                await client.register_key(expires=later, target=ID_B, admin=MAF)
            await client.register_key(expires=later, target=ID_C, admin=MAF)
        finally:
            await client.close()


async def test_a_session_whose_lookup_was_before_the_removal_ends_all_the_same(tmp_path):
    """The handshake resolves Km, Km is removed, the port looks and finds nobody, the handshake completes."""
    async with running_maf(tmp_path) as maf:
        sessions = maf.listener.open_sessions
        acceptor, removed = maf.maf.acceptor, asyncio.Event()
        established, commit = acceptor.established, acceptor.commit

        async def slowly(what):
            await maf.store.trust.revoke(KeyKind.KM, A.km_id)
            await sessions.look()
            removed.set()

        acceptor.established, acceptor.commit = slowly, lambda *_: False
        async with await open_channel(Link(maf.address), A.initiator()) as channel:
            acceptor.established, acceptor.commit = established, commit
            assert removed.is_set()
            assert await ended(channel)


async def test_while_the_store_cannot_be_read_requests_are_refused_and_the_session_goes_on(
    monkeypatch, tmp_path
):
    from onem2m_security.errors import StoreUnavailableError
    from onem2m_security.store.records import Later

    async def unreadable(*arguments, **more):
        raise StoreUnavailableError("the disk is away")

    def later(*arguments, **more):
        return Later.LATER

    async with running_maf(tmp_path) as maf:
        client = request_client(Link(maf.address), A.initiator())
        try:
            assert (await client.request(Operation.RETRIEVE, SOMETHING)).rsc is Rsc.NOT_FOUND
            session = client.established.session
            with monkeypatch.context() as away:
                away.setattr(maf.store, "find_now", later)
                away.setattr(maf.store, "find", unreadable)
                away.setattr(maf.maf.acceptor, "revision", unreadable)
                refused = await client.request(Operation.RETRIEVE, SOMETHING)
                assert refused.rsc is Rsc.INTERNAL_SERVER_ERROR
                with pytest.raises(StoreUnavailableError):
                    await maf.listener.open_sessions.look()
            assert (await client.request(Operation.RETRIEVE, SOMETHING)).rsc is Rsc.NOT_FOUND
            assert client.established.session is session
        finally:
            await client.close()


async def test_open_sessions_cost_no_lookup_while_nothing_is_revoked(tmp_path):
    async with (
        running_maf(tmp_path) as maf,
        await open_channel(Link(maf.address), A.initiator()),
        await open_channel(Link(maf.address), B.initiator()),
    ):
        sessions, find, looked_up = maf.listener.open_sessions, maf.store.find_now, []

        def counted(kind, key_id, **more):
            looked_up.append(key_id)
            return find(kind, key_id, **more)

        await sessions.look()
        maf.store.find_now = counted
        for _ in range(5):
            await sessions.look()
        assert looked_up == []
        await maf.store.trust.revoke(KeyKind.KM, C.km_id)
        await sessions.look()
        assert sorted(looked_up, key=str) == [A.km_id, B.km_id]
        del maf.store.find_now


# --- at the MEF and the BSF ---


async def test_a_revoked_enrolee_and_a_removed_target_lose_their_sessions_at_the_mef(tmp_path):
    target = THE_MAF
    async with running_mef(tmp_path) as mef:
        at_mef = target.client(mef.address)
        try:
            async with await open_channel(Link(mef.address), DEVICE.initiator) as enrolee:
                assert await at_mef.fetch_km(KeyIdentifier("ab" * 16, DEVICE.mef)) is None
                ports = mef.server._ports
                assert sum(port.connections for port in ports) == 2
                async with another_process(tmp_path) as store:
                    await store.remove(KeyKind.KPM, DEVICE.kpm_id, descendants=True)
                    await store.remove(KeyKind.KPM, target.key.key_id)
                assert await ended(enrolee)
                await eventually(lambda: sum(port.connections for port in ports) == 0)
            with pytest.raises(ResolverUnavailableError):
                await at_mef.fetch_km(KeyIdentifier("ab" * 16, DEVICE.mef))
        finally:
            await at_mef.close()


async def test_a_removed_naf_loses_its_session_at_the_bsf(tmp_path):
    naf = CSE_NAF
    async with running_bsf(tmp_path) as bsf:
        key = saef_psk.credential(naf.key_id, key_of(naf.name))
        initiator = saef_psk.initiate(naf.entity, bsf.bsf.acceptor.local, key, server_name=bsf.bsf.fqdn)
        async with await open_channel(Link(bsf.zn), initiator) as channel:
            async with another_process(tmp_path) as store:
                await store.remove(KeyKind.ZN, naf.key_id)
            assert await ended(channel)


# --- certificates ---


class Crl:
    """The list of an authority, in a file that others read."""

    def __init__(self, path) -> None:
        self.path = path
        self.publish()

    def publish(self, *revoked) -> None:
        new = self.path.with_suffix(".new")
        new.write_bytes(pki.CA.crl(revoked).public_bytes(Encoding.PEM))
        new.replace(self.path)

    def damage(self) -> None:
        self.path.write_bytes(b"no list at all")


@both_transports
async def test_a_certificate_revoked_while_its_session_is_open_ends_it(tmp_path, transport):
    crl = Crl(tmp_path / "ca.crl")
    b = EntityB(pki.ID_B, endpoint=pki.endpoint_b(crls=CrlSource(crl.path)))
    async with b:
        address = await b.listen(LOOPBACK, echo, transport=transport)
        async with await open_channel(Link(address, transport), pki.initiator_a()) as channel:
            assert await goes_on(channel)
            crl.publish(pki.A.certificate)
            assert await ended(channel)


async def test_entity_b_s_revoked_certificate_ends_the_session_at_entity_a(monkeypatch, tmp_path):
    monkeypatch.setattr(standing, "LOOK_SECONDS", 0.05)
    crl = Crl(tmp_path / "ca.crl")
    async with EntityB(pki.ID_B, endpoint=pki.endpoint_b()) as b:
        address = await b.listen(LOOPBACK, echo)
        async with await open_channel(Link(address), pki.initiator_a(crls=CrlSource(crl.path))) as channel:
            assert await goes_on(channel)
            crl.publish(pki.B.certificate)
            await eventually(lambda: channel.closing)


@both_transports
async def test_a_request_on_a_session_with_a_revoked_certificate_is_refused(monkeypatch, tmp_path, transport):
    monkeypatch.setattr(open_sessions, "WATCH_SECONDS", 3600.0)
    crl = Crl(tmp_path / "ca.crl")

    async def answer(request, established):
        return Response(Rsc.OK)

    async with EntityB(pki.ID_B, endpoint=pki.endpoint_b(crls=CrlSource(crl.path))) as b:
        address = await b.listen_requests(LOOPBACK, answer, transport=transport)
        client = request_client(Link(address, transport), pki.initiator_a())
        try:
            assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.OK
            session = client.established.session
            crl.damage()  # nobody can say now whether it is revoked
            assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.INTERNAL_SERVER_ERROR
            crl.publish()
            assert (await client.request(Operation.RETRIEVE, ["x"])).rsc is Rsc.OK
            assert client.established.session is session
            crl.publish(pki.A.certificate)
            refused = await client.request(Operation.RETRIEVE, ["x"])
            assert refused.rsc is Rsc.ORIGINATOR_NOT_AUTHENTICATED
            await eventually(lambda: b._ports[0].connections == 0)
        finally:
            await client.close()


async def test_an_association_configuration_that_is_gone_ends_its_sessions(tmp_path):
    endpoint = pki.endpoint_b()
    async with EntityB(pki.ID_B, endpoint=endpoint) as b:
        address = await b.listen(LOOPBACK, echo)
        async with await open_channel(Link(address), pki.initiator_a()) as channel:
            assert await goes_on(channel)
            endpoint.verifier = pki.endpoint_b(pki.named("somebody.sp.example", pki.ID_A)).verifier
            await b._ports[0].open_sessions.look(at_all=True)
            assert await ended(channel)


# --- at Entity B ---


class Answers:
    """A MAF as Entity B's memory sees it."""

    def __init__(self, answer: ResolvedKey | Exception | None) -> None:
        self.answer = answer
        self.asked = 0

    async def fetch(self, key_id: KeyIdentifier) -> ResolvedKey | None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


KC_ID = KeyIdentifier.parse(f"00112233445566778899aabbccddeeff@{MAF}")


async def test_what_a_maf_said_of_a_kc_counts_for_the_time_that_is_set_and_then_it_is_asked_again():
    now = 1000.0
    maf = Answers(saef_maf.credential(KC_ID, key_of("kc"), peer=ID_A))
    keys = RemoteKeys({MAF: maf.fetch}, remembered=timedelta(seconds=60), clock=Clock(monotonic=lambda: now))
    shown = str(KC_ID).encode()
    assert (await keys.resolve(shown, PSK_SUITES[0])).ask_again == 1060.0
    now = 1059.9
    assert (await keys.resolve(shown, PSK_SUITES[0])).ask_again == 1060.0
    assert maf.asked == 1
    now = 1060.0
    assert (await keys.resolve(shown, PSK_SUITES[0])).ask_again == 1120.0
    assert maf.asked == 2
    maf.answer, now = None, 1120.0
    assert await keys.resolve(shown, PSK_SUITES[0]) is None


@both_transports
async def test_a_client_removed_at_the_maf_loses_its_associations_within_the_time_that_is_set(
    tmp_path, transport
):
    async with running_maf(tmp_path) as maf:
        client, asked = B.maf_client(maf.address), []
        retrieve = client.retrieve

        async def counted(kc_id):
            asked.append(kc_id)
            return await retrieve(kc_id)

        client.retrieve = counted
        async with EntityB(ID_B, mafs=[client], remembered=timedelta(seconds=1)) as b:
            address = await b.listen(LOOPBACK, echo, transport=transport)
            async with await associate(
                Link(address, transport), A.maf_client(maf.address).initiator(ID_B)
            ) as channel:
                await eventually(lambda: len(asked) == 3)  # again and again: the MAF says the same
                assert await goes_on(channel)
                async with another_process(tmp_path) as store:
                    await store.trust.revoke(KeyKind.KM, A.km_id)
                assert await ended(channel)


async def test_a_maf_that_cannot_be_asked_ends_no_session_but_lets_nobody_new_in(tmp_path):
    async with contextlib.AsyncExitStack() as running, contextlib.AsyncExitStack() as stack:
        maf = await running.enter_async_context(running_maf(tmp_path))
        b = await stack.enter_async_context(
            EntityB(ID_B, mafs=[B.maf_client(maf.address)], remembered=timedelta(milliseconds=200))
        )
        address = await b.listen(LOOPBACK, echo)
        kc = await A.maf_client(maf.address).handshake()
        initiator = initiate(ID_A, ID_B, kc, release=Release.R1)
        async with await open_channel(Link(address), initiator) as channel:
            await running.aclose()
            with capture_logs() as logs:
                await asyncio.sleep(0.3)
                await b._ports[0].open_sessions.look(at_all=True)
                assert await goes_on(channel)
                with pytest.raises(HandshakeError):
                    await open_channel(Link(address), initiator)
            assert [line for line in logs if "goes on until the key ends" in line["event"]]


async def test_a_key_that_entity_b_is_told_to_forget_ends_its_sessions_and_no_others():
    async with EntityB(ID_B, keys=[KPSA, OTHER_KPSA]) as b:
        address = await b.listen(LOOPBACK, echo)
        async with (
            await associate(Link(address), saef_psk.initiate(ID_A, ID_B, KPSA)) as gone,
            await associate(Link(address), saef_psk.initiate(ID_C, ID_B, OTHER_KPSA)) as stays,
        ):
            await b.forget(KPSA.key_id)
            assert await ended(gone)
            assert await goes_on(stays)


async def test_a_handler_of_a_channel_can_ask_what_its_session_means_now():
    answers: list[object] = []
    ask = asyncio.Event()

    async def handler(channel: Channel) -> None:
        answers.append(await channel.renewed())
        await ask.wait()
        answers.append(await channel.renewed())

    async with EntityB(ID_B, keys=[KPSA]) as b:
        address = await b.listen(LOOPBACK, handler)
        async with await associate(Link(address), saef_psk.initiate(ID_A, ID_B, KPSA)):
            await eventually(lambda: answers)
            b._provisioned.forget(KPSA.key_id)
            ask.set()
            await eventually(lambda: len(answers) == 2)
    first, second = answers
    assert first.association.peer == ID_A  # type: ignore[attr-defined]
    assert second is None
