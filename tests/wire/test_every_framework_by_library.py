"""Every framework over each transport in each release, by the library: public names only.

The MAF, the MEFs and the BSF are a process of their own; Entity A and Entity B are what a device and a CSE
would write.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from certificate_support import ROOT
from every_framework import ABSENT, CELLS, END_POINTS, IN_CSE, WAYS, Cell
from onem2m_security import (
    Address,
    AssociationConfiguration,
    BootstrapInstruction,
    Channel,
    Enrolee,
    EntityB,
    EntityId,
    Flavour,
    Fqdn,
    How,
    InitiatingEndPoint,
    KeyIdentifier,
    Link,
    LocalCertificate,
    MafClient,
    MefClient,
    NafChoice,
    NafClient,
    Release,
    ResolvedKey,
    Secret,
    SoftwareCard,
    Store,
    TerminatingEndPoint,
    Transport,
    Trust,
    Ue,
    associate,
    bootstrap_certificate,
    escertke,
    maf_handshake,
    mef_handshake,
    saef_certificate,
    saef_gba,
    saef_psk,
    suite_over,
)
from programs import Programs
from whole_domain import BSF, MAF, MEFS, NAF, Domain

MAF_ID, BSF_ID, NAF_ID = Fqdn.parse(MAF), Fqdn.parse(BSF), Fqdn.parse(NAF)


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    programs = Programs(tmp_path_factory.mktemp("domain"))
    try:
        yield Domain(programs)
    finally:
        programs.end_all()


@dataclass(frozen=True)
class Device:
    """Entity A of a cell."""

    domain: Domain
    cell: Cell
    closing: AsyncExitStack

    @property
    def key(self) -> Secret:
        return read(self.domain, self.cell.id)

    @property
    def certificate(self) -> LocalCertificate:
        return saef_certificate.credential(
            self.domain.at / f"{self.cell.id}.crt", self.domain.at / f"{self.cell.id}.pem"
        )

    @property
    def ue(self) -> Ue:
        card = SoftwareCard.load(self.domain.at / f"{self.cell.id}.card")
        return Ue(card, BSF_ID, Link(Address.parse(self.domain.ub)))

    @property
    def link(self) -> Link:
        return functions(self.domain, self.cell.transport)

    @property
    def instruction(self) -> BootstrapInstruction:
        return BootstrapInstruction(self.cell.entity, (EntityId(MAF), IN_CSE), release=self.cell.release)

    @property
    def trust_in_b(self) -> Trust:
        names = {Release.R1: NAF, Release.R3: str(IN_CSE)}
        name = names[self.cell.release]
        return trust_in(self.domain, self.cell.release, Flavour.CSE_ID, name, IN_CSE)

    async def store(self) -> Store:
        data = self.domain.at / f"{self.cell.id}.store"
        return await self.closing.enter_async_context(await Store.open(data))

    def through(self, maf: MafClient) -> How:
        self.closing.push_async_callback(maf.close)
        return maf.initiator(IN_CSE, release=self.cell.release)

    def at_maf(self, how: How) -> How:
        return self.through(MafClient(MAF_ID, self.link, how))


def read(domain: Domain, name: str) -> Secret:
    return Secret.parse((domain.at / f"{name}.key").read_text())


def functions(domain: Domain, transport: Transport) -> Link:
    """The way to all of them: they share a port."""
    return Link(Address.parse(domain.here), transport)


def trust_in(domain: Domain, release: Release, flavour: Flavour, identifier: str, peer: EntityId) -> Trust:
    """What the certificate of a function, or of Entity B, must prove."""
    described = {
        Release.R1: lambda: AssociationConfiguration.release1(
            certificate_name=identifier, root_of_trust=ROOT.root_of_trust, peer=peer
        ),
        Release.R3: lambda: AssociationConfiguration.release3(
            flavour=flavour,
            peer_id=identifier,
            trust_anchors=(domain.at / "root.pem").read_bytes(),
            peer=peer,
        ),
    }
    return Trust((described[release](),), release)


# --- Entity A: how it proves itself -------------------------------------------------------------------------


async def kpsa(device: Device) -> How:
    return saef_psk.initiate(device.cell.entity, IN_CSE, kpsa_of(device.domain, device.cell, IN_CSE))


async def certificate(device: Device) -> How:
    return saef_certificate.initiate(device.cell.entity, device.certificate, device.trust_in_b)


async def maf(device: Device) -> How:
    km = maf_handshake.credential(KeyIdentifier(device.cell.id, MAF_ID), device.key)
    return device.at_maf(maf_handshake.initiate(device.cell.entity, MAF_ID, km))


async def maf_by_certificate(device: Device) -> How:
    trust = trust_in(device.domain, device.cell.release, Flavour.FQDN, MAF, EntityId(MAF))
    return device.at_maf(
        maf_handshake.initiate_by_certificate(device.cell.entity, MAF_ID, device.certificate, trust)
    )


async def gba(device: Device) -> How:
    return device.ue.initiator(device.cell.entity, IN_CSE, NafChoice(suite_over(device.cell.transport)))


async def mef_by_gba(device: Device) -> How:
    naf = NafChoice(suite_over(device.cell.transport), provisions=True)
    return device.ue.initiator(device.cell.entity, IN_CSE, naf)


async def mef_by_gba_maf(device: Device) -> How:
    naf = NafChoice(suite_over(device.cell.transport))
    return device.at_maf(device.ue.at_maf(device.cell.entity, MAF_ID, naf))


async def enrolled_by_kpm(device: Device) -> Enrolee:
    return await Enrolee.configure(
        await device.store(),
        kpm_id=KeyIdentifier(device.cell.id, Fqdn.parse(device.cell.mef)),
        kpm=device.key,
        instruction=device.instruction,
        link=device.link,
    )


async def enrolled_by_certificate(device: Device) -> Enrolee:
    cell, own = device.cell, device.certificate
    mef = Fqdn.parse(cell.mef)
    trust = trust_in(device.domain, cell.release, Flavour.FQDN, cell.mef, EntityId(cell.mef))
    return await Enrolee.with_certificate(
        await device.store(),
        initiator=bootstrap_certificate.initiate(cell.entity, mef, own, trust),
        instruction=device.instruction,
        ends=own.expires,
        link=device.link,
    )


async def mef_by_kpm(device: Device) -> How:
    return (await enrolled_by_kpm(device)).initiator(IN_CSE)


async def mef_by_kpm_maf(device: Device) -> How:
    return device.through((await enrolled_by_kpm(device)).maf_client(MAF_ID, device.link))


async def mef_by_certificate(device: Device) -> How:
    return (await enrolled_by_certificate(device)).initiator(IN_CSE)


async def mef_by_certificate_maf(device: Device) -> How:
    return device.through((await enrolled_by_certificate(device)).maf_client(MAF_ID, device.link))


HOW: dict[str, Callable[[Device], Awaitable[How]]] = {
    "kpsa": kpsa,
    "certificate-name": certificate,
    "certificate-ae": certificate,
    "certificate-cse": certificate,
    "certificate-device": certificate,
    "certificate-node": certificate,
    "maf": maf,
    "maf-by-certificate": maf_by_certificate,
    "gba": gba,
    "mef-by-kpm": mef_by_kpm,
    "mef-by-kpm-maf": mef_by_kpm_maf,
    "mef-by-certificate": mef_by_certificate,
    "mef-by-certificate-maf": mef_by_certificate_maf,
    "mef-by-gba": mef_by_gba,
    "mef-by-gba-maf": mef_by_gba_maf,
}


# --- Entity B: one for all ----------------------------------------------------------------------------------


def kpsa_of(domain: Domain, cell: Cell, peer: EntityId) -> ResolvedKey:
    return saef_psk.credential(
        KeyIdentifier.parse(f"{cell.id}@issuer.example"), read(domain, cell.id), peer=peer
    )


def may_come(domain: Domain, cell: Cell) -> AssociationConfiguration:
    """What the certificate of a cell's Entity A must prove."""
    if cell.flavour is None:
        return AssociationConfiguration.release1(
            certificate_name=cell.certified, root_of_trust=ROOT.root_of_trust, peer=cell.entity
        )
    return AssociationConfiguration.release3(
        flavour=cell.flavour,
        peer_id=cell.certified,
        trust_anchors=(domain.at / "root.pem").read_bytes(),
        peer=cell.entity,
    )


