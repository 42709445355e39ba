"""Every framework as data: the ways to an association, the cells that they make, and those that nobody has.

A way ends in an association of Entity A with Entity B. A cell is a way over one transport by the rules of one
release; each cell has an Entity A of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

from certs import Flavour
from onem2m_security.identifiers import EntityId
from onem2m_security.net.address import Transport
from onem2m_security.release import Release

IN_CSE: Final = EntityId("//sp.example/in-cse")
"""Entity B."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to an association.

    Attributes:
        name: What the tests call it.
        clause: Of TS-0003.
        framework: What both ends say that made the association.
        flavour: Of Entity A's certificate in Release 3; in Release 1 it has a Certificate Name.
        releases: Those that have this way.
        at_b: What Entity B says instead, where it cannot know better.
    """

    name: str
    clause: str
    framework: str
    flavour: Flavour = Flavour.AE_ID
    releases: tuple[Release, ...] = (Release.R1, Release.R3)
    at_b: str | None = None


WAYS: Final = (
    Way("kpsa", "8.2.2.1", "saef-psk"),
    Way("certificate-name", "8.2.2.2", "saef-certificate", releases=(Release.R1,)),
    Way("certificate-ae", "8.2.2.2", "saef-certificate", Flavour.AE_ID, (Release.R3,)),
    Way("certificate-cse", "8.2.2.2", "saef-certificate", Flavour.CSE_ID, (Release.R3,)),
    Way("certificate-device", "8.2.2.2", "saef-certificate", Flavour.DEVICE, (Release.R3,)),
    Way("certificate-node", "8.2.2.2", "saef-certificate", Flavour.NODE_ID, (Release.R3,)),
    Way("maf", "8.2.2.3", "saef-maf"),
    Way("maf-by-certificate", "8.8.2.2, 8.2.2.3", "saef-maf", releases=(Release.R3,)),
    Way("gba", "8.2.3.2", "saef-gba"),
    Way("mef-by-kpm", "8.3.2.1, 8.2.2.1", "saef-psk"),
    Way("mef-by-kpm-maf", "8.3.2.1, 8.2.2.3", "saef-maf"),
    Way("mef-by-certificate", "8.3.2.2, 8.2.2.1", "saef-psk"),
    Way("mef-by-certificate-maf", "8.3.2.2, 8.2.2.3", "saef-maf"),
    # A bare B-TID may be the KpsaId of this, or be shown for 8.2.3.2 without a hint (TS 33.222 clause 5.4).
    Way("mef-by-gba", "8.3.2.3, 8.2.2.1", "saef-psk", at_b="saef-gba"),
    Way("mef-by-gba-maf", "8.3.2.3, 8.2.2.3", "saef-maf"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A way over one transport, by the rules of one release."""

    way: Way
    transport: Transport
    release: Release

    @property
    def id(self) -> str:
        """Its name; it may stand in an identifier and in a domain name."""
        return f"{self.way.name}-{self.transport.value}-{self.release.value}"

    @property
    def flavour(self) -> Flavour | None:
        """Of Entity A's certificate; None for one with a Certificate Name."""
        return None if self.release is Release.R1 else self.way.flavour

    @property
    def entity(self) -> EntityId:
        """Entity A: an AE of Entity B or, where its certificate is a CSE's, a CSE."""
        is_cse = self.way.flavour is Flavour.CSE_ID
        return EntityId(f"//sp.example/{self.id}" if is_cse else f"{IN_CSE}/C{self.id}")

    @property
    def certified(self) -> str:
        """What Entity A's certificate identifies."""
        return {
            None: f"{self.id}.sp.example",
            Flavour.AE_ID: str(self.entity),
            Flavour.CSE_ID: str(self.entity),
            Flavour.DEVICE: f"0.2.481.1.100.7.{CELLS.index(self)}",
            Flavour.NODE_ID: f"https://sp.example/{self.id}",
        }[self.flavour]

    @property
    def peer_proof(self) -> str:
        """How Entity A knows Entity B: the MAF of Release 1 does not tell it for whom Kc is (8.2.2.3)."""
        told = (self.way.framework, self.release) != ("saef-maf", Release.R1)
        return "authenticated" if told else "configured"

    @property
    def mef(self) -> str:
        """The MEF that follows its release."""
        return f"mef{self.release.value}.sp.example"


CELLS: Final = tuple(
    Cell(way, transport, release)
    for way in WAYS
    for transport in Transport
    for release in Release
    if release in way.releases
)

END_POINTS: Final = {
    cell.release: cell for cell in CELLS if cell.way.name in {"certificate-name", "certificate-ae"}
}
"""For ESCertKE, in each release: the cell whose Entity A initiates, by its certificate, with Entity B."""


@dataclass(frozen=True, slots=True)
class Absent:
    """Cells that the standard, or this implementation, does not have.

    Attributes:
        way: What they would be called.
        transports: Over which.
        releases: In which.
        because: Who says so.
    """

    way: str
    transports: tuple[Transport, ...]
    releases: tuple[Release, ...]
    because: str

    @property
    def cells(self) -> set[tuple[str, Transport, Release]]:
        """One by one."""
        return set(itertools.product([self.way], self.transports, self.releases))


_ALL, _BOTH = tuple(Transport), tuple(Release)
_OF_R3 = "certificate flavours are Release 3's (8.1.2.1); Release 1 has names and Roots of Trust (8.1.1.2)"

ABSENT: Final = (
    Absent("certificate-ae", _ALL, (Release.R1,), _OF_R3),
    Absent("certificate-cse", _ALL, (Release.R1,), _OF_R3),
    Absent("certificate-device", _ALL, (Release.R1,), _OF_R3),
    Absent("certificate-node", _ALL, (Release.R1,), _OF_R3),
    Absent(
        "certificate-name", _ALL, (Release.R3,),
        "Release 3 describes peers by flavour and trust anchors (8.1.2.4)",
    ),
    Absent(
        "maf-by-certificate", _ALL, (Release.R1,),
        "Release 1 meets a MAF by KmId and Km alone (8.2.2.3); certificates are Release 3's (8.8.2.2)",
    ),
    Absent(
        "certificate-fqdn", _ALL, _BOTH,
        "an FQDN certificate is a MAF's or an MEF's (8.1.2.1): both show theirs in the cells by certificate",
    ),
    Absent(
        "certificate-raw-public-key", _ALL, _BOTH,
        "RFC 7250: the TLS engine has no raw public keys (README)",
    ),
    Absent(
        "escertke", _ALL, _BOTH,
        "ESCertKE has no transport of its own: the application carries its four messages (8.7.2.2), by files "
        "and in memory here",
    ),
)  # fmt: skip
