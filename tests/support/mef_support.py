"""An MEF, and a MAF that asks it, in the test's own process: real functions, stores and sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from maf_support import LOOPBACK, MAF, STAKEHOLDERS, B, key_of
from onem2m_security.clients.mef import MefClient
from onem2m_security.credentials import ResolvedKey, Secret
from onem2m_security.frameworks import bootstrap_psk, maf_handshake, mef_handshake
from onem2m_security.frameworks.bootstrap_psk import EnrolmentKey, export_enrolment_key
from onem2m_security.frameworks.instructions import BootstrapInstruction, enrolee_record, target_record
from onem2m_security.frameworks.resolvers import REMEMBERED
from onem2m_security.frameworks.steps import Established, Initiator
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.net.address import Address
from onem2m_security.net.channel import open_channel
from onem2m_security.net.http import http_protocol
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link
from onem2m_security.net.tcp import Listener
from onem2m_security.onem2m.primitives import Request, Response
from onem2m_security.release import Release
from onem2m_security.servers.commands import STEERING, Steering
from onem2m_security.servers.enrolees import AssociationPolicy, Provisioning
from onem2m_security.servers.maf import Maf
from onem2m_security.servers.mef import Mef
from onem2m_security.servers.run import Server
from onem2m_security.store import KeyKind, KeyRecord, Store

MEF = Fqdn("mef.example.com")
CSE = EntityId.parse("//sp.example/in-cse")
OTHER_CSE = EntityId.parse("//sp.example/other-cse")
MAF_ID = EntityId(str(MAF))
OTHER_MAF_ID = EntityId("maf.example.net")
PATIENT = Limits(handshake_seconds=30.0, request_seconds=30.0)


@dataclass(frozen=True, slots=True)
class Device:
    """An Enrolee as it is pre-provisioned."""

    name: str
    targets: tuple[EntityId, ...] = (MAF_ID, CSE)
    enrolment_expiry: timedelta = timedelta(days=30)
    release: Release = Release.R1
    mef: Fqdn = MEF

    @property
    def entity(self) -> EntityId:
        return EntityId.parse(f"//sp.example/in-cse/C{self.name}")

    @property
    def kpm_id(self) -> KeyIdentifier:
        return KeyIdentifier(self.name, self.mef)

    @property
    def kpm(self) -> Secret:
        return key_of(f"{self.name} at {self.mef}")

    @property
    def instruction(self) -> BootstrapInstruction:
        return BootstrapInstruction(self.entity, self.targets, self.enrolment_expiry, self.release)

    @property
    def record(self) -> KeyRecord:
        return enrolee_record(self.kpm_id, self.kpm, self.instruction)

    @property
    def initiator(self) -> Initiator:
        key = bootstrap_psk.credential(self.kpm_id, self.kpm)
        return bootstrap_psk.initiate(self.entity, self.mef, key)

    async def enrol(self, address: Address) -> EnrolmentKey:
        """Bootstrap, without an Enrolee's store or its other manners."""
        async with await open_channel(Link(address, limits=PATIENT), self.initiator) as channel:
            return export_enrolment_key(channel.established, self.mef)

    def maf_initiator(self, key: EnrolmentKey, identity: str | None = None, maf: Fqdn = MAF) -> Initiator:
        km = key.master_credential(self.release, maf)
        return maf_handshake.initiate(self.entity, maf, km, identity or self.release.wire(key.ke_id))


@dataclass(frozen=True, slots=True)
class Target:
    """An Enrolment Target with its own key at the MEF."""

    entity: EntityId
    mef: Fqdn = MEF

    @property
    def key(self) -> ResolvedKey:
        name = "target-" + self.entity.text.strip("/").replace("/", ".")
        return mef_handshake.credential(KeyIdentifier(name, self.mef), key_of(f"{name} at {self.mef}"))

    @property
    def record(self) -> KeyRecord:
        return target_record(self.key.key_id, self.key.key, self.entity)

    def client(self, address: Address, limits: Limits | None = None) -> MefClient:
        return MefClient(
            self.mef, Link(address, limits=limits), mef_handshake.initiate(self.entity, self.mef, self.key)
        )


