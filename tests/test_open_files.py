"""Servers with few open files: silence takes no place that a real client needs."""

from __future__ import annotations

import asyncio
import resource
import subprocess

from gba_support import BSF, Card, a_subscriber
from gba_support import provision as provision_bsf
from maf_support import ID_B, LOOPBACK, MAF, A, B, key_of, provision, the_main_job
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.ue import Ue
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net import descriptors
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.store import Store
from programs import PATIENCE, Programs, with_open_files
from test_bad_input import let_go, many_files

USUAL = 1024
SILENT = 1100


async def silent(address: Address, count: int) -> list[asyncio.StreamWriter]:
    """So many connections that never say anything."""
    opened = await asyncio.gather(
        *(asyncio.open_connection(address.host, address.port) for _ in range(count))
    )
    return [writer for _, writer in opened]


async def test_real_clients_are_served_beside_more_silent_connections_than_open_files(programs: Programs):
    data = programs.directory / "maf"
    await provision(data, [A, B])
    server = programs.start_maf(data, command=with_open_files(USUAL))
    assert "limits lowered to the open files allowed" in server.errors
    assert f"open_files={USUAL} ports=1" in server.errors
    address = Address("127.0.0.1", server.port)
    with many_files(4096):
        writers = await silent(address, SILENT)
        keys = await asyncio.gather(*(A.maf_client(address).handshake() for _ in range(20)))
        assert len({key.kc_id for key in keys}) == 20
        await the_main_job(address)
        await let_go(writers)
    assert "Too many open files" not in server.errors
    assert "out of system resource" not in server.errors


async def test_ues_are_served_beside_more_silent_connections_than_open_files(programs: Programs):
    data = programs.directory / "bsf"
    async with await Store.open(data) as store:
        await provision_bsf(store)
    options = ("--listen-zn", "127.0.0.1:0", "--listen-ub", "127.0.0.1:0")
    server = programs.start(
        "bsf", "serve", "--data", data, "--fqdn", BSF, *options, command=with_open_files(USUAL)
    )
    assert f"open_files={USUAL} ports=2" in server.errors
    ub = Address("127.0.0.1", int(server.wait_for(r"Ub, listening on 127\.0\.0\.1:(\d+)").group(1)))
    with many_files(4096):
        writers = await silent(ub, SILENT)
        contexts = await asyncio.gather(
            *(Ue(Card(a_subscriber()), BSF, Link(ub)).bootstrap() for _ in range(5))
        )
        assert len({context.b_tid for context in contexts}) == 5
        await let_go(writers)
    assert "Too many open files" not in server.errors


def test_a_server_that_could_serve_nobody_says_so_and_does_not_start(tmp_path):
    arguments = ["maf", "serve", "--data", tmp_path, "--fqdn", MAF, "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        [*map(str, [*with_open_files(70), *arguments])],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "70 open files are too few for 1 ports: raise the limit (ulimit -n)" in done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        assert descriptors.open_files() == 512
        assert descriptors.raise_open_files() == descriptors.open_files() > 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_ports_of_an_entity_b_never_take_more_than_there_is():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    key = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_B)

    async def nothing(channel) -> None:
        """Nobody comes."""

    resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL, hard))
    try:
        async with EntityB(ID_B, keys=[key]) as b:
            for transport in (Transport.TLS, Transport.TLS, Transport.DTLS, Transport.TLS):
                await b.listen(LOOPBACK, nothing, transport=transport)
            places = [port._limits.connections for port in b._ports]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert places.pop(2) == Limits().connections
    assert sum(places) < USUAL < Limits().connections
