"""Functions that share a port, and clients that send no SNI: the FQDN in the identity chooses (10.2.1)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import subprocess
from collections.abc import AsyncIterator

import pytest

from maf_support import LOOPBACK, MAF, A, key_of
from mef_support import CSE, DEVICE, MEF, THE_MAF
from onem2m_security.clients.mef import MefClient
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import mef_handshake
from onem2m_security.frameworks.bootstrap_psk import export_enrolment_key
from onem2m_security.frameworks.steps import Initiator
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.servers.enrolees import AssociationPolicy, Provisioning
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, Store
from requirements import needs

OTHER_MAF = Fqdn("maf.example.net")


@dataclasses.dataclass(frozen=True, slots=True)
class Shared:
    store: Store
    address: Address


@contextlib.asynccontextmanager
async def one_port(tmp_path, *, first: str = "maf") -> AsyncIterator[Shared]:
    """Two MAFs and an MEF on one port; a client that names none of them gets the first."""
    async with await Store.open(tmp_path / "one") as store, await Store.open(tmp_path / "two") as elsewhere:
        other = dataclasses.replace(
            A.record, key_id=KeyIdentifier("a", OTHER_MAF), key=key_of("a elsewhere"), source=CSE
        )
        await store.add_many([A.record, DEVICE.record, THE_MAF.record])
        await elsewhere.add(other)
        asking: list[MefClient] = []

        async def fetch_km(ke_id):
            return await asking[0].fetch_km(ke_id)

        provisioning = Provisioning({MEF: fetch_km}, policy=AssociationPolicy(everyone=(CSE,)))
        maf = Maf(store, MAF, provisioning=provisioning)
        functions = {"maf": maf, "other": Maf(elsewhere, OTHER_MAF), "mef": Mef(store, MEF)}
        order = [functions.pop(first), *functions.values()]
        async with Server(store, order) as server:
            address = await server.start(LOOPBACK)
            how = mef_handshake.initiate(THE_MAF.entity, MEF, THE_MAF.key)
            asking.append(MefClient(MEF, Link(address), how))
            try:
                yield Shared(store, address)
            finally:
                await asking[0].close()


def nameless(initiator: Initiator) -> Initiator:
    """The same client, which sends no SNI: it knows no name of its peer, and connects to an IP address."""
    return dataclasses.replace(initiator, peer=EntityId("Cunnamed"), server_name=None)


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("first", ["maf", "other", "mef"])
async def test_without_sni_each_client_reaches_the_function_that_its_identity_names(
    tmp_path, transport, first
):
    async with one_port(tmp_path, first=first) as port:
        for initiator in (A.initiator(), DEVICE.initiator):
            shown = nameless(initiator)
            async with await open_channel(Link(port.address, transport), shown) as channel:
                assert channel.established.session.server_name is None
        assert [one.source for one in await port.store.records(KeyKind.KC)] == [A.entity]
        assert [one.source for one in await port.store.records(KeyKind.KE)] == [DEVICE.entity]


async def test_a_ke_id_that_names_the_mef_goes_to_the_maf_that_is_there_for_everybody(tmp_path):
    async with one_port(tmp_path) as port:
        async with await open_channel(Link(port.address), nameless(DEVICE.initiator)) as channel:
            ke = export_enrolment_key(channel.established, MEF)
        await (await open_channel(Link(port.address), nameless(DEVICE.maf_initiator(ke)))).close()
        [record] = await port.store.records(KeyKind.KC)
        assert record.source == DEVICE.entity


async def test_an_sni_that_is_sent_decides_whatever_the_identity_says(tmp_path):
    async with one_port(tmp_path) as port:
        elsewhere = dataclasses.replace(A.initiator(), server_name=OTHER_MAF)
        with pytest.raises(HandshakeError):
            await open_channel(Link(port.address), elsewhere)
        assert await port.store.records(KeyKind.KC) == []


async def test_openssl_without_sni_reaches_the_second_maf_of_a_port(tmp_path):
    async with one_port(tmp_path, first="other") as port:
        command = [
            needs("openssl"), "s_client", "-connect", str(port.address), "-noservername", "-tls1_2",
            "-psk_identity", str(A.km_id), "-psk", A.km.reveal().hex(), "-cipher", "PSK-AES128-CBC-SHA256",
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        [record] = await port.store.records(KeyKind.KC)
        assert record.key_id.fqdn == MAF
