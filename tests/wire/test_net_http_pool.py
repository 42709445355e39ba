"""HTTP on the asking side: which requests share a connection, whose answer is whose, what is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from maf_support import LOOPBACK, eventually
from onem2m_security.net.http_pool import MAX_CONNECTIONS, MAX_UNDER_WAY, HttpConnection, HttpPool
from onem2m_security.net.limits import Limits

PATIENT = Limits(request_seconds=30.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class Peer:
    """One connection to the server, as a test speaks on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def asked(self) -> str:
        """The path of the next request, with its body; empty at the end."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return ""
        length = re.search(rb"Content-Length: (\d+)", head)
        body = await self._reader.readexactly(int(length.group(1))) if length else b""
        return head.split(b" ")[1].decode() + body.decode()

    def say(self, octets: bytes) -> None:
        self._writer.write(octets)

    def close(self) -> None:
        self._writer.close()


Speak = Callable[[Peer], Awaitable[None]]


@contextlib.asynccontextmanager
async def asking(speak: Speak) -> AsyncIterator[HttpPool]:
    """A pool to a server that speaks so on each connection."""

    spoken: list[asyncio.Task[None] | None] = []

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await speak(Peer(reader, writer))
        writer.close()

    server = await asyncio.start_server(accepted, LOOPBACK.host, 0)
    port = server.sockets[0].getsockname()[1]

    async def connect(connection: HttpConnection) -> None:
        await asyncio.get_running_loop().create_connection(lambda: connection, LOOPBACK.host, port)

    pool = HttpPool(connect, PATIENT)
    try:
        yield pool
    finally:
        await pool.close()
        await asyncio.gather(*spoken)
        server.close()


async def get(pool: HttpPool, path: str) -> bytes | None:
    return (await pool.exchange("GET", path, {"Host": "h"})).body


async def test_safe_requests_go_out_together_on_one_connection_and_each_gets_its_answer():
    seen: list[list[str]] = []

    async def speak(peer: Peer) -> None:
        seen.append([await peer.asked()])
        peer.say(OK + b"up")
        for _ in range(MAX_UNDER_WAY):  # nothing is answered before all have come
            seen[-1].append(await peer.asked())
        for path in seen[-1][1:]:
            peer.say(OK + path[1:].encode())
        await peer.asked()

    async with asking(speak) as pool:
        assert await get(pool, "/up") == b"up"
        answers = await asyncio.gather(*(get(pool, f"/{number}") for number in range(10, 10 + MAX_UNDER_WAY)))
    assert answers == [str(number).encode() for number in range(10, 10 + MAX_UNDER_WAY)]
    assert len(seen) == 1


async def test_a_new_connection_has_one_request_until_it_is_known_to_stay():
    async def speak(peer: Peer) -> None:
        path = await peer.asked()
        peer.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n" + path[1:].encode())

    async with asking(speak) as pool:
        numbers = range(10, 30)
        assert await asyncio.gather(*(get(pool, f"/{number}") for number in numbers)) == [
            str(number).encode() for number in numbers
        ]


async def test_what_may_change_something_is_alone_on_its_connection():
    came: list[Peer] = []
    all_came = asyncio.Event()

    async def speak(peer: Peer) -> None:
        while path := await peer.asked():
            if path != "/up":
                came.append(peer)
                if len(came) == MAX_CONNECTIONS:
                    all_came.set()
                await all_came.wait()
            peer.say(OK + b"ok")

    async with asking(speak) as pool:
        await get(pool, "/up")  # a connection that others might share
        posts = (pool.exchange("POST", "/x", {}, b"{}") for _ in range(MAX_CONNECTIONS))
        assert {answer.body for answer in await asyncio.gather(*posts)} == {b"ok"}
    assert len(set(came)) == MAX_CONNECTIONS


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_only_what_is_safe_is_asked_again_when_a_kept_connection_ends(method):
    connections, asked = 0, []

    async def speak(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        asked.append(await peer.asked())
        peer.say(OK + b"ok")
        if connections == 1:
            asked.append(await peer.asked())
            return
        await peer.asked()

    async with asking(speak) as pool:
        await get(pool, "/first")
        if method == "GET":
            assert await get(pool, "/second") == b"ok"
        else:
            with pytest.raises(ConnectionError, match="it closed the connection"):
                await pool.exchange("POST", "/second", {}, b"{}")
    assert asked == (["/first", "/second", "/second"] if method == "GET" else ["/first", "/second{}"])


async def test_a_server_that_always_closes_is_asked_no_more_than_once_on_a_new_connection():
    asked = []

    async def speak(peer: Peer) -> None:
        asked.append(await peer.asked())

    async with asking(speak) as pool:
        with pytest.raises(ConnectionError):
            await get(pool, "/x")
    assert asked == ["/x"]


async def test_the_answer_to_one_who_went_away_goes_to_nobody_else():
    both = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await peer.asked()
        peer.say(OK + b"up")
        first, second = await peer.asked(), await peer.asked()
        both.set()
        await gone.wait()
        for path in (first, second):
            peer.say(OK + path[1:].encode())
        await peer.asked()

    gone = asyncio.Event()
    async with asking(speak) as pool:
        await get(pool, "/up")
        leaving = asyncio.ensure_future(get(pool, "/no"))
        staying = asyncio.ensure_future(get(pool, "/ok"))
        await both.wait()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gone.set()
        assert await staying == b"ok"


async def test_a_server_that_is_silent_ends_its_connection_with_all_that_waits_on_it():
    connections = 0

    async def speak(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        while path := await peer.asked():
            if path != "/never":
                peer.say(OK + b"ok")

    async with asking(speak) as pool:
        assert await get(pool, "/up") == b"ok"
        pool._limits = Limits(request_seconds=0.2)
        with pytest.raises(TimeoutError, match="there was no answer within"):
            await get(pool, "/never")
        pool._limits = PATIENT
        assert await get(pool, "/x") == b"ok"
    assert connections == 2


@pytest.mark.parametrize("unasked", [OK + b"no", b"HTTP/1.1 100 Continue\r\n\r\n", b"junk"])
async def test_what_nobody_asked_for_ends_the_connection(unasked):
    ended = asyncio.Event()

    async def speak(peer: Peer) -> None:
        await peer.asked()
        peer.say(OK + b"ok" + unasked)
        assert await peer.asked() == ""
        ended.set()

    async with asking(speak) as pool:
        assert await get(pool, "/x") == b"ok"
        async with asyncio.timeout(20):
            await ended.wait()


async def test_what_comes_before_an_answer_is_passed_over():
    async def speak(peer: Peer) -> None:
        while await peer.asked():
            peer.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"ok")

    async with asking(speak) as pool:
        assert [await get(pool, "/x"), await get(pool, "/y")] == [b"ok", b"ok"]


async def test_an_answer_without_a_length_ends_with_its_connection():
    async def speak(peer: Peer) -> None:
        await peer.asked()
        peer.say(b"HTTP/1.0 200 OK\r\n\r\nall ")
        peer.say(b"of it")

    async with asking(speak) as pool:
        assert await get(pool, "/x") == b"all of it"


AMBIGUOUS = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "another protocol": b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
}


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_an_answer_that_may_be_read_in_two_ways_is_none(rest):
    async def speak(peer: Peer) -> None:
        await peer.asked()
        peer.say((b"HTTP/1.1 101 X\r\n" if rest.startswith(b"Upgrade") else b"HTTP/1.1 200 OK\r\n") + rest)
        await peer.asked()

    async with asking(speak) as pool:
        with pytest.raises(ConnectionError, match="not HTTP"):
            await get(pool, "/x")


async def test_a_header_field_cannot_bring_another():
    async with asking(lambda peer: peer.asked()) as pool:
        with pytest.raises(ValueError, match="the end of a line"):
            await pool.exchange("GET", "/", {"X-M2M-Origin": "/a\r\nX-M2M-RI: 1"})


async def test_a_closed_pool_leaves_no_request_waiting_and_no_connection():
    ended = 0

    async def speak(peer: Peer) -> None:
        nonlocal ended
        while path := await peer.asked():
            if path == "/up":
                peer.say(OK + b"ok")
        ended += 1

    async with asking(speak) as pool:
        await get(pool, "/up")
        waiting = [asyncio.ensure_future(get(pool, "/never")) for _ in range(3)]
        await asyncio.sleep(0)
        await pool.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {ConnectionAbortedError}
        await eventually(lambda: ended == 1)
