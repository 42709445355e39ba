"""WebSocket with an implementation of others at either end, over Python's TLS, by certificates."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from certificate_support import CA, ID_A, ID_B, NAME_B, ROOT, A, B, endpoint_b, initiator_a
from certs import Flavour, Issued
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.errors import ResolverUnavailableError
from onem2m_security.net.address import Address, Binding
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.websocket_client import WebSocketClient
from onem2m_security.onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from test_saef_certificate import CLIENTS, IN_CSE, MAF, SENSOR, certificate_maf, maf_client

LOOPBACK = Address("127.0.0.1", 0)
SUBPROTOCOL = "oneM2M.json"


def context(purpose: ssl.Purpose, whose: Issued, directory: Path) -> ssl.SSLContext:
    """Python's TLS with mutual authentication, as the standard has it."""
    made = ssl.create_default_context(purpose, cadata=ROOT.trust_anchor_pem.decode())
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(whose.full_chain_pem)
    key.touch(mode=0o600)
    key.write_bytes(whose.key_pem)
    made.load_cert_chain(chain, key)
    return made


async def echo(request: Request, established) -> Response:
    if request.originator != str(established.association.peer):
        raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, "somebody else")
    return Response(Rsc.OK, {"to": list(request.to), "pc": request.content})


@contextlib.asynccontextmanager
async def foreign_client(directory: Path, *, limits: Limits | None = None, **options):
    """A connection of ``websockets`` to a port of ours."""
    async with EntityB(ID_B, endpoint=endpoint_b(), limits=limits) as b:
        bound = await b.listen_requests(LOOPBACK, echo)
        tls = context(ssl.Purpose.SERVER_AUTH, A, directory)
        options = {"subprotocols": [SUBPROTOCOL], "server_hostname": NAME_B} | options
        async with connect(f"wss://{bound}/", ssl=tls, proxy=None, **options) as connection:
            yield connection


@contextlib.asynccontextmanager
async def foreign_server(directory: Path, handler, **options):
    """A client of ours of a port of ``websockets``."""
    tls = context(ssl.Purpose.CLIENT_AUTH, B, directory)
    options = {"subprotocols": [SUBPROTOCOL]} | options
    async with serve(handler, "127.0.0.1", 0, ssl=tls, **options) as server:
        port = server.sockets[0].getsockname()[1]
        client = WebSocketClient(Link(Address("127.0.0.1", port), binding=Binding.WEBSOCKET), initiator_a())
        try:
            yield client
        finally:
            await client.close()


def asked(number: int, **parameters: object) -> str:
    return json.dumps(
        {"op": 1, "to": f"/x/{number}", "fr": str(ID_A), "rqi": str(number), "ty": 3, "pc": {"é": 1}}
        | parameters
    )


async def test_a_foreign_client_asks_many_things_on_one_connection(tmp_path):
    async with foreign_client(tmp_path) as connection:
        assert connection.subprotocol == SUBPROTOCOL
        for number in range(40):
            await connection.send(asked(number))
        answers = [json.loads(await connection.recv()) for _ in range(40)]
        assert {answer["rqi"]: answer["pc"] for answer in answers} == {
            str(number): {"to": ["x", str(number)], "pc": {"é": 1}} for number in range(40)
        }
        await (await connection.ping())
        await connection.send(asked(1, fr=str(ID_B)))
        assert json.loads(await connection.recv())["rsc"] == Rsc.ORIGINATOR_NOT_AUTHENTICATED


async def test_a_foreign_client_may_send_a_message_in_fragments(tmp_path):
    async with foreign_client(tmp_path) as connection:
        await connection.send(asked(1))
        whole = await connection.recv()
        await connection.send(list(asked(1)))
        assert await connection.recv() == whole


async def test_a_foreign_client_that_offers_compression_goes_without(tmp_path):
    async with foreign_client(tmp_path, compression="deflate") as connection:
        assert connection.protocol.extensions == []
        await connection.send(asked(1))
        assert json.loads(await connection.recv())["rsc"] == Rsc.OK


@pytest.mark.parametrize(
    ("message", "code"), [(b"\xa0", 1003), ("no", 1007), ('{"rsc": 2000}', 1008), (" " * 100_000, 1009)]
)
async def test_a_foreign_client_is_told_why_its_connection_ends(tmp_path, message, code):
    async with foreign_client(tmp_path) as connection:
        await connection.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        assert closed.value.rcvd.code == code


