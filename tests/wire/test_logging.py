"""A program that uses the library and sets up no logging hears nothing of it, whatever its peers do."""

from __future__ import annotations

import subprocess
import sys

from programs import PATIENCE

PROGRAM = """
import asyncio, logging
from onem2m_security import (
    Address, EntityB, EntityId, HandshakeError, KeyIdentifier, Link, Secret, Transport, associate, saef_psk
)
{setting}
A, B = EntityId.parse("/device-7"), EntityId.parse("/in-cse")
KPSA_ID = KeyIdentifier.parse("k@b.example.com")

def initiator(octets, key_id=KPSA_ID):
    return saef_psk.initiate(A, B, saef_psk.credential(key_id, Secret(octets), peer=B))

async def fail(channel):
    raise ValueError("a handler's own mistake")

async def refused(address, transport, **wrong):
    try:
        await associate(Link(address, transport), initiator(**wrong))
    except HandshakeError:
        return
    raise SystemExit("associated")

async def main():
    right = bytes(32)
    key = saef_psk.credential(KPSA_ID, Secret(right), peer=A)
    async with EntityB(B, keys=[key]) as entity_b:
        for transport in Transport:
            failing = await entity_b.listen(Address("127.0.0.1", 0), fail, transport=transport)
            async with await associate(Link(failing, transport), initiator(right)) as channel:
                assert await channel.read() == b""
        port = await entity_b.listen(Address("127.0.0.1", 0), fail)
        await refused(port, Transport.TLS, octets=bytes([1]) * 32)
        await refused(port, Transport.TLS, octets=right, key_id=KeyIdentifier.parse("x@b.example.com"))
        for transport in Transport:
            requests = await entity_b.listen_requests(Address("127.0.0.1", 0), fail, transport=transport)
            async with await associate(Link(requests, transport), initiator(right)) as channel:
                await channel.write(b"no request\\r\\n\\r\\n")
                await asyncio.wait_for(channel.read(), 30) if transport is Transport.TLS else None

asyncio.run(main())
"""


def said(setting: str = "") -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(setting=setting)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_without_logging_set_up_nothing_is_written_anywhere():
    assert said() == ("", "")


def test_with_logging_set_up_the_same_program_tells_all():
    out, errors = said("logging.basicConfig(level=logging.INFO)")
    assert out == ""
    for event in (
        "associated", "handshake failed", "unknown identity", "handler failed", "HTTP message refused"
    ):  # fmt: skip
        assert f":onem2m_security:{event} " in errors
