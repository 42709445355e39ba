"""Wrong requests over a good session: the right status, and nobody learns what is not theirs.

Every test ends with real clients that do the main job on the same server.
"""

from __future__ import annotations

import asyncio
import contextlib
import re

import pytest

from maf_support import (
    ID_B,
    A,
    B,
    C,
    RunningMaf,
    client_of,
    eventually,
)
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.onem2m.primitives import Operation, Rsc


async def test_whoever_asks_for_another_s_key_learns_not_even_that_it_exists(maf):
    key = await A.maf_client(maf.address).handshake()
    absent = "0" * 32
    for asking in (A, C):  # not even the source is handed the key: it has it
        async with client_of(asking, maf.address) as client:
            existing = await client.request(Operation.RETRIEVE, ("maf", "symmKeyReg", key.kc_id.relative))
            missing = await client.request(Operation.RETRIEVE, ("maf", "symmKeyReg", absent))
        assert existing.rsc is missing.rsc is Rsc.NOT_FOUND
        assert existing.content == missing.content
    async with client_of(B, maf.address) as client:
        authorised = await client.request(Operation.RETRIEVE, ("maf", "symmKeyReg", key.kc_id.relative))
    assert authorised.rsc is Rsc.OK


async def test_b_cannot_remove_or_change_another_s_key(maf):
    key = await A.maf_client(maf.address).handshake()
    path = ("maf", "symmKeyReg", key.kc_id.relative)
    for asking in (B, C):
        async with client_of(asking, maf.address) as client:
            removed = await client.request(Operation.DELETE, path)
            changed = await client.request(Operation.UPDATE, path, content={"sec:skr": {"lbl": ["mine"]}})
        assert removed.rsc is changed.rsc is Rsc.NOT_FOUND
    assert (await maf.kcs())[key.kc_id] == key.kc


@pytest.mark.parametrize(
    ("line", "identifier_and_origin", "status", "rsc"),
    [
        ("GET /maf/symmKeyReg/x", "- {b}", 400, 4000),
        ("GET /maf/symmKeyReg/x", "1 -", 403, 4106),
        ("GET /maf/symmKeyReg/x", "1 /thief", 403, 4106),
        ("GET /nothing", "1 {b}", 404, 4004),
        ("GET /%FF%FE", "1 {b}", 400, 4000),
        ("GET /a/b/c/d/e/f/g/h/i/j", "1 {b}", 404, 4004),
        ("GET /maf/symmKeyReg/../../x", "1 {b}", 404, 4004),
        ("PATCH /maf/symmKeyReg/x", "1 {b}", 405, 4005),
        ("GET /maf/symmKeyReg", "1 {b}", 405, 4005),
    ],
)  # fmt: skip
async def test_a_request_that_is_wrong_gets_the_right_status(maf, line, identifier_and_origin, status, rsc):
    identifier, origin = identifier_and_origin.split(" ")
    headers = [f"{line} HTTP/1.1", "Host: m"]
    headers += [f"X-M2M-RI: {identifier}"] if identifier != "-" else []
    headers += [f"X-M2M-Origin: {origin.format(b=ID_B)}"] if origin != "-" else []
    answer = await answer_to(maf, "\r\n".join([*headers, "", ""]).encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"x-m2m-rsc: {rsc}\r\n".encode() in answer.lower()
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    ("content_type", "body", "rsc"),
    [
        ("application/json;ty=65001", b"{", 4000),
        ("application/json;ty=65001", b"[" * 60_000, 4000),
        ("application/json;ty=65001", b"\xff\xfe", 4000),
        ("application/json;ty=65001", b"null", 4000),
        ("application/json;ty=65001", b"{}", 4000),
        ("application/json;ty=65001", b'{"sec:skr":[]}', 4000),
        ("application/json;ty=65001", b'{"sec:skr":{"unknown":1}}', 4000),
        ("application/json;ty=65001", b'{"sec:skr":{"suid":32,"et":"tomorrow","adfq":"m.example"}}', 4000),
        ("application/json;ty=65001", b'{"sec:skr":{"suid":NaN}}', 4000),
        ("application/json;ty=65001", b'{"sec:skr":{"kv":"%s"}}' % (b"A" * 400), 4000),
        ("application/json;ty=65001", b'{"sec:skr":{"suid":1e400,"et":"20990101T000000"}}', 4000),
        ("application/json;ty=65001", b'{"sec:skr":{"lbl":' + b"[" * 2000 + b"]" * 2000 + b"}}", 4000),
        ("application/json;ty=10001", b'{"sec:skr":{}}', 4000),
        ("application/json;ty=sixty", b'{"sec:skr":{}}', 4000),
        ("application/json;ty=999999", b'{"sec:skr":{}}', 4000),
        ("application/xml;ty=65001", b"<a/>", 4015),
        ("application/vnd.onem2m-res+xml;ty=65001", b"<a/>", 4015),
        ("", b"{}", 4015),
        ("application/json;ty=65001", b'{"x":"' + b"y" * 70_000 + b'"}', 4102),
    ],
)
async def test_content_that_is_wrong_gets_the_right_status_and_stores_nothing(maf, content_type, body, rsc):
    head = (
        f"POST /maf/symmKeyReg HTTP/1.1\r\nHost: m\r\nX-M2M-RI: 1\r\nX-M2M-Origin: {ID_B}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = await answer_to(maf, head.encode() + body)
    assert f"x-m2m-rsc: {rsc}\r\n".encode() in answer.lower()
    assert await maf.kcs() == {}


@pytest.mark.parametrize(
    "octets",
    [
        b"\0" * 100,
        b"\xff" * 5000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"/x" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Header: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)),
        b"POST /maf/symmKeyReg HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /maf/symmKeyReg HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /maf/symmKeyReg HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZZ\r\n",
    ],
)  # fmt: skip
async def test_octets_that_are_no_request_end_the_connection(maf, octets):
    answer = await answer_to(maf, octets)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert b"Traceback" not in answer
    await eventually(lambda: maf.listener.connections == 0)


async def answer_to(running: RunningMaf, octets: bytes) -> bytes:
    """What B is answered to these octets, over its own secured connection."""
    async with await open_channel(Link(running.address), B.initiator()) as channel:
        with contextlib.suppress(ConnectionError):
            await channel.write(octets)
        answer = b""
        async with asyncio.timeout(20):
            while data := await channel.read():
                answer += data
                head, found, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if found and length and len(body) >= int(length.group(1)):
                    break
        return answer
