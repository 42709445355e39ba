"""What an MEF says of an Enrolee counts for a while; what either operator revoked stays away."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from logged import capture_logs
from maf_support import MAF, A, B, key_of
from mef_support import (
    DEVICE,
    MEF,
    PATIENT,
    Impostor,
    asking_maf,
    running_mef,
)
from onem2m_security.configuration.settings import load
from onem2m_security.errors import HandshakeError, ResolverUnavailableError
from onem2m_security.frameworks import maf_handshake
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.keys import km_for, km_id_of
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.onem2m.fetch_credentials import REFUSAL, FetchedCredential
from onem2m_security.onem2m.paths import MAF_SYMM_KEY_REG
from onem2m_security.onem2m.primitives import Response, Rsc
from onem2m_security.release import Release
from onem2m_security.servers.enrolees import Enrolees, Provisioning
from onem2m_security.store import KeyKind, Store
from onem2m_security.tls.suites import PSK_SUITES
from programs import kc_rows, m2msec

AT_EACH_USE = timedelta(0)
KE_ID = KeyIdentifier("ab" * 16, MEF)
SOMETHING = (*MAF_SYMM_KEY_REG, "ab" * 16)


async def meet(initiator, address):
    async with await open_channel(Link(address, limits=PATIENT), initiator) as channel:
        return channel.association


def by_ke_id(key) -> object:
    return maf_handshake.initiate(DEVICE.entity, MAF, maf_handshake.credential(KE_ID, key))


class AnMef(Impostor):
    """An MEF that says what a test tells it to say."""

    def __init__(self) -> None:
        super().__init__(self._told)
        self.key = key_of("the device")
        self.provides = True

    async def _told(self, request):
        if not self.provides:
            return Response(Rsc.NOT_FOUND, REFUSAL)
        answer = FetchedCredential(self.key, DEVICE.entity, DEVICE.enrolment_expiry)
        return Response(Rsc.OK, answer.encode())


@contextlib.asynccontextmanager
async def an_mef_and_a_maf(path, **settings):
    mef = AnMef()
    async with mef.listening(path / "mef"), asking_maf(path / "maf", {MEF: mef.address}, **settings) as maf:
        yield mef, maf


async def test_an_mef_is_not_asked_again_while_its_word_counts(tmp_path):
    async with an_mef_and_a_maf(tmp_path) as (mef, maf):
        for _ in range(3):
            await meet(by_ke_id(mef.key), maf.address)
        assert len(mef.asked) == 1


async def test_an_mef_is_asked_again_when_its_word_is_old_and_the_same_answer_changes_nothing(tmp_path):
    async with an_mef_and_a_maf(tmp_path, remembered=AT_EACH_USE) as (mef, maf):
        await meet(by_ke_id(mef.key), maf.address)
        before = await maf.store.records(KeyKind.KM)
        revision = await maf.store.trust.revision()
        for _ in range(2):
            await meet(by_ke_id(mef.key), maf.address)
        assert len(mef.asked) >= 3
        assert await maf.store.records(KeyKind.KM) == before
        assert await maf.store.trust.revision() == revision
        assert len(await maf.store.records(KeyKind.KC)) == 3


@pytest.mark.parametrize("shown", ["KmId", "KeId"])
async def test_an_enrolee_that_the_mef_revoked_is_refused_and_its_keys_go(tmp_path, shown):
    async with (
        running_mef(tmp_path / "mef") as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}, remembered=AT_EACH_USE) as maf,
    ):
        key = await DEVICE.enrol(mef.address)
        await meet(DEVICE.maf_initiator(key), maf.address)
        assert len(await maf.store.records(KeyKind.KC)) == 1
        await mef.store.remove(KeyKind.KPM, DEVICE.kpm_id, descendants=True)
        km_id = str(km_id_of(km_for(Release.R1, key.ke, MAF), MAF))

        async def go_on() -> None:
            """A question that was under way at the removal, for the session before, may be shared."""
            while True:
                await meet(DEVICE.maf_initiator(key, km_id if shown == "KmId" else None), maf.address)

        with pytest.raises(HandshakeError):
            await asyncio.wait_for(go_on(), 60)
        assert [record.key_id for record in await maf.store.records(KeyKind.KM)] == [B.km_id]
        assert await maf.store.records(KeyKind.KC) == []
        await meet(B.initiator(), maf.address)


async def test_an_enrolee_that_the_mef_revoked_loses_its_open_session(tmp_path):
    async with (
        an_mef_and_a_maf(tmp_path, remembered=timedelta(milliseconds=300)) as (mef, maf),
        await open_channel(Link(maf.address, limits=PATIENT), by_ke_id(mef.key)) as channel,
    ):
        mef.provides = False
        async with asyncio.timeout(20):
            assert await channel.read() == b""
        assert await maf.store.find(KeyKind.KM, KE_ID) is None


async def test_while_an_mef_is_away_its_enrolees_go_on_and_nobody_waits_for_it_twice(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        mef = AnMef()
        running = await stack.enter_async_context(contextlib.AsyncExitStack())
        await running.enter_async_context(mef.listening(tmp_path / "mef"))
        maf = await stack.enter_async_context(
            asking_maf(tmp_path / "maf", {MEF: mef.address}, remembered=AT_EACH_USE)
        )
        await meet(by_ke_id(mef.key), maf.address)
        km_id = str(km_id_of(mef.key, MAF))
        with capture_logs() as logs:
            await running.aclose()
            for identity in (None, km_id, None):
                credential = maf_handshake.credential(KE_ID, mef.key)
                await meet(maf_handshake.initiate(DEVICE.entity, MAF, credential, identity), maf.address)
        warnings = [line for line in logs if "cannot be asked about its Enrolees" in line["event"]]
        assert len(warnings) == 1
        assert len(await maf.store.records(KeyKind.KC)) == 4


async def test_of_an_mef_that_is_away_one_warning_is_given_however_many_waited_for_it(tmp_path):
    gone = asyncio.Event()
    key = key_of("the device")
    expires = datetime.now(UTC) + DEVICE.enrolment_expiry
    answers = [maf_handshake.credential(KE_ID, key, client=DEVICE.entity, expires=expires)]

    async def fetch(_ke_id):
        if answers:
            return answers.pop()
        await gone.wait()
        raise ResolverUnavailableError(f"{MEF} is away")

    async with await Store.open(tmp_path) as store:
        enrolees = Enrolees(store, MAF, Provisioning({MEF: fetch}, remembered=AT_EACH_USE))
        await enrolees.resolve(str(KE_ID).encode(), PSK_SUITES[0])
        (record,) = await store.records(KeyKind.KM)
        with capture_logs() as logs:
            waiting = asyncio.gather(*(enrolees.confirmed(record, KE_ID, PSK_SUITES[0]) for _ in range(3)))
            asyncio.get_running_loop().call_soon(gone.set)
            assert [found.key for found in await waiting] == [key] * 3
        assert sum("cannot be asked about its Enrolees" in line["event"] for line in logs) == 1
        await enrolees.stop()


async def test_another_key_for_the_same_ke_id_takes_the_place_of_the_first(tmp_path):
    async with an_mef_and_a_maf(tmp_path, remembered=AT_EACH_USE) as (mef, maf):
        first = mef.key
        await meet(by_ke_id(first), maf.address)
        mef.key = key_of("another")
        with pytest.raises(HandshakeError):
            await meet(by_ke_id(first), maf.address)
        await meet(by_ke_id(mef.key), maf.address)
        kms = [record for record in await maf.store.records(KeyKind.KM) if record.alias == KE_ID]
        assert [record.key for record in kms] == [mef.key]
        assert len(await maf.store.records(KeyKind.KC)) == 1


async def test_a_client_removed_at_the_maf_does_not_come_back_by_its_ke_id(tmp_path):
    async with an_mef_and_a_maf(tmp_path, remembered=AT_EACH_USE) as (mef, maf):
        await meet(by_ke_id(mef.key), maf.address)
        km_id = km_id_of(mef.key, MAF)
        async with await Store.open(tmp_path / "maf") as beside:
            assert (await beside.trust.revoke(KeyKind.KM, km_id)).alias == KE_ID
        asked = len(mef.asked)
        for _ in range(2):
            with pytest.raises(HandshakeError):
                await meet(by_ke_id(mef.key), maf.address)
        assert len(mef.asked) == asked
        assert await maf.store.find(KeyKind.KM, KE_ID) is None
        async with await Store.open(tmp_path / "maf") as beside:
            assert await beside.trust.readmit(KeyKind.KM, km_id)
        await meet(by_ke_id(mef.key), maf.address)


async def test_a_client_removed_while_its_mef_answers_stays_removed(tmp_path):
    async with an_mef_and_a_maf(tmp_path, remembered=AT_EACH_USE) as (mef, maf):
        await meet(by_ke_id(mef.key), maf.address)
        told = mef._answer

        async def slowly(request):
            await maf.store.trust.revoke(KeyKind.KM, km_id_of(mef.key, MAF))
            return await told(request)

        mef._answer = slowly
        with pytest.raises(HandshakeError):
            await meet(by_ke_id(mef.key), maf.address)
        assert await maf.store.find(KeyKind.KM, KE_ID) is None


# --- the setting and the command ---


def test_how_long_it_counts_is_a_setting_of_the_configuration_file(tmp_path):
    file = tmp_path / "m2msec.toml"
    maf = f'[maf]\nfqdn = "{MAF}"\nlisten = "127.0.0.1:0"\ndata = "maf"\n'
    file.write_text(maf + 'remember = "90s"\n')
    assert load(file).maf[0].remember == timedelta(seconds=90)
    file.write_text(maf)
    assert load(file).maf[0].remember == timedelta(minutes=5)


async def test_remove_client_ends_the_session_of_a_running_maf_at_once_and_says_what_the_mef_must_do(
    tmp_path, programs
):
    data = tmp_path / "maf"
    async with await Store.open(data) as store:
        await store.add_many([A.record, B.record])
    maf = programs.start_maf(data)
    address = Address("127.0.0.1", maf.port)
    async with (
        await open_channel(Link(address), A.initiator()) as over_tls,
        await open_channel(Link(address, Transport.DTLS), A.initiator()) as over_dtls,
        await open_channel(Link(address), B.initiator()) as other,
    ):
        done = await asyncio.to_thread(m2msec, "maf", "remove-client", "--data", data, "--km-id", A.km_id)
        assert done.stdout == ""
        async with asyncio.timeout(20):
            assert await over_tls.read() == b""
            assert await over_dtls.read() == b""
        assert not other.closing
    assert kc_rows(data) == []


async def test_remove_client_says_what_the_mef_must_still_do_and_add_client_readmits(tmp_path):
    data = tmp_path / "maf"
    mef = AnMef()
    async with mef.listening(tmp_path / "mef"), asking_maf(data, {MEF: mef.address}) as maf:
        await meet(by_ke_id(mef.key), maf.address)
        km_id = km_id_of(mef.key, MAF)
        remove = ("maf", "remove-client", "--data", data, "--km-id", km_id)
        said = (await asyncio.to_thread(m2msec, *remove)).stdout
        assert str(MEF) in said
        assert str(KE_ID) in said
        assert "m2msec mef revoke" in said
        with pytest.raises(HandshakeError):
            await meet(by_ke_id(mef.key), maf.address)
        add = ("maf", "add-client", "--data", data, "--km-id", km_id, "--entity", DEVICE.entity)
        await asyncio.to_thread(m2msec, *add)
        await meet(by_ke_id(mef.key), maf.address)
