"""What goes wrong between an Enrolee, its MEF and its targets: an alert, nothing stored, no one else hurt.

Every misbehaving MEF is a real server that a MAF meets over real sockets.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import functools

import pytest

from logged import capture_logs
from maf_support import LOOPBACK, MAF, B, eventually
from mef_support import (
    CSE,
    DEVICE,
    MEF,
    OTHER,
    PATIENT,
    THE_CSE,
    Device,
    Impostor,
    Target,
    asking_maf,
    running_mef,
)
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import HandshakeError, ResolverUnavailableError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.bootstrap_psk import EnrolmentKey
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.keys import km_for
from onem2m_security.net.address import Address
from onem2m_security.net.channel import channel_protocol, open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.tcp import Listener
from onem2m_security.onem2m.fetch_credentials import REFUSAL, FetchedCredential
from onem2m_security.onem2m.primitives import Response, Rsc
from onem2m_security.release import Release
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, Store

KEY = EnrolmentKey(KeyIdentifier("0123456789abcdef" * 2, MEF), Device("ke").kpm)
KM = km_for(Release.R1, KEY.ke, MAF)
GOOD = FetchedCredential(KM, DEVICE.entity, DEVICE.enrolment_expiry).encode()


async def meet(initiator, address):
    async with await open_channel(Link(address, limits=PATIENT), initiator) as channel:
        return channel.association


async def refused(initiator, address) -> HandshakeError:
    with pytest.raises(HandshakeError) as caught:
        await meet(initiator, address)
    return caught.value


async def stored(maf) -> list:
    """Whatever came of it in the MAF's store, apart from its one pre-provisioned client."""
    kms = [record for record in await maf.store.records(KeyKind.KM) if record.key_id != B.km_id]
    return [*kms, *await maf.store.records(KeyKind.KC)]


async def others_are_served(maf) -> None:
    await meet(dataclasses.replace(B, entity=CSE).initiator(), maf.address)


async def test_a_good_answer_of_the_impostor_is_accepted(tmp_path):
    """So that the refusals below are refusals of what is wrong with the answer, not of the impostor."""

    async def answer(request):
        return Response(Rsc.OK, GOOD)

    mef = Impostor(answer)
    async with mef.listening(tmp_path / "mef"), asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
        await meet(DEVICE.maf_initiator(KEY), maf.address)
        assert len(await stored(maf)) == 2


@pytest.mark.parametrize(
    ("rsc", "content"),
    [
        (Rsc.OK, None),
        (Rsc.OK, {}),
        (Rsc.OK, {"m2m:dbg": "what?"}),
        (Rsc.OK, GOOD | {"Status": "yes"}),
        (Rsc.OK, GOOD | {"Credential": base64.b64encode(KM.reveal()[:31]).decode()}),
        (Rsc.OK, GOOD | {"Credential": base64.b64encode(KM.reveal() + b"!").decode()}),
        (Rsc.OK, GOOD | {"Credential": "*"}),
        (Rsc.OK, GOOD | {"EnroleeID": "no entity at all"}),
        (Rsc.OK, GOOD | {"Lifetime": 0}),
        (Rsc.OK, GOOD | {"Lifetime": "long"}),
        (Rsc.NOT_FOUND, GOOD),
        (Rsc.INTERNAL_SERVER_ERROR, None),
    ],
)
async def test_an_unusable_answer_ends_the_handshake_with_an_alert(tmp_path, rsc, content):
    async def answer(request):
        return Response(rsc, content)

    mef = Impostor(answer)
    async with mef.listening(tmp_path / "mef"), asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
        with capture_logs() as logs:
            error = await refused(DEVICE.maf_initiator(KEY), maf.address)
        assert error.alert.name == "internal_error"
        assert await stored(maf) == []
        for form in (KM.reveal().hex(), base64.b64encode(KM.reveal()).decode()):
            assert form not in str(logs)
        await others_are_served(maf)


async def test_status_false_looks_like_any_unknown_identity(tmp_path):
    async def answer(request):
        return Response(Rsc.NOT_FOUND, REFUSAL)

    mef = Impostor(answer)
    async with mef.listening(tmp_path / "mef"), asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
        from_mef = await refused(DEVICE.maf_initiator(KEY), maf.address)
        never_asked = await refused(DEVICE.maf_initiator(KEY, "nobody@elsewhere.example.com"), maf.address)
        assert from_mef.alert.name == never_asked.alert.name == "bad_record_mac"
        assert [path[0] for path in mef.asked] == ["fetchCredentials", "mef"]  # derived, or registered
        assert await stored(maf) == []
        await others_are_served(maf)


