"""A peer that is asked over HTTP, however connections are opened: what is reused, and what a failure is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from maf_support import ID_A, ID_B, LOOPBACK, key_of
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import AnswerTimeoutError, HandshakeError, HandshakeTimeoutError
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.http_client import HttpPeer
from onem2m_security.net.http_pool import MAX_CONNECTIONS, HttpPool
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.tcp import open_transport

KPSA = saef_psk.credential(KeyIdentifier.parse("k@issuer.example"), key_of("k"), peer=ID_A)
ANSWER = b"HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """An Entity B that answers every request alike, unless it is silent."""

    def __init__(self) -> None:
        self.sessions = 0
        self.is_silent = False

    async def serve(self, channel) -> None:
        self.sessions += 1
        while await channel.read():
            if not self.is_silent:
                await channel.write(ANSWER)


@asynccontextmanager
async def pool_to(peer, *, serves=lambda: True, limits=None):
    async with EntityB(ID_B, keys=[KPSA]) as b:
        link = Link(await b.listen(LOOPBACK, peer.serve))
        how = saef_psk.initiate(ID_A, ID_B, KPSA)

        async def connect(connection):
            connection.serves = serves
            await open_transport(link, how, lambda _: connection)

        asked = HttpPeer("b", HttpPool(connect, limits or Limits(), pipelined=1))
        try:
            yield asked
        finally:
            await asked.close()


async def test_connections_are_reused_until_they_serve_no_more():
    peer, serving = Peer(), [True]
    async with pool_to(peer, serves=lambda: serving[0]) as pool:
        for _ in range(3):
            assert (await pool.exchange("GET", "/", [])).body == b"ok"
        assert peer.sessions == 1
        serving[0] = False
        await pool.exchange("GET", "/", [])
        assert peer.sessions == 2


async def test_many_requests_at_once_take_a_bounded_number_of_connections():
    peer = Peer()
    async with pool_to(peer) as pool:
        answers = await asyncio.gather(*(pool.exchange("GET", "/", []) for _ in range(40)))
    assert len(answers) == 40
    assert 1 <= peer.sessions <= MAX_CONNECTIONS


async def test_header_fields_are_told_as_they_came():
    async with pool_to(Peer()) as pool:
        answer = await pool.exchange("GET", "/", [])
    assert [value for name, value in answer.fields if name == b"x"] == [b"1", b"2"]
    assert answer.last("x") == "2"


async def test_no_answer_in_time_and_nobody_there_are_told_apart():
    peer = Peer()
    peer.is_silent = True
    async with pool_to(peer, limits=Limits(request_seconds=0.3)) as pool:
        with pytest.raises(AnswerTimeoutError, match="no answer within"):
            await pool.exchange("GET", "/", [])

    async def never(_):
        raise HandshakeTimeoutError("nobody answers")

    with pytest.raises(HandshakeError, match=r"^nobody answers$"):
        await HttpPeer("b", HttpPool(never, Limits())).exchange("GET", "/", [])
