"""What TS-0009 and TS-0008 require of a CREATE and of its answer, over TLS and DTLS, octet by octet."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from maf_support import ID_A, ID_B, LOOPBACK, MAF, A, RunningMaf, key_of, running_maf
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.frameworks import saef_psk
from onem2m_security.identifiers import Fqdn, KeyIdentifier
from onem2m_security.net.address import Transport
from onem2m_security.net.channel import open_channel
from onem2m_security.net.link import Link
from onem2m_security.net.ports import request_client
from onem2m_security.onem2m.primitives import Operation, Request, Response, Rsc
from onem2m_security.onem2m.resources import MafClientRegistration

JSON = "application/json"
CLIENT_REG = MafClientRegistration(
    fqdn=MAF,
    expiration_time=datetime.now(UTC) + timedelta(hours=1),
    admin_fqdn=Fqdn("admin.example"),
)
TYPE = MafClientRegistration.resource_type


async def answer_to(maf: RunningMaf, octets: bytes) -> tuple[bytes, dict[str, str]]:
    """Status line and headers of what A is answered to these octets."""
    async with await open_channel(Link(maf.address), A.initiator()) as channel:
        await channel.write(octets)
        answer = b""
        while b"\r\n\r\n" not in answer and (data := await channel.read()):
            answer += data
    status, *lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return status.encode(), dict(line.lower().split(": ", 1) for line in lines)


def create(content_type: str, *more: str) -> bytes:
    body = json.dumps(CLIENT_REG.encode()).encode()
    head = ["POST /maf/clientReg HTTP/1.1", "Host: m", f"X-M2M-Origin: {ID_A}", "X-M2M-RI: 1"]
    head += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize(
    "content_type",
    [f"{JSON};ty={TYPE}", f"{JSON}; charset=utf-8; ty={TYPE}", f"application/vnd.onem2m-res+json; TY={TYPE}"],
)
async def test_a_create_needs_no_header_but_those_of_ts_0009_and_is_told_where_its_resource_is(
    tmp_path, content_type
):
    async with running_maf(tmp_path) as maf:
        status, headers = await answer_to(maf, create(content_type))
        stored = await maf.store.find_registration_of(ID_A, Fqdn("admin.example"))
    assert status.startswith(b"HTTP/1.1 201")
    assert headers["content-location"] == f"/maf/clientreg/{stored.registration_id}"
    assert headers["x-m2m-ri"] == "1"


@pytest.mark.parametrize("content_type", [JSON, f"{JSON};ty=10001", f"{JSON};ty=65001", f"{JSON};ty="])
async def test_a_create_without_its_resource_type_is_a_bad_request_and_stores_nothing(tmp_path, content_type):
    async with running_maf(tmp_path) as maf:
        status, headers = await answer_to(maf, create(content_type))
        assert await maf.store.count_registrations(ID_A) == 0
    assert status.startswith(b"HTTP/1.1 400")
    assert headers["x-m2m-rsc"] == "4000"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (["application/xml"], 406),
        (["application/json;q=0, application/cbor"], 406),
        (["*/*"], 201),
        (["application/xml", "application/vnd.onem2m-res+json;q=0.5"], 201),
    ],
)
async def test_whoever_takes_no_json_is_told_that_there_is_nothing_else(tmp_path, accept, status):
    async with running_maf(tmp_path) as maf:
        told, headers = await answer_to(
            maf, create(f"{JSON};ty={TYPE}", *(f"Accept: {one}" for one in accept))
        )
    assert told.startswith(f"HTTP/1.1 {status}".encode())
    assert headers["x-m2m-rsc"] == {406: "5207", 201: "2001"}[status]


@contextlib.asynccontextmanager
async def entity_b(handler, transport):
    kpsa = saef_psk.credential(KeyIdentifier.parse("kpsa@m.example"), key_of("kpsa"), peer=ID_A)
    async with EntityB(ID_B, keys=[kpsa]) as b:
        bound = await b.listen_requests(LOOPBACK, handler, transport=transport)
        client = request_client(Link(bound, transport), saef_psk.initiate(ID_A, ID_B, kpsa))
        try:
            yield client
        finally:
            await client.close()


@pytest.mark.parametrize("transport", Transport)
async def test_a_post_with_a_resource_type_is_a_create_and_without_one_a_notify(transport):
    came: list[Request] = []

    async def answer(request: Request, _: object) -> Response:
        came.append(request)
        return Response(Rsc.OK)

    async with entity_b(answer, transport) as client:
        await client.request(Operation.CREATE, ("in-cse",), content={"m2m:ae": {}}, resource_type=2)
        await client.request(Operation.NOTIFY, ("Cae",), content={"m2m:sgn": {}})
    assert [(request.operation, request.resource_type) for request in came] == [
        (Operation.CREATE, 2),
        (Operation.NOTIFY, None),
    ]


@pytest.mark.parametrize("transport", Transport)
async def test_a_maf_requires_the_resource_type_over_both_transports(tmp_path, transport):
    async with running_maf(tmp_path) as maf:
        client = request_client(Link(maf.address, transport), A.initiator())
        told = [
            await client.request(
                Operation.CREATE, MafClientRegistration.path, content=CLIENT_REG.encode(), resource_type=given
            )
            for given in (None, 10002, TYPE)
        ]
        await client.close()
    assert [answer.rsc for answer in told] == [Rsc.BAD_REQUEST, Rsc.BAD_REQUEST, Rsc.CREATED]
