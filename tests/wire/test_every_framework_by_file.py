"""Every framework over each transport in each release: real processes, driven by configuration files alone.

What serves has one file, Entity B has one for each transport, and each cell's Entity A has one. A file has
everything that its commands are told: a framework is what stands in it, and nothing else.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certificate_support import ROOT
from every_framework import CELLS, END_POINTS, IN_CSE, WAYS, Cell
from onem2m_security.net.address import Transport
from onem2m_security.release import Release
from programs import M2MSEC, PATIENCE, Programs, Server, m2msec
from whole_domain import BSF, MAF, MEFS, NAF, Domain

# --- Entity A: a file for each way --------------------------------------------------------------------------

WHO = """\
[identity]
id = "{entity}"
[store]
data = "{id}.store"
"""
AT_B = """\
[peers."{b}"]
address = "{at_b}"
transport = "{transport}"
release = "{release}"
[peers."{b}".prove]
"""
AT_MAF = f"""\
[peers."{MAF}"]
address = "{{here}}"
transport = "{{transport}}"
release = "{{release}}"
[peers."{MAF}".prove]
"""
AT_MEF = f"""\
[[enrolment]]
mef = "{{mef}}"
targets = ["{MAF}", "{{b}}"]
[peers."{{mef}}"]
address = "{{here}}"
transport = "{{transport}}"
release = "{{release}}"
[peers."{{mef}}".prove]
"""
AT_BSF = f"""\
[peers."{BSF}"]
address = "{{ub}}"
[peers."{BSF}".prove]
card = "{{id}}.card"
"""
BY_KPSA = 'kpsa-id = "{id}@issuer.example"\nkpsa-file = "{id}.key"\n'
BY_KM = f'km-id = "{{id}}@{MAF}"\nkm-file = "{{id}}.key"\n'
BY_KPM = 'kpm-id = "{id}@{mef}"\nkpm-file = "{id}.key"\n'
BY_CERTIFICATE = 'certificate = "{id}.crt"\nprivate-key = "{id}.pem"\n'
BY_MAF = f'maf = "{MAF}"\n'
BY_GBA = f'bsf = "{BSF}"\n'
BY_ENROLMENT = 'enrolment = "{mef}"\n'
TRUST = {
    Release.R1: 'certificate-name = "{name}"\nroot-of-trust = "{root}"\n',
    Release.R3: 'flavour = "{flavour}"\npeer-id = "{name}"\ntrust-anchors = "root.pem"\n',
}
"""What a peer's certificate must prove."""

DIRECT = AT_B + BY_CERTIFICATE + "{trust_in_b}"
MEF_BY_KPM = AT_MEF + BY_KPM
MEF_BY_CERTIFICATE = AT_MEF + BY_CERTIFICATE + "{trust_in_mef}"
THROUGH_MAF = AT_B + BY_MAF + AT_MAF

FILES = {
    "kpsa": AT_B + BY_KPSA,
    "certificate-name": DIRECT,
    "certificate-ae": DIRECT,
    "certificate-cse": DIRECT,
    "certificate-device": DIRECT,
    "certificate-node": DIRECT,
    "maf": THROUGH_MAF + BY_KM,
    "maf-by-certificate": THROUGH_MAF + BY_CERTIFICATE + "{trust_in_maf}",
    "gba": AT_B + BY_GBA + AT_BSF,
    "mef-by-kpm": AT_B + BY_ENROLMENT + MEF_BY_KPM,
    "mef-by-kpm-maf": THROUGH_MAF + BY_ENROLMENT + MEF_BY_KPM,
    "mef-by-certificate": AT_B + BY_ENROLMENT + MEF_BY_CERTIFICATE,
    "mef-by-certificate-maf": THROUGH_MAF + BY_ENROLMENT + MEF_BY_CERTIFICATE,
    "mef-by-gba": AT_B + BY_GBA + "as-kpsa = true\n" + AT_BSF,
    "mef-by-gba-maf": THROUGH_MAF + BY_GBA + AT_BSF,
}
BEFORE = {
    "mef-by-kpm": ("enrol",),
    "mef-by-kpm-maf": ("enrol",),
    "mef-by-certificate": ("enrol",),
    "mef-by-certificate-maf": ("enrol",),
}
"""The commands that Entity A runs first, with its file."""

# --- Entity B: a file for each transport --------------------------------------------------------------------

ENTITY_B = f"""\
[identity]
id = "{IN_CSE}"
[entity-b]
listen = "127.0.0.1:0"
transports = ["{{transport}}"]
certificate = "b.crt"
private-key = "b.pem"
mafs = ["{MAF}"]
mefs = {json.dumps(list(MEFS.values()))}
bsfs = ["{BSF}"]
"""
ASKED = """\
[peers."{peer}"]
address = "{here}"
transport = "{transport}"
[peers."{peer}".prove]
"""
BY_KEY = '{kind}-id = "b@{peer}"\n{kind}-file = "b.key"\n'
END_POINT = '[peers."{entity}".prove]\ncertificate = "b.crt"\nprivate-key = "b.pem"\n'
COMES = {
    "kpsa": '[peers."{entity}".trust]\n' + BY_KPSA,
    **{way.name: END_POINT + "{trust_in_a}" for way in WAYS if way.framework == "saef-certificate"},
}
"""What Entity A must prove where nobody else is asked about it."""


