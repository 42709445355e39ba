"""``m2msec listen --config``: an Entity B that one file describes, its peers as real processes."""

from __future__ import annotations

import json

import pytest

from certificate_support import CA, ROOT
from certs import Flavour
from programs import Programs, Server, key_file, m2msec
from test_config import a_free_port

MAF, MAF2, MEF, BSF, BSF2 = (f"{name}.sp.example" for name in ("maf", "maf2", "mef", "bsf", "bsf2"))
CSE, NAF = "//sp.example/cse1", "cse1.sp.example"
PUMP, VALVE, METER, LAMP, GATEWAY, OLD = (
    *(f"//sp.example/cse1/C{name}" for name in ("pump", "valve", "meter", "lamp")),
    "//sp.example/cse2",
    "/old-cse",
)
IMPI = "00101000000000{}@operator.example"


def maf_table(fqdn: str, here: str) -> str:
    return f"""\
        [[maf]]
        fqdn = "{fqdn}"
        listen = "{here}"
        data = "{fqdn}"
        certificate = "{fqdn}.crt"
        private-key = "{fqdn}.key"
        associations = "{fqdn}.clients"
        """


class Site:
    """Two MAFs, an MEF and two BSFs in one process; the files of Entity B and of its peers beside it."""

    def __init__(self, programs: Programs) -> None:
        self.programs, self.at = programs, programs.directory
        self.port, self.diameter, self.ub, self.ub2 = (a_free_port() for _ in range(4))
        self.here = f"127.0.0.1:{self.port}"
        (self.at / "root.pem").write_bytes(ROOT.trust_anchor_pem)
        for flavour, names in (
            (Flavour.FQDN, (MAF, MAF2, MEF, BSF, BSF2, NAF)),
            (Flavour.CSE_ID, (CSE, GATEWAY)),
        ):
            for name in names:
                self.certificate(name.rpartition("/")[2], flavour, name)
        self.write("house.toml", self.house())
        self.provision()
        programs.start("serve", "--config", self.at / "house.toml", "--verbose").wait_for(
            rf"BSF {BSF2}, Ub, listening on"
        )

    def certificate(self, file: str, flavour: Flavour, identifier: str) -> None:
        issued = CA.issue(flavour, identifier)
        self.write(f"{file}.crt", issued.chain_pem.decode())
        (self.at / f"{file}.key").touch(mode=0o600)
        (self.at / f"{file}.key").write_bytes(issued.key_pem)

    def write(self, name: str, text: str) -> str:
        (self.at / name).write_text(text, encoding="utf-8")
        return str(self.at / name)

    def accept(self, file: str, flavour: str, peer_id: str, *targets: str) -> None:
        """A file of one association: by which of its certificates a function knows Entity B."""
        said = f'flavour = "{flavour}"\ntrust_anchors = "root.pem"\npeer_id = "{peer_id}"\npeer = "{CSE}"\n'
        self.write(file, f"[[association]]\n{said}targets = {json.dumps(targets)}\n")

    def house(self) -> str:
        for maf in (MAF, MAF2):
            self.accept(f"{maf}.clients", "cse-id", CSE, "/nobody")
        self.accept(f"{MEF}.clients", "cse-id", CSE)
        self.accept(f"{BSF}.clients", "fqdn", NAF, NAF)
        return f"""\
            {maf_table(MAF, self.here)}
            {maf_table(MAF2, self.here)}
            [[mef]]
            fqdn = "{MEF}"
            listen = "{self.here}"
            data = "mef"
            certificate = "{MEF}.crt"
            private-key = "{MEF}.key"
            associations = "{MEF}.clients"
            [[bsf]]
            fqdn = "{BSF}"
            listen-zn = "{self.here}"
            listen-ub = "127.0.0.1:{self.ub}"
            data = "bsf"
            certificate = "{BSF}.crt"
            private-key = "{BSF}.key"
            associations = "{BSF}.clients"
            [[bsf]]
            fqdn = "{BSF2}"
            listen-zn = "127.0.0.1:0"
            listen-diameter = "127.0.0.1:{self.diameter}"
            listen-ub = "127.0.0.1:{self.ub2}"
            data = "bsf2"
            """

    def provision(self) -> None:
        key_file(self.at, "km-b", b"b" * 32)
        m2msec("maf", "add-client", "--data", self.at / MAF, "--km-id", f"b@{MAF}", "--entity", CSE,
               "--km-file", self.at / "km-b")  # fmt: skip
        for maf in (MAF, MAF2):
            for name, entity in (("pump", PUMP), ("lamp", LAMP)):
                file = key_file(self.at, f"km-{name}-{maf}", f"{name}@{maf}".encode().ljust(32, b"."))
                m2msec("maf", "add-client", "--data", self.at / maf, "--km-id", f"{name}@{maf}",
                       "--entity", entity, "--target", CSE, "--km-file", file)  # fmt: skip
        key_file(self.at, "kpm", b"p" * 32)
        m2msec("mef", "add-enrolee", "--data", self.at / "mef", "--kpm-id", f"meter@{MEF}",
               "--enrolee-id", METER, "--target", CSE, "--kpm-file", self.at / "kpm")  # fmt: skip
        for number, bsf in ((1, "bsf"), (2, "bsf2")):
            keys = ("--k-file", key_file(self.at, f"k{number}", bytes([number]) * 16),
                    "--opc-file", key_file(self.at, f"opc{number}", bytes([9]) * 16))  # fmt: skip
            m2msec("usim", "make", "--card", self.at / f"card-{bsf}", "--impi", IMPI.format(number), *keys)
            m2msec("bsf", "add-subscriber", "--data", self.at / bsf, "--card", self.at / f"card-{bsf}",
                   "--entity", VALVE, "--naf", NAF)  # fmt: skip
        made = m2msec("bsf", "add-naf", "--data", self.at / "bsf2", "--key-id", f"naf@{BSF2}", "--entity",
                      CSE, "--naf", NAF)  # fmt: skip
        key_file(self.at, "naf-at-bsf2", bytes.fromhex(made.stdout))

    def entity_b(self, more: str = "") -> Server:
        """One port for all of them, TLS and DTLS; each function met by its own transport and proof."""
        by_certificate = 'prove = { certificate = "cse1.crt", private-key = "cse1.key" }'
        trust = 'trust = { flavour = "fqdn", trust-anchors = "root.pem" }'
        file = self.write(
            "cse.toml",
            f"""\
            [identity]
            id = "{CSE}"
            [entity-b]
            listen = "127.0.0.1:0"
            certificate = "cse1.crt"
            private-key = "cse1.key"
            mafs = ["{MAF}"]
            mefs = ["{MEF}"]
            bsfs = ["{BSF}", "{BSF2}"]
            [peers."{MAF}"]
            address = "{self.here}"
            prove = {{ km-id = "b@{MAF}", km-file = "km-b" }}
            [peers."{MAF2}"]
            address = "{self.here}"
            transport = "dtls"
            {by_certificate}
            {trust}
            [peers."{MEF}"]
            address = "{self.here}"
            transport = "dtls"
            {by_certificate}
            {trust}
            [peers."{BSF}"]
            address = "{self.here}"
            prove = {{ certificate = "{NAF}.crt", private-key = "{NAF}.key" }}
            {trust}
            [peers."{BSF2}"]
            address = "127.0.0.1:{self.diameter}"
            diameter = true
            prove = {{ key-id = "naf@{BSF2}", key-file = "naf-at-bsf2" }}
            [peers."{GATEWAY}"]
            trust = {{ flavour = "cse-id", trust-anchors = "root.pem" }}
            {more}
            """,
        )
        assert f"Entity B {CSE}, on 127.0.0.1:0" in m2msec("config", "check", file).stdout
        return self.programs.start("listen", "--config", file, "--json", "--verbose")

    def connect(self, entity_b: Server, local: str, peers: str, *, prove: str, check: bool = True):
        """Entity A, by a file of its own."""
        file = self.write(
            "device.toml",
            f"""\
            [identity]
            id = "{local}"
            [store]
            data = "device"
            [peers."{CSE}"]
            address = "127.0.0.1:{entity_b.port}"
            {prove}
            {peers}
            """,
        )
        return m2msec(
            "connect", CSE, "--config", file, "--json", "--wait", "0.3", given="hello\n", check=check
        )

    def through(self, maf: str, name: str) -> str:
        key = f'{{ km-id = "{name}@{maf}", km-file = "km-{name}-{maf}" }}'
        return f'[peers."{maf}"]\naddress = "{self.here}"\nprove = {key}'


