"""A file of Association Configurations: what it may hold, and that each mistake is named."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs import Authority, Flavour
from onem2m_security.certificates.associations import load_associations
from onem2m_security.errors import ConfigurationError
from onem2m_security.identifiers import EntityId, EntityKind

ROOT = Authority.root()
RELEASE1 = f"""
[[association]]
name = "gateway 7"
certificate_name = "gw7.example.com"
root_of_trust = "{ROOT.root_of_trust.hex()}"
peer = "/Sgw7"
peer_kind = "cse"
targets = ["/in-cse", "maf.example.com"]
"""
RELEASE3 = """
[[association]]
flavour = "device"
peer_id = "0.2.481.1.100.7"
trust_anchors = "anchors.pem"
allowed_ae_ids = ["//sp.example/cse/Cone"]
"""

RAW = """
[[association]]
flavour = "raw-public-key"
peer_id = "ni:///sha-256-120;UyaQV-Ev4rdLoHyJJWCi"
peer = "/gateway"
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "anchors.pem").write_bytes(ROOT.trust_anchor_pem)

    def to_file(text):
        path = tmp_path / "associations.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def refusal(path):
    with pytest.raises(ConfigurationError) as refused:
        load_associations(path)
    return str(refused.value)


def test_a_root_certificate_is_read_beside_its_hash_and_must_be_that_root(write):
    named = 'peer = "/Sgw7"\nroot_certificate = "anchors.pem"'
    [gateway] = load_associations(write(RELEASE1.replace('peer = "/Sgw7"', named)))
    assert gateway.root_certificate == ROOT.certificate
    other = RELEASE1.replace('peer = "/Sgw7"', named).replace(ROOT.root_of_trust.hex(), "00" * 32)
    assert "another key" in refusal(write(other))
    assert "root_certificate" in refusal(write(f'{RELEASE3}root_certificate = "anchors.pem"'))


def test_both_forms_are_read_in_their_order(write):
    gateway, device = load_associations(write(RELEASE1 + RELEASE3))
    assert gateway.description == gateway.name == "gateway 7"
    assert gateway.certificate_name == "gw7.example.com"
    assert gateway.root_of_trust == ROOT.root_of_trust
    assert (gateway.peer, gateway.peer.kind) == (EntityId("/Sgw7"), EntityKind.CSE)
    assert gateway.targets == (EntityId("/in-cse"), EntityId("maf.example.com"))
    assert (device.flavour, device.peer_id) == (Flavour.DEVICE, "0.2.481.1.100.7")
    assert device.trust_anchors == (ROOT.certificate,)
    assert device.allowed_ae_ids == (EntityId("//sp.example/cse/Cone"),)
    assert device.description == "device 0.2.481.1.100.7"


def test_a_key_may_be_written_with_hyphens_but_not_in_both_spellings(write):
    kebab = re.sub(r"^\w+", lambda key: key[0].replace("_", "-"), RELEASE1 + RELEASE3, flags=re.MULTILINE)
    assert "certificate-name" in kebab
    assert "allowed-ae-ids" in kebab
    assert load_associations(write(kebab)) == load_associations(write(RELEASE1 + RELEASE3))
    assert "'gateway 7': peer-kind is there in both spellings" in refusal(
        write(f'{RELEASE1}peer-kind = "cse"\n')
    )


def test_a_raw_public_key_is_read_without_trust_anchors(write):
    [device] = load_associations(write(RAW))
    assert (device.flavour, device.peer) == (Flavour.RAW_PUBLIC_KEY, EntityId("/gateway"))
    assert device.peer_id == "ni:///sha-256-120;UyaQV-Ev4rdLoHyJJWCi"


def test_a_flavour_without_an_identifier_is_for_any_that_the_anchors_certify(write):
    [anybody] = load_associations(
        write('[[association]]\nflavour = "cse-id"\ntrust_anchors = "anchors.pem"\n')
    )
    assert (anybody.peer_id, anybody.peer, anybody.description) == (None, None, "cse-id by trust anchor")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1 to 10000"),
        ("association = []", "1 to 10000"),
        ("association = 7", "1 to 10000"),
        ("[[association]]\n", "give certificate_name"),
        ("association = [7]", "give certificate_name"),
        ("[[association]", "is not TOML"),
        ("[[associations]]\n", "'associations' is not known"),
        (RELEASE1 + 'colour = "red"\n', "'gateway 7': the key 'colour' is not known"),
        (RELEASE1 + RELEASE1, "two associations are called 'gateway 7'"),
        (RELEASE1 + 'flavour = "device"\n', "flavour belongs to an association with"),
        (RELEASE3 + 'root_of_trust = "00"\n', "root_of_trust belongs to an association with"),
        (RELEASE1.replace("peer = ", "# "), "peer is missing"),
        (RELEASE1.replace("root_of_trust", "# "), "root_of_trust is missing"),
        (RELEASE3.replace("trust_anchors", "# "), "trust_anchors is missing"),
        (RELEASE1.replace('"/Sgw7"', "7"), "peer: a text is expected"),
        (RELEASE1.replace('"/Sgw7"', '""'), "peer: a text is expected"),
        (RELEASE1.replace('["/in-cse", "maf.example.com"]', '"/in-cse"'), "targets: a list of texts"),
        (RELEASE1.replace('"/in-cse", ', "7, "), "targets: a list of texts"),
        (RELEASE1.replace('"/Sgw7"', '"no identifier"'), "is not an entity identifier"),
        (RELEASE1.replace('"cse"', '"robot"'), "peer_kind is 'cse' or 'ae'"),
        (RELEASE3 + 'peer_kind = "cse"\n', "peer_kind is 'cse' or 'ae'"),
        (RELEASE1.replace(ROOT.root_of_trust.hex(), "beef"), "'gateway 7'"),
        (RELEASE3.replace("device", "raw-public-key"), "is not a public key identifier"),
        ('[[association]]\nflavour = "raw-public-key"\npeer = "/a"\n', "peer_id is missing"),
        (RAW + 'trust_anchors = "anchors.pem"\n', "takes no trust_anchors"),
        (RELEASE3.replace('"device"', '"devices"'), "there is no certificate flavour"),
        (RELEASE3.replace("anchors.pem", "nowhere.pem"), "nowhere.pem: No such file"),
        (RELEASE3.replace("anchors.pem", "associations.toml"), "PEM certificates"),
        (RELEASE3.replace("0.2.481.1.100.7", "seven"), "is not an M2M Device ID"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_its_place(write, text, told):
    message = refusal(write(text))
    assert told in message
    assert "associations.toml" in message


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "nowhere.toml" in refusal(tmp_path / "nowhere.toml")


@given(text=st.text(max_size=300) | st.text(alphabet="[]association=\n\"'{}.,7 ", max_size=200))
def test_whatever_the_file_holds_the_answer_is_associations_or_one_clear_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "associations.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigurationError):
        assert len(load_associations(path)) >= 1
