"""The certificate options of the commands: flavours end to end, and clear words for what cannot work."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from certificate_support import CA, ID_A, ID_B, NAME_A, NAME_B, ROOT, A, B
from certs import Flavour
from onem2m_security.cli import app
from onem2m_security.errors import SecurityFrameworkError
from programs import m2msec

DEVICE_ID = "0.2.481.1.100.7"
CSE, AE = "//sp.example/cse1", "//sp.example/cse1/Cae"
MAF = "maf.sp.example"


def store(directory, name, issued, *, with_root=False):
    (directory / f"{name}.crt").write_bytes(issued.full_chain_pem if with_root else issued.chain_pem)
    key = directory / f"{name}.key"
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)


@pytest.fixture
def files(tmp_path):
    """Release 3 certificates of every flavour, and Release 1 ones, as a person has them."""
    (tmp_path / "root.pem").write_bytes(ROOT.trust_anchor_pem)
    for flavour, identifier in (
        (Flavour.CSE_ID, CSE), (Flavour.AE_ID, AE), (Flavour.DEVICE, DEVICE_ID), (Flavour.FQDN, MAF)
    ):  # fmt: skip
        store(tmp_path, flavour.value, CA.issue(flavour, identifier))
    store(tmp_path, "a", A, with_root=True)
    store(tmp_path, "b", B, with_root=True)
    return tmp_path


def shown(directory, name):
    return "--cert", directory / f"{name}.crt", "--key", directory / f"{name}.key"


def listen(programs, directory, *arguments, name="cse-id", cse_id=CSE):
    return programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", cse_id, "--json", *shown(directory, name), *arguments
    )


def connect(port, directory, name, entity, *arguments, check=True):
    return m2msec(
        "connect", f"127.0.0.1:{port}", "--peer", CSE, "--entity", entity, "--wait", "0.2", "--json",
        *shown(directory, name), "--flavour", "cse-id", "--peer-id", CSE,
        "--trust-anchor", directory / "root.pem", *arguments, check=check,
    )  # fmt: skip


def test_a_peer_that_leaves_its_root_out_is_met_by_its_root_certificate(files, programs):
    """In Release 1, at either end: by option and in the file of associations."""
    for name, issued in (("a", A), ("b", B)):
        (files / f"{name}.crt").write_bytes(issued.chain_pem)
    associations = files / "associations.toml"
    associations.write_text(
        f"""
        [[association]]
        certificate_name = "{NAME_A}"
        root_of_trust = "{ROOT.root_of_trust.hex()}"
        root_certificate = "root.pem"
        peer = "{ID_A}"
        """
    )
    b = listen(programs, files, "--associations", associations, name="b", cse_id=ID_B)
    arguments = (
        "connect", f"127.0.0.1:{b.port}", "--peer", ID_B, "--entity", ID_A, "--wait", "0.2", "--json",
        *shown(files, "a"), "--peer-name", NAME_B, "--root-of-trust", ROOT.root_of_trust.hex(),
    )  # fmt: skip
    refused = m2msec(*arguments, check=False)
    assert refused.returncode != 0
    assert "root_certificate" in refused.stderr
    done = m2msec(*arguments, "--root-certificate", files / "root.pem")
    assert json.loads(done.stdout.splitlines()[0])["peer"] == str(ID_B)
    b.wait_for(f'"peer": "{ID_A}"')


def test_b_tells_which_of_its_associations_matched(files, programs):
    (files / "associations.toml").write_text(
        '[[association]]\nname = "our device"\nflavour = "device"\n'
        f'peer_id = "{DEVICE_ID}"\ntrust_anchors = "root.pem"\nallowed_ae_ids = ["{AE}"]\n\n'
        '[[association]]\nname = "any AE of ours"\nflavour = "ae-id"\ntrust_anchors = "root.pem"\n',
        encoding="utf-8",
    )
    b = listen(programs, files, "--associations", files / "associations.toml")
    connect(b.port, files, "device", "/whoever")
    connect(b.port, files, "ae-id", AE)
    b.wait_for("any AE of ours")
    device, ae = map(json.loads, b.output.splitlines()[:2])
    assert (device["configuration"], device["peer"]) == ("our device", None)
    assert device["credential_id"] == f"31-{DEVICE_ID}"
    assert device["allowed_ae_ids"] == [AE]
    assert (ae["configuration"], ae["peer"]) == ("any AE of ours", AE)
    refused = connect(b.port, files, "cse-id", CSE, check=False)
    assert refused.returncode == 1
    assert "bad_certificate" in refused.stderr


def test_b_takes_one_peer_by_options_and_says_in_words_who_it_is(files, programs):
    b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, *shown(files, "cse-id"),
        "--flavour", "device", "--peer-id", DEVICE_ID, "--peer", "//sp.example/cse7",
        "--trust-anchor", files / "root.pem",
    )  # fmt: skip
    connect(b.port, files, "device", "//sp.example/cse7")
    line = b.wait_for("associated with.*").group()
    assert "associated with //sp.example/cse7 by saef-certificate" in line
    assert f"configuration: device {DEVICE_ID}" in line


def test_a_revoked_certificate_is_refused_as_soon_as_the_list_says_so(files, programs):
    lists = files / "crls"
    lists.mkdir()
    m2msec_ca = files / "ca"
    store(files, "ca", CA.issued, with_root=True)
    m2msec("pki", "crl", "--ca", m2msec_ca, "--out", lists / "first.crl")
    options = ("--flavour", "device", "--trust-anchor", files / "root.pem", "--crl", lists)
    b = listen(programs, files, *options)
    connect(b.port, files, "device", "/whoever")
    m2msec(
        "pki", "crl", "--ca", m2msec_ca, "--previous", lists / "first.crl", "--out", lists / "second.crl",
        "--revoke", files / "device.crt",
    )  # fmt: skip
    refused = connect(b.port, files, "device", "/whoever", check=False)
    assert refused.returncode == 1
    assert "certificate_revoked" in refused.stderr


@pytest.mark.parametrize("release", ["1", "3"])
def test_a_and_b_associate_through_a_maf_that_knows_them_by_certificate(files, programs, release):
    (files / "clients.toml").write_text(
        f'[[association]]\nflavour = "ae-id"\npeer_id = "{AE}"\ntrust_anchors = "root.pem"\n'
        f'targets = ["{CSE}"]\n\n'
        f'[[association]]\nflavour = "cse-id"\npeer_id = "{CSE}"\ntrust_anchors = "root.pem"\n',
        encoding="utf-8",
    )
    maf = programs.start_maf(
        files / "maf", *shown(files, "fqdn"), "--associations", files / "clients.toml", fqdn=MAF
    )
    at_maf = (
        "--maf", f"127.0.0.1:{maf.port}", "--maf-id", MAF, "--maf-trust-anchor", files / "root.pem",
    )  # fmt: skip
    b = listen(programs, files, *at_maf)
    done = m2msec(
        "connect", f"127.0.0.1:{b.port}", "--peer", CSE, "--entity", AE, "--release", release, "--json",
        "--wait", "0.2", *shown(files, "ae-id"), *at_maf,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[0])["framework"] == "saef-maf"
    b.wait_for("saef-maf")
    assert json.loads(b.output.splitlines()[0])["peer"] == AE


def complaint(*arguments):
    """What a command says that cannot work: main() prints the message of our own errors, and no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert isinstance(result.exception, SecurityFrameworkError)
    return str(result.exception)