@pytest.mark.parametrize("subprotocols", [None, ["oneM2M.xml"]])
async def test_a_foreign_client_without_our_subprotocol_is_refused(tmp_path, subprotocols):
    with pytest.raises(InvalidStatus, match="400"):
        async with foreign_client(tmp_path, subprotocols=subprotocols):
            pass


async def test_a_foreign_client_retrieves_kc_from_a_maf_that_knows_it_by_certificate(tmp_path):
    (tmp_path / "maf").mkdir(mode=0o700)
    async with certificate_maf(tmp_path / "maf", *CLIENTS) as (address, _):
        sensor = maf_client(address, SENSOR, Flavour.AE_ID)
        made = await sensor.handshake()
        await sensor.close()
        tls = context(ssl.Purpose.SERVER_AUTH, CA.issue(Flavour.CSE_ID, IN_CSE.text), tmp_path)
        async with connect(
            f"wss://{address}/", ssl=tls, proxy=None, subprotocols=[SUBPROTOCOL], server_hostname=str(MAF)
        ) as connection:
            to = f"//{MAF}/maf/symmKeyReg/{made.kc_id.relative}"
            for originator, rsc in ((SENSOR, Rsc.ORIGINATOR_NOT_AUTHENTICATED), (IN_CSE, Rsc.OK)):
                asking = {"op": 2, "to": to, "fr": str(originator), "rqi": "1"}
                await connection.send(json.dumps(asking))
                answer = json.loads(await connection.recv())
                assert answer["rsc"] == rsc
    assert base64.b64decode(answer["pc"]["sec:skr"]["kv"]) == made.kc.reveal()
    assert answer["pc"]["sec:skr"]["src"] == str(SENSOR)


async def test_our_client_asks_a_foreign_server_many_things_at_once_which_answers_in_another_order(tmp_path):
    opened = []

    async def answer(connection: ServerConnection) -> None:
        opened.append(connection)
        requests = [json.loads(await connection.recv()) for _ in range(10)]
        for request in reversed(requests):
            content = {"to": request["to"], "fr": request["fr"]}
            await connection.send(json.dumps({"rsc": 2000, "rqi": request["rqi"], "pc": content}))
        await connection.wait_closed()

    async with foreign_server(tmp_path, answer) as client:
        answers = await asyncio.gather(
            *(client.request(Operation.RETRIEVE, ("é", str(number))) for number in range(10))
        )
        assert str(client.established.association.peer) == str(ID_B)
    assert [answer.content for answer in answers] == [
        {"to": f"/%C3%A9/{number}", "fr": str(ID_A)} for number in range(10)
    ]
    assert len(opened) == 1


async def test_our_client_takes_fragments_of_a_foreign_server_and_answers_its_pings(tmp_path):
    async def answer(connection: ServerConnection) -> None:
        async for text in connection:
            await (await connection.ping())
            await connection.send(list(json.dumps({"rsc": 2000, "rqi": json.loads(text)["rqi"]})))

    async with foreign_server(tmp_path, answer) as client:
        assert (await client.request(Operation.RETRIEVE, ("x",))).rsc is Rsc.OK


async def test_our_client_makes_a_new_connection_where_a_foreign_server_closes_each(tmp_path):
    opened = []

    async def answer(connection: ServerConnection) -> None:
        opened.append(connection)
        request = json.loads(await connection.recv())
        await connection.send(json.dumps({"rsc": 2000, "rqi": request["rqi"]}))
        await connection.close()

    async with foreign_server(tmp_path, answer) as client:
        for number in (1, 2):
            assert (await client.request(Operation.RETRIEVE, ("x",))).rsc is Rsc.OK
            await opened[-1].wait_closed()
            assert len(opened) == number


async def test_our_client_takes_no_foreign_server_without_its_subprotocol(tmp_path):
    async def nothing(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with foreign_server(tmp_path, nothing, subprotocols=None) as client:
        with pytest.raises(ResolverUnavailableError, match=r"does not speak oneM2M\.json"):
            await client.request(Operation.RETRIEVE, ("x",))
