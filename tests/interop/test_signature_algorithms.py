"""What signs a handshake: ECDSA with SHA-256 or stronger, at either end, over TLS and DTLS; never SHA-1."""

from __future__ import annotations

import asyncio
import re
import subprocess

import pytest

import test_escertke_interop as escertke
from certificate_support import A, B, Credential, endpoint_b, initiator_a
from maf_support import ID_B, LOOPBACK, eventually
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import HandshakeError
from onem2m_security.escertke.end_points import InitiatingEndPoint
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.tls.framing import DatagramFraming
from programs import PATIENCE, openssl
from test_interop_certificates import SServer
from test_interop_dtls import PATIENT, SServers
from tls_support import client

ALLOWED = [0x0403, 0x0503, 0x0603]
"""ECDSA with SHA-256, SHA-384 and SHA-512; a curve is not in these numbers of TLS 1.2."""

VERSIONS = {Transport.TLS: "-tls1_2", Transport.DTLS: "-dtls1_2"}
every_transport = pytest.mark.parametrize("transport", VERSIONS)
UNDONE = ("ECDSA+SHA1", "ECDSA+SHA224")


def algorithms_in(hello: bytes) -> list[int]:
    """The signature_algorithms extension of a ClientHello (RFC 5246 clause 7.4.1.4.1)."""
    found = re.search(rb"\x00\x0d\x00(.)\x00(.)", hello, re.DOTALL)
    assert found
    assert found[1][0] == found[2][0] + 2
    octets = hello[found.end() : found.end() + found[2][0]]
    return [int.from_bytes(octets[place : place + 2], "big") for place in range(0, len(octets), 2)]


def test_our_client_hellos_offer_nothing_else():
    hellos = [
        initiator_a().session().data_to_send(),
        initiator_a().session(framing=DatagramFraming()).data_to_send(),
        client().data_to_send(),
        InitiatingEndPoint(escertke.A.initiates_with(escertke.B)).start(),
    ]
    assert [algorithms_in(hello) for hello in hellos] == [ALLOWED] * len(hellos)


async def met_by_openssl(transport, directory, *options):
    """What ``openssl s_client`` prints when it meets our Entity B, and how many associations B has."""
    accepted = []

    async def welcome(channel):
        accepted.append(channel.association)
        await channel.write(b"welcome\n")

    async with EntityB(ID_B, endpoint=endpoint_b()) as b:
        bound = await b.listen(LOOPBACK, welcome, transport=transport)
        command = [
            openssl(), "s_client", "-connect", f"127.0.0.1:{bound.port}", VERSIONS[transport],
            "-cipher", "ALL@SECLEVEL=0", "-ign_eof", *Credential.of(A).files(directory, "client"), *options,
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            input=b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
    return done.stdout.decode("utf-8", "replace"), accepted


@every_transport
async def test_our_server_asks_for_nothing_else_and_signs_with_sha_256(transport, tmp_path):
    printed, accepted = await met_by_openssl(transport, tmp_path)
    assert "Requested Signature Algorithms: ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512\n" in printed
    assert "Peer signing digest: SHA256" in printed
    assert len(accepted) == 1


@every_transport
@pytest.mark.parametrize("algorithm", ["ECDSA+SHA384", "ECDSA+SHA512"])
async def test_our_server_signs_with_what_is_stronger(transport, tmp_path, algorithm):
    printed, accepted = await met_by_openssl(transport, tmp_path, "-sigalgs", algorithm)
    assert f"Peer signing digest: {algorithm.removeprefix('ECDSA+')}" in printed
    assert len(accepted) == 1


@every_transport
@pytest.mark.parametrize("algorithm", UNDONE)
async def test_our_server_makes_no_weaker_signature(transport, tmp_path, algorithm):
    printed, accepted = await met_by_openssl(transport, tmp_path, "-sigalgs", algorithm)
    assert "alert number 40" in printed, printed
    assert accepted == []


@pytest.mark.parametrize("algorithm", UNDONE)
async def test_our_client_accepts_no_weaker_signature(tmp_path, algorithm):
    with SServer(tmp_path, Credential.of(B), "-sigalgs", algorithm) as server:
        with pytest.raises(HandshakeError) as refused:
            await open_channel(Link(Address("127.0.0.1", server.port)), initiator_a())
        assert refused.value.alert.name == "handshake_failure"
    assert "no shared signature algorithms" in server.output


@pytest.fixture
def dtls_servers(tmp_path):
    servers = SServers(tmp_path)
    yield servers
    for process in servers.running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("algorithm", UNDONE)
async def test_our_client_accepts_no_weaker_signature_over_dtls(dtls_servers, tmp_path, algorithm):
    options = [*Credential.of(B).files(tmp_path, "server"), "-cipher", "ALL@SECLEVEL=0", "-Verify", "5"]
    port, _, output = dtls_servers.start(*options, "-sigalgs", algorithm)
    with pytest.raises(HandshakeError) as refused:
        await open_channel(Link(Address("127.0.0.1", port), Transport.DTLS, PATIENT), initiator_a())
    assert refused.value.alert.name == "handshake_failure"
    await eventually(lambda: "no shared signature algorithms" in output.read_text())


@pytest.mark.parametrize("algorithm", UNDONE)
def test_escertke_makes_no_weaker_signature(tmp_path, algorithm):
    alice, bob = escertke.A, escertke.B
    refusal, printed = escertke.s_client_through_a_splitter(
        tmp_path, bob.terminates_for(alice), "-cipher", "ALL:@SECLEVEL=0", "-sigalgs", algorithm
    )
    assert refusal.alert.name == "handshake_failure"
    assert "alert handshake failure" in printed