@asynccontextmanager
async def entity_b(domain: Domain, transport: Transport) -> AsyncIterator[EntityB]:
    """It takes whatever the standard has, and asks whoever is named."""
    link, key = functions(domain, transport), read(domain, "b")
    maf = maf_handshake.initiate(IN_CSE, MAF_ID, maf_handshake.credential(KeyIdentifier("b", MAF_ID), key))
    mefs = [Fqdn.parse(mef) for mef in MEFS.values()]
    at_mefs = [
        mef_handshake.initiate(IN_CSE, mef, mef_handshake.credential(KeyIdentifier("b", mef), key))
        for mef in mefs
    ]
    at_bsf = saef_gba.initiate_zn(IN_CSE, BSF_ID, saef_psk.credential(KeyIdentifier("b", BSF_ID), key))
    own = saef_certificate.credential(domain.at / "b.crt", domain.at / "b.pem")
    async with EntityB(
        IN_CSE,
        keys=[kpsa_of(domain, cell, cell.entity) for cell in CELLS],
        mafs=[MafClient(MAF_ID, link, maf)],
        mefs=[MefClient(mef, link, how) for mef, how in zip(mefs, at_mefs, strict=True)],
        bsfs=[NafClient(BSF_ID, link, at_bsf, naf=NAF_ID)],
        endpoint=saef_certificate.accept(own, Trust(tuple(may_come(domain, cell) for cell in CELLS))),
    ) as running:
        yield running


