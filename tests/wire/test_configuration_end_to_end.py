"""One description for everything that runs: real processes that are driven by configuration files alone."""

from __future__ import annotations

import json

import pytest

from certificate_support import CA, ROOT
from certs import Flavour
from programs import Programs, key_file, m2msec
from test_config import a_free_port

MAF, MEF, BSF = "maf.sp.example", "mef.sp.example", "bsf.sp.example"
CSE, AE, GATEWAY = "//sp.example/cse1", "//sp.example/cse1/Cae", "//sp.example/cse2"
IMPI = "001010000000001@operator.example"


class House:
    """A MAF, an MEF and a BSF in one process, from one file; the files of a device and of Entity B beside it.

    The MAF has a certificate and asks both others; the MEF has one too.
    """

    def __init__(self, programs: Programs) -> None:
        self.programs, self.directory = programs, programs.directory
        (self.directory / "root.pem").write_bytes(ROOT.trust_anchor_pem)
        for name, flavour, identifier in (
            ("maf", Flavour.FQDN, MAF),
            ("mef", Flavour.FQDN, MEF),
            ("device", Flavour.AE_ID, AE),
            ("gateway", Flavour.CSE_ID, GATEWAY),
        ):
            issued = CA.issue(flavour, identifier)
            (self.directory / f"{name}.crt").write_bytes(issued.chain_pem)
            key = self.directory / f"{name}.key"
            key.touch(mode=0o600)
            key.write_bytes(issued.key_pem)
        self.port, self.diameter, self.ub = (a_free_port() for _ in range(3))
        self.provision()
        self.write("house.toml", self.house())
        self.server = programs.start("serve", "--config", self.directory / "house.toml", "--verbose")
        self.server.wait_for(rf"BSF {BSF}, Diameter, listening on \S+ \(TLS\)")

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def provision(self) -> None:
        at = self.directory
        key_file(at, "km-b", b"m" * 32)
        m2msec(
            "maf", "add-client", "--data", at / "maf", "--km-id", f"b@{MAF}", "--entity", CSE,
            "--km-file", at / "km-b",
        )  # fmt: skip
        key_file(at, "maf-at-mef", b"t" * 32)
        m2msec(
            "mef", "add-target", "--data", at / "mef", "--key-id", f"maf@{MEF}", "--target", MAF,
            "--key-file", at / "maf-at-mef",
        )  # fmt: skip
        key_file(at, "kpm", b"p" * 32)
        m2msec(
            "mef", "add-enrolee", "--data", at / "mef", "--kpm-id", f"device@{MEF}", "--enrolee-id", AE,
            "--target", MAF, "--kpm-file", at / "kpm",
        )  # fmt: skip
        keys = ("--k-file", key_file(at, "k", b"k" * 16), "--opc-file", key_file(at, "opc", b"o" * 16))
        m2msec("usim", "make", "--card", at / "card", "--impi", IMPI, *keys)
        m2msec(
            "bsf", "add-subscriber", "--data", at / "bsf", "--card", at / "card", "--entity", AE, "--naf", MAF
        )
        made = m2msec("bsf", "add-naf", "--data", at / "bsf", "--key-id", f"maf@{BSF}", "--entity", MAF,
                      "--naf", MAF)  # fmt: skip
        key_file(at, "maf-at-bsf", bytes.fromhex(made.stdout))

    def house(self) -> str:
        trust = 'flavour = "{}"\ntrust_anchors = "root.pem"\npeer_id = "{}"\n'
        client = f'[[association]]\n{trust}targets = ["{CSE}"]\n'
        self.write("maf-clients.toml", client.format("cse-id", GATEWAY))
        self.write("mef-clients.toml", f"[[association]]\n{trust.format('fqdn', MAF)}")
        here = f"127.0.0.1:{self.port}"
        return f"""\
            [peers."{MEF}"]
            address = "{here}"
            prove = {{ key-id = "maf@{MEF}", key-file = "maf-at-mef" }}

            [peers."{BSF}"]
            address = "127.0.0.1:{self.diameter}"
            diameter = true
            prove = {{ key-id = "maf@{BSF}", key-file = "maf-at-bsf" }}

            [[maf]]
            fqdn = "{MAF}"
            listen = "{here}"
            data = "maf"
            mefs = ["{MEF}"]
            bsfs = ["{BSF}"]
            enrolee-targets = ["{CSE}"]
            certificate = "maf.crt"
            private-key = "maf.key"
            associations = "maf-clients.toml"

            [[mef]]
            fqdn = "{MEF}"
            listen = "{here}"
            data = "mef"
            certificate = "mef.crt"
            private-key = "mef.key"
            associations = "mef-clients.toml"

            [[bsf]]
            fqdn = "{BSF}"
            listen-zn = "{here}"
            listen-ub = "127.0.0.1:{self.ub}"
            listen-diameter = "127.0.0.1:{self.diameter}"
            data = "bsf"
            """

    def entity_b(self):
        return self.programs.start(
            "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, "--json", "--maf", f"127.0.0.1:{self.port}",
            "--km-id", f"b@{MAF}", "--km-file", self.directory / "km-b",
        )  # fmt: skip

    def device(self, name: str, proof: str, entity_b, *, local: str = AE, more: str = "") -> str:
        """A file of Entity A, which reaches Entity B through the MAF, to whom it proves itself like this."""
        self.write(
            name,
            f"""\
            [identity]
            id = "{local}"
            [store]
            data = "device"
            [peers."{CSE}"]
            address = "127.0.0.1:{entity_b.port}"
            prove = {{ maf = "{MAF}" }}
            [peers."{MAF}"]
            address = "127.0.0.1:{self.port}"
            prove = {proof}
            {more}
            """,
        )
        return str(self.directory / name)


