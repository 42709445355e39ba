"""Where a function listens, as people write it."""

from __future__ import annotations

import pytest

from onem2m_security.errors import ConfigurationError
from onem2m_security.net.address import Address, Transport

TLS, DTLS = Transport.TLS, Transport.DTLS


@pytest.mark.parametrize(
    ("text", "otherwise", "address", "transport"),
    [
        ("mef.example.com:7443", TLS, Address("mef.example.com", 7443), TLS),
        ("mef.example.com:7443", DTLS, Address("mef.example.com", 7443), DTLS),
        ("mef.example.com", TLS, Address("mef.example.com", 443), TLS),
        ("mef.example.com", DTLS, Address("mef.example.com", 5684), DTLS),
        ("https://mef.example.com", DTLS, Address("mef.example.com", 443), TLS),
        ("HTTPS://mef.example.com:7443/", TLS, Address("mef.example.com", 7443), TLS),
        ("coaps://mef.example.com", TLS, Address("mef.example.com", 5684), DTLS),
        ("coaps://[2001:db8::1]:7443", TLS, Address("2001:db8::1", 7443), DTLS),
        ("[2001:db8::1]", TLS, Address("2001:db8::1", 443), TLS),
    ],
)
def test_an_mef_is_found_by_its_uri_its_host_or_its_address(text, otherwise, address, transport):
    assert Address.located(text, otherwise) == (address, transport)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://mef.example.com",
        "https://",
        "https://a/mef",
        "https://me@a",
        "coaps://a?x",
        "https://a#b",
        "a:b",
    ],
)
def test_what_is_none_of_them_is_told(text):
    with pytest.raises(ConfigurationError, match="is expected"):
        Address.located(text, TLS)
