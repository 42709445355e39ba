"""Where the CSE behind us is, as people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from onem2m_security.errors import ConfigurationError
from onem2m_security.gateway.upstream_terms import UpstreamAddress
from onem2m_security.net.address import Address
from onem2m_security.net.local_address import UnixSocket


@pytest.mark.parametrize(
    ("text", "scheme", "address"),
    [
        ("http://127.0.0.1:8080", "http", Address("127.0.0.1", 8080)),
        ("HTTP://cse.example/", "http", Address("cse.example", 80)),
        ("http://[::1]:8080", "http", Address("::1", 8080)),
        ("coap://[::1]", "coap", Address("::1", 5683)),
        ("unix:/run/cse.sock", "http", UnixSocket(Path("/run/cse.sock"))),
    ],
)
def test_an_address_is_read_and_written(text, scheme, address):
    parsed = UpstreamAddress.parse(text)
    assert (parsed.scheme, parsed.address) == (scheme, address)
    assert UpstreamAddress.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        *["", "127.0.0.1:8080", "https://127.0.0.1:8080", "http://", "http://a/b", "http://a?b", "unix:"],
        *["http://u@a", "http://a:b", "coap://a:70000", "http://a b"],
    ],
)
def test_what_is_none_is_refused_with_what_is_expected(text):
    with pytest.raises(ConfigurationError, match="expected"):
        UpstreamAddress.parse(text)
