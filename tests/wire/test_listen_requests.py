"""A CSE in Python: what ``EntityB.listen_requests`` hands to its handler, over HTTP and over CoAP."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway_support import CSE, KEYS, LOOPBACK, initiator
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import ConfigurationError
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.coap import CoapClient
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.link import Link
from onem2m_security.onem2m.carried import CarriedRequest
from onem2m_security.onem2m.primitives import Operation, Request, Response, Rsc

ASKED = CarriedRequest(
    Operation.CREATE,
    "//sp.example/in-cse/" + "/".join("abcdefghijkl"),
    "r1",
    originator="Cae",
    resource_type=4,
    release_version="3",
    query="rcn=1&lbl=a%26b&ty=2+3&fu=1",
    parameters={"ot": "20300101T000000", "ec": "4"},
    content_type="application/json",
    content=b'{"m2m:cin": {"con": 1}}',
)


@pytest.mark.parametrize("transport", Transport)
async def test_a_handler_gets_everything_that_a_request_says(transport):
    requests: list[Request] = []

    async def handle(request: Request, established) -> Response:
        assert established.association.authenticates(request.originator)
        requests.append(request)
        return Response(Rsc.ACCEPTED_NON_BLOCKING_REQUEST_SYNCH, {"m2m:uri": "x"}, request.to)

    async with EntityB(CSE, keys=KEYS.values()) as entity_b:
        address = await entity_b.listen_requests(LOOPBACK, handle, transport=transport)
        kind = CoapClient if transport is Transport.DTLS else HttpClient
        client = kind(Link(address, transport), initiator("ae"))
        answer = await client.carry(ASKED)
        notified = await client.carry(replace(ASKED, operation=Operation.NOTIFY, resource_type=None))
        await client.close()
    assert (answer.rsc, answer.request_id, json.loads(answer.content)) == (1001, "r1", {"m2m:uri": "x"})
    assert answer.location == "/_/sp.example/in-cse/a/b/c/d/e/f/g/h/i/j/k/l"
    assert notified.rsc == 1001
    first, second = requests
    assert first == Request(
        Operation.CREATE,
        ("_", "sp.example", "in-cse", *"abcdefghijkl"),
        "Cae",
        "r1",
        {"m2m:cin": {"con": 1}},
        4,
        first.query,
        "3",
        {"ot": "20300101T000000", "ec": "4"},
    )
    assert dict(first.query) == {"rcn": "1", "lbl": "a&b", "ty": "2 3", "fu": "1"}
    assert (second.operation, second.resource_type) == (Operation.NOTIFY, None)


async def test_a_channel_is_read_and_written_as_streams_too():
    async def echo(channel: Channel) -> None:
        reader, writer = channel.streams
        writer.write(await reader.readline())
        await writer.drain()

    async with EntityB(CSE, keys=KEYS.values()) as entity_b:
        address = await entity_b.listen_over(tuple(Transport), LOOPBACK, echo)
        async with await open_channel(Link(address), initiator("ae")) as channel:
            reader, writer = channel.streams
            writer.write(b"one line\n")
            assert await reader.readline() == b"one line\n"
        async with await open_channel(Link(address, Transport.DTLS), initiator("ae")) as channel:
            with pytest.raises(ConfigurationError, match="datagrams"):
                _ = channel.streams
