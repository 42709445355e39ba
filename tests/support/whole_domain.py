"""A MAF, two MEFs and a BSF in one process, from one file; an Entity B and, for each cell, an Entity A.

All have everything that any way takes: what a cell leads by is for the cell to say. The MEFs differ in their
release.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from certificate_support import CA, ROOT
from certs import Flavour, Issued
from every_framework import CELLS, IN_CSE, Cell
from maf_support import key_of
from onem2m_security.clients.card import SoftwareCard
from onem2m_security.credentials import Secret
from onem2m_security.frameworks.instructions import BootstrapInstruction, enrolee_record, target_record
from onem2m_security.gba.keys import Impi
from onem2m_security.gba.subscriber import Guss, NafSettings, Subscriber
from onem2m_security.identifiers import EntityId, Fqdn, KeyIdentifier
from onem2m_security.release import Release
from onem2m_security.store import KeyKind, KeyRecord, Store
from onem2m_security.store.records import Subscription
from programs import Programs, key_file
from test_config import a_free_port

MAF: Final = "maf.sp.example"
MEFS: Final = {release: f"mef{release.value}.sp.example" for release in Release}
BSF: Final = "bsf.sp.example"
NAF: Final = "in-cse.sp.example"
"""Entity B as a NAF."""

_TARGETS = (EntityId(MAF), IN_CSE)


class Domain:
    """Their files, in one directory, and the process.

    Attributes:
        at: The directory. For each cell there are ``ID.key`` (Kpsa, Km and Kpm), ``ID.crt``, ``ID.pem`` and
            ``ID.card``; for Entity B ``b.key`` (its key at all others), ``b.crt``, ``b.pem``; ``root.pem``.
        here: Where the functions listen.
        ub: Where UEs bootstrap.
    """

    def __init__(self, programs: Programs, cells: Iterable[Cell] = CELLS) -> None:
        self.at, self._cells = programs.directory, tuple(cells)
        self.here, self.ub = (f"127.0.0.1:{a_free_port()}" for _ in range(2))
        (self.at / "root.pem").write_bytes(ROOT.trust_anchor_pem)
        for function in (MAF, *MEFS.values()):
            self.certificate(function, CA.issue(Flavour.FQDN, function))
        self.certificate("b", CA.issue(Flavour.CSE_ID, str(IN_CSE)))
        for name in ("maf", "b"):
            key_file(self.at, f"{name}.key", key_of(name).reveal())
        asyncio.run(self._provision())
        self.write("domain.toml", "".join(self._served()))
        self.server = programs.start("serve", "--config", self.at / "domain.toml", "--verbose")
        self.server.wait_for(rf"BSF {BSF}, Ub, listening on")

    def write(self, name: str, text: str) -> Path:
        """A file in the directory."""
        (self.at / name).write_text(text, encoding="utf-8")
        return self.at / name

    def certificate(self, name: str, issued: Issued) -> None:
        """A certificate with its root, which Release 1 peers need, and its key."""
        (self.at / f"{name}.crt").write_bytes(issued.full_chain_pem)
        (self.at / f"{name}.pem").touch(mode=0o600)
        (self.at / f"{name}.pem").write_bytes(issued.key_pem)

    def described(self, cell: Cell) -> str:
        """What Entity A's certificate must prove, as it stands in [[association]]."""
        if cell.flavour is None:
            return f'certificate_name = "{cell.certified}"\nroot_of_trust = "{ROOT.root_of_trust.hex()}"\n'
        anchors = f'flavour = "{cell.flavour.value}"\ntrust_anchors = "root.pem"\n'
        return f'{anchors}peer_id = "{cell.certified}"\n'

    # --- what everybody has ---------------------------------------------------------------------------------

    async def _provision(self) -> None:
        for cell in self._cells:
            key_file(self.at, f"{cell.id}.key", key_of(cell.id).reveal())
            self.certificate(cell.id, CA.issue(cell.flavour, cell.certified))
            SoftwareCard.create(self.at / f"{cell.id}.card", _subscriber(cell))
        async with await Store.open(self.at / "maf") as store:
            await store.add_many(
                [_km("b", IN_CSE), *(_km(cell.id, cell.entity, IN_CSE) for cell in self._cells)]
            )
        for release, mef in MEFS.items():
            async with await Store.open(self.at / mef) as store:
                targets = [target_record(_id(name, mef), key_of(name), who) for name, who in _ASKING]
                devices = [_kpm(cell) for cell in self._cells if cell.release is release]
                await store.add_many([*targets, *devices])
        async with await Store.open(self.at / "bsf") as store:
            await store.add_many([_zn("maf", MAF, EntityId(MAF)), _zn("b", NAF, IN_CSE)])
            for cell in self._cells:
                settings = Guss(tuple(NafSettings(Fqdn(naf)) for naf in (MAF, NAF)))
                await store.subscribers.add(Subscription(_subscriber(cell), settings, cell.entity))

    # --- the file of the functions --------------------------------------------------------------------------

    def _served(self) -> Iterator[str]:
        for name in (*MEFS.values(), BSF):
            prove = f'{{ key-id = "maf@{name}", key-file = "maf.key" }}'
            yield f'[peers."{name}"]\naddress = "{self.here}"\nprove = {prove}\n'
        yield self._function("maf", MAF, Release.R3, f'["{IN_CSE}"]')
        yield f'mefs = {list(MEFS.values())}\nbsfs = ["{BSF}"]\nenrolee-targets = ["{IN_CSE}"]\n'
        for release, mef in MEFS.items():
            yield self._function("mef", mef, release, f'["{MAF}", "{IN_CSE}"]')
            yield f'release = "{release.value}"\n'
        yield f'[[bsf]]\nfqdn = "{BSF}"\nlisten-zn = "{self.here}"\nlisten-ub = "{self.ub}"\ndata = "bsf"\n'

    def _function(self, kind: str, fqdn: str, release: Release, targets: str) -> str:
        """A function that takes the certificates of the cells of a release."""
        clients = [
            f'[[association]]\n{self.described(cell)}peer = "{cell.entity}"\ntargets = {targets}\n'
            for cell in self._cells
            if cell.release is release
        ]
        self.write(f"{fqdn}.clients", "".join(clients))
        own = f'certificate = "{fqdn}.crt"\nprivate-key = "{fqdn}.pem"\nassociations = "{fqdn}.clients"\n'
        data = "maf" if kind == "maf" else fqdn
        return f'[[{kind}]]\nfqdn = "{fqdn}"\nlisten = "{self.here}"\ndata = "{data}"\n{own}'


_ASKING: Final = (("maf", EntityId(MAF)), ("b", IN_CSE))


def _id(name: str, function: str) -> KeyIdentifier:
    return KeyIdentifier(name, Fqdn(function))


def _km(name: str, entity: EntityId, *targets: EntityId) -> KeyRecord:
    return KeyRecord(KeyKind.KM, _id(name, MAF), key_of(name), datetime.now(UTC), entity, targets)


def _kpm(cell: Cell) -> KeyRecord:
    instruction = BootstrapInstruction(cell.entity, _TARGETS, release=cell.release)
    return enrolee_record(_id(cell.id, cell.mef), key_of(cell.id), instruction)


def _zn(name: str, naf: str, entity: EntityId) -> KeyRecord:
    return KeyRecord(KeyKind.ZN, _id(name, BSF), key_of(name), datetime.now(UTC), entity, (EntityId(naf),))


def _subscriber(cell: Cell) -> Subscriber:
    k, opc = (Secret(key_of(f"{name} of {cell.id}").reveal()[:16]) for name in ("k", "opc"))
    return Subscriber(Impi.parse(f"{1010000000000 + CELLS.index(cell):015d}@operator.example"), k, opc)
