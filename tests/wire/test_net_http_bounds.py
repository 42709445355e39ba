"""Every part of an HTTP message counts, over TLS and Ub alike; a parser that no longer fits is refused."""

from __future__ import annotations

import asyncio
import contextlib

import httptools
import pytest

from maf_support import ID_A, ID_B, LOOPBACK, MAF, eventually, key_of
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import ConfigurationError
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.saef_psk import initiate
from onem2m_security.gba.ub_messages import UbResponse
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.channel import open_channel
from onem2m_security.net.http_server import MAX_PIPELINED, HttpProtocol
from onem2m_security.net.http_trial import check_bounds
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.ub import UbListener
from onem2m_security.onem2m.primitives import Response, Rsc
from onem2m_security.servers.run import serve
from onem2m_security.servers.service import MafService

KPSA = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
INITIATOR = initiate(ID_A, ID_B, KPSA)
LIMIT = Limits().head_octets
CLOSE = b"Connection: close\r\n"
HOST = b"Host: h\r\nX-M2M-RI: 1\r\n"
POST = b"POST /x HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
CHUNKED = POST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"


class OverUb:
    """The port where UEs are met, and a plain connection to it."""

    @contextlib.asynccontextmanager
    async def serving(self, limits: Limits):
        async def answer(request) -> UbResponse:
            return UbResponse(200)

        self.port = UbListener(answer, limits=limits)
        self.address = await self.port.start(LOOPBACK)
        try:
            yield
        finally:
            await self.port.stop(grace=0.1)

    @contextlib.asynccontextmanager
    async def connection(self):
        reader, writer = await asyncio.open_connection(self.address.host, self.address.port)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            yield write, lambda: reader.read(65_536)
        finally:
            writer.transport.abort()


class OverTls:
    """A port of Entity B where requests are answered, and a secured connection to it."""

    @contextlib.asynccontextmanager
    async def serving(self, limits: Limits):
        async def answer(request, established) -> Response:
            return Response(Rsc.OK)

        async with EntityB(ID_B, keys=[KPSA], limits=limits) as b:
            self.address = await b.listen_requests(LOOPBACK, answer)
            [self.port] = b._ports
            yield

    @contextlib.asynccontextmanager
    async def connection(self):
        async with await open_channel(Link(self.address), INITIATOR) as channel:
            yield channel.write, lambda: channel.read(65_536)


@pytest.fixture(params=[OverUb, OverTls])
def carrier(request):
    return request.param()


async def answer_to(carrier, *pieces: bytes) -> bytes:
    """What comes back until the end, orderly or not."""
    received = b""
    async with carrier.connection() as (write, read), asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                await write(piece)
            while data := await read():
                received += data
    return received


def filled(octets: int, before: bytes, after: bytes) -> bytes:
    """So many octets in all, with a header of the right length in between."""
    return before + b"X: " + b"y" * (octets - len(before) - len(after) - 5) + b"\r\n" + after


async def test_a_head_of_the_documented_length_passes_and_one_octet_more_does_not(carrier):
    async with carrier.serving(Limits()):
        for octets, status in ((LIMIT - 1, b"200"), (LIMIT, b"200"), (LIMIT + 1, b"431"), (80_000, b"431")):
            answer = await answer_to(carrier, filled(octets, b"GET /x HTTP/1.1\r\n" + HOST + CLOSE, b"\r\n"))
            assert answer[9:12] == status, octets


async def test_a_body_counts_for_itself_after_the_longest_head(carrier):
    async with carrier.serving(Limits()):
        head = filled(LIMIT, POST + CLOSE + b"Content-Length: 8000\r\n", b"\r\n")
        assert (await answer_to(carrier, head, b"1" + b" " * 3999, b" " * 4000))[9:12] == b"200"


@pytest.mark.parametrize("pieces", [1, 7])
async def test_head_chunk_sizes_extensions_and_trailers_count_together(carrier, pieces):
    begin = CHUNKED + b"2;of=note\r\n{}\r\n0\r\n"
    async with carrier.serving(Limits()):
        for octets, passes in ((LIMIT, True), (LIMIT + 1, False), (3 * LIMIT, False)):
            message = filled(octets + 2, begin, b"\r\n")  # two octets of it are body
            step = len(message) // pieces + 1
            answer = await answer_to(
                carrier, *(message[at : at + step] for at in range(0, len(message), step))
            )
            assert answer.startswith(b"HTTP/1.1 ") or not passes
            assert (b"connection: close" in answer.lower()) or not passes
            assert passes or answer == b""


