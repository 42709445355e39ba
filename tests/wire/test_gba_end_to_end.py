"""GBA with real processes: a card, a BSF, a MAF, Entity B and Entity A, each as a person starts it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import socket
import stat

import pytest

from gba_support import AE, BSF, CSE, MAF, NAF
from onem2m_security.credentials import Secret
from onem2m_security.gba.aka import SequenceNumber, authentication_vector
from onem2m_security.gba.milenage import Milenage
from programs import key_file, m2msec, s_client

IMPI = "001010000000001@operator.example"
K, OPC = bytes(range(16)), bytes(range(16, 32))


class Operator:
    """A BSF with one subscriber and two NAFs, and that subscriber's card."""

    def __init__(self, programs, *, card_options=(), subscriber_options=()):
        self.programs = programs
        self.directory = programs.directory
        self.data = self.directory / "bsf"
        self.card = self.directory / "card"
        keys = (
            "--k-file",
            key_file(self.directory, "k", K),
            "--opc-file",
            key_file(self.directory, "opc", OPC),
        )
        m2msec("usim", "make", "--card", self.card, "--impi", IMPI, *keys, *card_options)
        m2msec(
            "bsf", "add-subscriber", "--data", self.data, "--card", self.card, "--entity", AE,
            "--naf", NAF, "--naf", MAF, *subscriber_options,
        )  # fmt: skip
        self.naf_keys = {}
        for entity, naf in ((CSE, NAF), (MAF, MAF)):
            ours = ("--key-id", f"{naf}@{BSF}", "--entity", entity, "--naf", naf)
            made = m2msec("bsf", "add-naf", "--data", self.data, *ours)
            self.naf_keys[naf] = key_file(self.directory, f"{naf}.key", bytes.fromhex(made.stdout))
        self.start_bsf()

    def start_bsf(self, *options):
        self.server = self.programs.start(
            "bsf", "serve", "--data", self.data, "--fqdn", BSF,
            "--listen-zn", "127.0.0.1:0", "--listen-ub", "127.0.0.1:0", "--listen-diameter", "127.0.0.1:0",
            *options,
        )  # fmt: skip
        self.ub = self.server.wait_for(r"Ub, listening on (127\.0\.0\.1:\d+) \(HTTP\)").group(1)

        found = self.server.wait_for(r"Diameter, listening on 127\.0\.0\.1:(\d+) \(TLS\)")
        self.diameter_port = int(found.group(1))

    def naf_options(self, naf, port=None):
        return (
            "--bsf", f"{BSF}=127.0.0.1:{port or self.server.port}", "--bsf-key-id", f"{naf}@{BSF}",
            "--bsf-key-file", self.naf_keys[naf],
        )  # fmt: skip

    def listen(self, *options, naf=NAF):
        return self.programs.start(
            "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, *self.naf_options(naf), "--json", *options
        )

    def connect(self, entity_b, *options, check=True):
        return m2msec(
            "connect", f"127.0.0.1:{entity_b.port}", "--peer", CSE, "--entity", AE, "--card", self.card,
            "--bsf", f"{BSF}={self.ub}", "--json", "--wait", "0.3", *options,
            given="hello\n", check=check,
        )  # fmt: skip

    def bootstrap(self, check=True):
        return m2msec("usim", "bootstrap", "--card", self.card, "--bsf", f"{BSF}={self.ub}", check=check)


@pytest.mark.parametrize("transport", ["tls", "dtls"])
def test_a_card_bootstraps_and_associates_with_an_entity_b_that_asks_the_bsf(programs, transport):
    operator = Operator(programs)
    entity_b = operator.listen("--transport", transport)
    seen_by_a = json.loads(operator.connect(entity_b, "--transport", transport).stdout.splitlines()[0])
    entity_b.wait_for_data(b"hello")
    [seen_by_b] = entity_b.associations
    assert seen_by_a["framework"] == seen_by_b["framework"] == "saef-gba"
    assert (seen_by_a["peer"], seen_by_b["peer"]) == (str(CSE), str(AE))
    assert seen_by_a["credential_id"] == seen_by_b["credential_id"]
    assert seen_by_a["cipher_suite"] == {"tls": "PSK-AES128-CBC-SHA256", "dtls": "PSK-AES128-CCM8"}[transport]
    assert seen_by_a["expires"] == seen_by_b["expires"]
    assert operator.server.stop() == 0


