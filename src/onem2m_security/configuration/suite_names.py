"""Cipher suites, as people name them."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..tls.suites import PSK_SUITES, Suite


def parse_suite(text: str) -> Suite:
    """A cipher suite for pre-shared keys, by its IANA name or its OpenSSL name.

    Raises:
        ConfigurationError: It is none.
    """
    for suite in PSK_SUITES:
        if text in {suite.name, suite.openssl_name}:
            return suite
    names = ", ".join(suite.openssl_name for suite in PSK_SUITES)
    raise ConfigurationError(f"{text[:60]!r} is not a cipher suite for pre-shared keys: {names}")