R1_OF_B = ("--peer-name", NAME_B, "--root-of-trust", ROOT.root_of_trust.hex())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cert", "{}/a.crt", *R1_OF_B), "--cert FILE and --key FILE"),
        (("--cert", "{}/a.crt", "--key", "{}/b.key", *R1_OF_B), "does not belong to the"),
        (("--cert", "{}/a.crt", "--key", "{}/open.key", *R1_OF_B), "chmod 600"),
        (("--cert", "{}/a.crt", "--key", "{}/a.key"), "--peer-name and --root-of-trust"),
        (("--cert", "{}/a.crt", "--key", "{}/a.key", "--peer-name", NAME_B), "--root-of-trust"),
        (("--cert", "{}/a.crt", "--key", "{}/a.key", *R1_OF_B, "--flavour", "device"), "--flavour with"),
        (
            ("--cert", "{}/a.crt", "--key", "{}/a.key", "--flavour", "raw-public-key"),
            "a raw-public-key association needs peer_id",
        ),
        (
            (
                "--cert",
                "{}/a.crt",
                "--key",
                "{}/a.key",
                "--flavour",
                "badge",
                "--trust-anchor",
                "{}/root.pem",
            ),
            "there is no certificate flavour 'badge'",
        ),
        (
            ("--cert", "{}/a.crt", "--key", "{}/a.key", "--flavour", "cse-id", "--trust-anchor", "{}/a.key"),
            "PEM certificates",
        ),
        (("--cert", "{}/a.crt", "--key", "{}/a.key", *R1_OF_B, "--crl", "{}/none"), "none: No such file"),
        (("--cert", "{}/a.crt", "--key", "{}/a.key", *R1_OF_B, "--require-crl"), "require_crl needs crls"),
        (("--cert", "{}/a.crt", "--key", "{}/a.key", *R1_OF_B, "--kpsa-id", "k@x.example"), "not both"),
        (("--cert", "{}/a.crt", "--key", "{}/a.key", "--maf", "127.0.0.1:1"), "--maf-id FQDN"),
    ],
)
def test_connect_says_what_is_missing_or_wrong(files, arguments, told):
    (files / "open.key").write_bytes(A.key_pem)
    (files / "open.key").chmod(0o644)
    given = (argument.format(files) for argument in arguments)
    message = complaint("connect", "127.0.0.1:1", "--peer", ID_B, "--entity", ID_A, *given)
    assert told in message
    assert "PRIVATE KEY" not in message


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cert", "{}/b.crt", "--key", "{}/b.key"), "say what the peer's certificate must prove"),
        (("--associations", "{}/none.toml"), "--cert FILE and --key FILE"),
        (
            ("--cert", "{}/b.crt", "--key", "{}/b.key", "--associations", "{}/x.toml", "--peer-name", NAME_A),
            "not both",
        ),
        (("--cert", "{}/b.crt", "--key", "{}/b.key", "--associations", "{}/none.toml"), "none.toml"),
        ((), "nobody could associate"),
    ],
)
def test_listen_says_what_is_missing_or_wrong(files, arguments, told):
    given = (argument.format(files) for argument in arguments)
    assert told in complaint("listen", "--listen", "127.0.0.1:0", "--cse-id", ID_B, *given)


def test_connect_has_to_be_told_who_we_are(files):
    told = complaint("connect", "127.0.0.1:1", "--peer", ID_B, *shown(files, "a"), *R1_OF_B)
    assert "--entity ID is missing" in told