# --- every cell ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
async def test_entity_a_and_entity_b_associate_and_each_knows_the_other(domain, cell):
    accepted: list[Channel] = []

    async def echo(channel: Channel) -> None:
        accepted.append(channel)
        await channel.write(await channel.read())

    async with entity_b(domain, cell.transport) as b, AsyncExitStack() as closing:
        address = await b.listen(Address("127.0.0.1", 0), echo, transport=cell.transport)
        how = await HOW[cell.way.name](Device(domain, cell, closing))
        async with await associate(Link(address, cell.transport), how) as channel:
            await channel.write(cell.id.encode())
            assert await channel.read() == cell.id.encode()
            a_sees, b_sees = channel.association, accepted[0].association
    assert a_sees.framework.value == cell.way.framework
    assert b_sees.framework.value == (cell.way.at_b or cell.way.framework)
    assert a_sees.protocol == b_sees.protocol == f"{cell.transport.value.upper()}v1.2"
    assert (a_sees.local, a_sees.peer) == (cell.entity, IN_CSE)
    assert (b_sees.local, b_sees.peer) == (IN_CSE, cell.entity)
    assert (a_sees.peer_proof.value, b_sees.peer_proof.value) == (cell.peer_proof, "authenticated")
    assert a_sees.cipher_suite == b_sees.cipher_suite


@pytest.mark.parametrize("cell", END_POINTS.values(), ids=lambda cell: f"escertke-{cell.release.value}")
def test_two_end_points_agree_on_an_end_to_end_key(domain, cell):
    device = Device(domain, cell, AsyncExitStack())
    certificate_b = saef_certificate.credential(domain.at / "b.crt", domain.at / "b.pem")
    known_to_b = Trust((may_come(domain, cell),), cell.release).verifier()
    initiating = InitiatingEndPoint(
        escertke.initiator(
            cell.entity, IN_CSE, certificate=device.certificate, verifier=device.trust_in_b.verifier()
        )
    )
    terminating = TerminatingEndPoint(
        escertke.acceptor(IN_CSE, certificate=certificate_b, verifier=known_to_b)
    )
    message_2 = terminating.process(initiating.start()).message
    done = terminating.process(initiating.process(message_2).message)
    key = initiating.process(done.message).key
    assert (key.key_id, key.key) == (done.key.key_id, done.key.key)
    assert (key.peer, done.key.peer) == (IN_CSE, cell.entity)


# --- what there is, and what there is not -------------------------------------------------------------------


def test_every_way_over_every_transport_in_every_release_is_tried_or_said_to_be_absent():
    tried = {(cell.way.name, cell.transport, cell.release) for cell in CELLS}
    absent = [cell for absent in ABSENT for cell in absent.cells]
    assert len(absent) == len(set(absent))
    names = {way.name for way in WAYS} | {absent.way for absent in ABSENT}
    assert tried.isdisjoint(absent)
    assert tried | set(absent) == set(itertools.product(names, Transport, Release))
    assert set(HOW) == {way.name for way in WAYS}
    assert all(absent.because for absent in ABSENT)


def test_nothing_deeper_is_imported_here():
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in found if (name or "").startswith("onem2m_security")} == {"onem2m_security"}
