"""Key registration, retrieval, update and de-registration at a MAF (TS-0003 clauses 8.8.2.7 to 8.8.2.10)."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from maf_sessions import MafSession, shake_hands
from maf_support import (
    A_OF_TWO,
    EVERYBODY,
    ID_A,
    ID_B,
    ID_C,
    MAF,
    STAKEHOLDERS,
    A,
    B,
    C,
    client_registration,
    key_of,
)
from onem2m_security.clock import Clock
from onem2m_security.errors import ConfigurationError, IdentifierError
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.keys import ExportLabel
from onem2m_security.onem2m.primitives import Operation, Rsc, timestamp
from onem2m_security.onem2m.resources import SHORT_NAMES
from onem2m_security.servers.maf import DEFAULT_KC_LIFETIME, Maf
from onem2m_security.servers.stakeholders import Stakeholder
from onem2m_security.store import KeyKind, Store

NAME = "sec:skr"
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "data") as opened:
        await opened.add_many([client.record for client in EVERYBODY])
        for entity in (ID_A, ID_B):
            await opened.add_registration(client_registration(entity))
        yield opened


@pytest.fixture
async def maf(store) -> Maf:
    return Maf(store, MAF, stakeholders=STAKEHOLDERS)


def content(**changes: object) -> dict[str, dict[str, object]]:
    """A registration's Content, by the standard's attribute names; None leaves an attribute out."""
    given = {
        "expirationTime": timestamp(LATER),
        "adminFQDN": "admin.example",
        "SUID": 32,
        "targetIDs": [str(ID_B)],
    }
    return {
        NAME: {SHORT_NAMES[name]: value for name, value in (given | changes).items() if value is not None}
    }


async def register(session: MafSession, **changes: object):
    return await session.request(Operation.CREATE, "symmKeyReg", content=content(**changes))


def field(response, name: str):
    return response.content[NAME].get(SHORT_NAMES[name])


async def retrieve(maf: Maf, client, relative: str):
    return await (await shake_hands(maf, client)).request(Operation.RETRIEVE, "symmKeyReg", relative)


async def test_a_registration_names_the_session_s_own_key_and_the_target_retrieves_it(maf, store):
    session = await shake_hands(maf, A_OF_TWO)
    response = await register(session, labels=["pump"])
    assert response.rsc is Rsc.CREATED
    exported = session.client.export(ExportLabel.CONNECTION)
    relative = field(response, "relativeKeyID")
    assert relative == exported.relative.hex().upper()
    assert field(response, "keyValue") is None
    assert field(response, "sourceID") == str(ID_A)
    assert field(response, "targetIDs") == [str(ID_B)]
    assert field(response, "expirationTime") == timestamp(LATER)
    record = await store.find(KeyKind.KC, exported.key_id(MAF))
    assert (record.admin_fqdn, record.labels, record.parent) == (
        Fqdn("admin.example"),
        ("pump",),
        A_OF_TWO.km_id,
    )

    handed_out = await retrieve(maf, B, relative)
    assert handed_out.rsc is Rsc.OK
    assert base64.b64decode(field(handed_out, "keyValue")) == exported.key.reveal()
    assert field(handed_out, "sourceID") == str(ID_A)
    assert field(handed_out, "SUID") == 32
    assert field(handed_out, "targetIDs") is None
    assert field(handed_out, "labels") == ["pump"]


@pytest.mark.parametrize("form", ["hex", "HEX", "base64"])
async def test_a_key_is_retrieved_by_either_form_of_its_identifier(maf, form):
    session = await shake_hands(maf, A)
    octets = session.client.export(ExportLabel.CONNECTION).relative
    written = {"hex": octets.hex(), "HEX": octets.hex().upper(), "base64": base64.b64encode(octets).decode()}[
        form
    ]
    assert (await retrieve(maf, B, written)).rsc is Rsc.OK


async def test_a_key_of_the_client_s_own_making_gets_an_identifier_of_the_maf_s_making(maf):
    own = key_of("own")
    session = await shake_hands(maf, A_OF_TWO)
    first = await register(session, keyValue=base64.b64encode(own.reveal()).decode())
    second = await register(session, keyValue=base64.b64encode(own.reveal()).decode())
    assert field(first, "relativeKeyID") != field(second, "relativeKeyID")
    handed_out = await retrieve(maf, B, field(first, "relativeKeyID"))
    assert base64.b64decode(field(handed_out, "keyValue")) == own.reveal()


async def test_a_key_that_could_be_guessed_is_refused(maf):
    session = await shake_hands(maf, A_OF_TWO)
    assert (await register(session, keyValue=base64.b64encode(b"short").decode())).rsc is Rsc.BAD_REQUEST


async def test_registering_again_for_the_same_target_is_one_registration(maf, store):
    session = await shake_hands(maf, A)  # Release 1: registered by the handshake
    response = await register(session)
    assert response.rsc is Rsc.CREATED
    assert len(await store.records(KeyKind.KC)) == 1


async def test_one_session_key_is_never_registered_for_a_second_target(maf, store):
    session = await shake_hands(maf, A_OF_TWO)
    assert (await register(session)).rsc is Rsc.CREATED
    assert (await register(session, targetIDs=[str(ID_C)])).rsc is Rsc.CONFLICT
    [record] = await store.records(KeyKind.KC)
    assert record.targets == (ID_B,)


@pytest.mark.parametrize("missing", ["expirationTime", "adminFQDN", "SUID"])
async def test_a_registration_without_a_required_attribute_is_refused(maf, missing):
    session = await shake_hands(maf, A_OF_TWO)
    assert (await register(session, **{missing: None})).rsc is Rsc.BAD_REQUEST


@pytest.mark.parametrize(
    ("changes", "rsc"),
    [
        ({"SUID": 21}, Rsc.BAD_REQUEST),
        ({"SUID": 40}, Rsc.BAD_REQUEST),
        ({"targetIDs": []}, Rsc.BAD_REQUEST),
        ({"targetIDs": [str(ID_B), str(ID_C)]}, Rsc.BAD_REQUEST),
        ({"targetIDs": None}, Rsc.BAD_REQUEST),  # all that are allowed are two: SUID 32 takes one
        ({"targetIDs": ["//sp.example/somebody-else"]}, Rsc.ORIGINATOR_HAS_NO_PRIVILEGE),
        ({"targetIDs": ["/in-cse"]}, Rsc.BAD_REQUEST),
        ({"targetIDs": ["/in-cse"], "SUID": 33}, Rsc.BAD_REQUEST),
        ({"targetIDs": ["maf.example.com"]}, Rsc.BAD_REQUEST),
        ({"targetIDs": [str(ID_A)]}, Rsc.ORIGINATOR_HAS_NO_PRIVILEGE),
        ({"expirationTime": "20200101T000000"}, Rsc.BAD_REQUEST),
        ({"fqdn": "other.example"}, Rsc.BAD_REQUEST),
    ],
)
async def test_a_registration_beyond_what_is_allowed_is_refused_and_stores_nothing(maf, store, changes, rsc):
    session = await shake_hands(maf, A_OF_TWO)
    assert (await register(session, **changes)).rsc is rsc
    assert await store.records(KeyKind.KC) == []


async def test_a_client_without_targets_registers_nothing(maf, store):
    session = await shake_hands(maf, B)
    assert (await register(session)).rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
    assert await store.records(KeyKind.KC) == []


async def test_a_key_for_several_targets_takes_a_usage_that_allows_them(maf):
    session = await shake_hands(maf, A_OF_TWO)
    response = await register(session, SUID=34, targetIDs=[str(ID_B), str(ID_C)])
    assert response.rsc is Rsc.CREATED
    for who in (B, C):
        assert (await retrieve(maf, who, field(response, "relativeKeyID"))).rsc is Rsc.OK


async def test_a_proposed_lifetime_is_cut_to_what_the_maf_allows(maf):
    session = await shake_hands(maf, A_OF_TWO)
    response = await register(session, expirationTime="99990101T000000")
    ends = datetime.strptime(field(response, "expirationTime"), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    assert ends <= datetime.now(UTC) + DEFAULT_KC_LIFETIME


# --- the precondition: a client registration for this stakeholder (8.8.2.7) ---


async def test_a_client_that_is_not_registered_for_the_stakeholder_registers_no_key(maf, store):
    session = await shake_hands(maf, A_OF_TWO)
    for admin in ("admin.example.com", str(MAF), "esprim.example"):
        assert (await register(session, adminFQDN=admin)).rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
    assert await store.records(KeyKind.KC) == []
    await store.add_registration(client_registration(ID_A, Fqdn("admin.example.com")))
    assert (await register(session, adminFQDN="admin.example.com")).rsc is Rsc.CREATED


async def test_a_registration_that_has_ended_or_is_another_client_s_counts_for_nothing(maf, store):
    ended = datetime.now(UTC) - timedelta(seconds=1)
    await store.add_registration(client_registration(ID_A, Fqdn("admin.example.com"), expires=ended))
    await store.add_registration(client_registration(ID_B, MAF))
    session = await shake_hands(maf, A_OF_TWO)
    for admin in ("admin.example.com", str(MAF)):
        assert (await register(session, adminFQDN=admin)).rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE


async def test_a_stakeholder_has_keys_distributed_for_its_own_usages_only(maf, store):
    await store.add_registration(client_registration(ID_A, Fqdn("esprim.example")))
    session = await shake_hands(maf, A_OF_TWO)
    refused = await register(session, adminFQDN="esprim.example")
    assert refused.rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
    assert (await register(session, adminFQDN="esprim.example", SUID=33)).rsc is Rsc.CREATED


async def test_a_stakeholder_that_is_not_configured_any_more_is_refused_whoever_registered_for_it(maf, store):
    await store.add_registration(client_registration(ID_A, Fqdn("former.example")))
    session = await shake_hands(maf, A_OF_TWO)
    response = await register(session, adminFQDN="former.example")
    assert response.rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.parametrize("text", ["admin.example", "admin.example=32,33", "admin.example=23"])
def test_a_stakeholder_is_written_as_it_is_read(text):
    assert str(Stakeholder.parse(text)) == text


@pytest.mark.parametrize("text", ["", "=32", "a b", "admin.example=", "admin.example=99", "admin.example=x"])
def test_what_is_no_stakeholder_is_refused(text):
    with pytest.raises((ConfigurationError, IdentifierError)):
        Stakeholder.parse(text)


# --- update, de-registration ---


async def registered(maf: Maf) -> tuple[MafSession, str]:
    session = await shake_hands(maf, A_OF_TWO)
    return session, field(await register(session), "relativeKeyID")


async def test_the_source_changes_lifetime_labels_and_target(maf, store):
    session, relative = await registered(maf)
    sooner = LATER - timedelta(minutes=30)
    changes = {"et": timestamp(sooner), "lbl": ["new"], "tgis": [str(ID_C)]}
    response = await session.request(Operation.UPDATE, "symmKeyReg", relative, content={NAME: changes})
    assert response.rsc is Rsc.UPDATED
    assert response.content[NAME] == changes
    record = await store.find(KeyKind.KC, KeyIdentifier.parse(f"{relative}@{MAF}"))
    assert (record.expires, record.labels, record.targets) == (sooner, ("new",), (ID_C,))
    assert (await retrieve(maf, B, relative)).rsc is Rsc.NOT_FOUND
    assert (await retrieve(maf, C, relative)).rsc is Rsc.OK


async def test_an_update_never_lengthens_a_lifetime(maf, store):
    session, relative = await registered(maf)
    await session.request(Operation.UPDATE, "symmKeyReg", relative, content={NAME: {"et": "99990101T000000"}})
    record = await store.find(KeyKind.KC, KeyIdentifier.parse(f"{relative}@{MAF}"))
    assert record.expires == LATER


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"suid": 34},
        {"adfq": "other.example"},
        {"kv": base64.b64encode(bytes(32)).decode(), "lbl": []},
        {"tgis": []},
    ],
)
async def test_an_update_of_what_cannot_be_changed_is_refused(maf, changes):
    session, relative = await registered(maf)
    response = await session.request(Operation.UPDATE, "symmKeyReg", relative, content={NAME: changes})
    assert response.rsc is Rsc.BAD_REQUEST


async def test_an_update_cannot_reach_a_target_beyond_the_credential(maf):
    session, relative = await registered(maf)
    response = await session.request(
        Operation.UPDATE, "symmKeyReg", relative, content={NAME: {"tgis": ["//sp.example/elsewhere"]}}
    )
    assert response.rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE


async def test_a_deregistered_key_is_handed_out_no_more(maf, store):
    session, relative = await registered(maf)
    assert (await session.request(Operation.DELETE, "symmKeyReg", relative)).rsc is Rsc.DELETED
    assert await store.records(KeyKind.KC) == []
    assert (await retrieve(maf, B, relative)).rsc is Rsc.NOT_FOUND
    assert (await session.request(Operation.DELETE, "symmKeyReg", relative)).rsc is Rsc.NOT_FOUND


@pytest.mark.parametrize("who", [B, C], ids=["the target", "a stranger"])
@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.DELETE])
async def test_nobody_but_the_source_changes_or_removes_a_key(maf, store, who, operation):
    _, relative = await registered(maf)
    session = await shake_hands(maf, who)
    body = {NAME: {"lbl": ["mine"]}} if operation is Operation.UPDATE else None
    response = await session.request(operation, "symmKeyReg", relative, content=body)
    assert response.rsc is Rsc.NOT_FOUND
    assert len(await store.records(KeyKind.KC)) == 1


# --- at the same moment ---


class Racing(Store):
    """A store in which something happens right after each look at a key, while it is armed."""

    happens = None

    async def find(self, kind, key_id, **settings):
        found = await super().find(kind, key_id, **settings)
        if self.happens is not None and kind is KeyKind.KC:
            await self.happens(found)
        return found


@pytest.fixture
async def racing(tmp_path) -> AsyncIterator[Racing]:
    async with await Racing.open(tmp_path / "racing") as opened:
        await opened.add_many([client.record for client in EVERYBODY])
        for entity in (ID_A, ID_B):
            await opened.add_registration(client_registration(entity))
        yield opened


ENDINGS = {
    "client removed": lambda store, _: store.remove(KeyKind.KM, A_OF_TWO.km_id, descendants=True),
    "client given another Km": lambda store, _: store.add(
        dataclasses.replace(A_OF_TWO.record, key=key_of("another")), replace=True
    ),
    "key deregistered": lambda store, kc: store.remove(KeyKind.KC, kc.key_id),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("request_is", ["update", "registration again"])
async def test_a_key_that_is_removed_during_a_request_for_it_does_not_come_back(racing, ending, request_is):
    maf = Maf(racing, MAF, stakeholders=STAKEHOLDERS)
    session, relative = await registered(maf)
    racing.happens = lambda kc: ENDINGS[ending](racing, kc)
    if request_is == "update":
        body = {NAME: {"lbl": ["mine"]}}
        response = await session.request(Operation.UPDATE, "symmKeyReg", relative, content=body)
    else:
        response = await register(session)
    assert response.rsc is Rsc.CONFLICT
    assert await racing.records(KeyKind.KC) == []


@pytest.mark.parametrize("ending", ["client removed", "client given another Km"])
async def test_a_client_that_is_removed_registers_nothing_on_the_session_that_it_has(racing, ending):
    maf = Maf(racing, MAF, stakeholders=STAKEHOLDERS)
    session = await shake_hands(maf, A_OF_TWO)
    await ENDINGS[ending](racing, None)
    for key_value in (None, base64.b64encode(bytes(32)).decode()):
        assert (await register(session, keyValue=key_value)).rsc is Rsc.ORIGINATOR_HAS_NO_PRIVILEGE
    assert await racing.records(KeyKind.KC) == []


async def test_of_two_updates_at_once_neither_undoes_the_other(racing):
    maf = Maf(racing, MAF, stakeholders=STAKEHOLDERS)
    session, relative = await registered(maf)
    sooner = LATER - timedelta(minutes=30)

    async def meanwhile(found):
        racing.happens = None
        body = {NAME: {"et": timestamp(sooner)}}
        response = await session.request(Operation.UPDATE, "symmKeyReg", relative, content=body)
        assert response.rsc is Rsc.UPDATED

    racing.happens = meanwhile
    body = {NAME: {"lbl": ["mine"]}}
    response = await session.request(Operation.UPDATE, "symmKeyReg", relative, content=body)
    assert response.rsc is Rsc.CONFLICT
    [record] = await racing.records(KeyKind.KC)
    assert (record.expires, record.labels) == (sooner, ())


@pytest.mark.parametrize("relative", ["", "x", "0" * 32, "../x", "a b", "ü", "0" * 300])
async def test_a_key_that_is_not_there_is_not_found_whatever_it_is_called(maf, relative):
    assert (await retrieve(maf, B, relative)).rsc is Rsc.NOT_FOUND


async def test_lifetimes_count_by_the_clock_that_the_maf_was_given(store):
    tomorrow = LATER + timedelta(days=1)
    maf = Maf(store, MAF, stakeholders=STAKEHOLDERS, clock=Clock(now=lambda: tomorrow))
    response = await register(await shake_hands(maf, A_OF_TWO))
    assert response.rsc is Rsc.BAD_REQUEST, "by that clock, what is proposed is in the past"
    session = await shake_hands(maf, A_OF_TWO)
    response = await register(session, expirationTime=timestamp(tomorrow + timedelta(days=365)))
    assert response.rsc is Rsc.CREATED
    record = await store.find(KeyKind.KC, session.client.export(ExportLabel.CONNECTION).key_id(MAF))
    assert (record.issued, record.expires) == (tomorrow, tomorrow + DEFAULT_KC_LIFETIME)