@pytest.mark.parametrize(
    "octets",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{", b"\0" * 100_000,
     b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nContent-Length: 999999\r\n\r\n" + b"[" * 100_000],
)  # fmt: skip
async def test_an_mef_that_speaks_no_http_ends_the_handshake_with_an_alert(tmp_path, octets):
    async def answer(channel):
        await channel.read()
        with contextlib.suppress(OSError):
            await channel.write(octets)

    async with (
        listening(tmp_path / "mef", answer) as address,
        asking_maf(tmp_path / "maf", {MEF: address}) as maf,
    ):
        assert (await refused(DEVICE.maf_initiator(KEY), maf.address)).alert.name == "internal_error"
        assert await stored(maf) == []
        await others_are_served(maf)


@contextlib.asynccontextmanager
async def listening(data, handler):
    """A server that authenticates Enrolment Targets as an MEF does, and then does as it pleases."""
    async with await Store.open(data) as store:
        await store.add(Target(EntityId(str(MAF))).record)
        server = Server(store, [Mef(store, MEF)])
        listener = Listener(server._authorities, channel_protocol(handler), Limits())
        try:
            yield await listener.start(LOOPBACK)
        finally:
            await listener.stop(grace=0.1)


async def test_an_mef_that_is_down_ends_the_handshake_with_an_alert(tmp_path):
    async with asking_maf(tmp_path / "maf", {MEF: Address("127.0.0.1", 1)}) as maf:
        assert (await refused(DEVICE.maf_initiator(KEY), maf.address)).alert.name == "internal_error"
        assert await stored(maf) == []
        await others_are_served(maf)


async def test_an_mef_that_hangs_makes_only_its_own_handshakes_wait_and_within_a_limit(tmp_path):
    release = asyncio.Event()

    async def answer(request):
        await release.wait()
        return Response(Rsc.OK, GOOD)

    hanging, other_mef = Impostor(answer), Fqdn("mef.example.net")
    device = Device("second", mef=other_mef)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(hanging.listening(tmp_path / "hanging"))
        targets = [Target(EntityId(str(MAF)), other_mef)]
        mef = await stack.enter_async_context(
            running_mef(tmp_path / "mef", devices=[device], targets=targets, fqdn=other_mef)
        )
        maf = await stack.enter_async_context(
            asking_maf(tmp_path / "maf", {MEF: hanging.address, other_mef: mef.address}, fetch_timeout=6.0)
        )
        initiators = [
            DEVICE.maf_initiator(dataclasses.replace(KEY, ke_id=KeyIdentifier(f"{n:032x}", MEF)))
            for n in range(300)
        ]
        waiting = [asyncio.create_task(refused(initiator, maf.address)) for initiator in initiators]
        await eventually(lambda: len(hanging.asked) > 5)
        key = await device.enrol(mef.address)
        await meet(device.maf_initiator(key), maf.address)
        await others_are_served(maf)
        assert not any(task.done() for task in waiting[:1])
        assert {error.alert.name for error in await asyncio.gather(*waiting)} == {"internal_error"}
        release.set()


async def test_a_cse_refuses_what_its_mef_cannot_answer_for(tmp_path):
    async def answer(request):
        return Response(Rsc.OK, GOOD | {"Credential": "short"})

    async def nothing(channel):
        await channel.read()

    mef = Impostor(answer)
    async with (
        mef.listening(tmp_path / "mef"),
        EntityB(CSE, mefs=[THE_CSE.client(mef.address)]) as entity_b,
    ):
        address = await entity_b.listen(LOOPBACK, nothing)
        kpsa = KEY.provisioned_key(Release.R1, CSE)
        error = await refused(saef_psk.initiate(DEVICE.entity, CSE, kpsa), address)
        assert error.alert.name == "internal_error"
        assert mef.asked == [("fetchCredentials", KEY.ke_id.hex, "22")]


async def test_a_client_is_told_when_the_mef_is_out_of_reach():
    client = THE_CSE.client(Address("127.0.0.1", 1))
    with pytest.raises(ResolverUnavailableError, match=r"mef\.example\.com"):
        await client.fetch_kpsa(KEY.ke_id)
    await client.close()


async def test_a_ke_that_expires_between_bootstrap_and_use_is_refused(tmp_path):
    async with (
        running_mef(tmp_path / "mef") as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        key = await DEVICE.enrol(mef.address)
        record = await mef.store.find(KeyKind.KE, key.ke_id)
        await mef.store.add(dataclasses.replace(record, expires=record.issued), replace=True)
        assert (await refused(DEVICE.maf_initiator(key), maf.address)).alert.name == "bad_record_mac"
        assert await stored(maf) == []


async def test_a_km_that_has_expired_at_the_maf_is_asked_for_again(tmp_path):
    async with (
        running_mef(tmp_path / "mef") as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        key = await DEVICE.enrol(mef.address)
        await meet(DEVICE.maf_initiator(key), maf.address)
        record = await maf.store.find(KeyKind.KM, key.ke_id)
        await maf.store.add(dataclasses.replace(record, expires=record.issued), replace=True)
        await meet(DEVICE.maf_initiator(key), maf.address)
        again = await maf.store.find(KeyKind.KM, key.ke_id)
        assert again.expires > record.issued


async def test_an_enrolment_target_that_is_not_allowed_gets_nothing(tmp_path):
    only_the_cse = Device("device", targets=(CSE,))
    async with running_mef(tmp_path / "mef", devices=[only_the_cse]) as mef:
        async with asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
            key = await only_the_cse.enrol(mef.address)
            error = await refused(only_the_cse.maf_initiator(key), maf.address)
            assert error.alert.name == "bad_record_mac"
            assert await stored(maf) == []
        other = OTHER.client(mef.address)
        assert await other.fetch_kpsa(key.ke_id) is None
        await other.close()


async def test_a_maf_whose_own_key_is_wrong_at_the_mef_ends_handshakes_with_an_alert(tmp_path):
    async with (
        running_mef(tmp_path / "mef", targets=[]) as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        key = await DEVICE.enrol(mef.address)
        assert (await refused(DEVICE.maf_initiator(key), maf.address)).alert.name == "internal_error"
        await others_are_served(maf)


async def test_a_maf_that_restarts_between_fetch_and_finish_has_km(tmp_path):
    """The client's flight stops after its ClientKeyExchange: Km is fetched, the handshake is not finished."""
    async with contextlib.AsyncExitStack() as stack:
        mef = await stack.enter_async_context(running_mef(tmp_path / "mef"))
        key = await DEVICE.enrol(mef.address)
        async with asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
            session = DEVICE.maf_initiator(key).session()
            reader, writer = await asyncio.open_connection(maf.address.host, maf.address.port)
            writer.write(session.data_to_send())
            flight = b""
            while not flight:
                session.receive(await reader.read(65536))
                flight = session.data_to_send()
            writer.write(flight[: 5 + int.from_bytes(flight[3:5])])
            await eventually(functools.partial(maf.store.find, KeyKind.KM, key.ke_id))
            assert await maf.store.records(KeyKind.KC) == []
            writer.close()
        await stack.aclose()
        async with asking_maf(tmp_path / "maf", {MEF: Address("127.0.0.1", 1)}) as maf:
            await meet(DEVICE.maf_initiator(key), maf.address)


async def test_the_mef_comes_back_and_so_do_its_enrolees(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        mef = await stack.enter_async_context(running_mef(tmp_path / "mef"))
        key = await DEVICE.enrol(mef.address)
        async with asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
            await stack.aclose()
            assert (await refused(DEVICE.maf_initiator(key), maf.address)).alert.name == "internal_error"
            store = await Store.open(tmp_path / "mef")
            async with Server(store, [Mef(store, MEF)]) as server:
                await server.start(mef.address)
                await meet(DEVICE.maf_initiator(key), maf.address)


async def test_a_kept_connection_that_the_mef_closed_is_not_used_again(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        devices = [Device("one"), Device("two")]
        mef = await stack.enter_async_context(running_mef(tmp_path / "mef", devices=devices))
        keys = [await device.enrol(mef.address) for device in devices]
        async with asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf:
            await meet(devices[0].maf_initiator(keys[0]), maf.address)
            await stack.aclose()
            store = await Store.open(tmp_path / "mef")
            async with Server(store, [Mef(store, MEF)]) as server:
                await server.start(mef.address)
                await meet(devices[1].maf_initiator(keys[1]), maf.address)


async def test_an_internationalised_mef_is_one_in_every_spelling(tmp_path):
    mef_id = Fqdn.parse("mef.bücher.example")
    device = Device("device", mef=mef_id)
    target = Target(EntityId(str(MAF)), mef_id)
    async with running_mef(tmp_path / "mef", devices=[device], targets=[target], fqdn=mef_id) as mef:
        for spelling in (
            "mef.bücher.example",
            "MEF.BÜCHER.example.",
            "mef.xn--bcher-kva.example",
            "MEF.XN--BCHER-KVA.EXAMPLE",
        ):
            async with asking_maf(tmp_path / spelling, {mef_id: mef.address}) as maf:
                key = await device.enrol(mef.address)
                relative = key.ke_id.base64.partition("@")[0]
                await meet(device.maf_initiator(key, f"{relative}@{spelling}"), maf.address)
                record = await maf.store.find(KeyKind.KM, key.ke_id)
                assert record is not None
                assert record.parent == key.ke_id


async def test_first_handshakes_of_many_enrolees_all_succeed(tmp_path):
    devices = [Device(f"d{n}") for n in range(150)]
    async with (
        running_mef(tmp_path / "mef", devices=devices) as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        keys = await asyncio.gather(*(device.enrol(mef.address) for device in devices))
        await asyncio.gather(
            *(meet(device.maf_initiator(key), maf.address) for device, key in zip(devices, keys, strict=True))
        )
        assert len(await stored(maf)) == 300
