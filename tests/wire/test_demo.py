"""The demonstration runs real servers; what it tells is checked, and that it keeps its keys to itself."""

from __future__ import annotations

import json
import re

import pytest

from maf_support import A as CLIENT
from onem2m_security.demo.maf import MAF as MAF_LINE
from onem2m_security.demo.maf import MAF_ID, MEF_ID, A, B, server
from onem2m_security.demo.maf import MEF as MEF_LINE
from onem2m_security.errors import ConfigurationError, HandshakeError
from programs import m2msec
from terminal import printed_at_a_terminal

KEY = re.compile(r"\b[0-9a-f]{64}\b")


@pytest.fixture(scope="module")
def by_release():
    """One run in each release; the second reveals its keys."""
    return {
        1: m2msec("demo", "--json").stdout,
        3: m2msec("demo", "--json", "--release", "3", "--reveal").stdout,
    }


@pytest.mark.parametrize("release", [1, 3])
def test_the_story_goes_from_the_factory_key_to_a_request(by_release, release):
    told = json.loads(by_release[release])
    assert told["release"] == release
    association = told["association"]
    assert association["framework"] == "saef-maf"
    assert (association["role"], association["peer"]) == ("entity-b", "//sp.example/in-cse/Cthermometer")
    steps = told["steps"]
    arrows = [(step["sender"], step["receiver"]) for step in steps]
    for arrow in [(A, MEF_LINE), (A, MAF_LINE), (MAF_LINE, MEF_LINE), (B, MAF_LINE), (A, B)]:
        assert arrow in arrows
    assert all(step["clause"] for step in steps)
    assert [step["seconds"] for step in steps] == sorted(step["seconds"] for step in steps)
    answers = [step["facts"]["RSC"] for step in steps if "RSC" in step["facts"]]
    assert answers == ["2001", "4106"]


@pytest.mark.parametrize("release", [1, 3])
def test_both_ends_of_each_key_show_the_same(by_release, release):
    steps = json.loads(by_release[release])["steps"]
    for name, times in (("Ke", 2), ("Kc", 3)):
        shown = [step["facts"][name] for step in steps if name in step["facts"]]
        assert len(shown) == times
        assert len(set(shown)) == 1
    kms = [(step["clause"], step["facts"]["Km"]) for step in steps if "Km" in step["facts"]]
    derived, fetched = (km for clause, km in kms if clause in {"10.3.2", "10.3.7", "8.3.2.1"})
    assert derived == fetched


def test_keys_are_shown_only_when_they_are_asked_for(by_release):
    assert not KEY.search(by_release[1])
    steps = json.loads(by_release[3])["steps"]
    keys = {value for step in steps for value in step["facts"].values() if KEY.fullmatch(value)}
    assert len(keys) == 5  # Kpm, Ke, Km of A, Km of B, Kc


def test_the_diagram_has_its_lifelines_arrows_and_clauses():
    printed = m2msec("demo").stdout
    for text in ("Entity A", "MEF", "MAF", "Entity B", "▶", "◀", "●"):
        assert text in printed
    for clause in ("8.3.2.1", "10.3.2", "8.8.2.8", "7.2.1"):
        assert f"[{clause}]" in printed
    assert "ORIGINATOR_NOT_AUTHENTICATED" in printed
    assert not KEY.search(printed)


@pytest.mark.parametrize("framework", ["maf", "gba"])
def test_at_80_columns_no_line_is_longer_and_no_identifier_is_broken(framework):
    lines = printed_at_a_terminal("demo", "--framework", framework, "--reveal", columns=80)
    assert max(map(len, lines)) <= 80
    words = {word for line in lines for word in line.split()}
    identifiers = [word for word in words if "@" in word]
    issuers = {"maf.example.com", "mef.example.com", "bsf.operator.example", "operator.example"}
    assert {word.partition("@")[2] for word in identifiers} <= issuers
    assert len(identifiers) == {"maf": 5, "gba": 3}[framework]
    assert len([word for word in words if KEY.fullmatch(word)]) == {"maf": 5, "gba": 2}[framework]


async def test_a_server_that_does_not_start_says_why(tmp_path):
    with pytest.raises(ConfigurationError, match="did not start"):
        async with server("maf", "serve", "--data", "x", "--fqdn", "*", errors=tmp_path / "log"):
            pytest.fail("it started")


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(tmp_path):
    with pytest.raises(ConfigurationError, match="it said nothing"):
        async with server(
            "mef", "serve", "--data", str(tmp_path / "d"), "--fqdn", str(MEF_ID),
            errors=tmp_path / "log", seconds=0.01,
        ):  # fmt: skip
            pytest.fail("it started")


async def test_a_server_is_gone_when_its_block_ends(tmp_path):
    arguments = ("maf", "serve", "--data", str(tmp_path / "d"), "--fqdn", str(MAF_ID))
    async with server(*arguments, errors=tmp_path / "log") as address:
        assert address.port
    client = CLIENT.maf_client(address)
    with pytest.raises(HandshakeError, match="cannot be reached"):
        await client.handshake()
    await client.close()