async def test_a_body_beyond_its_limit_is_refused_and_not_read_to_its_end(carrier):
    head = POST + b"Content-Length: 90000000\r\n\r\n"

    async def send_all(write) -> None:
        await write(head)
        for _ in range(900):
            await write(b"1" * 100_000)
            await asyncio.sleep(0)

    async with carrier.serving(Limits(close_seconds=60.0, handshake_seconds=60.0)):
        assert (await answer_to(carrier, head + b"1" * 90_000))[9:12] in {b"400", b"413"}
        async with carrier.connection() as (write, _):
            with pytest.raises(ConnectionError):
                await send_all(write)
        await eventually(lambda: carrier.port.connections == 0)


async def test_the_longest_body_is_taken_and_a_longer_one_never_passes_for_a_whole_one(carrier):
    async with carrier.serving(Limits()):
        longest = carrier.port._limits.body_octets
        for octets, status in ((longest, b"200"), (longest + 1, b"4"), (2 * longest, b"4")):
            head = POST + CLOSE + f"Content-Length: {octets}\r\n\r\n".encode()
            assert (await answer_to(carrier, head + b"1" + b" " * (octets - 1)))[9:].startswith(status)


async def test_many_full_requests_follow_each_other_on_one_connection(carrier):
    message = filled(LIMIT, b"GET /x HTTP/1.1\r\n" + HOST, b"\r\n")
    async with carrier.serving(Limits()), carrier.connection() as (write, read):
        for _ in range(5):
            await write(message)
            assert (await read())[9:12] == b"200"


async def test_some_requests_may_be_sent_at_once_and_too_many_may_not(carrier):
    request = b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
    async with carrier.serving(Limits()):
        assert (await answer_to(carrier, request * 9 + last)).count(b"HTTP/1.1 200") == 10
        answer = await answer_to(carrier, request * (10 * MAX_PIPELINED) + last)
        assert answer.count(b"HTTP/1.1 200") <= MAX_PIPELINED


@pytest.mark.parametrize(
    "beginning",
    [b"GET /x HTTP/1.1\r\nHost:", CHUNKED + b"0\r\nX: y", b"\r\n", CHUNKED],
)
async def test_a_request_that_is_not_complete_in_time_is_cut_off_at_once(carrier, beginning):
    limits = Limits(handshake_seconds=0.3, close_seconds=60.0)
    async with carrier.serving(limits), carrier.connection() as (write, _):
        await write(beginning)
        await eventually(lambda: carrier.port.connections == 1)
        await eventually(lambda: carrier.port.connections == 0)


async def test_blank_lines_keep_no_connection(carrier):
    limits = Limits(handshake_seconds=0.3, close_seconds=60.0)
    async with carrier.serving(limits), carrier.connection() as (write, _):
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while True:
                    await write(b"\r\n")
                    await asyncio.sleep(0.02)
        await eventually(lambda: carrier.port.connections == 0)


# --- what is no request, or is two ---