def test_a_card_bootstraps_km_for_a_maf_and_reaches_entity_b_through_it(programs):
    """USIM, MEF (the BSF), MAF, Kc, Entity B (8.3.2.3, 8.2.2.3)."""
    operator = Operator(programs)
    maf_data, km = operator.directory / "maf", key_file(operator.directory, "km-b", b"m" * 32)
    m2msec("maf", "add-client", "--data", maf_data, "--km-id", f"b@{MAF}", "--entity", CSE, "--km-file", km)
    maf = programs.start_maf(maf_data, *operator.naf_options(MAF), "--enrolee-target", CSE, fqdn=str(MAF))
    through_maf = ("--maf", f"127.0.0.1:{maf.port}", "--maf-id", MAF)
    entity_b = operator.listen("--maf", f"127.0.0.1:{maf.port}", "--km-id", f"b@{MAF}", "--km-file", km)
    for release in ("1", "3"):
        done = operator.connect(entity_b, *through_maf, "--release", release)
        association = json.loads(done.stdout.splitlines()[0])
        assert association["framework"] == "saef-maf"
        assert association["peer"] == str(CSE)
    entity_b.wait_for_data(b"hello", times=2)
    assert [item["peer"] for item in entity_b.associations] == [str(AE)] * 2
    assert all(item["credential_id"].endswith(f"@{MAF}") for item in entity_b.associations)


def test_clients_of_a_bsf_go_on_while_the_mef_of_the_same_name_is_down(programs):
    """The seed's MEF that is also a GBA BSF; at the port of the MEF nobody listens."""
    operator = Operator(programs)
    maf_data, km = operator.directory / "maf", key_file(operator.directory, "km-b", b"m" * 32)
    m2msec("maf", "add-client", "--data", maf_data, "--km-id", f"b@{MAF}", "--entity", CSE, "--km-file", km)
    mef_key = key_file(operator.directory, "mef-key", b"e" * 32)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    mef = ("--mef", f"{BSF}=127.0.0.1:{port}", "--mef-key-id", f"maf@{BSF}", "--mef-key-file", mef_key)
    gba = operator.naf_options(MAF)
    maf = programs.start_maf(maf_data, *mef, *gba, "--enrolee-target", CSE, fqdn=str(MAF))
    through_maf = ("--maf", f"127.0.0.1:{maf.port}", "--maf-id", MAF)
    entity_b = operator.listen("--maf", f"127.0.0.1:{maf.port}", "--km-id", f"b@{MAF}", "--km-file", km)
    association = json.loads(operator.connect(entity_b, *through_maf).stdout.splitlines()[0])
    assert association["framework"] == "saef-maf"


def test_whoever_asks_a_bsf_too_often_is_told_so(programs):
    operator = Operator(programs)
    assert operator.server.stop() == 0
    operator.start_bsf("--ub-rate", "0.1")
    refused = operator.bootstrap(check=False)
    assert refused.returncode == 1
    assert "asked too often from our address" in refused.stderr
    operator.server.wait_for("over its quota")


def test_entity_b_asks_the_bsf_over_diameter(programs):
    operator = Operator(programs)
    entity_b = programs.start(
        "listen", "--listen", "127.0.0.1:0", "--cse-id", CSE, "--json",
        *operator.naf_options(NAF, operator.diameter_port), "--bsf-diameter",
    )  # fmt: skip
    association = json.loads(operator.connect(entity_b).stdout.splitlines()[0])
    assert association["framework"] == "saef-gba"


def test_a_card_provisions_kpsa_of_a_cse(programs):
    operator = Operator(programs)
    entity_b = operator.listen()
    association = json.loads(operator.connect(entity_b, "--gba-kpsa").stdout.splitlines()[0])
    assert association["framework"] == "saef-psk"
    assert association["credential_id"].endswith(f"@{BSF}")


@pytest.mark.parametrize("key", ["Ks_ext_NAF", "Ks_int_NAF"])
def test_gba_u_with_either_key(programs, key):
    operator = Operator(programs, card_options=["--gba-u"])
    m2msec(
        "bsf", "add-subscriber", "--data", operator.data, "--card", operator.card, "--entity", AE,
        "--naf", f"{NAF}={key}", "--replace",
    )  # fmt: skip
    entity_b = operator.listen()
    association = json.loads(operator.connect(entity_b, "--naf-key", key).stdout.splitlines()[0])
    assert association["framework"] == "saef-gba"
    other = {"Ks_ext_NAF": "Ks_int_NAF", "Ks_int_NAF": "Ks_ext_NAF"}[key]
    refused = operator.connect(entity_b, "--naf-key", other, check=False)
    assert refused.returncode == 1


