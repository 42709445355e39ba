"""Ub over plain HTTP: what the listener lets through, and what it does not."""

import asyncio
import contextlib
import re

import pytest

from gba_support import Card, a_subscriber, answered, first, running_bsf
from maf_support import eventually
from onem2m_security.credentials import Secret
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.gba import digest
from onem2m_security.gba.digest_headers import Challenge
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
    from onem2m_security.gba.ub_messages import UbResponse
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


# --- strangers who know an IMPI ---


class Stranger:
    """Asks and answers from an address of its own, over one connection."""

    def __init__(self, bsf, address):
        self.bsf, self.address = bsf, address

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(
            self.bsf.ub.host, self.bsf.ub.port, local_addr=(self.address, 0)
        )
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        await self.writer.wait_closed()

    async def send(self, authorization):
        """The response's head."""
        self.writer.write(head(f"Authorization: {authorization}"))
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()


def challenge_in(response):
    offered = re.findall(r"^www-authenticate: (.*)\r$", response, re.IGNORECASE | re.MULTILINE)
    return Challenge.parse(offered[0])


async def test_strangers_who_ask_and_answer_wrongly_all_the_time_keep_no_owner_from_bootstrapping(tmp_path):
    card = Card(a_subscriber())
    asking = first(card.impi).authorization
    given = {"impi": card.impi, "cnonce": "0a4f113b"}
    async with running_bsf(tmp_path / "data") as bsf, contextlib.AsyncExitStack() as stack:
        owner, *strangers = [
            await stack.enter_async_context(Stranger(bsf, f"127.0.0.{n}")) for n in range(1, 10)
        ]
        done = []
        for _ in range(12):
            challenge = challenge_in(await owner.send(asking))
            for stranger in strangers:
                for _ in range(8):
                    theirs = challenge_in(await stranger.send(asking))
                for guessed in (theirs, challenge):
                    await stranger.send(digest.answer(guessed, password=Secret(b"guess"), **given))
                    await stranger.send(
                        digest.report_synchronisation_failure(guessed, auts=bytes(14), **given)
                    )
            done.append(await owner.send(answered(card, challenge)))
        assert [response[9:12] for response in done] == ["200"] * 12


async def test_an_address_that_asks_too_often_gets_429_and_another_bootstraps(tmp_path):
    asking = first(a_subscriber().impi).authorization
    async with running_bsf(tmp_path / "data", requests_per_second=1.0) as bsf:
        async with Stranger(bsf, "127.0.0.2") as greedy:
            responses = [await greedy.send(asking) for _ in range(20)]
        assert responses[-1].startswith("HTTP/1.1 429")
        assert "retry-after: 1\r\n" in responses[-1].lower()
        async with Stranger(bsf, "127.0.0.2") as again:
            assert (await again.send(asking)).startswith("HTTP/1.1 429")
        await bsf.ue().bootstrap()
        tries = await asyncio.gather(*(bsf.ue().bootstrap() for _ in range(10)), return_exceptions=True)
        refused = [error for error in tries if isinstance(error, BaseException)]
        assert {type(error) for error in refused} == {ResolverUnavailableError}
        assert "too often from our address" in str(refused[0])


async def test_an_address_with_too_many_connections_gets_429_and_another_bootstraps(tmp_path):
    asking = first(a_subscriber().impi).authorization
    async with (
        running_bsf(tmp_path / "data", limits=Limits(connections_per_address=2)) as bsf,
        Stranger(bsf, "127.0.0.2") as one,
        Stranger(bsf, "127.0.0.2") as two,
    ):
        assert [(await stranger.send(asking))[9:12] for stranger in (one, two)] == ["401", "401"]
        reader, writer = await asyncio.open_connection(bsf.ub.host, bsf.ub.port, local_addr=("127.0.0.2", 0))
        assert (await reader.read()).startswith(b"HTTP/1.1 429")
        writer.close()
        await bsf.ue().bootstrap()
        await one.__aexit__()
        async with asyncio.timeout(20):
            while await is_refused(bsf, asking):
                pass


async def is_refused(bsf, authorization):
    """Whether one connection more from that address is too many."""
    async with Stranger(bsf, "127.0.0.2") as stranger:
        try:
            return (await stranger.send(authorization))[9:12] == "429"
        except ConnectionError:
            return True
