"""How one proves oneself: asked for when a session is opened, and one value for every framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from gba_support import AE, BSF, CSE, CSE_NAF, Card, a_subscriber, running_bsf
from maf_support import ID_A, ID_B, LOOPBACK, key_of
from mef_support import CSE as TARGET
from mef_support import DEVICE, OTHER_CSE, THE_CSE, running_mef
from onem2m_security.clients.enrolee import Enrolee
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.ue import NafChoice, Ue, suite_over
from onem2m_security.clock import Clock
from onem2m_security.errors import ConfigurationError, HandshakeError, PeerRefusedError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.steps import Initiator, initiator_of
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Transport
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.primitives import Operation, Response, Rsc
from onem2m_security.store import Store

KEYS = [
    saef_psk.credential(KeyIdentifier.parse(f"{name}@issuer.example"), key_of(name), peer=ID_A)
    for name in ("first", "second")
]


def by(number: int) -> Initiator:
    return saef_psk.initiate(ID_A, ID_B, KEYS[number])


@asynccontextmanager
async def told_by_whom(transport: Transport) -> AsyncIterator[tuple[Link, list[tuple[str, int]]]]:
    """An Entity B that notes by which credential, and in which session, each request came."""
    asked: list[tuple[str, int]] = []

    async def handle(request, established):
        asked.append((str(established.association.credential_id), id(established.session)))
        return Response(Rsc.OK)

    async with EntityB(ID_B, keys=KEYS) as entity_b:
        yield Link(await entity_b.listen_requests(LOOPBACK, handle, transport=transport), transport), asked


@pytest.mark.parametrize("transport", Transport)
async def test_a_client_opens_a_session_when_it_is_given_another_way_and_only_then(transport):
    first, second = by(0), by(1)
    ways = [first, first, second, second]

    async def how():
        return ways[0]

    async with told_by_whom(transport) as (link, asked):
        client = request_client(link, how)
        with pytest.raises(HandshakeError, match="no connection"):
            _ = client.established
        while ways:
            await client.request(Operation.RETRIEVE, ("x",))
            del ways[0]
        assert client.established.credential.key_id == KEYS[1].key_id
        await client.close()
    assert [credential for credential, _ in asked] == [str(KEYS[n].credential_id) for n in (0, 0, 1, 1)]
    assert asked[0] == asked[1] != asked[2] == asked[3]


async def test_a_way_that_cannot_be_had_is_the_error_of_whoever_asks():
    async def refused():
        raise PeerRefusedError("not for you", rsc=4103)

    with pytest.raises(PeerRefusedError, match="not for you"):
        await associate(Link(LOOPBACK), refused)
    with pytest.raises(PeerRefusedError, match="not for you"):
        await request_client(Link(LOOPBACK), refused).request(Operation.RETRIEVE, ("x",))


# --- GBA ---


@pytest.mark.parametrize("transport", Transport)
async def test_a_ue_bootstraps_when_it_is_needed_and_again_when_that_has_ended(tmp_path, transport):
    now = datetime.now(UTC)
    card = Card(a_subscriber())

    async def accepted(channel):
        await channel.write(await channel.read())

    async with (
        running_bsf(tmp_path) as bsf,
        EntityB(CSE, bsfs=[CSE_NAF.client(bsf.zn)]) as entity_b,
    ):
        link = Link(await entity_b.listen(LOOPBACK, accepted, transport=transport), transport)
        ue = Ue(card, BSF, Link(bsf.ub), clock=Clock(now=lambda: now))
        how = ue.initiator(AE, CSE, NafChoice(suite_over(transport)))
        assert card.challenges == []
        for _ in range(2):
            async with await associate(link, how) as channel:
                assert channel.association.peer == CSE
                await channel.write(b"hello")
                assert await channel.read() == b"hello"
        assert len(card.challenges) == 1
        assert await initiator_of(how) is await initiator_of(how)
        first = (await ue.context()).b_tid
        now = (await ue.context()).expires
        assert (await ue.context()).b_tid != first
        assert len(card.challenges) == 2


# --- an Enrolee ---


async def test_an_enrolee_proves_itself_to_its_enrolment_targets_and_to_nobody_else(tmp_path):
    async def accepted(channel):
        await channel.write(await channel.read())

    async with (
        running_mef(tmp_path / "mef") as mef,
        await Store.open(tmp_path / "device") as store,
        EntityB(TARGET, mefs=[THE_CSE.client(mef.address)]) as entity_b,
    ):
        link = Link(await entity_b.listen(LOOPBACK, accepted))
        enrolee = await Enrolee.configure(
            store,
            kpm_id=DEVICE.kpm_id,
            kpm=DEVICE.kpm,
            instruction=DEVICE.instruction,
            link=Link(mef.address),
        )
        async with await associate(link, enrolee.initiator(TARGET)) as channel:  # it enrols by itself
            assert channel.association.peer == TARGET
            await channel.write(b"hello")
            assert await channel.read() == b"hello"
        with pytest.raises(ConfigurationError, match="not an Enrolment Target"):
            enrolee.initiator(OTHER_CSE)
