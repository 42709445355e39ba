"""The MEF over real sockets and a real store: bootstrap, replacement, revocation, and who gets what."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from lossy_link import lossy_link
from maf_support import MAF, eventually
from mef_support import (
    CSE,
    DEVICE,
    MAF_ID,
    MEF,
    OTHER,
    THE_CSE,
    THE_MAF,
    Device,
    provision_mef,
    running_mef,
)
from onem2m_security.errors import ConfigurationError, HandshakeError, ParentGoneError
from onem2m_security.frameworks import bootstrap_psk, mef_handshake
from onem2m_security.frameworks.steps import Authorities
from onem2m_security.identifiers import EntityId
from onem2m_security.keys import derive_km, derive_kpsa, km_for, kpsa_for
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.onem2m.fetch_credentials import REFUSAL
from onem2m_security.onem2m.primitives import Operation, Rsc
from onem2m_security.release import Release
from onem2m_security.servers.enrolments import SUPERSEDED_FOR, SUPERSEDED_MAX
from onem2m_security.servers.mef import Mef
from onem2m_security.store import KeyKind, Store

IMPATIENT = Limits(handshake_seconds=2.0)


@pytest.fixture
async def mef(tmp_path):
    async with running_mef(tmp_path / "mef") as running:
        yield running


async def ask(mef, target, *path, originator=None):
    """Ask the MEF for a path as an Enrolment Target."""
    initiator = mef_handshake.initiate(target.entity, MEF, target.key)
    if originator is not None:
        initiator = dataclasses.replace(initiator, local=originator)
    client = HttpClient(Link(mef.address), initiator)
    try:
        return await client.request(Operation.RETRIEVE, ("fetchCredentials", *path))
    finally:
        await client.close()


async def test_when_the_enrolee_has_ke_the_mef_has_it_on_disk(mef):
    async with await open_channel(Link(mef.address), DEVICE.initiator) as channel:
        exported = bootstrap_psk.export_enrolment_key(channel.established, MEF)
        stored = await mef.store.find(KeyKind.KE, exported.ke_id)
    assert stored is not None
    assert stored.key == exported.ke
    assert (stored.source, stored.targets, stored.parent) == (DEVICE.entity, DEVICE.targets, DEVICE.kpm_id)


async def test_ke_lives_as_long_as_the_instruction_says(mef):
    before = datetime.now(UTC)
    key = await DEVICE.enrol(mef.address)
    stored = await mef.store.find(KeyKind.KE, key.ke_id)
    assert stored is not None
    assert stored.expires == stored.issued + DEVICE.enrolment_expiry
    assert before <= stored.issued <= datetime.now(UTC)


async def test_ke_does_not_outlive_kpm(mef):
    ends = datetime.now(UTC) + timedelta(days=1)
    await mef.store.add(dataclasses.replace(DEVICE.record, expires=ends), replace=True)
    key = await DEVICE.enrol(mef.address)
    stored = await mef.store.find(KeyKind.KE, key.ke_id)
    assert stored is not None
    assert stored.expires == ends


async def test_a_new_bootstrap_replaces_ke_once_the_new_one_is_used_and_the_old_one_is_refused(mef):
    old = await DEVICE.enrol(mef.address)
    new = await DEVICE.enrol(mef.address)
    assert (await ask(mef, THE_MAF, old.ke_id.base64, "21")).rsc is Rsc.OK  # nobody has used the new one
    assert (await ask(mef, THE_MAF, new.ke_id.base64, "21")).rsc is Rsc.OK
    assert await mef.kes() == {new.ke_id: new.ke}
    assert (await ask(mef, THE_MAF, old.ke_id.base64, "21")).rsc is Rsc.NOT_FOUND
    assert (await ask(mef, THE_CSE, old.ke_id.base64, "22")).rsc is Rsc.NOT_FOUND


async def test_a_target_that_may_not_have_a_key_does_not_end_the_earlier_ke(mef):
    old = await DEVICE.enrol(mef.address)
    new = await DEVICE.enrol(mef.address)
    assert (await ask(mef, OTHER, new.ke_id.base64, "22")).rsc is Rsc.NOT_FOUND
    assert (await mef.kes()).keys() == {old.ke_id, new.ke_id}


async def test_an_earlier_ke_that_nobody_replaces_by_use_ends_within_a_day(mef):
    old = await DEVICE.enrol(mef.address)
    await DEVICE.enrol(mef.address)
    ended = datetime.now(UTC) + SUPERSEDED_FOR
    assert await mef.store.find(KeyKind.KE, old.ke_id, now=ended - timedelta(minutes=1)) is not None
    assert await mef.store.find(KeyKind.KE, old.ke_id, now=ended) is None


@pytest.mark.parametrize("transport", Transport)
async def test_an_enrolee_whose_last_flights_are_lost_goes_on_with_the_ke_that_it_holds(mef, transport):
    held = await DEVICE.enrol(mef.address)
    async with lossy_link(mef.address, transport) as link:
        for times in (1, 2, 3):
            with pytest.raises(HandshakeError):
                await open_channel(Link(link.address, transport, IMPATIENT), DEVICE.initiator)
            await eventually(lambda: link.last_flights > 0)
            link.last_flights = 0
            assert len(await mef.kes()) == 1 + times  # the MEF has made one each time
    assert (await mef.kes())[held.ke_id] == held.ke
    assert (await ask(mef, THE_MAF, held.ke_id.base64, "21")).rsc is Rsc.OK


async def test_a_bootstrap_leaves_the_keys_of_other_enrolees_alone(tmp_path):
    other = Device("other")
    async with running_mef(tmp_path, devices=(DEVICE, other)) as mef:
        first = await DEVICE.enrol(mef.address)
        await other.enrol(mef.address)
        last = await other.enrol(mef.address)
        assert (await ask(mef, THE_MAF, last.ke_id.base64, "21")).rsc is Rsc.OK
        assert (await mef.kes()).keys() == {first.ke_id, last.ke_id}


async def test_of_many_bootstraps_without_use_the_oldest_ke_and_the_newest_are_kept(mef):
    first = await DEVICE.enrol(mef.address)
    later = [await DEVICE.enrol(mef.address) for _ in range(SUPERSEDED_MAX + 2)]
    left = await mef.kes()
    assert left.keys() == {first.ke_id, *(key.ke_id for key in later[-SUPERSEDED_MAX:])}


async def test_simultaneous_bootstraps_of_one_enrolee_leave_keys_that_it_holds(mef):
    keys = await asyncio.gather(*(DEVICE.enrol(mef.address) for _ in range(10)))
    assert await mef.kes() == {key.ke_id: key.ke for key in keys}


async def test_the_handshake_of_an_enrolment_target_makes_no_ke(mef):
    for _ in range(3):
        assert (await ask(mef, THE_MAF, "nothing", "21")).rsc is Rsc.NOT_FOUND
    assert await mef.kes() == {}


async def test_an_unknown_enrolee_and_a_wrong_key_fail_alike(mef):
    wrong_key = dataclasses.replace(
        DEVICE.initiator, credential=bootstrap_psk.credential(DEVICE.kpm_id, OTHER.key.key)
    )
    alerts = set()
    for initiator in (wrong_key, Device("nobody").initiator):
        with pytest.raises(HandshakeError) as caught:
            await open_channel(Link(mef.address), initiator)
        alerts.add(caught.value.alert.name)
    assert alerts == {"bad_record_mac"}
    assert await mef.kes() == {}


async def test_a_revoked_enrolee_cannot_bootstrap_and_its_ke_is_gone(mef):
    key = await DEVICE.enrol(mef.address)
    assert await mef.store.remove(KeyKind.KPM, DEVICE.kpm_id, descendants=True)
    assert await mef.kes() == {}
    assert (await ask(mef, THE_MAF, key.ke_id.base64, "21")).rsc is Rsc.NOT_FOUND
    with pytest.raises(HandshakeError):
        await DEVICE.enrol(mef.address)


async def half_a_handshake(mef):
    """Up to and with the ClientKeyExchange, and the rest of the flight."""
    session = DEVICE.initiator.session()
    reader, writer = await asyncio.open_connection(mef.address.host, mef.address.port)
    writer.write(session.data_to_send())
    flight = b""
    while not flight:
        session.receive(await reader.read(65536))
        flight = session.data_to_send()
    length = 5 + int.from_bytes(flight[3:5])
    writer.write(flight[:length])
    return session, reader, writer, flight[length:]


async def test_an_enrolee_that_is_revoked_during_its_handshake_gets_no_ke(mef):
    session, reader, writer, rest = await half_a_handshake(mef)
    await eventually(lambda: writer.transport.get_write_buffer_size() == 0)
    await asyncio.sleep(0.2)  # Kpm is found meanwhile; if it were not yet, the handshake fails all the same
    await mef.store.remove(KeyKind.KPM, DEVICE.kpm_id, descendants=True)
    writer.write(rest)
    events = []
    async with asyncio.timeout(20):
        while data := await reader.read(65536):
            events += session.receive(data)
    writer.close()
    assert [event.error is not None for event in events] == [True]
    assert await mef.kes() == {}


@pytest.mark.parametrize("change", ["removed", "given another key", "given to another"])
async def test_a_kpm_that_changes_between_the_last_check_and_the_commit_gives_no_ke(tmp_path, change):
    """The last check of the MEF itself is followed by the change: only the transaction can notice."""
    changed = {
        "given another key": dataclasses.replace(DEVICE.record, key=OTHER.key.key),
        "given to another": dataclasses.replace(DEVICE.record, source=Device("another").entity),
    }

    class Changing(Store):
        armed = False

        async def find(self, kind, key_id, **settings):
            found = await super().find(kind, key_id, **settings)
            if found is not None and self.armed:
                if change == "removed":
                    await self.remove(kind, key_id, descendants=True)
                else:
                    await self.add(changed[change], replace=True)
            return found

    await provision_mef(tmp_path, [DEVICE], [THE_MAF])
    async with await Changing.open(tmp_path) as store:
        mef = Mef(store, MEF)
        a, b = DEVICE.initiator.session(), Authorities({MEF: mef.acceptor}, default=None).session()
        b.receive(a.data_to_send())
        a.receive(b.data_to_send())
        [offered] = b.receive(a.data_to_send())
        store.armed = False
        resolved = await mef.resolve(offered.identity, offered.suite)
        b.answer(resolved.key)
        store.armed = True
        with pytest.raises(ParentGoneError, match=change.partition(" ")[0].replace("given", "replaced")):
            await mef.acceptor.established(mef.acceptor.establish(b, resolved))
        assert await store.records(KeyKind.KE) == []


async def test_a_ke_whose_kpm_is_gone_is_refused_even_if_it_was_left_behind(mef):
    key = await DEVICE.enrol(mef.address)
    await mef.store.remove(KeyKind.KPM, DEVICE.kpm_id)
    assert key.ke_id in await mef.kes()
    assert (await ask(mef, THE_MAF, key.ke_id.base64, "21")).content == REFUSAL


# --- fetching -----------------------------------------------------------------------------------------------


async def test_a_maf_fetches_km_and_a_cse_kpsa(mef):
    key = await DEVICE.enrol(mef.address)
    before = datetime.now(UTC)
    maf, cse = THE_MAF.client(mef.address), THE_CSE.client(mef.address)
    km, kpsa = await maf.fetch_km(key.ke_id), await cse.fetch_kpsa(key.ke_id)
    await maf.close()
    await cse.close()
    assert km is not None
    assert kpsa is not None
    assert km.key == derive_km(key.ke, MAF)
    assert kpsa.key == derive_kpsa(key.ke, CSE)
    stored = await mef.store.find(KeyKind.KE, key.ke_id)
    for fetched in (km, kpsa):
        assert fetched.peer == DEVICE.entity
        assert before < fetched.expires <= stored.expires


async def test_a_release_3_enrolee_has_keys_of_clause_10_3_7(tmp_path):
    device = Device("newer", release=Release.R3)
    async with running_mef(tmp_path, devices=[device]) as mef:
        key = await device.enrol(mef.address)
        maf, cse = THE_MAF.client(mef.address), THE_CSE.client(mef.address)
        km, kpsa = await maf.fetch_km(key.ke_id), await cse.fetch_kpsa(key.ke_id)
        await maf.close()
        await cse.close()
    assert km.key == km_for(Release.R3, key.ke, MAF)
    assert kpsa.key == kpsa_for(Release.R3, key.ke, CSE)


async def test_a_ke_id_is_found_in_base64_and_in_hex(mef):
    key = await DEVICE.enrol(mef.address)
    texts = {key.ke_id.base64, key.ke_id.hex, str(key.ke_id)}
    answers = [await ask(mef, THE_MAF, text, "21") for text in texts]
    assert {answer.rsc for answer in answers} == {Rsc.OK}
    assert len({answer.content["Credential"] for answer in answers}) == 1


async def test_unknown_and_forbidden_get_one_and_the_same_answer(mef):
    key = await DEVICE.enrol(mef.address)
    ke_id = key.ke_id.base64
    refused = [
        (OTHER, ke_id, "22"),
        (OTHER, ke_id, "21"),
        (THE_MAF, ke_id, "22"),
        (THE_CSE, ke_id, "21"),
        (THE_CSE, ke_id, "23"),
        (THE_MAF, ke_id, "021"),
        (THE_MAF, ke_id, "x"),
        (THE_MAF, f"AAAAAAAAAAAAAAAAAAAAAA==@{MEF}", "21"),
        (THE_MAF, ke_id.replace("example.com", "example.org"), "21"),
        (THE_MAF, "no key identifier", "21"),
        (THE_MAF, str(DEVICE.kpm_id), "21"),
    ]
    for target, text, suid in refused:
        answer = await ask(mef, target, text, suid)
        assert (answer.rsc, answer.content) == (Rsc.NOT_FOUND, REFUSAL), (target, text, suid)
    assert (await ask(mef, THE_MAF, ke_id, "21")).rsc is Rsc.OK


async def test_an_expired_ke_is_refused_like_an_unknown_one(mef):
    key = await DEVICE.enrol(mef.address)
    stored = await mef.store.find(KeyKind.KE, key.ke_id)
    past = datetime.now(UTC) - timedelta(seconds=1)
    await mef.store.add(dataclasses.replace(stored, expires=past), replace=True)
    assert (await ask(mef, THE_MAF, key.ke_id.base64, "21")).content == REFUSAL


async def test_an_originator_that_is_not_the_authenticated_client_is_refused(mef):
    key = await DEVICE.enrol(mef.address)
    answer = await ask(mef, OTHER, key.ke_id.base64, "21", originator=MAF_ID)
    assert answer.rsc is Rsc.ORIGINATOR_NOT_AUTHENTICATED
    assert "Credential" not in answer.content


async def test_an_enrolee_itself_fetches_nothing(mef):
    key = await DEVICE.enrol(mef.address)
    client = HttpClient(Link(mef.address), DEVICE.initiator)
    answer = await client.request(Operation.RETRIEVE, ("fetchCredentials", key.ke_id.base64, "21"))
    await client.close()
    assert answer.content == REFUSAL


@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE, Operation.DELETE])
async def test_credentials_are_only_retrieved(mef, operation):
    client = HttpClient(Link(mef.address), mef_handshake.initiate(MAF_ID, MEF, THE_MAF.key))
    answer = await client.request(operation, ("fetchCredentials", "x", "21"))
    await client.close()
    assert answer.rsc is Rsc.OPERATION_NOT_ALLOWED


async def test_a_relative_target_gets_no_release_3_key_but_the_server_goes_on(tmp_path):
    relative = EntityId("/in-cse")
    target = type(THE_CSE)(relative)
    device = Device("newer", targets=(relative,), release=Release.R3)
    with pytest.raises(ConfigurationError, match="Release 3 derives keys for"):
        _ = device.record
    kept_before = dataclasses.replace(Device("newer", (relative,)).record, labels=device.instruction.labels)
    async with running_mef(tmp_path, devices=[], targets=[target]) as mef:
        await mef.store.add(kept_before)
        key = await device.enrol(mef.address)
        assert (await ask(mef, target, key.ke_id.base64, "22")).content == REFUSAL
        assert await device.enrol(mef.address)


async def test_one_hundred_enrolees_bootstrap_at_once(tmp_path):
    devices = [Device(f"d{n}") for n in range(100)]
    async with running_mef(tmp_path, devices=devices) as mef:
        keys = await asyncio.gather(*(device.enrol(mef.address) for device in devices))
        assert await mef.kes() == {key.ke_id: key.ke for key in keys}
