"""A gateway in front of a CSE that a test plays, octet by octet, and those who come to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from maf_support import LOOPBACK, key_of
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.frameworks import saef_psk
from onem2m_security.frameworks.steps import Initiator
from onem2m_security.gateway.bound import BoundAeIds
from onem2m_security.gateway.door import Behind, Door
from onem2m_security.gateway.places import Places
from onem2m_security.gateway.registrar import Registrar
from onem2m_security.gateway.upstream import upstream
from onem2m_security.gateway.upstream_terms import UpstreamAddress, UpstreamTerms
from onem2m_security.identifiers import EntityId, KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.channel import Channel, open_channel
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link

CSE = EntityId.parse("//sp.example/in-cse")
AE = EntityId.parse("//sp.example/in-cse/Cae")
SECOND = EntityId.parse("//sp.example/in-cse/Csecond")
MN = EntityId.parse("//sp.example/mn-cse")
PEERS = {"ae": AE, "second": SECOND, "mn": MN, "unknown": None, "stranger": None}
KEYS = {
    name: saef_psk.credential(KeyIdentifier.parse(f"{name}@m.example"), key_of(name), peer=peer)
    for name, peer in PEERS.items()
}


def initiator(who: str) -> Initiator:
    """How a peer proves itself to the gateway."""
    return saef_psk.initiate(PEERS[who] or AE, CSE, KEYS[who])


@dataclass
class Seen:
    """A request as it came to the CSE."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    octets: bytes = field(repr=False, default=b"")

    def all_of(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class LastWordsError(Exception):
    """What a played CSE says before it closes the connection."""

    def __init__(self, octets: bytes = b"") -> None:
        super().__init__()
        self.octets = octets


Answer = Callable[[Seen], Awaitable[bytes]]


def answered(
    body: bytes = b"", *, rsc: int = 2000, status: int = 200, more: Iterable[str] = (), ri: str = "r"
) -> bytes:
    """An answer of a CSE."""
    head = [
        f"HTTP/1.1 {status} X",
        f"X-M2M-RSC: {rsc}",
        f"X-M2M-RI: {ri}",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


class PlayedCse:
    """A CSE on TCP or at a Unix socket, that answers as the test says."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer: Answer = self._ok
        self.connections = 0
        self.to = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server | None = None

    async def _ok(self, seen: Seen) -> bytes:
        return answered(b"{}", more=["Content-Type: application/json"], ri=seen.all_of("x-m2m-ri")[0])

    async def start(self, path: Path | None = None) -> str:
        if path is not None:
            self.server = await asyncio.start_unix_server(self._serve, path)
            self.to = f"unix:{path}"
            return self.to
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()
        self.to = f"http://{host}:{port}"
        return self.to

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = (asyncio.IncompleteReadError, asyncio.CancelledError, OSError)
        with contextlib.closing(writer), contextlib.suppress(*ends):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *fields = head.decode("utf-8").removesuffix("\r\n\r\n").split("\r\n")
                headers = [tuple(one.split(": ", 1)) for one in fields]
                octets = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
                body = await reader.readexactly(octets)
                seen = Seen(line, headers, body, head + body)
                self.seen.append(seen)
                try:
                    writer.write(await self.answer(seen))
                    await writer.drain()
                except LastWordsError as last:
                    writer.write(last.octets)
                    await writer.drain()
                    return

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass
class Gateway:
    """A running gateway.

    Attributes:
        address: Where it listens.
        cse: What is behind it.
        bound: Whose AE-IDs are whose.
    """

    address: Address
    cse: PlayedCse
    bound: BoundAeIds
    entity_b: EntityB

    def link(self, transport: Transport = Transport.TLS) -> Link:
        return Link(self.address, transport, Limits(request_seconds=60))

    @contextlib.asynccontextmanager
    async def associated(self, who: str = "ae") -> AsyncIterator[Channel]:
        async with await open_channel(self.link(), initiator(who)) as channel:
            yield channel

    async def ask(self, octets: bytes, who: str = "ae") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what these octets are answered with, on an association of their own."""
        async with self.associated(who) as channel:
            await channel.write(octets)
            return await answer_on(channel)


async def answer_on(channel: Channel) -> tuple[int, dict[str, str], bytes]:
    """The next answer on a channel; status 0 where it was closed without one."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = await channel.read()
        if not data:
            return 0, {}, received
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await channel.read()
    return int(status.split()[1]), headers, body


def request(
    method: str = "GET",
    target: str = "/cse/x",
    *more: str,
    originator: str | None = "Cae",
    body: bytes | None = None,
    ri: str = "r",
) -> bytes:
    """An HTTP request as an AE writes it."""
    head = [f"{method} {target} HTTP/1.1", "Host: cse", f"X-M2M-RI: {ri}", "X-M2M-RVI: 3"]
    head += [] if originator is None else [f"X-M2M-Origin: {originator}"]
    head += [*more, *([] if body is None else [f"Content-Length: {len(body)}"])]
    return "\r\n".join([*head, "", ""]).encode() + (body or b"")


@contextlib.asynccontextmanager
async def gateway(
    *,
    cse: PlayedCse | None = None,
    to: str | None = None,
    path: Path | None = None,
    limits: Limits | None = None,
    terms: UpstreamTerms | None = None,
    bound: BoundAeIds | None = None,
    tells: bool = False,
) -> AsyncIterator[Gateway]:
    """A gateway in front of a played CSE, or of what listens at another address."""
    cse = cse or PlayedCse()
    to = to or await cse.start(path)
    limits, terms = limits or Limits(), terms or UpstreamTerms()
    bound = BoundAeIds() if bound is None else bound
    behind = Behind(
        upstream(UpstreamAddress.parse(to), limits, terms),
        Places(terms.under_way, terms.waiting, terms.each),
        bound,
        tells,
    )
    door = Door(Registrar(CSE, bound, registrees=[MN], is_others=lambda ae: ae in {AE, SECOND}), behind)
    try:
        async with EntityB(CSE, keys=KEYS.values(), limits=limits) as entity_b:
            address = await entity_b.carry_over(tuple(Transport), LOOPBACK, door.handle)
            yield Gateway(address, cse, bound, entity_b)
    finally:
        await door.close()
        await cse.stop()