@pytest.fixture
def house(programs):
    return House(programs)


def test_one_file_serves_maf_mef_and_bsf_and_one_file_is_all_that_each_device_needs(house):
    """By certificate, by a card, and by what an MEF provided: each reaches Entity B through the MAF."""
    checked = m2msec("config", "check", house.directory / "house.toml").stdout.splitlines()
    assert [line.partition(",")[0] for line in checked] == [
        f"MAF {MAF}", f"MEF {MEF}", f"BSF {BSF}", f"peer {MEF}", f"peer {BSF}"
    ]  # fmt: skip
    m2msec(
        "enrol", f"127.0.0.1:{house.port}", "--data", house.directory / "device",
        "--kpm-id", f"device@{MEF}", "--kpm-file", house.directory / "kpm", "--enrolee-id", AE,
        "--target", MAF,
    )  # fmt: skip
    entity_b = house.entity_b()
    card = f'[peers."{BSF}"]\naddress = "127.0.0.1:{house.ub}"\nprove = {{ card = "card" }}'
    mef = f'[peers."{MEF}"]\naddress = "127.0.0.1:{house.port}"\n'
    mef += f'prove = {{ kpm-id = "device@{MEF}", kpm-file = "kpm" }}'
    trust = f'[peers."{MAF}".trust]\nflavour = "fqdn"\ntrust-anchors = "root.pem"'
    files = {
        GATEWAY: house.device(
            "gateway.toml", '{ certificate = "gateway.crt", private-key = "gateway.key" }', entity_b,
            local=GATEWAY, more=trust,
        ),
        f"{AE} by card": house.device("card.toml", f'{{ bsf = "{BSF}" }}', entity_b, more=card),
        f"{AE} enrolled": house.device("device.toml", f'{{ enrolment = "{MEF}" }}', entity_b, more=mef),
    }  # fmt: skip
    for who, file in files.items():
        done = m2msec("connect", CSE, "--config", file, "--json", "--wait", "0.3", given="hello\n")
        association = json.loads(done.stdout.splitlines()[0])
        assert (association["framework"], association["peer"]) == ("saef-maf", CSE), who
    assert [association["peer"] for association in entity_b.associations] == [GATEWAY, AE, AE]
    assert house.server.stop() == 0


def test_a_peer_that_is_not_in_the_file_is_refused_with_the_one_that_was_meant(tmp_path):
    file = tmp_path / "device.toml"
    file.write_text(
        '[identity]\nid = "/a"\n[peers."/in-cse"]\naddress = "127.0.0.1:1"\n'
        f'prove = {{ kpsa-id = "a@{MAF}", kpsa-file = "kpsa" }}\n',
        encoding="utf-8",
    )
    done = m2msec("connect", "/im-cse", "--config", file, check=False)
    assert done.returncode == 1
    assert done.stderr == f"m2msec: {file}: there is no [peers.\"/im-cse\"]: is '/in-cse' meant?\n"
    done = m2msec("connect", "/in-cse", "--config", file, "--peer", "/in-cse", check=False)
    assert done.returncode == 1
    assert "leave out the others" in done.stderr
