"""Client registration at a MAF and at an MEF, over real sockets, from the client's side."""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import MAF, A, B, client_of, running_maf
from mef_support import DEVICE, MEF, THE_MAF, asking_maf, running_mef
from onem2m_security.clients.answers import answered
from onem2m_security.clients.registration import Registered, RegistrationClient
from onem2m_security.errors import PeerRefusedError, ResolverUnavailableError
from onem2m_security.identifiers import Fqdn, Suid
from onem2m_security.keys import km_id_of
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.link import Link
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.onem2m.resources import MafClientRegistration, SymmetricKeyRegistration
from onem2m_security.release import Release

ADMIN = Fqdn("admin.example.com")


def in_days(days: float) -> datetime:
    """m2m:timestamp knows whole seconds only."""
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


@contextlib.asynccontextmanager
async def registering(who, address):
    async with client_of(who, address) as client:
        yield RegistrationClient(client, MAF, at_maf=True)


async def test_a_client_registers_retrieves_updates_and_deregisters(tmp_path):
    async with running_maf(tmp_path) as maf, registering(A, maf.address) as registration:
        ends = in_days(3)
        registered = await registration.register(expires=ends, admin=ADMIN, labels=("one",))
        assert (registered.expires, registered.assigned_key_id) == (ends, None)
        assert await registration.retrieve(registered.registration_id) == registered
        later = in_days(5)
        await registration.update(registered.registration_id, expires=later, labels=("two", "three"))
        assert (await registration.retrieve(registered.registration_id)).expires == later
        stored = await maf.store.find_registration(registered.registration_id)
        assert stored is not None
        assert (stored.client, stored.admin_fqdn) == (A.entity, ADMIN)
        assert stored.labels == ("two", "three")
        await registration.deregister(registered.registration_id)
        with pytest.raises(PeerRefusedError) as caught:
            await registration.retrieve(registered.registration_id)
        assert caught.value.rsc == Rsc.NOT_FOUND


async def test_registering_again_renews_the_one_registration(tmp_path):
    async with running_maf(tmp_path) as maf, registering(A, maf.address) as registration:
        first = await registration.register(expires=in_days(1), admin=ADMIN)
        again = await registration.register(expires=in_days(2), admin=ADMIN)
        other = await registration.register(expires=in_days(2), admin=Fqdn("other.example.com"))
        assert again.registration_id == first.registration_id
        assert again.expires > first.expires
        assert other.registration_id != first.registration_id


async def test_what_belongs_to_another_client_is_answered_like_what_does_not_exist(tmp_path):
    async with running_maf(tmp_path) as maf, registering(A, maf.address) as of_a:
        registered = await of_a.register(expires=in_days(1), admin=ADMIN)
        async with registering(B, maf.address) as of_b:
            told = set()
            for registration_id in (registered.registration_id, "0" * 32, "no such thing"):
                for attempt in (
                    of_b.retrieve(registration_id),
                    of_b.update(registration_id, expires=in_days(9)),
                    of_b.deregister(registration_id),
                ):
                    with pytest.raises(PeerRefusedError) as caught:
                        await attempt
                    told.add((caught.value.rsc, str(caught.value)))
            assert len(told) == 1
        assert await of_a.retrieve(registered.registration_id) == registered


async def test_a_registration_does_not_outlive_the_credential(tmp_path):
    ends = in_days(1)
    short_lived = dataclasses.replace(A, name="short", expires=ends)
    async with running_maf(tmp_path, clients=[short_lived, B]) as maf:
        async with registering(short_lived, maf.address) as registration:
            registered = await registration.register(expires=in_days(30), admin=ADMIN)
        assert registered.expires == ends


async def test_a_registration_has_a_longest_life(tmp_path):
    async with running_maf(tmp_path) as maf, registering(A, maf.address) as registration:
        registered = await registration.register(expires=in_days(9999), admin=ADMIN)
        assert registered.expires <= in_days(367)


async def test_a_client_registers_for_no_stakeholder_that_the_operator_has_not_named(tmp_path):
    async with running_maf(tmp_path) as maf, registering(A, maf.address) as registration:
        with pytest.raises(PeerRefusedError, match="no administrating stakeholder") as caught:
            await registration.register(expires=in_days(1), admin=Fqdn("evil.example"))
        assert caught.value.rsc == Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
        assert await maf.store.count_registrations(A.entity) == 0


