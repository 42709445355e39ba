"""The options that name MEFs and BSFs to ask: each is given with its address and our key there."""

from __future__ import annotations

import pytest

from onem2m_security.cli.options.asked import AskedOptions, FunctionAddress
from onem2m_security.configuration.key_files import read_key
from onem2m_security.errors import ConfigurationError
from onem2m_security.identifiers import KeyIdentifier
from onem2m_security.net.address import Address, Transport
from onem2m_security.net.limits import Limits
from onem2m_security.net.link import Link

ONE, OTHER = (
    FunctionAddress.parse(f"{name}.example=127.0.0.1:{port}") for name, port in (("one", 1), ("other", 2))
)
KEY_IDS = [KeyIdentifier.parse(f"me@{function.fqdn}") for function in (ONE, OTHER)]


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / name for name in ("first", "second")]
    for number, file in enumerate(made):
        file.touch(mode=0o600)
        file.write_text(f"{number:064x}")
    return [str(file) for file in made]


def test_the_identifier_of_a_key_says_whose_it_is(files):
    limits = Limits()
    asked = AskedOptions("--mef", [OTHER, ONE], KEY_IDS, files).over(
        lambda address: Link(address, Transport.DTLS, limits)
    )
    assert [(one.fqdn, one.prove.key_id) for one in asked] == list(
        zip([ONE.fqdn, OTHER.fqdn], KEY_IDS, strict=True)
    )
    assert [one.link for one in asked] == [
        Link(function.address, Transport.DTLS, limits) for function in (ONE, OTHER)
    ]
    assert [int.from_bytes(read_key(str(one.prove.key_file)).reveal()) for one in asked] == [0, 1]


def test_who_asks_nobody_gives_nothing():
    assert AskedOptions("--mef", (), (), ()).over(Link) == []


@pytest.mark.parametrize(
    ("functions", "key_ids"),
    [([ONE], KEY_IDS), ([ONE, OTHER], KEY_IDS[:1]), ([ONE, ONE], KEY_IDS[:1]), ([ONE], [KEY_IDS[0]] * 2),
     ([ONE, ONE], [KEY_IDS[0]] * 2), ([OTHER], KEY_IDS[:1])],
    ids=["a key too many", "a function too many", "a function twice", "a key twice", "both twice",
         "the key of another"],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_with_the_names_of_the_options(functions, key_ids, files):
    given = AskedOptions("--bsf", functions, key_ids, files[: len(key_ids)])
    with pytest.raises(
        ConfigurationError, match=r"^for each BSF give one --bsf FQDN=HOST:PORT, one --bsf-key-id"
    ):
        given.over(Link)


def test_each_key_has_a_file(files):
    with pytest.raises(ConfigurationError, match=r"^give one --bsf-key-file for each --bsf-key-id"):
        AskedOptions("--bsf", [ONE], KEY_IDS[:1], files).over(Link)


@pytest.mark.parametrize("text", ["mef.example.com", "mef.example.com:1", ""])
def test_a_function_without_an_address_is_refused(text):
    with pytest.raises(ConfigurationError, match="FQDN=HOST:PORT is expected"):
        FunctionAddress.parse(text)


def test_a_function_is_read_with_its_address():
    assert FunctionAddress.parse("mef.example=[::1]:7") == FunctionAddress(
        KeyIdentifier.parse("x@mef.example").fqdn, Address("::1", 7)
    )