class Site:
    """The domain, and an Entity B for each transport that is needed."""

    def __init__(self, programs: Programs) -> None:
        self._programs, self.domain = programs, Domain(programs)
        self._entities_b: dict[Transport, Server] = {}

    def entity_b(self, transport: Transport) -> Server:
        """Started when it is first needed."""
        if transport not in self._entities_b:
            started = self._programs.start("listen", "--config", self.file_of_b(transport), "--json")
            self._entities_b[transport] = started
        return self._entities_b[transport]

    def file_of_b(self, transport: Transport) -> Path:
        """Who it is, whom it asks, and who may come."""
        asked = ((MAF, "km"), *((mef, "key") for mef in MEFS.values()), (BSF, "key"))
        here = {"here": self.domain.here, "transport": transport.value}
        parts = [ENTITY_B.format(**here)]
        parts += [(ASKED + BY_KEY).format(**here, peer=peer, kind=kind) for peer, kind in asked]
        parts += [COMES.get(cell.way.name, "").format(**self.words(cell)) for cell in CELLS]
        return self.domain.write(f"b-{transport.value}.toml", "".join(parts))

    def file_of_a(self, cell: Cell, at_b: str) -> Path:
        """Who it is, and whom it meets and how."""
        return self.domain.write(
            f"{cell.id}.toml", (WHO + FILES[cell.way.name]).format(**self.words(cell), at_b=at_b)
        )

    def words(self, cell: Cell) -> dict[str, Any]:
        """What stands in the gaps of a file."""
        flavour = "" if cell.flavour is None else cell.flavour.value
        name_of_b = {Release.R1: NAF, Release.R3: IN_CSE}[cell.release]
        return {
            "b": IN_CSE,
            "entity": cell.entity,
            "here": self.domain.here,
            "id": cell.id,
            "mef": cell.mef,
            "release": cell.release.value,
            "transport": cell.transport.value,
            "trust_in_a": _trust(cell, cell.entity, flavour, cell.certified),
            "trust_in_b": _trust(cell, IN_CSE, "cse-id", name_of_b),
            "trust_in_maf": _trust(cell, MAF, "fqdn", MAF),
            "trust_in_mef": _trust(cell, cell.mef, "fqdn", cell.mef),
            "ub": self.domain.ub,
        }


def _trust(cell: Cell, peer: object, flavour: str, name: object) -> str:
    root = ROOT.root_of_trust.hex()
    said = TRUST[cell.release].format(flavour=flavour, name=name, root=root)
    return f'[peers."{peer}".trust]\n{said}'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    programs = Programs(tmp_path_factory.mktemp("site"))
    try:
        yield Site(programs)
    finally:
        programs.end_all()


# --- every cell ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_files_lead_entity_a_to_entity_b_and_each_knows_the_other(site, cell):
    entity_b = site.entity_b(cell.transport)
    file = site.file_of_a(cell, f"127.0.0.1:{entity_b.port}")
    for command in BEFORE.get(cell.way.name, ()):
        m2msec(command, "--config", file)
    done = m2msec("connect", IN_CSE, "--config", file, "--json", "--wait", "0", given=f"{cell.id}\n")
    a_sees = json.loads(done.stdout.splitlines()[0])
    heard = base64.b64encode(f"{cell.id}\n".encode()).decode()
    b_sees = json.loads(entity_b.wait_for(rf'(\{{.*\}})\n.*"data": "{re.escape(heard)}"').group(1))
    assert a_sees["framework"] == cell.way.framework
    assert b_sees["framework"] == (cell.way.at_b or cell.way.framework)
    assert a_sees["protocol"] == b_sees["protocol"] == f"{cell.transport.value.upper()}v1.2"
    assert (a_sees["local"], a_sees["peer"]) == (str(cell.entity), str(IN_CSE))
    assert (b_sees["local"], b_sees["peer"]) == (str(IN_CSE), str(cell.entity))
    assert (a_sees["peer_proof"], b_sees["peer_proof"]) == (cell.peer_proof, "authenticated")
    assert a_sees["cipher_suite"] == b_sees["cipher_suite"]


@pytest.mark.parametrize("cell", END_POINTS.values(), ids=lambda cell: f"escertke-{cell.release.value}")
def test_the_same_files_lead_two_end_points_to_an_end_to_end_key(site, cell, tmp_path):
    """Those by which they associate with certificates: ESCertKE needs no address."""
    out_a, out_b, messages = tmp_path / "a.key", tmp_path / "b.key", tmp_path / "messages"
    file_a, file_b = site.file_of_a(cell, "127.0.0.1:1"), site.file_of_b(cell.transport)
    responds = ("respond", messages, "--config", file_b, "--peer", str(cell.entity), "--out", out_b)
    initiates = ("initiate", messages, "--config", file_a, "--peer", IN_CSE, "--out", out_a)
    command = [M2MSEC, "escertke", *responds, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as terminating:
        done = m2msec("escertke", *initiates, "--json")
        told, _ = terminating.communicate(timeout=PATIENCE)
    a_sees, b_sees = json.loads(done.stdout), json.loads(told)
    assert (a_sees["peer"], b_sees["peer"]) == (str(IN_CSE), str(cell.entity))
    assert a_sees["pairwise_e2e_key_id"] == b_sees["pairwise_e2e_key_id"]
    assert out_a.read_text() == out_b.read_text()


def test_every_way_has_a_file():
    assert set(FILES) == {way.name for way in WAYS}