@pytest.mark.parametrize(
    ("suite", "code"), [("PSK-AES128-CBC-SHA256", 0x00AE), ("PSK-AES128-GCM-SHA256", 0x00A8)]
)
def test_the_openssl_command_associates_with_a_key_computed_from_the_formula(programs, suite, code):
    """Everything after Ub by another program: hint;B-TID as psk_identity, Ks_NAF for the negotiated suite."""
    operator = Operator(programs)
    entity_b = operator.listen()
    told = json.loads(operator.bootstrap().stdout)
    rand = base64.b64decode(told["b_tid"].partition("@")[0])
    outputs = Milenage(Secret(K), Secret(OPC)).f2345(rand)
    ks = outputs.ck.reveal() + outputs.ik.reveal()
    naf_id = str(NAF).encode() + b"\x01\x00\x01" + code.to_bytes(2)
    s = b"\x01" + b"".join(p + len(p).to_bytes(2) for p in (b"gba-me", rand, IMPI.encode(), naf_id))
    key = hmac.new(ks, s, hashlib.sha256).digest()
    for identity in (f"3GPP-bootstrapping;{told['b_tid']}", told["b_tid"]):
        printed = s_client(entity_b.port, identity, key, suite, given=b"from openssl\n", hold=0.5)
        assert f"Cipher is {suite}" in printed
    entity_b.wait_for_data(b"from openssl", times=2)
    of_uicc = s_client(entity_b.port, f"3GPP-bootstrapping-uicc;{told['b_tid']}", key, suite)
    assert "alert bad record mac" in of_uicc


def test_a_naf_that_the_settings_do_not_name_and_a_barred_subscriber_are_refused(programs):
    operator = Operator(programs)
    m2msec(
        "bsf", "add-subscriber", "--data", operator.data, "--card", operator.card, "--naf", MAF, "--replace"
    )
    entity_b = operator.listen()
    refused = operator.connect(entity_b, check=False)
    assert refused.returncode == 1
    m2msec("bsf", "bar", "--data", operator.data, "--impi", IMPI)
    barred = operator.bootstrap(check=False)
    assert barred.returncode == 1
    assert "HTTP 403" in barred.stderr
    m2msec("bsf", "unbar", "--data", operator.data, "--impi", IMPI)
    operator.bootstrap()


def test_a_bsf_that_was_killed_goes_on_where_it_was(programs):
    operator = Operator(programs)
    entity_b = operator.listen()
    for _ in range(3):
        operator.bootstrap()
    before = json.loads(m2msec("bsf", "subscribers", "--data", operator.data, "--json").stdout)[0]["sqn"]
    operator.server.kill()
    assert operator.bootstrap(check=False).returncode == 1
    operator.start_bsf()
    operator.bootstrap()
    after = json.loads(m2msec("bsf", "subscribers", "--data", operator.data, "--json").stdout)[0]["sqn"]
    assert int(after, 16) > int(before, 16)
    refused = operator.connect(entity_b, check=False)  # Entity B still knows the BSF's former port
    assert refused.returncode == 1
    operator.connect(operator.listen())


def test_nothing_that_is_printed_or_logged_holds_a_key(programs):
    operator = Operator(programs)
    entity_b = operator.listen("-v")
    told = operator.connect(entity_b, "-v")
    shown = m2msec("usim", "show", "--card", operator.card).stdout
    listed = m2msec("bsf", "subscribers", "--data", operator.data).stdout
    nafs = m2msec("bsf", "nafs", "--data", operator.data).stdout
    naf_key = operator.naf_keys[NAF].read_text().strip()
    printed = told.stdout + told.stderr + shown + listed + nafs + entity_b.output + entity_b.errors
    printed += operator.server.output + operator.server.errors
    for secret in (K.hex(), OPC.hex(), naf_key):
        assert secret not in printed
    assert stat.S_IMODE(operator.card.stat().st_mode) == 0o600
    assert re.search(r"fingerprint: [0-9a-f]{16}", shown)


def test_the_card_answers_a_challenge_once(programs):
    operator = Operator(programs)
    sqn = SequenceNumber.from_parts(5, 5)
    vector = authentication_vector(Milenage(Secret(K), Secret(OPC)), sqn=sqn, amf=bytes(2))
    ask = (
        "usim",
        "authenticate",
        "--card",
        operator.card,
        "--rand",
        vector.rand.hex(),
        "--autn",
        vector.autn.hex(),
    )
    first = json.loads(m2msec(*ask, "--reveal").stdout)
    assert first["result"] == "success"
    assert first["res"] == vector.xres.reveal().hex()
    assert json.loads(m2msec(*ask).stdout)["result"] == "synchronisation failure"
    wrong = m2msec(*ask[:-1], bytes(16).hex())
    assert json.loads(wrong.stdout)["result"] == "MAC failure"
    assert m2msec(*ask[:-1], "xyz", check=False).returncode == 1
