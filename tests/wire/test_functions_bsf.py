"""Zn at the BSF in our own form: which NAF gets which key of whom."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gba_support import (
    AE,
    BSF,
    CSE_NAF,
    MAF,
    MAF_NAF,
    NAF,
    OTHER,
    OTHER_NAF,
    Card,
    a_subscriber,
    a_subscription,
    an_impi,
    gba_u_subscription,
    running_bsf,
)
from onem2m_security.credentials import Secret
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.frameworks import saef_gba, saef_psk
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.gba.context import BootstrappedContext
from onem2m_security.gba.keys import KeyChoice, ua_security_protocol
from onem2m_security.gba.subscriber import Guss, NafSettings
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.net.address import Transport
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.link import Link
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.onem2m.resources import BootstrappingInfo
from onem2m_security.store.records import Bootstrapping

UA = ua_security_protocol(0x00AE)


@pytest.fixture
async def bsf(tmp_path):
    async with running_bsf(tmp_path / "data") as running:
        yield running


async def fetched(running, who, context, ua=UA, **settings):
    client = who.client(running.zn, **settings)
    try:
        return await client.fetch(context.b_tid, ua)
    finally:
        await client.close()


@pytest.mark.parametrize("transport", Transport)
async def test_a_naf_gets_the_key_that_the_ue_derives(bsf, transport):
    context = await bsf.ue().bootstrap()
    found = await fetched(bsf, CSE_NAF, context, transport=transport)
    assert found.key == context.naf_key(NAF, UA)
    assert found.choice is KeyChoice.KS_NAF
    assert found.entity == AE
    assert found.expires == context.expires
    assert abs(found.issued - context.issued) < timedelta(minutes=1)


async def test_each_naf_and_each_suite_has_a_key_of_its_own(bsf):
    context = await bsf.ue().bootstrap()
    keys = [
        (await fetched(bsf, naf, context, ua_security_protocol(code))).key
        for naf in (CSE_NAF, MAF_NAF)
        for code in (0x00AE, 0xC0A8)
    ]
    assert keys == [
        context.naf_key(naf, ua_security_protocol(code)) for naf in (NAF, MAF) for code in (0x00AE, 0xC0A8)
    ]
    assert len({key.reveal() for key in keys}) == 4


async def test_a_naf_that_asks_for_anothers_key_gets_none(bsf):
    context = await bsf.ue().bootstrap()
    assert await fetched(bsf, OTHER, context, naf=NAF) is None
    assert await fetched(bsf, CSE_NAF, context, naf=MAF) is None
    assert await fetched(bsf, CSE_NAF, context) is not None


async def test_settings_that_do_not_name_a_naf_or_forbid_it_give_it_nothing(tmp_path):
    guss = Guss((NafSettings(NAF, allowed=False),))
    async with running_bsf(tmp_path / "data", [a_subscription(guss=guss)]) as bsf:
        context = await bsf.ue().bootstrap()
        assert await fetched(bsf, CSE_NAF, context) is None, "forbidden"
        assert await fetched(bsf, OTHER, context) is None, "not named"


async def test_an_unknown_and_an_ended_b_tid_give_nothing(bsf):
    context = await bsf.ue().bootstrap()
    for rand, ends in ((bytes(16), timedelta()), (bytes(15) + b"1", timedelta(hours=1))):
        b_tid = KeyIdentifier.from_octets(rand, BSF)
        now = datetime.now(UTC)
        kept = BootstrappedContext(b_tid, context.ks, an_impi(2), now - ends - ends, now - ends)
        if ends:
            await bsf.store.bootstrappings.add(Bootstrapping(kept, Guss((NafSettings(NAF),))))
        assert await fetched(bsf, CSE_NAF, kept) is None


async def test_a_key_of_a_naf_ends_with_its_own_lifetime(tmp_path):
    guss = Guss((NafSettings(NAF, lifetime=timedelta(minutes=5)), NafSettings(MAF)))
    async with running_bsf(tmp_path / "data", [a_subscription(guss=guss)]) as bsf:
        context = await bsf.ue().bootstrap()
        found = await fetched(bsf, CSE_NAF, context)
        assert found.expires == found.issued + timedelta(minutes=5)
        assert (await fetched(bsf, MAF_NAF, context)).expires == context.expires


async def test_a_key_whose_own_lifetime_is_over_is_not_given(tmp_path):
    guss = Guss((NafSettings(NAF, lifetime=timedelta(minutes=5)),))
    async with running_bsf(tmp_path / "data", []) as bsf:
        now = datetime.now(UTC)
        b_tid = KeyIdentifier.from_octets(bytes(16), BSF)
        issued = now - timedelta(minutes=6)
        kept = BootstrappedContext(b_tid, Secret(bytes(32)), an_impi(), issued, now + timedelta(hours=1))
        await bsf.store.bootstrappings.add(Bootstrapping(kept, guss))
        assert await fetched(bsf, CSE_NAF, kept) is None


@pytest.mark.parametrize("choice", [KeyChoice.KS_EXT_NAF, KeyChoice.KS_INT_NAF])
async def test_with_gba_u_the_settings_choose_the_key(tmp_path, choice):
    async with running_bsf(tmp_path / "data", [gba_u_subscription(choice)]) as bsf:
        context = await bsf.ue(Card(a_subscriber(), gba_u=True)).bootstrap()
        found = await fetched(bsf, CSE_NAF, context)
        assert found.choice is choice
        assert found.key == context.naf_key(NAF, UA, choice)


async def test_barring_a_subscriber_ends_what_nafs_may_have(bsf):
    context = await bsf.ue().bootstrap()
    await bsf.store.subscribers.set_barred(an_impi(), barred=True)
    assert await fetched(bsf, CSE_NAF, context) is None


async def test_a_naf_with_a_wrong_key_and_one_that_was_removed_are_not_let_in(bsf):
    context = await bsf.ue().bootstrap()
    from onem2m_security.store import KeyKind

    await bsf.store.remove(KeyKind.ZN, OTHER.key_id)
    with pytest.raises(ResolverUnavailableError):
        await fetched(bsf, OTHER, context)
    wrong = saef_psk.credential(CSE_NAF.key_id, Secret.generate())
    from onem2m_security.clients.bsf import NafClient

    client = NafClient(
        BSF,
        Link(bsf.zn),
        saef_gba.initiate_zn(CSE_NAF.entity, BSF, wrong),
        naf=NAF,
    )
    with pytest.raises(ResolverUnavailableError):
        await client.fetch(context.b_tid, UA)
    await client.close()


@pytest.mark.parametrize(
    ("path", "rsc"),
    [
        (("no-b-tid", str(NAF), UA.hex()), Rsc.BAD_REQUEST),
        (("00" * 16 + f"@{BSF}", "*", UA.hex()), Rsc.BAD_REQUEST),
        (("00" * 16 + f"@{BSF}", str(NAF), "zz"), Rsc.BAD_REQUEST),
        (("00" * 16 + f"@{BSF}", str(NAF), "0100"), Rsc.BAD_REQUEST),
        (("00" * 16 + f"@{BSF}", str(NAF), UA.hex()), Rsc.NOT_FOUND),
        (("00" * 16 + f"@{BSF}", str(OTHER_NAF), UA.hex()), Rsc.ORIGINATOR_HAS_NO_PRIVILEGE),
        (("00" * 16 + f"@{BSF}", str(NAF)), Rsc.NOT_FOUND),
    ],
)
async def test_a_request_that_cannot_be_answered_gets_its_status(bsf, path, rsc):
    key = saef_psk.credential(CSE_NAF.key_id, CSE_NAF.record.key)
    client = HttpClient(Link(bsf.zn), initiate(CSE_NAF.entity, EntityId(str(BSF)), key, server_name=BSF))
    response = await client.request(Operation.RETRIEVE, ("zn", "bootstrappingInfo", *path))
    await client.close()
    assert response.rsc is rsc


async def test_many_nafs_may_ask_at_once(bsf):
    context = await bsf.ue().bootstrap()
    client = CSE_NAF.client(bsf.zn)
    found = await asyncio.gather(*(client.fetch(context.b_tid, UA) for _ in range(40)))
    await client.close()
    assert {naf_key.key for naf_key in found} == {context.naf_key(NAF, UA)}


GOOD = {"kv": "AA==", "kty": "Ks_NAF", "bt": "20300101T000000", "et": "20300101T000000"}


async def test_an_answer_that_is_no_key_is_told_as_the_bsfs_failure(bsf):
    contents: list[object] = []

    async def answer(request, established):
        return Response(Rsc.OK, contents[-1])

    bsf.bsf.routes[Operation.RETRIEVE, BootstrappingInfo.path, 3] = answer
    client = CSE_NAF.client(bsf.zn)
    b_tid = KeyIdentifier.from_octets(bytes(16), BSF)
    for body in (
        None,
        [],
        *({name: value for name, value in GOOD.items() if name != missing} for missing in GOOD),
        GOOD | {"kv": "!"},
        GOOD | {"kty": "Ks"},
        GOOD | {"bt": 5},
        GOOD | {"src": "//"},
    ):
        contents.append({"gba:bi": body})
        with pytest.raises(ResolverUnavailableError):
            await client.fetch(b_tid, UA)
    contents.append({"gba:bi": GOOD | {"of a newer BSF": 1}})
    found = await client.fetch(b_tid, UA)
    assert (found.choice, found.key) == (KeyChoice.KS_NAF, Secret(bytes(1)))
    await client.close()
