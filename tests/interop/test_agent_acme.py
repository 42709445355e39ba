"""``curl`` as an AE that knows nothing of security, an agent, a gateway, and an unchanged ACME CSE.

The AE registers, makes a container, puts a value into it and reads it, by every framework; who it is, it does
not even say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from acme import Cse
from every_framework import CELLS, IN_CSE, Cell
from onem2m_security.gateway.agent_back import BackPlan
from onem2m_security.gateway.agent_plan import AgentPlan, Running, running
from onem2m_security.gateway.back_routes import BackRoutes
from onem2m_security.gateway.bound import BoundAeIds
from onem2m_security.gateway.door import Behind, Door
from onem2m_security.gateway.places import Places
from onem2m_security.gateway.registrar import Registrar
from onem2m_security.gateway.upstream import upstream
from onem2m_security.gateway.upstream_terms import UpstreamAddress, UpstreamTerms
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.local_address import LocalAddress, UnixSocket
from programs import PATIENCE, Programs
from requirements import needs
from test_every_framework_by_library import HOW, Device, entity_b
from whole_domain import Domain

OVER_DTLS = {"kpsa", "certificate-ae", "maf", "gba"}
AS_AES = [
    cell
    for cell in CELLS
    if cell.way.name != "certificate-cse"  # a CSE registers otherwise than an AE does
    and cell.release is cell.way.releases[-1]
    and (cell.transport is Transport.TLS or cell.way.name in OVER_DTLS)
]
"""Each way once over TLS; that a way does the same over DTLS, and in the other release, others hold."""


@pytest.fixture(scope="module")
def cse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cse]:
    running_cse = Cse(tmp_path_factory.mktemp("acme"), "in-cse")
    yield running_cse
    running_cse.stop()


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    programs = Programs(tmp_path_factory.mktemp("domain"))
    try:
        yield Domain(programs)
    finally:
        programs.end_all()


@contextlib.asynccontextmanager
async def gateway(domain: Domain, cse: Cse, transport: Transport) -> AsyncIterator[Link]:
    """A gateway in front of the CSE."""
    terms, bound = UpstreamTerms(), BoundAeIds()
    to = upstream(UpstreamAddress.parse(f"http://127.0.0.1:{cse.port}"), Limits(), terms)
    places = Places(terms.under_way, terms.waiting, terms.each)
    routes = BackRoutes(Door(Registrar(IN_CSE, bound), Behind(to, places, bound)).handle, Limits())
    await routes.listen(Address("127.0.0.1", 0))
    async with entity_b(domain, transport) as b:
        yield Link(await b.carry_over((transport,), Address("127.0.0.1", 0), routes.handle), transport)
    await routes.stop()
    await to.close()


@contextlib.asynccontextmanager
async def agent(
    domain: Domain, cell: Cell, link: Link, at: LocalAddress, back: BackPlan | None = None
) -> AsyncIterator[Running]:
    """An agent of the cell's Entity A."""
    async with contextlib.AsyncExitStack() as closing:
        how = await HOW[cell.way.name](Device(domain, cell, closing))
        plan = AgentPlan(registrar=IN_CSE, link=link, listen=(at,), back=back)
        yield await closing.enter_async_context(running(plan, how))


@dataclass
class Notified:
    """A web server of the AE's own, that takes notifications.

    Attributes:
        port: Where it listens.
        heard: The path and the body of each, as they come.
    """

    port: int
    heard: asyncio.Queue[tuple[str, Any]]

    async def next(self) -> tuple[str, Any]:
        """The next notification."""
        async with asyncio.timeout(PATIENCE):
            return await self.heard.get()

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls) -> AsyncIterator[Notified]:
        heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                answer = f"X-M2M-RSC: 2000\r\nX-M2M-RI: {fields['x-m2m-ri']}\r\nContent-Length: 0\r\n"
                writer.write(f"HTTP/1.1 200 OK\r\n{answer}Connection: close\r\n\r\n".encode())
                await writer.drain()
                heard.put_nowait((head.split()[1], json.loads(body)))

        async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
            yield cls(server.sockets[0].getsockname()[1], heard)


