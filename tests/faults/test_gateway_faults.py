"""A CSE that hangs, dies and answers garbage, and clients that are slow, greedy or without end."""

from __future__ import annotations

import asyncio

import pytest

from gateway_support import LastWordsError, PlayedCse, Seen, answer_on, answered, gateway, initiator, request
from onem2m_security.gateway.upstream_terms import UpstreamTerms
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.coap import CoapClient, CoapServer
from onem2m_security.net.coap_plain import PlainCoapPort
from onem2m_security.net.limits import Limits
from onem2m_security.onem2m.carried import CarriedRequest, CarriedResponse
from onem2m_security.onem2m.primitives import Operation

GARBAGE = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01garbage\r\n\r\n",
    "no status code": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status code that is none": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000; x\r\nContent-Length: 0\r\n\r\n",
    "two status codes": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nX-M2M-RSC: 4004\r\nContent-Length: 0\r\n\r\n",
    "the answer to another request": answered(ri="other"),
    "a part of a body": answered(b"{}").replace(b"Content-Length: 2", b"Content-Length: 200"),
    "a body without end": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"ffff\r\n" + bytes(0xFFFF) + b"\r\n" + b"ffff\r\n" + bytes(0xFFFF) + b"\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 50_000,
    "headers of a client": b"HTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
async def test_a_cse_that_answers_garbage_is_not_reachable_and_the_next_request_is_answered(name):
    cse = PlayedCse()
    well = cse.answer

    async def garbage(seen: Seen) -> bytes:
        if seen.line.startswith("GET /bad"):
            raise LastWordsError(GARBAGE[name])
        return await well(seen)

    cse.answer = garbage
    async with gateway(cse=cse) as running:
        status, headers, body = await running.ask(request(target="/bad"))
        assert (status, headers["x-m2m-rsc"]) == (404, "5103")
        assert body == b'{"m2m:dbg": "the CSE cannot be reached"}'
        assert (await running.ask(request()))[0] == 200


class Hanging(PlayedCse):
    """A CSE that answers everything but what is asked below ``/hang``."""

    def __init__(self) -> None:
        super().__init__()
        self.hung, self.go = asyncio.Semaphore(0), asyncio.Event()
        self._well = self.answer
        self.answer = self._hang

    async def _hang(self, seen: Seen) -> bytes:
        if seen.line.startswith("GET /hang"):
            self.hung.release()
            await self.go.wait()
        return await self._well(seen)


async def test_a_cse_that_hangs_costs_the_request_its_time():
    async with gateway(cse=Hanging(), terms=UpstreamTerms(answer_seconds=0.2)) as running:
        status, headers, body = await running.ask(request(target="/hang"))
    assert (status, headers["x-m2m-rsc"]) == (504, "4008")
    assert body == b'{"m2m:dbg": "the CSE gave no answer in time"}'


async def test_a_request_on_which_the_cse_hangs_keeps_no_other_waiting():
    cse = Hanging()
    async with gateway(cse=cse, terms=UpstreamTerms(under_way=2)) as running:
        waiting = asyncio.create_task(running.ask(request(target="/hang")))
        await cse.hung.acquire()
        for _ in range(3):
            assert (await running.ask(request(originator="Csecond"), "second"))[0] == 200
        cse.go.set()
        assert (await waiting)[0] == 200


async def test_a_cse_that_dies_is_not_reachable_until_it_is_back():
    cse = PlayedCse()
    async with gateway(cse=cse) as running:
        assert (await running.ask(request()))[0] == 200
        host, port = cse.to.removeprefix("http://").split(":")
        await cse.stop()
        async with running.associated() as channel:
            await channel.write(request())
            assert (await answer_on(channel))[1]["x-m2m-rsc"] == "5103"
            cse.server = await asyncio.start_server(cse._serve, host, int(port))
            await channel.write(request())
            assert (await answer_on(channel))[0] == 200


async def test_one_peer_that_asks_for_too_much_at_once_is_told_so_and_others_are_answered():
    cse = Hanging()
    async with gateway(cse=cse, terms=UpstreamTerms(under_way=8, waiting=0, each=3)) as running:
        asked = [asyncio.create_task(running.ask(request(target="/hang"))) for _ in range(3)]
        for _ in asked:
            await cse.hung.acquire()
        assert (await running.ask(request()))[1]["x-m2m-rsc"] == "4029"
        assert (await running.ask(request(originator="Csecond"), "second"))[0] == 200
        cse.go.set()
        assert [status for status, _, _ in await asyncio.gather(*asked)] == [200, 200, 200]