DEVICE = Device("device")
THE_MAF = Target(MAF_ID)
THE_CSE = Target(CSE)
OTHER = Target(OTHER_CSE)


@dataclass(frozen=True, slots=True)
class RunningMef:
    """An MEF that listens."""

    store: Store
    mef: Mef
    server: Server
    address: Address

    async def kes(self) -> dict[KeyIdentifier, Secret]:
        return {record.key_id: record.key for record in await self.store.records(KeyKind.KE)}


async def provision_mef(
    data: Path, devices: Iterable[Device] = (DEVICE,), targets: Iterable[Target] = (THE_MAF, THE_CSE, OTHER)
) -> None:
    async with await Store.open(data) as store:
        given: list[Device | Target] = [*devices, *targets]
        await store.add_many([item.record for item in given], replace=True)


@contextlib.asynccontextmanager
async def running_mef(
    data: Path,
    *,
    devices: Iterable[Device] = (DEVICE,),
    targets: Iterable[Target] = (THE_MAF, THE_CSE, OTHER),
    fqdn: Fqdn = MEF,
    steering: Steering = STEERING,
) -> AsyncIterator[RunningMef]:
    await provision_mef(data, devices, targets)
    store = await Store.open(data)
    mef = Mef(store, fqdn, steering=steering)
    async with Server(store, [mef]) as server:
        yield RunningMef(store, mef, server, await server.start(LOOPBACK))


@dataclass(frozen=True, slots=True)
class AskingMaf:
    """A MAF that listens and asks MEFs."""

    store: Store
    address: Address


@contextlib.asynccontextmanager
async def asking_maf(
    data: Path,
    mefs: Mapping[Fqdn, Address],
    *,
    fqdn: Fqdn = MAF,
    policy: AssociationPolicy | None = None,
    fetch_timeout: float = 5.0,
    remembered: timedelta = REMEMBERED,
    limits: Limits | None = None,
) -> AsyncIterator[AskingMaf]:
    """A MAF with one pre-provisioned client B, whose other clients come from these MEFs."""
    store = await Store.open(data)
    await store.add(B.record, replace=True)
    clients = [Target(EntityId(str(fqdn)), mef).client(address) for mef, address in mefs.items()]
    maf = Maf(
        store,
        fqdn,
        provisioning=Provisioning(
            {client.mef: client.fetch_km for client in clients},
            policy=policy or AssociationPolicy(everyone=(CSE,)),
            timeout=fetch_timeout,
            remembered=remembered,
        ),
        stakeholders=STAKEHOLDERS,
    )
    async with Server(store, [maf], limits=limits) as server:
        try:
            yield AskingMaf(store, await server.start(LOOPBACK))
        finally:
            for client in clients:
                await client.close()


class Impostor:
    """Something that listens where an MEF should, meets Enrolment Targets, and answers as a test pleases.

    Attributes:
        asked: The paths that were asked for.
        address: Where it listens.
    """

    def __init__(self, answer: Callable[[Request], Awaitable[Response]], fqdn: Fqdn = MEF) -> None:
        self._answer = answer
        self._fqdn = fqdn
        self.asked: list[tuple[str, ...]] = []
        self.address = LOOPBACK

    async def handle(self, request: Request, established: Established) -> Response:
        self.asked.append(request.to)
        return await self._answer(request)

    @contextlib.asynccontextmanager
    async def listening(self, data: Path, targets: Iterable[Target] = (THE_MAF, THE_CSE)):
        """Accept these Enrolment Targets, by a real MEF's acceptor."""
        await provision_mef(data, (), targets)
        async with await Store.open(data) as store:
            server = Server(store, [Mef(store, self._fqdn)])
            listener = Listener(server._authorities, http_protocol(self.handle, Limits()), Limits())
            self.address = await listener.start(LOOPBACK)
            try:
                yield self
            finally:
                await listener.stop(grace=0.1)
