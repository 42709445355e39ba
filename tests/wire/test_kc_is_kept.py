"""Entity A keeps Kc and uses it again until it ends (TS-0003 clause 8.2.2.3)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import ID_A, ID_B, ID_C, LOOPBACK, MAF, A, B, C, key_of, running_maf
from onem2m_security.association import PeerProof
from onem2m_security.clients.connection_keys import KEPT_MAX, KeysInMemory, KeysInStore
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.through_maf import REFUSALS
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks.maf_handshake import ConnectionKey
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.release import Release
from onem2m_security.store import KeyKind, Store
from programs import kc_rows, key_file, m2msec

SOON = Limits(handshake_seconds=1.0)
NEW_AND_REFUSED = (
    rf"does not know the identity.*Kc [^ ]+@{MAF} is new.*: let {ID_B} ask this MAF, .*\(m2msec maf clients\)"
)
LATER = datetime.now(UTC) + timedelta(hours=1)


@contextlib.asynccontextmanager
async def entity_b(maf, transport=Transport.TLS, who=B):
    """An Entity B that keeps nothing open."""

    async def close(channel):
        await channel.close()

    async with EntityB(who.entity, mafs=[who.maf_client(maf.address)]) as b:
        bound = await b.listen(LOOPBACK, close, transport=transport)
        yield b, Link(bound, transport)


async def meet(link, how):
    async with await associate(link, how) as channel:
        return channel.association


def free_port(kind=socket.SOCK_STREAM) -> Address:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("release", list(Release))
@pytest.mark.parametrize("transport", list(Transport))
async def test_one_kc_serves_several_handshakes_and_both_ends_know_when_it_ends(tmp_path, release, transport):
    async with running_maf(tmp_path / "maf") as maf, entity_b(maf, transport) as (_, link):
        how = A.maf_client(maf.address).initiator(ID_B, release=release)
        seen = [await meet(link, how) for _ in range(3)]
        assert len({one.credential_id for one in seen}) == 1
        [record] = await maf.store.records(KeyKind.KC)
        assert all(one.expires is not None and one.expires <= record.expires for one in seen)
        told = PeerProof.AUTHENTICATED if release is Release.R3 else PeerProof.CONFIGURED
        assert {one.peer_proof for one in seen} == {told}


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_session_that_was_closed_because_it_was_idle_comes_back_without_the_maf(tmp_path, transport):
    async def listen(channel):
        while await channel.read():
            pass

    async with contextlib.AsyncExitStack() as while_the_maf_is_there:
        maf = await while_the_maf_is_there.enter_async_context(running_maf(tmp_path / "maf"))
        how = A.maf_client(maf.address).initiator(ID_B)
        limits = Limits(idle_seconds=0.2)
        async with EntityB(B.entity, mafs=[B.maf_client(maf.address)], limits=limits) as b:
            link = Link(await b.listen(LOOPBACK, listen, transport=transport), transport)
            async with await associate(link, how) as channel:
                assert await channel.read() == b"", "Entity B closed it"
            await while_the_maf_is_there.aclose()
            async with await associate(link, how) as again:
                assert again.association.credential_id == channel.association.credential_id


async def test_a_kc_in_a_data_directory_outlives_the_process(tmp_path):
    async with running_maf(tmp_path / "maf") as maf, entity_b(maf) as (_, link):
        for release in Release:
            seen = []
            for _ in range(2):
                async with await Store.open(tmp_path / release.name) as store:
                    client = A.maf_client(maf.address)
                    client.keep_in(KeysInStore(store))
                    seen.append(await meet(link, client.initiator(ID_B, release=release)))
            assert seen[0].credential_id == seen[1].credential_id
            assert seen[0].peer_proof is seen[1].peer_proof
        assert len(await maf.kcs()) == len(Release)


async def test_processes_that_share_a_data_directory_do_not_disturb_each_other(tmp_path):
    async with (
        running_maf(tmp_path / "maf") as maf,
        entity_b(maf) as (_, link),
        contextlib.AsyncExitStack() as open_,
    ):
        hows = []
        for _ in range(4):
            client = A.maf_client(maf.address)
            client.keep_in(KeysInStore(await open_.enter_async_context(await Store.open(tmp_path / "a"))))
            hows.append(client.initiator(ID_B))
        await asyncio.gather(*(meet(link, how) for how in hows))
        made = await maf.kcs()
        assert 1 <= len(made) <= 4
        last = [await meet(link, how) for how in hows]
        assert len({one.credential_id for one in last}) == 1, "the newest serves all"
        assert await maf.kcs() == made


async def test_a_kc_for_one_peer_is_never_shown_to_another(tmp_path):
    a = replace(A, targets=(ID_B, ID_C))
    async with (
        running_maf(tmp_path / "maf", clients=(a, B, C)) as maf,
        entity_b(maf) as (_, to_b),
        entity_b(maf, who=C) as (_, to_c),
    ):
        client = a.maf_client(maf.address)
        seen = [
            await meet(link, client.initiator(peer, release=Release.R3))
            for link, peer in ((to_b, ID_B), (to_c, ID_C))
        ]
        assert seen[0].credential_id != seen[1].credential_id


async def test_a_kc_is_used_no_more_once_it_has_ended(tmp_path):
    async with running_maf(tmp_path / "maf") as maf, entity_b(maf) as (_, link):
        client = A.maf_client(maf.address)
        kept = KeysInMemory()
        client.keep_in(kept)
        how = client.initiator(ID_B)
        first = await meet(link, how)
        key = await kept.find(ID_A, ID_B, MAF)
        await kept.keep(ID_A, ID_B, replace(key, expires=datetime.now(UTC)))
        assert (await meet(link, how)).credential_id != first.credential_id


@pytest.mark.parametrize("transport", list(Transport))
async def test_a_kc_that_b_refuses_is_forgotten_and_one_new_one_is_made(tmp_path, transport):
    async with running_maf(tmp_path / "maf") as maf, entity_b(maf, transport) as (b, link):
        how = A.maf_client(maf.address).initiator(ID_B)
        await meet(link, how)
        [revoked] = await maf.kcs()
        await maf.store.remove(KeyKind.KC, revoked)
        await b.forget(revoked)
        limits = SOON if transport is Transport.DTLS else None  # there a refusal is silence
        again = await meet(replace(link, limits=limits), how)
        [made] = await maf.kcs()
        assert str(made) in str(again.credential_id)
        assert made != revoked


async def test_who_is_refused_with_a_kept_kc_and_with_a_new_one_is_told_what_to_look_at(tmp_path):
    async with running_maf(tmp_path / "maf", clients=(A, B, C)) as maf, entity_b(maf) as (_, link):
        how = A.maf_client(maf.address).initiator(ID_B)
        await meet(link, how)
        [kept] = await maf.kcs()
        async with entity_b(maf, who=C) as (_, to_c):
            with pytest.raises(HandshakeError, match=NEW_AND_REFUSED) as refused:
                await meet(to_c, how)
        assert refused.value.alert in REFUSALS
        made = set(await maf.kcs()) - {kept}
        assert len(made) == 1, "one new one, and no more"
        assert str(made.pop()) in str(refused.value)


async def test_a_new_kc_that_b_refuses_is_made_once_for_each_attempt(tmp_path):
    async with running_maf(tmp_path / "maf", clients=(A, B, C)) as maf, entity_b(maf, who=C) as (_, to_c):
        how = A.maf_client(maf.address).initiator(ID_B)  # the MAF has it for B, and we are led to C
        for attempt in (1, 2):
            with pytest.raises(HandshakeError, match=NEW_AND_REFUSED):
                await meet(to_c, how)
            assert len(await maf.kcs()) == attempt


@pytest.mark.parametrize("transport", list(Transport))
async def test_no_kc_is_made_before_b_answers(tmp_path, transport):
    kind = socket.SOCK_DGRAM if transport is Transport.DTLS else socket.SOCK_STREAM
    async with running_maf(tmp_path / "maf") as maf:
        nowhere = Link(free_port(kind), transport, SOON)
        with pytest.raises(HandshakeError, match=r"127\.0\.0\.1:\d+ "):
            await meet(nowhere, A.maf_client(maf.address).initiator(ID_B))
        assert not await maf.kcs()


async def test_no_kc_is_made_for_one_who_hears_and_says_nothing(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        async with running_maf(tmp_path / "maf") as maf:
            link = Link(Address(*mute.getsockname()), Transport.DTLS, SOON)
            with pytest.raises(HandshakeError, match="gave no answer within 1 s"):
                await meet(link, A.maf_client(maf.address).initiator(ID_B))
            assert not await maf.kcs()


@pytest.mark.parametrize("where", ["memory", "store"])
async def test_a_bounded_number_of_kc_is_kept_the_newest(tmp_path, where):
    async with await Store.open(tmp_path) as store:
        kept = KeysInMemory() if where == "memory" else KeysInStore(store)
        peers = [replace(ID_B, text=f"/b{number}") for number in range(KEPT_MAX + 2)]
        for number, peer in enumerate(peers):
            kc_id = KeyIdentifier.from_octets(number.to_bytes(16), MAF)
            await kept.keep(ID_A, peer, ConnectionKey(kc_id, key_of("kc"), LATER))
        assert [await kept.find(ID_A, peer, MAF) for peer in peers[:2]] == [None, None]
        assert (await kept.find(ID_A, peers[2], MAF)).kc == key_of("kc")
        assert (await kept.find(ID_A, peers[-1], MAF)).kc == key_of("kc")


def test_connect_keeps_kc_sealed_where_it_is_told(programs):
    at = programs.directory
    for name, entity, more in (("a", "Csensor", ("--target", "/in-cse")), ("b", "/in-cse", ())):
        key = key_file(at, name, key_of(name).reveal())
        ours = ("--km-id", f"{name}@{MAF}", "--entity", entity, "--km-file", key)
        m2msec("maf", "add-client", "--data", at / "maf", *ours, *more)
    maf = programs.start_maf(at / "maf")
    a, b = (
        ("--maf", f"127.0.0.1:{maf.port}", "--km-id", f"{name}@{MAF}", "--km-file", at / name)
        for name in ("a", "b")
    )
    listening = programs.start("listen", "--listen", "127.0.0.1:0", "--cse-id", "/in-cse", *b, "--json")
    for _ in range(3):
        aim = (f"127.0.0.1:{listening.port}", "--peer", "/in-cse", "--entity", "Csensor")
        m2msec("connect", *aim, *a, "--kc-data", at / "device", given="hi\n")
    assert len(kc_rows(at / "maf")) == 1
    kc = bytes.fromhex(
        m2msec("maf", "keys", "--data", at / "maf", "--reveal", "--json").stdout.split('"kc": "')[1][:64]
    )
    assert all(kc not in file.read_bytes() for file in (at / "device").iterdir())
