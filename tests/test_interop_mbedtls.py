"""mbedTLS as a MAF client, as Entity A and as Entity B."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from mbedtls import tls
from mbedtls.exceptions import TLSError

from maf_support import EVERYBODY, ID_A, ID_B, LOOPBACK, A, B, running_maf
from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.credentials import Secret
from onem2m_security.errors import HandshakeError
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.link import Link
from onem2m_security.release import Release

SUITES = {
    "ECDHE-PSK-CHACHA20-POLY1305": "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
    "ECDHE-PSK-AES128-CBC-SHA256": "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
    "PSK-AES128-GCM-SHA256": "TLS-PSK-WITH-AES-128-GCM-SHA256",
    "PSK-AES128-CCM": "TLS-PSK-WITH-AES-128-CCM",
    "PSK-AES128-CCM8": "TLS-PSK-WITH-AES-128-CCM-8",
    "PSK-AES128-CBC-SHA256": "TLS-PSK-WITH-AES-128-CBC-SHA256",
}
KPSA_ID = KeyIdentifier.parse("test@onem2m.com")
KPSA = Secret(b"mbedtls and we share this key")


def configuration(suite: str, **settings) -> tls.TLSConfiguration:
    return tls.TLSConfiguration(
        validate_certificates=False,
        ciphers=(SUITES[suite],),
        lowest_supported_version=tls.TLSVersion.TLSv1_2,
        highest_supported_version=tls.TLSVersion.TLSv1_2,
        **settings,
    )


def mbedtls_client(
    address: Address, suite: str, identity: str, key: bytes, *, sni: str | None = None, given: bytes = b""
) -> tuple[str, bytes]:
    """Handshake, send, read one answer if something was sent; the suite that mbedTLS sees, and the answer."""
    context = tls.ClientContext(configuration(suite, pre_shared_key=(identity, key)))
    with socket.create_connection((address.host, address.port), timeout=30) as plain:
        secured = context.wrap_socket(plain, server_hostname=sni)
        secured.do_handshake()
        answer = b""
        if given:
            secured.sendall(given)
            answer = secured.recv(1024)
        return secured.cipher(), answer


@pytest.mark.parametrize("suite", SUITES)
async def test_mbedtls_completes_the_maf_handshake_and_the_maf_holds_its_kc(tmp_path, suite):
    async with running_maf(tmp_path / "data") as running:
        seen, _ = await asyncio.to_thread(
            mbedtls_client, running.address, suite, str(A.km_id), A.km.reveal(), sni="maf.example.com"
        )
        assert seen == SUITES[suite]
        assert len(await running.kcs()) == 1


async def test_mbedtls_with_a_wrong_key_is_refused_and_leaves_no_kc(tmp_path):
    async with running_maf(tmp_path / "data") as running:
        with pytest.raises((TLSError, OSError)):
            await asyncio.to_thread(
                mbedtls_client, running.address, "PSK-AES128-CCM8", str(A.km_id), b"wrong key of 16o"
            )
        assert await running.kcs() == {}


@pytest.mark.parametrize("suite", ["PSK-AES128-CBC-SHA256", "ECDHE-PSK-AES128-CBC-SHA256"])
@pytest.mark.parametrize("release", Release)
async def test_mbedtls_as_entity_a_associates_with_b_through_the_maf(tmp_path, suite, release):
    associations = []
    answered = asyncio.Event()

    async def echo(channel):
        associations.append(channel.association)
        await channel.write(b"you said " + await channel.read())
        await answered.wait()  # python-mbedtls loses an answer that reaches it together with close_notify

    async with running_maf(tmp_path / "data", clients=EVERYBODY) as running:
        await asyncio.to_thread(mbedtls_client, running.address, suite, str(A.km_id), A.km.reveal())
        [(kc_id, kc)] = (await running.kcs()).items()
        async with EntityB(ID_B, mafs=[B.maf_client(running.address)]) as b:
            bound = await b.listen(LOOPBACK, echo)
            seen, answer = await asyncio.to_thread(
                mbedtls_client, bound, suite, release.wire(kc_id), kc.reveal(), given=b"hello"
            )
            answered.set()
    assert seen == SUITES[suite]
    assert answer == b"you said hello"
    assert [association.peer for association in associations] == [ID_A]


@contextlib.contextmanager
def mbedtls_server(suite: str):
    """mbedTLS as Entity B: answers what it reads, reversed; where it listens, and the task that serves."""
    context = tls.ServerContext(
        configuration(suite, pre_shared_key_store={str(KPSA_ID): KPSA.reveal()}),
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)

        def serve() -> None:
            plain, _ = listening.accept()
            with plain:
                plain.settimeout(30)
                secured = context.wrap_socket(plain)
                secured.do_handshake()
                secured.sendall(secured.recv(1024)[::-1])

        yield Address("127.0.0.1", listening.getsockname()[1]), serve


@pytest.mark.parametrize("suite", SUITES)
async def test_entity_a_associates_with_mbedtls_as_entity_b(suite):
    with mbedtls_server(suite) as (address, serve):
        serving = asyncio.create_task(asyncio.to_thread(serve))
        kpsa = saef_psk.credential(KPSA_ID, KPSA)
        async with await associate(Link(address), saef_psk.initiate(ID_A, ID_B, kpsa)) as channel:
            assert channel.association.cipher_suite == suite
            await channel.write(b"abc")
            assert await channel.read() == b"cba"
        await serving


async def test_entity_a_does_not_associate_with_an_mbedtls_that_holds_another_key():
    with mbedtls_server("PSK-AES128-GCM-SHA256") as (address, serve):
        serving = asyncio.create_task(asyncio.to_thread(serve))
        kpsa = saef_psk.credential(KPSA_ID, Secret(b"another key"))
        with pytest.raises(HandshakeError):
            await associate(Link(address), saef_psk.initiate(ID_A, ID_B, kpsa))
        with pytest.raises((TLSError, OSError)):
            await serving
