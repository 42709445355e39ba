"""A MAF in the test's own process: the real functions over a real store and real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from onem2m_security.clients.entity_a import associate
from onem2m_security.clients.entity_b import EntityB
from onem2m_security.clients.maf import MafClient
from onem2m_security.credentials import Secret
from onem2m_security.frameworks import maf_handshake
from onem2m_security.frameworks.steps import Initiator
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.http_client import HttpClient
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.tcp import Listener
from onem2m_security.servers.maf import DEFAULT_KC_LIFETIME, Maf
from onem2m_security.servers.run import Server
from onem2m_security.servers.stakeholders import Stakeholder
from onem2m_security.store import KeyKind, KeyRecord, Store
from onem2m_security.store.records import ClientRegistration

LOOPBACK = Address("127.0.0.1", 0)
MAF = Fqdn("maf.example.com")
ID_A = EntityId.parse("//sp.example/in-cse/Csensor")
ID_B = EntityId.parse("//sp.example/in-cse")
ID_C = EntityId.parse("//sp.example/other-cse")


def key_of(name: str) -> Secret:
    """A key that depends on the name alone, so that both sides of a test have it."""
    return Secret(hashlib.sha256(f"test key of {name}".encode()).digest())


KM_A = key_of("a").reveal()
KM_ID_A = "a@maf.example.com"


@dataclass(frozen=True, slots=True)
class Client:
    """A MAF client as it is provisioned."""

    name: str
    entity: EntityId
    targets: tuple[EntityId, ...] = ()
    expires: datetime | None = None

    @property
    def km_id(self) -> KeyIdentifier:
        return KeyIdentifier.parse_km_id(f"{self.name}@{MAF}")

    @property
    def km(self) -> Secret:
        return key_of(self.name)

    @property
    def record(self) -> KeyRecord:
        return KeyRecord(
            KeyKind.KM,
            self.km_id,
            self.km,
            datetime.now(UTC),
            self.entity,
            self.targets,
            expires=self.expires,
        )

    def initiator(self, km: Secret | None = None) -> Initiator:
        return maf_handshake.initiate(self.entity, MAF, maf_handshake.credential(self.km_id, km or self.km))

    def maf_client(self, address: Address, limits: Limits | None = None) -> MafClient:
        credential = maf_handshake.credential(self.km_id, self.km)
        return MafClient(
            MAF, Link(address, limits=limits), maf_handshake.initiate(self.entity, MAF, credential)
        )


A = Client("a", ID_A, (ID_B,))
A_OF_TWO = Client("a-of-two", ID_A, (ID_B, ID_C))
B = Client("b", ID_B)
C = Client("c", ID_C)
EVERYBODY = (A, A_OF_TWO, B, C)
STAKEHOLDERS = tuple(
    map(Stakeholder.parse, ("admin.example", "admin.example.com", "other.example.com", "esprim.example=33"))
)


ADMIN = Fqdn("admin.example")


def client_registration(entity: EntityId, admin: Fqdn = ADMIN, **more: Any) -> ClientRegistration:
    """A client's registration for a stakeholder, as the MAF keeps it."""
    return ClientRegistration(secrets.token_hex(16), entity, admin, datetime.now(UTC), **more)


@dataclass(frozen=True, slots=True)
class RunningMaf:
    """A MAF that listens."""

    store: Store
    maf: Maf
    server: Server
    address: Address

    @property
    def listener(self) -> Listener:
        """The TCP port, whose counts tell what is still open."""
        [listener] = [port for port in self.server._ports if isinstance(port, Listener)]
        return listener

    async def kcs(self) -> dict[KeyIdentifier, Secret]:
        return {record.key_id: record.key for record in await self.store.records(KeyKind.KC)}


async def provision(data: Path, clients: Iterable[Client]) -> None:
    async with await Store.open(data) as store:
        await store.add_many([client.record for client in clients], replace=True)


@contextlib.asynccontextmanager
async def running_maf(
    data: Path,
    *,
    clients: Iterable[Client] = EVERYBODY,
    limits: Limits | None = None,
    kc_lifetime: timedelta = DEFAULT_KC_LIFETIME,
    busy_timeout: float = 5.0,
) -> AsyncIterator[RunningMaf]:
    await provision(data, clients)
    store = await Store.open(data, busy_timeout=busy_timeout)
    maf = Maf(
        store,
        MAF,
        kc_lifetime=kc_lifetime,
        stakeholders=STAKEHOLDERS,
        quotas=(limits or Limits()).quotas,
    )
    async with Server(store, [maf], limits=limits) as server:
        yield RunningMaf(store, maf, server, await server.start(LOOPBACK))


async def eventually(condition: Callable[[], object | Awaitable[object]], seconds: float = 20.0) -> None:
    """Wait until the condition holds; the limit only says when a test counts as stuck."""
    async with asyncio.timeout(seconds):
        while not (await held if inspect.isawaitable(held := condition()) else held):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def the_main_job(address: Address) -> None:
    """A gets Kc from the MAF, B retrieves it, both associate and talk."""

    async def echo(channel):
        await channel.write(await channel.read())

    async with EntityB(ID_B, mafs=[B.maf_client(address)]) as b:
        bound = await b.listen(LOOPBACK, echo)
        client = A.maf_client(address)
        async with await associate(Link(bound), client.initiator(ID_B)) as channel:
            assert channel.association.peer == ID_B
            await channel.write(b"still here")
            assert await channel.read() == b"still here"


@contextlib.asynccontextmanager
async def client_of(who: Client, address: Address) -> AsyncIterator[HttpClient]:
    client = HttpClient(Link(address), who.initiator())
    try:
        yield client
    finally:
        await client.close()
