"""The description of an entity: its members, what is told about wrong words, and what is printed about it."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from onem2m_security.configuration.description import Description
from onem2m_security.configuration.key_proofs import AskingKey, EnroleeKey, KeyProof
from onem2m_security.configuration.proof import OwnProof, Proving
from onem2m_security.configuration.prove import (
    PROOFS,
    ByGba,
    ByMaf,
    Card,
    Certificate,
    MasterCredential,
    ProvisionedKey,
)
from onem2m_security.configuration.reference import EXAMPLE, descriptions, page, schema
from onem2m_security.configuration.settings import load
from onem2m_security.configuration.trust import TRUST, CertificateTrust, FlavouredCertificate, Trusting
from onem2m_security.durations import parse_duration, show_duration
from onem2m_security.errors import ConfigurationError
from onem2m_security.identifiers import EntityId
from onem2m_security.servers.service import Service
from places import ROOT
from programs import m2msec

PEERS = """\
[store]
data = "all"
[peers."/in-cse"]
address = "127.0.0.1:1"
prove = { maf = "maf.example.com" }
[peers."maf.example.com"]
address = "127.0.0.1:2"
prove = { km-id = "a@maf.example.com", km-file = "km" }
[peers."//sp.example/cse"]
address = "127.0.0.1:3"
prove = { certificate = "a.crt", private-key = "a.key" }
trust = { flavour = "cse-id", trust-anchors = "root.pem" }
[mef]
fqdn = "mef.example.com"
listen = "127.0.0.1:4"
"""


def read(directory: Path, text: str) -> Description:
    file = directory / "e.toml"
    file.write_text(text, encoding="utf-8")
    return Description.read(file)


def refusal(directory: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(directory, text)
    return str(caught.value).removeprefix(f"{directory}/e.toml, ")


def test_each_kind_of_credential_is_one_member(tmp_path):
    peers = read(tmp_path, PEERS).settings.peers
    assert isinstance(peers[EntityId("/in-cse")].prove, ByMaf)
    assert isinstance(peers[EntityId("maf.example.com")].prove, MasterCredential)
    by_certificate = peers[EntityId("//sp.example/cse")]
    assert isinstance(by_certificate.prove, Certificate)
    [trust] = by_certificate.trust
    assert isinstance(trust, FlavouredCertificate)


@pytest.mark.parametrize(
    ("proof", "member"),
    [
        ('{ kpsa-id = "a@b.example", kpsa-file = "k" }', ProvisionedKey),
        ('{ card = "c" }', Card),
        ('{ bsf = "maf.example.com", naf-key = "Ks_NAF", as-kpsa = true }', ByGba),
    ],
)
def test_the_keys_of_a_proof_say_which_it_is(tmp_path, proof, member):
    text = PEERS.replace('{ maf = "maf.example.com" }', proof)
    assert isinstance(read(tmp_path, text).settings.peers[EntityId("/in-cse")].prove, member)


def test_a_function_without_a_directory_of_its_own_has_the_common_one(tmp_path):
    assert read(tmp_path, PEERS).settings.mef[0].data == Path("all")
    assert "mef.data: Field required" in refusal(tmp_path, PEERS.replace('[store]\ndata = "all"', ""))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "km-file",
            "km-flie",
            "line 8: peers.maf.example.com.prove.km-flie: not permitted here: is 'km-file'",
        ),
        ("listen", "lisen", "line 15: mef.lisen: not permitted here: is 'listen' meant?"),
        ("[store]", "[stor]", "line 1: stor: not permitted here: is 'store' meant?"),
        ('{ maf = "maf.example.com" }', "{ key = 1 }", "line 5: peers./in-cse.prove: say by what we prove"),
        ('{ maf = "maf.', '{ maf = "mef.', "is 'maf.example.com' meant?"),
        ('flavour = "cse-id", ', "", "line 12: peers.//sp.example/cse.trust.flavour: Field required"),
        ('[peers."/in-cse"]', '[peers."in cse"]', "line 3: peers.in cse: "),
        ('[peers."//sp.example/cse"]', '[peers."MAF.example.com."]', "one peer is here twice"),
    ],
)
def test_a_wrong_word_is_told_with_its_line_and_the_word_that_was_meant(tmp_path, old, new, told):
    assert told in refusal(tmp_path, PEERS.replace(old, new, 1))


def test_what_stands_where_a_word_should_is_not_shown_when_no_word_is_near(tmp_path):
    secret = "c2VjcmV0c2VjcmV0c2VjcmV0"
    assert secret not in refusal(tmp_path, PEERS.replace('km-file = "km"', f'km-file = {{ x = "{secret}" }}'))


@pytest.mark.parametrize("role", ["mefs", "bsfs"])
def test_a_maf_asks_only_peers_that_are_in_the_file(tmp_path, role):
    maf = f'[maf]\nfqdn = "maf.sp.example"\nlisten = "127.0.0.1:5"\n{role} = ["maf.exampel.com"]\n'
    told = refusal(tmp_path, PEERS + maf)
    assert told == (
        f"line 19: maf.{role}: there is no [peers.\"maf.exampel.com\"]: is 'maf.example.com' meant?"
    )


B = """\
[identity]
id = "/cse"
[entity-b]
listen = "127.0.0.1:9"
"""
KPSA = '{ kpsa-id = "a@b.example", kpsa-file = "k" }'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'mafs = ["maf.exampel.com"]',
            'line 20: entity-b.mafs: there is no [peers."maf.exampel.com"]: is \'maf',
        ),
        ('lisen = "x:1"', "line 20: entity-b.lisen: not permitted here: is 'listen' meant?"),
        ("transports = []", "line 20: entity-b.transports: "),
        ('[peers."/a"]\ntrust = { maf = "maf.exampel.com" }', "is 'maf.example.com' meant?"),
        ('[peers."/a"]\ntrust = { kpsa-id = "a@b.example", kpsa-flie = "k" }', "is 'kpsa-file' meant?"),
        (
            '[peers."/a"]\ntrust = [{ flavour = "fqdn" }]',
            "a certificate that is a fqdn one takes trust-anchors",
        ),
        ('[peers."/a"]\ntrust = []', "line 21: peers./a.trust: "),
        ('[peers."/a"]\ntrust = { x = 1 }', "line 21: peers./a.trust: say what the peer must prove"),
        ('[peers."/a"]\nbinding = "ws"', "line 21: peers./a.binding: "),
        (
            '[peers."/a"]\nbinding = "coap"\ntrust.maf = "m.example"',
            'coap goes over dtls: set transport = "dtls", or leave',
        ),
        (
            '[peers."/a"]\ntransport = "dtls"\nbinding = "websocket"\ntrust.maf = "m.example"',
            "websocket goes over tls",
        ),
        (
            '[peers."/a"]\ndiameter = true\nbinding = "http"\ntrust.maf = "m.example"',
            "leave out binding or diameter",
        ),
        ('[peers."/a"]\ntransport = "tls"', "line 20: peers./a: say how we prove ourselves to it"),
        ('[[enrolment]]\nmef = "maf.example.com"\ntargets = []', "line 22: enrolment.targets: "),
        ('[enrolment]\nmef = "maf.exampel.com"\ntargets = ["/b"]', "is 'maf.example.com' meant?"),
        (2 * '[[enrolment]]\nmef = "maf.example.com"\ntargets = ["/b"]\n', "we enrol with an MEF once"),
    ],
)
def test_what_is_wrong_about_those_who_come_to_us_is_told_with_its_line(tmp_path, text, told):
    assert told in refusal(tmp_path, f"{PEERS}{B}{text}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nobody could associate"),
        ('certificate = "a.crt"', "certificate and private-key, both"),
        ('crl = "crls"', "crl and require-crl are for associations"),
        (f'[peers."/a"]\ntrust = {KPSA}', "k cannot be read"),
        ('[peers."/a"]\ntrust = { flavour = "cse-id", trust-anchors = "no.pem" }', "no.pem"),
    ],
)
def test_a_check_says_why_nobody_could_come_to_us(tmp_path, text, told):
    described = read(tmp_path, f"{B}{text}\n")
    with pytest.raises(ConfigurationError, match=told):
        described.check()


def test_two_peers_may_not_show_one_key(tmp_path):
    (tmp_path / "k").touch(mode=0o600)
    (tmp_path / "k").write_text("00" * 32)
    described = read(tmp_path, B + "".join(f'[peers."/{one}"]\ntrust = {KPSA}\n' for one in "ab"))
    with pytest.raises(ConfigurationError, match="two peers show one kpsa-id"):
        described.check()


def test_who_has_no_address_cannot_be_met(tmp_path):
    described = read(tmp_path, f'{B}[peers."/a"]\ntrust = {KPSA}\n')
    with pytest.raises(ConfigurationError, match=r"peer /a: to meet it say where it is \(address\)"):
        described.meeting(EntityId("/a"))


def test_the_four_kinds_of_keys_are_one_shape():
    """Each names the roles that it is for, and nothing but its two keys."""
    kinds = [ProvisionedKey, MasterCredential, EnroleeKey, AskingKey]
    assert [kind.__mro__[1] for kind in kinds] == [KeyProof] * 4
    assert all("initiate" not in vars(kind) and len(kind.words()) == 2 for kind in kinds)


@pytest.mark.parametrize("kind", [Proving, OwnProof, Trusting, CertificateTrust, Service])
def test_what_members_have_in_common_is_no_member(kind):
    assert kind.__abstractmethods__


def test_a_maf_asks_by_proofs_that_need_nobody_else(tmp_path):
    maf = '[maf]\nfqdn = "maf.sp.example"\nlisten = "127.0.0.1:5"\nmefs = ["maf.example.com"]\n'
    (tmp_path / "km").touch(mode=0o600)
    (tmp_path / "km").write_text("00" * 32)
    with pytest.raises(ConfigurationError, match="km-id is for a MAF, and here it is an MEF"):
        read(tmp_path, PEERS + maf).services()


def test_a_server_asks_by_what_lies_ready_and_is_told_so(tmp_path):
    text = (
        '[store]\ndata = "all"\n[maf]\nfqdn = "maf.example"\nlisten = "127.0.0.1:5"\nbsfs = ["bsf.example"]\n'
        '[peers."bsf.example"]\naddress = "127.0.0.1:6"\nprove = { card = "card" }\n'
    )
    with pytest.raises(
        ConfigurationError, match=r"peer bsf.example: a server asks a BSF by key-id and key-file"
    ):
        read(tmp_path, text).services()


@pytest.mark.parametrize(
    ("prove", "said"),
    [
        ('{ kpm-id = "a@mef.example", kpm-file = "key" }', "kpm-id is for an MEF with which we enrol"),
        ('{ km-id = "a@maf.example", km-file = "key" }', "km-id is for a MAF"),
    ],
)
def test_a_check_finds_a_proof_that_does_not_fit_entity_b(tmp_path, prove, said):
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("00" * 32)
    text = f'[identity]\nid = "/a"\n[peers."/b"]\naddress = "127.0.0.1:6"\nprove = {prove}\n'
    with pytest.raises(ConfigurationError, match=rf"peer /b: {said}, and here it is an Entity B"):
        read(tmp_path, text).check()


@pytest.mark.parametrize("part", ["certificate", "private-key", "associations", "crl"])
def test_a_part_of_what_certificates_take_is_refused(tmp_path, part):
    with pytest.raises(ConfigurationError, match="all three"):
        read(tmp_path, f'{PEERS}{part} = "x"\n').services()


def test_a_check_reads_every_file_that_is_named(tmp_path):
    described = read(tmp_path, PEERS)
    with pytest.raises(ConfigurationError, match="km cannot be read"):
        described.check()
    (tmp_path / "km").touch(mode=0o600)
    (tmp_path / "km").write_text("00" * 32)
    with pytest.raises(ConfigurationError, match=r"a\.crt"):
        described.check()


def test_the_example_loads_and_names_every_table(tmp_path):
    file = tmp_path / "example.toml"
    file.write_text(EXAMPLE, encoding="utf-8")
    settings = load(file)
    assert settings.identity is not None
    assert (len(settings.maf), len(settings.mef), len(settings.bsf)) == (1, 1, 1)
    assert set(tomllib.loads(EXAMPLE)) == set(settings.words())
    assert m2msec("config", "example").stdout == EXAMPLE


def test_every_key_is_described():
    made = schema()
    tables = [made, *made["$defs"].values()]
    without = [
        (table["title"], name)
        for table in tables
        for name, key in table.get("properties", {}).items()
        if "description" not in key
    ]
    assert without == []
    assert all(descriptions(member) for member in (*PROOFS.values(), *TRUST.values()))


ONE_TABLE_ALONE = """
[store]
data = "all"
[mef]
fqdn = "mef.example.com"
listen = "127.0.0.1:7443"
"""


@pytest.mark.parametrize("text", [EXAMPLE, ONE_TABLE_ALONE], ids=["the example", "one table alone"])
def test_an_editor_takes_by_the_schema_what_is_taken(tmp_path, text):
    """Judged by a validator that knows nothing of the models."""
    file = tmp_path / "e.toml"
    file.write_text(text, encoding="utf-8")
    assert load(file)
    document = tomllib.loads(text)
    validator = Draft202012Validator(schema())
    assert [error.message for error in validator.iter_errors(document)] == []
    document["mef"] = {**one_of(document["mef"]), "lisen": "127.0.0.1:7443"}
    assert [list(error.path) for error in validator.iter_errors(document)] == [["mef"]]


def one_of(tables):
    return tables[0] if isinstance(tables, list) else tables


def test_the_manual_has_what_the_models_say():
    shown = ROOT / "docs" / "configuration.md"
    assert shown.read_text(encoding="utf-8") == page() + "\n", "m2msec config schema --markdown prints it"


def test_the_schema_is_printed_as_json():
    assert json.loads(m2msec("config", "schema").stdout) == schema()


@pytest.mark.parametrize("text", ["1s", "90s", "2m", "24h", "90d", "7d"])
def test_a_duration_is_shown_as_people_write_it(text):
    assert show_duration(parse_duration(text)) == text
    assert show_duration(timedelta(milliseconds=10)) == "0s"
