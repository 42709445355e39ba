from __future__ import annotations

import asyncio

import pytest

from mef_support import MEF
from onem2m_security.errors import ConfigurationError
from onem2m_security.identifiers import Fqdn
from onem2m_security.net.address import Address
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server, serve
from onem2m_security.servers.service import MafService, MefService
from onem2m_security.store import KeyKind, Store
from quiet_ports import a_quiet_port


async def hold_udp(port: int) -> asyncio.BaseTransport:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", port)
    )
    return transport


@pytest.fixture
async def server(tmp_path):
    store = await Store.open(tmp_path)
    async with Server(store, [Mef(store, MEF)]) as made:
        yield made


async def test_a_named_port_whose_udp_half_is_taken_is_refused_and_its_tcp_half_is_free_again(server):
    port = a_quiet_port()
    held = await hold_udp(port)
    with pytest.raises(ConfigurationError, match="cannot listen"):
        await server.start(Address("127.0.0.1", port))
    held.close()
    await asyncio.sleep(0)
    assert (await server.start(Address("127.0.0.1", port))).port == port


async def test_port_0_gives_one_port_number_for_tcp_and_udp(server):
    address = await server.start(Address("127.0.0.1", 0))
    with pytest.raises(OSError, match="in use"):
        await hold_udp(address.port)
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.close()


async def test_functions_that_name_one_address_share_its_port_and_the_others_do_not(tmp_path):
    shared = Address("127.0.0.1", a_quiet_port())
    anywhere = Address("127.0.0.1", 0)
    services = [
        MafService(Fqdn("maf.example.com"), tmp_path / "maf", shared),
        MefService(MEF, tmp_path / "mef", shared),
        MefService(Fqdn("a.example.com"), tmp_path / "a", anywhere),
        MefService(Fqdn("b.example.com"), tmp_path / "mef", anywhere),
    ]
    bound = []

    async def at_once():
        assert len(bound) == 4

    await serve(services, ready=lambda service, address: bound.append((service.name, address)), until=at_once)
    ports = [address.port for _, address in bound]
    assert ports[0] == ports[1] == shared.port
    assert len(set(ports)) == 3


async def test_a_store_that_cannot_be_opened_stops_the_others_too(tmp_path):
    (tmp_path / "file").write_text("no directory")
    services = [
        MefService(MEF, tmp_path / "mef", Address("127.0.0.1", 0)),
        MefService(Fqdn("b.example.com"), tmp_path / "file" / "mef", Address("127.0.0.1", 0)),
    ]
    with pytest.raises(ConfigurationError):
        await serve(services, ready=lambda *_: pytest.fail("nothing is ready"))
    async with await Store.open(tmp_path / "mef") as store:
        assert await store.records(KeyKind.KPM) == []
