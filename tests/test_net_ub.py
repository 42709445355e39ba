"""Ub over plain HTTP: what the listener lets through, and what it does not."""

import asyncio

import pytest

from gba_support import Card, a_subscriber, first, running_bsf
from maf_support import eventually
from onem2m_security.net.limits import Limits

LIMITS = Limits(handshake_seconds=1.0, connections=5, head_octets=4096, body_octets=4096)


@pytest.fixture
async def bsf(tmp_path):
    async with running_bsf(tmp_path / "data", limits=LIMITS) as running:
        yield running
        await running.ue().bootstrap()  # whatever came before, the next UE is served


async def exchange(bsf, octets, *, until_closed=True):
    reader, writer = await asyncio.open_connection(bsf.ub.host, bsf.ub.port)
    writer.write(octets)
    try:
        async with asyncio.timeout(20):
            return await (reader.read() if until_closed else reader.readuntil(b"\r\n\r\n"))
    finally:
        writer.close()


def head(*lines, method="GET", target="/"):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: bsf", *lines, "", ""]).encode()


CLOSE = "Connection: close"
NAMED = f"Authorization: {first(a_subscriber().impi).authorization}"


async def test_a_first_request_gets_both_challenges_as_headers_of_their_own(bsf):
    answer = await exchange(bsf, head(NAMED, CLOSE))
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.lower().count(b"www-authenticate: digest") == 2
    assert b"server:" not in answer.lower()


async def test_two_authorization_headers_are_refused(bsf):
    assert (await exchange(bsf, head(NAMED, NAMED, CLOSE))).startswith(b"HTTP/1.1 400")


async def test_several_requests_go_over_one_connection(bsf):
    answer = await exchange(bsf, head(NAMED) * 3 + head(NAMED, CLOSE))
    assert answer.count(b"HTTP/1.1 401") == 4


async def test_the_query_is_part_of_the_uri(bsf):
    answer = await exchange(bsf, head(NAMED, CLOSE, target="/%2e/?x=1"))
    assert answer.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\x16\x03\x01\x00\x05hello", b"400"),
        (b"GET / HTTP/1.1\r\nBad Header\r\n\r\n", b"400"),
        (head("X-Long: " + "x" * 40_000), b"431"),
        (b"\r\n" * 20_000, b"431"),
        (head("Content-Length: 100000") + b"x" * 100_000, b"413"),
        (b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (head(NAMED, CLOSE, "Content-Length: 8193") + b"x" * 8193, b"413"),
    ],
)
async def test_what_is_no_bounded_request_is_refused_and_the_refusal_is_not_lost(bsf, octets, status):
    answer = await exchange(bsf, octets)
    assert answer[9:12] == status
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_connection_that_asks_nothing_or_never_ends_its_request_is_closed(bsf):
    for octets in (b"", b"GET / HTTP/1.1\r\nHost:"):
        assert b"200" not in await exchange(bsf, octets)


async def test_beyond_the_limit_connections_are_closed_and_others_go_on(bsf):
    open_ones = [await asyncio.open_connection(bsf.ub.host, bsf.ub.port) for _ in range(LIMITS.connections)]
    for reader, writer in open_ones:
        writer.write(head(NAMED))
        await reader.readuntil(b"\r\n\r\n")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError, BrokenPipeError)):
        await exchange(bsf, head(NAMED), until_closed=False)
    for _, writer in open_ones:
        writer.close()
        await writer.wait_closed()


async def test_silent_connections_hold_no_place_that_a_ue_needs(bsf):
    silent = [await asyncio.open_connection(bsf.ub.host, bsf.ub.port) for _ in range(3 * LIMITS.connections)]
    await bsf.ue().bootstrap()
    for _, writer in silent:
        writer.transport.abort()


async def test_many_ues_bootstrap_at_once(tmp_path):
    async with running_bsf(tmp_path / "data") as bsf:
        card = Card(a_subscriber())
        contexts = await asyncio.gather(*(bsf.ue(card).bootstrap() for _ in range(20)))
        assert len({context.b_tid for context in contexts}) == 20


async def test_stopping_lets_a_request_under_way_finish(tmp_path):
    from maf_support import LOOPBACK
    from onem2m_security.functions.ub import UbResponse
    from onem2m_security.net.ub import UbListener

    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request):
        begun.set()
        await go_on.wait()
        return UbResponse(204)

    listener = UbListener(slow)
    address = await listener.start(LOOPBACK)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(head())
    await begun.wait()
    stopping = asyncio.create_task(listener.stop())
    await asyncio.sleep(0.05)
    go_on.set()
    assert (await reader.read()).startswith(b"HTTP/1.1 204")
    writer.close()
    await stopping
    await eventually(stopping.done)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address.host, address.port)