@dataclass
class Curl:
    """An AE whose only program is curl.

    Attributes:
        to: Where it asks.
        more: Further options of curl.
    """

    to: str
    more: tuple[str, ...] = ()

    @classmethod
    def at(cls, agent: Running) -> Curl:
        place = agent.listening[0].partition(" ")[0]
        if place.startswith("unix:"):
            return cls("http://localhost", ("--unix-socket", place.removeprefix("unix:")))
        return cls(f"http://{place}")

    async def __call__(
        self, path: str, *headers: str, ty: int | None = None, content: Any = None, method: str | None = None
    ) -> tuple[int, Any]:
        """The Response Status Code and the content of the answer."""
        command = [needs("curl"), "-sS", "-i", "-m", "60", *self.more]
        command += ["-H", "X-M2M-RI: 1", "-H", "X-M2M-RVI: 3"]
        command += ["-X", method] if method else []
        for header in headers:
            command += ["-H", header]
        if content is not None:
            given = "application/json" + (f";ty={ty}" if ty else "")
            command += ["-H", f"Content-Type: {given}", "-d", json.dumps(content)]
        process = await asyncio.create_subprocess_exec(
            *command, f"{self.to}/{path}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err
        head, _, body = out.decode().partition("\r\n\r\n")
        [rsc] = [line.split()[1] for line in head.splitlines() if line.lower().startswith("x-m2m-rsc:")]
        return int(rsc), json.loads(body) if body else None


async def register(curl: Curl, name: str) -> dict[str, Any]:
    about = {"rn": name, "api": "Nexample", "rr": False, "srv": ["3"]}
    rsc, content = await curl("cse-in", ty=2, content={"m2m:ae": about})
    assert rsc == 2001, content
    return content["m2m:ae"]


async def write_and_read(curl: Curl, name: str, value: str) -> None:
    rsc, content = await curl(f"cse-in/{name}", ty=3, content={"m2m:cnt": {"rn": "values"}})
    assert rsc == 2001, content
    rsc, content = await curl(f"cse-in/{name}/values", ty=4, content={"m2m:cin": {"con": value}})
    assert rsc == 2001, content
    rsc, content = await curl(f"cse-in/{name}/values/la")
    assert (rsc, content["m2m:cin"]["con"]) == (2000, value)


@pytest.mark.parametrize("cell", AS_AES, ids=lambda cell: cell.id)
async def test_an_ae_that_knows_nothing_of_security_registers_writes_and_reads(domain, cse, cell):
    async with (
        gateway(domain, cse, cell.transport) as link,
        agent(domain, cell, link, Address("127.0.0.1", 0)) as running_agent,
    ):
        curl = Curl.at(running_agent)
        assert (await register(curl, cell.id))["aei"] == f"C{cell.id}"
        await write_and_read(curl, cell.id, "22.5 °C")
        rsc, _ = await curl(f"cse-in/{cell.id}", "X-M2M-Origin: CAdmin")
        assert rsc == 4106
        assert (await curl(f"cse-in/{cell.id}", method="DELETE"))[0] == 2002


async def test_two_aes_of_one_cse_are_kept_apart_and_a_unix_socket_serves(domain, cse, tmp_path):
    first, second = (next(cell for cell in AS_AES if cell.way.name == way) for way in ("kpsa", "maf"))
    async with (
        gateway(domain, cse, Transport.TLS) as link,
        agent(domain, first, link, UnixSocket(tmp_path / "a.sock")) as at_first,
        agent(domain, second, link, Address("127.0.0.1", 0)) as at_second,
    ):
        one, other = Curl.at(at_first), Curl.at(at_second)
        await register(one, "apart")
        rsc, _ = await one("cse-in/apart", ty=3, content={"m2m:cnt": {"rn": "mine"}})
        assert rsc == 2001
        assert (await other("cse-in/apart/mine"))[0] == 4103, "the CSE decides by From, which is the other's"
        assert (await other("cse-in/apart/mine", f"X-M2M-Origin: C{first.id}"))[0] == 4106
        rsc, _ = await other("cse-in", f"X-M2M-Origin: C{first.id}", ty=2, content={"m2m:ae": {"api": "Nx"}})
        assert rsc == 4106
        assert (await one("cse-in/apart", method="DELETE"))[0] == 2002


@pytest.mark.parametrize("cell", AS_AES, ids=lambda cell: cell.id)
async def test_the_ae_is_notified_at_its_own_plain_address_over_a_second_association(domain, cse, cell):
    """SA2: by the credential of SA1; the CSE and the AE know nothing of it."""
    async with Notified.listening() as ae, gateway(domain, cse, cell.transport) as link:
        plain = f"http://127.0.0.1:{ae.port}"
        back = BackPlan(
            to=UpstreamAddress.parse(plain),
            listen=Address("127.0.0.1", a_free_port(cell.transport)),
            transport=cell.transport,
        )
        async with agent(domain, cell, link, Address("127.0.0.1", 0), back) as running_agent:
            curl, name = Curl.at(running_agent), f"back-{cell.id}"
            about = {"rn": name, "api": "Nexample", "rr": True, "srv": ["3"], "poa": [f"{plain}/notified"]}
            rsc, content = await curl("cse-in", ty=2, content={"m2m:ae": about})
            assert (rsc, content["m2m:ae"]["poa"]) == (2001, [f"{plain}/notified"])
            assert (await curl(f"cse-in/{name}", ty=3, content={"m2m:cnt": {"rn": "values"}}))[0] == 2001
            subscription = {"rn": "s", "nu": [f"/in-cse/C{cell.id}"], "nct": 1, "enc": {"net": [3]}}
            rsc, content = await curl(f"cse-in/{name}/values", ty=23, content={"m2m:sub": subscription})
            assert rsc == 2001, content
            rsc, _ = await curl(f"cse-in/{name}/values", ty=4, content={"m2m:cin": {"con": "23"}})
            assert rsc == 2001
            path, told = await ae.next()
            assert path.startswith("/notified"), "and after it what this CSE appends: To"
            assert told["m2m:sgn"]["nev"]["rep"]["m2m:cin"]["con"] == "23"
            assert (await curl(f"cse-in/{name}", method="DELETE"))[0] == 2002


def a_free_port(transport: Transport) -> int:
    kind = socket.SOCK_STREAM if transport is Transport.TLS else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