async def test_a_key_is_registered_by_clients_that_are_registered_and_the_client_sees_to_it(tmp_path):
    async with running_maf(tmp_path) as maf, client_of(A, maf.address) as bare:
        asked = SymmetricKeyRegistration(
            expiration_time=in_days(1), admin_fqdn=ADMIN, suid=Suid.MAF_ESPRIM, target_ids=(B.entity,)
        )
        refused = await bare.request(
            Operation.CREATE, asked.path, content=asked.encode(), resource_type=asked.resource_type
        )
        assert refused.rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
        client = A.maf_client(maf.address)
        await client.register_key(expires=in_days(1), target=B.entity, admin=ADMIN)
        registered = await maf.store.find_registration_of(A.entity, ADMIN)
        assert registered is not None
        await maf.store.remove_registration(registered.registration_id)
        with pytest.raises(PeerRefusedError):
            await client.register_key(expires=in_days(1), target=B.entity, admin=ADMIN)
        await client.register_key(expires=in_days(1), target=B.entity, admin=ADMIN)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"et": "20400101T000000", "adfq": "admin.example.com"},
        {"fq": str(MAF), "adfq": "admin.example.com"},
        {"fq": str(MAF), "et": "20400101T000000"},
        {"fq": "other.example.com", "et": "20400101T000000", "adfq": "admin.example.com"},
        {"fq": str(MAF), "et": "20000101T000000", "adfq": "admin.example.com"},
        {"fq": str(MAF), "et": "20400101T000000", "adfq": "admin.example.com", "suid": 32},
        {"fq": str(MAF), "et": "20400101T000000", "adfq": "admin.example.com", "kv": "AAAA"},
        {"fq": str(MAF), "et": "20400101T000000", "adfq": "admin.example.com", "crid": "mine"},
        {"fq": str(MAF), "et": "soon", "adfq": "admin.example.com"},
        {"fq": str(MAF), "et": "20400101T000000", "adfq": "*"},
        {"fq": str(MAF), "et": "20400101T000000", "adfq": "admin.example.com", "lbl": ["x"] * 99},
    ],
)
async def test_a_malformed_registration_is_refused_and_nothing_is_stored(tmp_path, body):
    async with running_maf(tmp_path) as maf, client_of(A, maf.address) as client:
        answer = await client.request(
            Operation.CREATE,
            MafClientRegistration.path,
            content={"sec:mafcr": body},
            resource_type=MafClientRegistration.resource_type,
        )
        assert answer.rsc is Rsc.BAD_REQUEST
        assert await maf.store.find_registration_of(A.entity, ADMIN) is None


async def test_an_update_of_nothing_is_refused(tmp_path):
    async with running_maf(tmp_path) as maf, registering(A, maf.address) as registration:
        registered = await registration.register(expires=in_days(1), admin=ADMIN)
        with pytest.raises(PeerRefusedError, match="at least one"):
            await registration.update(registered.registration_id)


async def test_an_mef_registers_its_clients_alike(tmp_path):
    async with running_mef(tmp_path) as mef:
        client = HttpClient(Link(mef.address), DEVICE.initiator)
        registration = RegistrationClient(client, MEF, at_maf=False)
        registered = await registration.register(expires=in_days(1), admin=MEF)
        assert registered.assigned_key_id is None
        assert await registration.retrieve(registered.registration_id) == registered
        await registration.deregister(registered.registration_id)
        await client.close()


async def test_a_maf_tells_a_remotely_provisioned_client_its_km_id(tmp_path):
    async with (
        running_mef(tmp_path / "mef") as mef,
        asking_maf(tmp_path / "maf", {MEF: mef.address}) as maf,
    ):
        key = await DEVICE.enrol(mef.address)
        client = HttpClient(Link(maf.address), DEVICE.maf_initiator(key))
        registration = RegistrationClient(client, MAF, at_maf=True)
        registered = await registration.register(expires=in_days(1), admin=ADMIN)
        km_id = km_id_of(key.master_credential(Release.R1, MAF).key, MAF)
        assert registered.assigned_key_id == km_id
        assert await registration.update(registered.registration_id, labels=("x",)) is None
        await client.close()

        newer = await DEVICE.enrol(mef.address)
        client = HttpClient(Link(maf.address), DEVICE.maf_initiator(newer))
        registration = RegistrationClient(client, MAF, at_maf=True)
        new_km_id = km_id_of(newer.master_credential(Release.R1, MAF).key, MAF)
        assert await registration.update(registered.registration_id, labels=("y",)) == new_km_id
        assert (await registration.retrieve(registered.registration_id)).assigned_key_id == new_km_id
        await client.close()
    assert THE_MAF.entity.domain_name == MAF


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"crid": 7, "et": "20400101T000000"},
        {"crid": "x"},
        {"crid": "x", "et": "never"},
        {"crid": "x", "et": "20400101T000000", "aski": 5},
        {"crid": "x", "et": "20400101T000000", "aski": "no identifier"},
    ],
)
def test_an_unusable_answer_is_said_to_be_one(body):
    with pytest.raises(ResolverUnavailableError):
        Registered.of(answered(Response(Rsc.OK, {"sec:mafcr": body}), MafClientRegistration, Rsc.OK))
