"""What other implementations say of the chains that ``m2msec pki`` makes: GnuTLS, OpenSSL, Botan, Go.

mbedTLS refuses name constraints of every form; how it is met all the same is in test_interop_c.py.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from certs import Authority, Flavour, constrained
from onem2m_security.cli.pki import app
from places import TESTS
from programs import PATIENCE
from requirements import needs

OF_EACH_FORM = {
    Flavour.CSE_ID: ("--dns", "sp.example"),
    Flavour.FQDN: ("--dns", "sp.example"),
    Flavour.AE_ID: ("--uri-host", "sp.example"),
    Flavour.DEVICE: ("--device", "0.2.481.1.100"),
}
IDENTIFIERS = {
    Flavour.CSE_ID: "//sp.example/cse1",
    Flavour.FQDN: "mef.sp.example",
    Flavour.AE_ID: "//sp.example/cse1/Cae",
    Flavour.DEVICE: "0.2.481.1.100.3030.10011",
}


def run(*command: object, **settings: str) -> tuple[bool, str]:
    """Whether a program ended well, and what it said."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=os.environ | settings,
    )  # fmt: skip
    return done.returncode == 0, done.stdout + done.stderr


def gnutls(anchor: Path, chain: Path) -> tuple[bool, str]:
    _, said = run(needs("certtool"), "--verify", "--load-ca-certificate", anchor, "--infile", chain)
    return "Chain verification output: Verified" in said, said


def openssl(anchor: Path, chain: Path) -> tuple[bool, str]:
    return run(needs("openssl"), "verify", "-CAfile", anchor, "-untrusted", chain, chain)


def botan(anchor: Path, chain: Path) -> tuple[bool, str]:
    """It reads one certificate from each file."""
    files = []
    for number, certificate in enumerate(x509.load_pem_x509_certificates(chain.read_bytes())):
        files.append(chain.with_suffix(f".{number}"))
        files[-1].write_bytes(certificate.public_bytes(Encoding.PEM))
    _, said = run(needs("botan"), "cert_verify", *files, anchor)
    return "passes validation checks" in said, said


@pytest.fixture(scope="session")
def go_program(tmp_path_factory):
    compiler, directory = needs("go"), tmp_path_factory.mktemp("go")
    source = TESTS / "interop" / "clients" / "chains.go"
    built, said = run(compiler, "build", "-o", directory / "chains", source, GOCACHE=str(directory))
    assert built, said
    return directory / "chains"


@pytest.fixture(params=["gnutls", "openssl", "botan", "go"])
def judge(request):
    """Its verdict on a chain under an anchor, and its words."""
    if request.param == "go":
        program = request.getfixturevalue("go_program")
        return lambda anchor, chain: run(program, anchor, chain)
    return {"gnutls": gnutls, "openssl": openssl, "botan": botan}[request.param]


@pytest.fixture
def pki(tmp_path):
    """Run ``m2msec pki`` with what comes of it in the test's directory; give the path of a name."""

    def make(*arguments: str, ca: str | None = None, out: str) -> Path:
        above = [] if ca is None else ["--ca", str(tmp_path / ca)]
        done = CliRunner().invoke(app, [*arguments, *above, "--out", str(tmp_path / out)])
        assert done.exit_code == 0, done.output
        return tmp_path / f"{out}.crt"

    return make


# Which of them know no constraint of that form, and so refuse the authority: as RFC 5280 clause 4.2 wants it.
UNKNOWN_TO = {
    Flavour.AE_ID: ["botan"],
    Flavour.DEVICE: ["gnutls", "openssl", "botan", "go"],
}


@pytest.mark.parametrize("flavour", OF_EACH_FORM)
def test_a_chain_with_name_constraints_of_one_form_is_accepted(pki, judge, request, flavour):
    root = pki("root", "Lab root", out="root")
    pki("intermediate", "Lab CA", *OF_EACH_FORM[flavour], ca="root", out="ca")
    chain = pki("issue", flavour.value, IDENTIFIERS[flavour], ca="ca", out="peer")
    accepted, said = judge(root, chain)
    knows = request.node.callspec.params["judge"] not in UNKNOWN_TO.get(flavour, ())
    assert accepted == knows, said


def test_a_chain_with_name_constraints_in_its_root_alone_is_accepted(pki, judge):
    root = pki("root", "Narrow root", "--dns", "sp.example", out="root")
    pki("intermediate", "Lab CA", ca="root", out="ca")
    chain = pki("issue", "cse-id", IDENTIFIERS[Flavour.CSE_ID], "--without-root", ca="ca", out="peer")
    accepted, said = judge(root, chain)
    assert accepted, said


def test_a_name_outside_of_the_name_constraints_is_refused(pki, judge, tmp_path):
    root = pki("root", "Lab root", out="root")
    pki("intermediate", "Lab CA", "--dns", "elsewhere.example", ca="root", out="ca")
    chain = pki("issue", "fqdn", "mef.sp.example", ca="ca", out="peer")
    accepted, said = judge(root, chain)
    assert not accepted, said
    assert re.search("constrain|permitted", said)


def test_without_one_form_for_each_authority_what_one_form_permits_would_be_refused(tmp_path):
    """Why ``m2msec pki`` makes no authority with several forms."""
    root = Authority.root()
    issued = constrained(root).issue(Flavour.CSE_ID, IDENTIFIERS[Flavour.CSE_ID])
    anchor, chain = tmp_path / "root.crt", tmp_path / "peer.crt"
    anchor.write_bytes(root.trust_anchor_pem)
    chain.write_bytes(issued.full_chain_pem)
    for verdict in (gnutls, botan):
        assert not verdict(anchor, chain)[0]
