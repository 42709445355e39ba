"""Which release a MAF's client speaks, and for whom it wants a key: by what it does, the MAF knows."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from logged import capture_logs
from maf_support import A_OF_TWO, ID_A, ID_B, ID_C, LOOPBACK, MAF, A, B, C, Client, running_maf
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.errors import HandshakeError, PeerRefusedError
from onem2m_security.frameworks import maf_handshake
from onem2m_security.identifiers import Suid
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.store import KeyKind
from programs import key_file, m2msec

LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
END_TO_END = (Suid.MAF_ESPRIM, Suid.MAF_ESDATA_ENCRYPTION, Suid.MAF_ESDATA_SIGNATURE)


async def until_it_ends(channel):
    await channel.read()


@pytest.mark.parametrize("suid", END_TO_END)
async def test_a_client_with_one_target_registers_its_session_s_key_for_another_usage(tmp_path, suid):
    async with running_maf(tmp_path) as maf:
        made = await A.maf_client(maf.address).register_key(expires=LATER, target=ID_B, admin=MAF, suid=suid)
        [record] = await maf.store.records(KeyKind.KC)
        assert (record.key_id, record.key) == (made.kc_id, made.kc)
        assert (record.suid, record.targets, record.expires) == (suid, (ID_B,), LATER)


async def test_the_automatic_key_serves_a_client_that_asks_for_nothing(tmp_path):
    async with running_maf(tmp_path) as maf:
        made = await A.maf_client(maf.address).handshake()
        assert (await B.maf_client(maf.address).retrieve(made.kc_id)).key == made.kc


# --- Release 1 with several targets: a KmId for each, Km may be the same ---


def one_of_two(name: str, target) -> Client:
    return Client(name, ID_A, (target,))


TO_B, TO_C = one_of_two("a.b", ID_B), one_of_two("a.c", ID_C)


def same_km(who: Client, maf: Address) -> MafClient:
    """The device has one Km, and shows the KmId of whom it means to reach."""
    km = maf_handshake.credential(who.km_id, A.km)
    return MafClient(MAF, Link(maf), maf_handshake.initiate(ID_A, MAF, km))


async def test_in_release_1_the_km_id_says_which_target_and_nobody_else_gets_the_key(tmp_path):
    async with running_maf(tmp_path, clients=(B, C)) as maf:
        for who in (TO_B, TO_C):
            await maf.store.add(dataclasses.replace(who.record, key=A.km))
        for who, there, other, peer in ((TO_B, B, C, ID_B), (TO_C, C, B, ID_C)):
            async with EntityB(peer, mafs=[there.maf_client(maf.address)]) as entity_b:
                bound = await entity_b.listen(LOOPBACK, until_it_ends)
                how = same_km(who, maf.address).initiator(peer)
                async with await associate(Link(bound), how) as channel:
                    shown = channel.association.credential_id.value
            [record] = [one for one in await maf.store.records(KeyKind.KC) if one.targets == (peer,)]
            assert shown == str(record.key_id)
            assert await other.maf_client(maf.address).retrieve(record.key_id) is None


async def test_a_handshake_of_a_client_with_several_targets_makes_no_key_and_the_maf_says_so(tmp_path):
    with capture_logs() as lines:
        async with running_maf(tmp_path) as maf:
            await A_OF_TWO.maf_client(maf.address).handshake()
            assert await maf.kcs() == {}
    [told] = [line for line in lines if "several targets" in line["event"]]
    assert (told["client"], told["targets"]) == (str(ID_A), 2)


@pytest.mark.parametrize(("targets", "says"), [(("/b",), False), (("/b", "/c"), True)])
def test_whoever_adds_a_client_with_several_targets_is_told_what_that_means(tmp_path, targets, says):
    km = key_file(tmp_path, "km", A.km.reveal())
    done = m2msec(
        "maf", "add-client", "--data", tmp_path / "maf", "--km-id", A.km_id, "--entity", "/a",
        "--km-file", km, *(part for target in targets for part in ("--target", target)),
    )  # fmt: skip
    assert ("under a KmId of its own" in done.stderr) is says


# --- a client whose CSE-ID or AE-ID the MAF does not know ---


async def test_where_the_maf_names_no_ida_the_credential_id_is_that_of_km_id(tmp_path):
    unnamed = dataclasses.replace(A.record, source=None)
    came = asyncio.get_running_loop().create_future()

    async def note(channel):
        came.set_result(channel.association)

    async with running_maf(tmp_path, clients=(B,)) as maf:
        await maf.store.add(unnamed)
        async with EntityB(ID_B, mafs=[B.maf_client(maf.address)]) as entity_b:
            bound = await entity_b.listen(LOOPBACK, note)
            async with await associate(Link(bound), A.maf_client(maf.address).initiator(ID_B)):
                association = await came
    assert association.peer is None
    assert str(association.credential_id) == f"11-{A.km_id}"
    assert not association.authenticates(str(ID_A))


# --- what stays refused ---


async def test_one_session_s_key_is_registered_for_one_usage(tmp_path):
    async with running_maf(tmp_path) as maf:
        client = A.maf_client(maf.address)
        for suid in END_TO_END:
            await client.register_key(expires=LATER, target=ID_B, admin=MAF, suid=suid)
        assert [one.suid for one in await maf.store.records(KeyKind.KC)] == list(END_TO_END)
        with pytest.raises(PeerRefusedError, match="not among those allowed"):
            await client.register_key(expires=LATER, target=ID_C, admin=MAF, suid=END_TO_END[0])


async def test_a_km_id_that_was_not_provisioned_reaches_nobody(tmp_path):
    async with running_maf(tmp_path) as maf:
        with pytest.raises(HandshakeError):
            await same_km(TO_C, maf.address).handshake()
