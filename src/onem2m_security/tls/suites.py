"""The cipher suites of TS-0003 clauses 10.2.2 and 10.2.3, in the order in which a server prefers them.

Never NULL, anonymous, RC4, 3DES or export suites; nothing weaker than the standard's own mandatory ones.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class KeyExchange(enum.Enum):
    """How the premaster secret comes about, and so what the ClientKeyExchange holds."""

    PSK = "PSK"
    ECDHE_PSK = "ECDHE_PSK"
    ECDHE_ECDSA = "ECDHE_ECDSA"

    @property
    def uses_psk(self) -> bool:
        """Does the ClientKeyExchange begin with a psk_identity (RFC 4279 clause 2, RFC 5489 clause 2)?"""
        return self is not KeyExchange.ECDHE_ECDSA


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite: IANA code point and name, OpenSSL's name, key exchange."""

    code: int
    name: str
    openssl_name: str
    key_exchange: KeyExchange


PSK_SUITES: Final = (
    # Forward secrecy first, then authenticated encryption, the mandatory CBC suite last.
    Suite(
        0xCCAC,
        "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-PSK-CHACHA20-POLY1305",
        KeyExchange.ECDHE_PSK,
    ),
    Suite(
        0xC037, "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256", "ECDHE-PSK-AES128-CBC-SHA256", KeyExchange.ECDHE_PSK
    ),
    Suite(0x00A8, "TLS_PSK_WITH_AES_128_GCM_SHA256", "PSK-AES128-GCM-SHA256", KeyExchange.PSK),
    Suite(0xC0A4, "TLS_PSK_WITH_AES_128_CCM", "PSK-AES128-CCM", KeyExchange.PSK),
    Suite(0xC0A8, "TLS_PSK_WITH_AES_128_CCM_8", "PSK-AES128-CCM8", KeyExchange.PSK),
    Suite(0x00AE, "TLS_PSK_WITH_AES_128_CBC_SHA256", "PSK-AES128-CBC-SHA256", KeyExchange.PSK),
)
"""For the PSK frameworks (10.2.2): TLS must do 0x00AE, DTLS must do 0xC0A8."""

CERTIFICATE_SUITES: Final = (
    Suite(
        0xC02B,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        KeyExchange.ECDHE_ECDSA,
    ),
    Suite(0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "ECDHE-ECDSA-AES128-CCM", KeyExchange.ECDHE_ECDSA),
    Suite(0xC0AE, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8", KeyExchange.ECDHE_ECDSA),
    Suite(
        0xC023,
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "ECDHE-ECDSA-AES128-SHA256",
        KeyExchange.ECDHE_ECDSA,
    ),
)
"""For the certificate frameworks (10.2.3): TLS must do 0xC023, DTLS must do 0xC0AE."""

BY_CODE: Final = {suite.code: suite for suite in (*PSK_SUITES, *CERTIFICATE_SUITES)}
BY_OPENSSL_NAME: Final = {suite.openssl_name: suite for suite in (*PSK_SUITES, *CERTIFICATE_SUITES)}
