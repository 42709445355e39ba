"""How Entity A knows who Entity B is: proven by the handshake, or only configured."""

from __future__ import annotations

import asyncio
import json

import pytest

import certificate_support as pki
from maf_support import ID_A, ID_B, ID_C, LOOPBACK, A, B, eventually, key_of, running_maf
from onem2m_security.association import PeerProof
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import PeerRefusedError
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from programs import key_file, m2msec

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)


async def until_it_ends(channel: Channel) -> None:
    while await channel.read():
        pass


@pytest.mark.parametrize(
    ("release", "proof"), [(Release.R1, PeerProof.CONFIGURED), (Release.R3, PeerProof.AUTHENTICATED)]
)
async def test_through_a_maf_the_peer_is_proven_when_the_maf_said_for_whom_kc_is(tmp_path, release, proof):
    accepted: list[Channel] = []

    async def note(channel: Channel) -> None:
        accepted.append(channel)
        await until_it_ends(channel)

    async with running_maf(tmp_path) as maf, EntityB(ID_B, mafs=[B.maf_client(maf.address)]) as b:
        address = await b.listen(LOOPBACK, note)
        async with await associate(
            Link(address), A.maf_client(maf.address).initiator(ID_B, release=release)
        ) as channel:
            assert channel.association.peer == ID_B
            assert channel.association.peer_proof is proof
            await eventually(lambda: accepted)
            assert accepted[0].association.peer_proof is PeerProof.AUTHENTICATED


async def test_in_release_1_another_peer_than_the_maf_s_is_never_reported_as_proven(tmp_path):
    """A is configured for another CSE than the MAF: it is B that answers, and A cannot tell."""
    async with running_maf(tmp_path) as maf, EntityB(ID_B, mafs=[B.maf_client(maf.address)]) as b:
        address = await b.listen(LOOPBACK, until_it_ends)
        async with await associate(Link(address), A.maf_client(maf.address).initiator(ID_C)) as channel:
            assert channel.association.as_dict()["peer_proof"] == "configured"
        with pytest.raises(PeerRefusedError):
            await associate(Link(address), A.maf_client(maf.address).initiator(ID_C, release=Release.R3))


async def test_a_provisioned_key_and_a_certificate_prove_the_peer():
    async with EntityB(pki.ID_B, keys=[KPSA], endpoint=pki.endpoint_b()) as b:
        address = await b.listen(LOOPBACK, until_it_ends)
        async with await associate(Link(address), saef_psk.initiate(ID_A, pki.ID_B, KPSA)) as channel:
            assert channel.association.peer_proof is PeerProof.AUTHENTICATED
        async with await open_channel(Link(address), pki.initiator_a()) as channel:
            assert channel.association.peer_proof is PeerProof.AUTHENTICATED


@pytest.mark.parametrize("as_json", [False, True])
async def test_connect_says_that_the_peer_is_only_configured(tmp_path, as_json):
    km = key_file(tmp_path, "km", A.km.reveal())
    async with (
        running_maf(tmp_path / "data") as maf,
        EntityB(ID_B, mafs=[B.maf_client(maf.address)]) as b,
    ):
        address = await b.listen(LOOPBACK, until_it_ends)
        done = await asyncio.to_thread(
            m2msec, "connect", address, "--peer", "/other-cse", "--entity", ID_A, "--maf", maf.address,
            "--km-id", A.km_id, "--km-file", km, "--wait", 0, *(["--json"] if as_json else []),
        )  # fmt: skip
    if as_json:
        assert json.loads(done.stdout)["peer_proof"] == "configured"
    else:
        assert "/other-cse (as configured: the MAF did not say so)" in done.stderr