@pytest.fixture
def site(programs):
    return Site(programs)


def kpsa(site: Site, name: str, key: bytes) -> str:
    key_file(site.at, f"kpsa-{name}", key)
    return f'{{ kpsa-id = "{name}@sp.example", kpsa-file = "kpsa-{name}" }}'


def accepted(entity_b: Server) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in entity_b.output.splitlines() if line.startswith("{")]
    return [(line["peer"], line["framework"], line["protocol"]) for line in lines]


def test_one_port_by_one_file_serves_peers_of_every_framework_over_tls_and_dtls(site):
    """Two keys, a certificate, two MAFs, an MEF and two BSFs; each asked by its own transport and proof."""
    pump, lamp = kpsa(site, "pump", b"1" * 16), kpsa(site, "lamp", b"2" * 16)
    entity_b = site.entity_b(
        f'[peers."{PUMP}"]\ntrust = [{pump}, {{ maf = "{MAF2}" }}]\n[peers."{LAMP}"]\ntrust = {lamp}'
    )
    m2msec("enrol", site.here, "--data", site.at / "device", "--kpm-id", f"meter@{MEF}", "--kpm-file",
           site.at / "kpm", "--enrolee-id", METER, "--target", CSE)  # fmt: skip
    mef = f'[peers."{MEF}"]\naddress = "{site.here}"\n'
    mef += f'prove = {{ kpm-id = "meter@{MEF}", kpm-file = "kpm" }}'
    trust = 'trust = { flavour = "cse-id", trust-anchors = "root.pem" }'
    own = 'prove = { certificate = "cse2.crt", private-key = "cse2.key" }'

    def card(bsf: str, ub: int) -> str:
        name = bsf.partition(".")[0]
        return f'[peers."{bsf}"]\naddress = "127.0.0.1:{ub}"\nprove = {{ card = "card-{name}" }}'

    dtls = 'transport = "dtls"\n'
    ways = [
        (PUMP, "", f"prove = {pump}", ("saef-psk", "TLSv1.2")),
        (LAMP, "", f"{dtls}prove = {lamp}", ("saef-psk", "DTLSv1.2")),
        (PUMP, site.through(MAF2, "pump"), f'prove = {{ maf = "{MAF2}" }}', ("saef-maf", "TLSv1.2")),
        (GATEWAY, "", f"{dtls}{own}\n{trust}", ("saef-certificate", "DTLSv1.2")),
        (METER, mef, f'prove = {{ enrolment = "{MEF}" }}', ("saef-psk", "TLSv1.2")),
        (VALVE, card(BSF, site.ub), f'prove = {{ bsf = "{BSF}" }}', ("saef-gba", "TLSv1.2")),
        (VALVE, card(BSF2, site.ub2), f'{dtls}prove = {{ bsf = "{BSF2}" }}', ("saef-gba", "DTLSv1.2")),
    ]
    for local, peers, prove, way in ways:
        done = site.connect(entity_b, local, peers, prove=prove, check=False)
        assert done.returncode == 0, done.stderr + entity_b.errors
        assert accepted(entity_b)[-1] == (local, *way)
    assert len(accepted(entity_b)) == len(ways)
    assert entity_b.stop() == 0


def test_a_peer_that_is_described_is_taken_by_nothing_else(site):
    """A MAF that is believed about all its clients is not about one who must prove something else."""
    entity_b = site.entity_b(
        f'[peers."{PUMP}"]\ntrust = {{ maf = "{MAF2}" }}\n'
        f'[peers."{LAMP}"]\ntrust = {kpsa(site, "lamp", b"2" * 16)}'
    )
    for name, local, maf, prove in (
        ("pump", PUMP, MAF, f'prove = {{ maf = "{MAF}" }}'),
        ("lamp", LAMP, MAF, f'prove = {{ maf = "{MAF}" }}'),
        ("lamp", LAMP, MAF2, f'prove = {{ maf = "{MAF2}" }}'),
    ):
        refused = site.connect(entity_b, local, site.through(maf, name), prove=prove, check=False)
        assert refused.returncode == 1, (name, maf)
        assert refused.stderr.startswith("m2msec: ")
    assert accepted(entity_b) == []
    site.connect(entity_b, PUMP, site.through(MAF2, "pump"), prove=f'prove = {{ maf = "{MAF2}" }}')
    assert accepted(entity_b) == [(PUMP, "saef-maf", "TLSv1.2")]