async def test_a_body_that_is_too_long_or_has_no_end_never_reaches_the_cse():
    async with gateway(limits=Limits(body_octets=2048)) as running:
        assert (await running.ask(request("PUT", body=b"x" * 2048)))[0] == 200
        status, headers, _ = await running.ask(request("PUT", body=b"x" * 2049))
        assert (status, headers["x-m2m-rsc"]) == (400, "4102")
        async with running.associated() as channel:  # chunks without end
            head = request("PUT", "/cse/x", "Transfer-Encoding: chunked")
            await channel.write(
                head + b"400\r\n" + b"x" * 1024 + b"\r\n" + b"800\r\n" + b"x" * 2048 + b"\r\n"
            )
            assert (await answer_on(channel))[1]["x-m2m-rsc"] == "4102"
        assert len(running.cse.seen) == 1


async def test_a_gateway_that_stops_lets_the_answers_under_way_leave():
    cse = Hanging()
    async with gateway(cse=cse) as running, running.associated() as channel:
        await channel.write(request(target="/hang"))
        await cse.hung.acquire()
        stopping = asyncio.create_task(running.entity_b.stop())
        await asyncio.sleep(0)
        cse.go.set()
        assert (await answer_on(channel))[0] == 200
        await stopping


async def test_connections_to_the_cse_are_used_again_and_bounded():
    async with gateway(terms=UpstreamTerms(under_way=2)) as running:
        async with running.associated() as channel:
            for _ in range(5):
                await channel.write(request())
                assert (await answer_on(channel))[0] == 200
        assert running.cse.connections == 1
        await asyncio.gather(*(running.ask(request()) for _ in range(6)))
        assert running.cse.connections <= 2


async def test_a_cse_at_a_unix_socket_is_reached(tmp_path):
    async with gateway(path=tmp_path / "cse.sock") as running:
        assert (await running.ask(request()))[0] == 200
        assert running.cse.seen[0].all_of("host") == ["localhost"]


async def test_a_cse_behind_coap_is_reached_from_http_and_from_coap_with_blocks():
    seen: list[CarriedRequest] = []

    async def answer(asked: CarriedRequest, established: object) -> CarriedResponse:
        assert established is None
        seen.append(asked)
        return CarriedResponse(
            2000, asked.request_id, content_type="application/json", content=b"[%s]" % (b"1," * 3000)
        )

    server = await CoapServer.carrying(answer, Limits())
    port = PlainCoapPort(server)
    inside = await port.listen(Address("127.0.0.1", 0))
    try:
        async with gateway(to=f"coap://{inside}") as running:
            more = ["Content-Type: application/json;ty=3", "X-M2M-OT: 20300101T000000"]
            status, headers, body = await running.ask(
                request("POST", "/~/in-cse/cse?rcn=1&lbl=a%20b", *more, body=b"[%s]" % (b"1," * 2000))
            )
            assert (status, headers["x-m2m-rsc"], len(body)) == (200, "2000", 6002)
            client = CoapClient(running.link(Transport.DTLS), initiator("ae"))
            answer_ = await client.carry(CarriedRequest(Operation.RETRIEVE, "cse/x", "r", originator="Cae"))
            assert len(answer_.content) == 6002
            await client.close()
    finally:
        await port.stop()
    first, second = seen
    assert (first.operation, first.to, first.resource_type) == (Operation.CREATE, "/in-cse/cse", 3)
    assert (first.originator, first.query, first.parameters) == (
        "Cae",
        "rcn=1&lbl=a%20b",
        {"ot": "20300101T000000"},
    )
    assert len(first.content) == 4002
    assert second.operation is Operation.RETRIEVE


async def test_a_coap_cse_that_is_not_there_is_not_reachable():
    async with gateway(to="coap://127.0.0.1:1", terms=UpstreamTerms(answer_seconds=20)) as running:
        assert (await running.ask(request()))[1]["x-m2m-rsc"] == "5103"