AMBIGUOUS = {
    "two lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not the last encoding": b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a length that is no number": b"Content-Length: 1x\r\n\r\n1",
    "a negative length": b"Content-Length: -1\r\n\r\n1",
    "a space before a colon": b"Content-Length : 1\r\n\r\n1",
    "a line that is no field": b"X\r\n\r\n",
}


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_a_request_that_others_may_read_differently_is_refused_and_ends_the_connection(carrier, rest):
    async with carrier.serving(Limits()):
        answer = await answer_to(carrier, POST + rest + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()


async def test_what_is_no_request_after_one_that_is_ends_the_connection_after_its_answer(carrier):
    async with carrier.serving(Limits()):
        answer = await answer_to(carrier, b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n\x00\x01\r\n\r\n")
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == (b"200", b"400")


async def test_nothing_after_the_last_request_of_a_connection_is_answered(carrier):
    request = b"GET /x HTTP/1.1\r\n" + HOST
    async with carrier.serving(Limits()):
        for ending in (CLOSE, b"Upgrade: h2c\r\nConnection: Upgrade\r\n"):
            answer = await answer_to(carrier, request + ending + b"\r\n" + request + b"\r\n")
            assert answer.count(b"HTTP/1.1 200") == 1
            assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_client_of_http_1_0_gets_one_answer(carrier):
    request = b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n"
    async with carrier.serving(Limits()):
        assert (await answer_to(carrier, request * 2)).count(b"HTTP/1.1 ") == 1


async def test_whoever_asks_first_is_told_to_send_its_body(carrier):
    head = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with carrier.serving(Limits()), carrier.connection() as (write, read):
        await write(head)
        assert await read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await write(b"{}")
        assert (await read())[9:12] == b"200"
        await write(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n" + head)  # in the order of the requests
        answer = b""
        while not answer.endswith(b"100 Continue\r\n\r\n"):
            answer += await read()
        assert answer.startswith(b"HTTP/1.1 200")
        await write(b"{}")
        assert (await read())[9:12] == b"200"


async def test_a_head_is_answered_without_a_body(carrier):
    async with carrier.serving(Limits()):
        answer = await answer_to(carrier, b"HEAD /x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 ")
    assert answer.endswith(b"\r\n\r\n")


async def test_trailers_say_nothing(carrier):
    trailer = b"0\r\nContent-Type: text/plain\r\nX-M2M-RI: 2\r\n\r\n"
    async with carrier.serving(Limits()), carrier.connection() as (write, read):
        for _ in range(2):
            await write(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + trailer)
            assert (await read())[9:12] == b"200"


# --- is the parser what it was? ---


async def test_the_installed_parser_holds_the_bounds():
    check_bounds()


PARSER = httptools.HttpRequestParser


def past(*names: str):
    """A parser that no longer calls these of the protocol's methods."""

    class Inner:
        def __init__(self, protocol: HttpProtocol) -> None:
            self._protocol = protocol

        def __getattr__(self, name: str):
            if name in names:
                return lambda *_: None
            return getattr(self._protocol, name)

    return lambda protocol: PARSER(Inner(protocol))


class Lenient:
    """A parser that takes what may be read in two ways."""

    def __init__(self, protocol: HttpProtocol) -> None:
        self._parser = PARSER(protocol)
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)

    def __getattr__(self, name: str):
        return getattr(self._parser, name)


async def test_a_parser_that_calls_everything_is_no_change(monkeypatch):
    monkeypatch.setattr(httptools, "HttpRequestParser", past())
    check_bounds()


@pytest.mark.parametrize(
    "name", ["on_headers_complete", "on_body", "on_message_begin", "on_message_complete"]
)
async def test_a_parser_that_no_longer_calls_what_a_bound_hangs_on_is_refused(monkeypatch, name):
    monkeypatch.setattr(httptools, "HttpRequestParser", past(name))
    with pytest.raises(
        ConfigurationError, match=r"the installed httptools .* does not .*: install a version"
    ):
        check_bounds()


async def test_a_parser_that_takes_a_length_beside_chunks_is_refused(monkeypatch):
    monkeypatch.setattr(httptools, "HttpRequestParser", Lenient)
    with pytest.raises(ConfigurationError, match="refuse a length beside chunks"):
        check_bounds()


async def test_a_parser_that_knows_no_upgrade_is_refused(monkeypatch):
    class Past(Lenient):
        def __init__(self, protocol: HttpProtocol) -> None:
            self._parser = PARSER(protocol)

        def feed_data(self, data: bytes) -> None:
            self._parser.feed_data(data.replace(b"Upgrade: w", b"Degrade: w"))

    monkeypatch.setattr(httptools, "HttpRequestParser", Past)
    with pytest.raises(ConfigurationError, match="hand a connection over to WebSocket"):
        check_bounds()


async def test_no_port_is_opened_with_a_parser_that_changed(monkeypatch, carrier):
    monkeypatch.setattr(httptools, "HttpRequestParser", past("on_body"))
    with pytest.raises(ConfigurationError, match="the installed httptools"):
        async with carrier.serving(Limits()):
            pytest.fail("it listens")


async def test_no_server_starts_with_a_parser_that_changed(monkeypatch, tmp_path):
    monkeypatch.setattr(httptools, "HttpRequestParser", past("on_headers_complete"))
    with pytest.raises(ConfigurationError, match="the installed httptools"):
        await serve([MafService(MAF, tmp_path, LOOPBACK)], ready=lambda *_: pytest.fail("it listens"))
