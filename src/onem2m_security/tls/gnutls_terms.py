"""The terms of an endpoint in GnuTLS's words: what may be negotiated, and what we show."""

from __future__ import annotations

import itertools
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..errors import ConfigurationError
from ..private_memory import wipe
from .engine import CertificateType, LocalCredential, Terms
from .gnutls_library import CData, allocated, datum, ffi, load, owned, require, version
from .suites import KeyExchange

_DER, _PEM, _DIGITAL_SIGNATURE, _NO_MORE_DATA = 0, 1, 128, -56

CIPHERS: Final = {
    0xC02B: "AES-128-GCM",
    0xC0AC: "AES-128-CCM",
    0xC0AE: "AES-128-CCM-8",
    0xC023: "AES-128-CBC",
    0xC037: "AES-128-CBC",
    0x00A8: "AES-128-GCM",
    0xC0A4: "AES-128-CCM",
    0xC0A8: "AES-128-CCM-8",
    0x00AE: "AES-128-CBC",
}
"""The cipher of a suite. GnuTLS combines these with key exchanges itself, to the suites of clause 10.2 alone.

ChaCha20, in one of ours, would make others with the other key exchanges, and is left out.
"""

_KEY_EXCHANGES: Final = {
    KeyExchange.PSK: "PSK",
    KeyExchange.ECDHE_PSK: "ECDHE-PSK",
    KeyExchange.ECDHE_ECDSA: "ECDHE-ECDSA",
}
_TYPES: Final = {CertificateType.X509: "X509", CertificateType.RAW_PUBLIC_KEY: "RAWPK"}
_ALWAYS: Final = (
    *("AEAD", "SHA256", "COMP-NULL", "GROUP-SECP256R1"),
    *("SIGN-ECDSA-SHA256", "SIGN-ECDSA-SHA384", "SIGN-ECDSA-SHA512"),
)


def priorities(owner: object, terms: Terms) -> CData:
    """Version, suites, group, signatures and certificate types, exactly.

    Args:
        owner: With which they are released.
        terms: The endpoint's.

    Raises:
        ConfigurationError: GnuTLS does not know one of them, or would negotiate more.
    """
    suites = [suite for suite in terms.suites if suite.code in CIPHERS]
    ours = [] if terms.credential is None else [terms.credential.certificate_type]
    theirs = sorted(terms.accepts, key=lambda kind: kind is CertificateType.X509)
    types = {"SRV": ours, "CLI": theirs} if terms.server else {"SRV": theirs, "CLI": ours}
    wanted = [
        "VERS-DTLS1.2" if terms.datagram else "VERS-TLS1.2",
        *dict.fromkeys(_KEY_EXCHANGES[suite.key_exchange] for suite in suites),
        *dict.fromkeys(CIPHERS[suite.code] for suite in suites),
        *_ALWAYS,
        *(f"CTYPE-{side}-{_TYPES[kind]}" for side, kinds in types.items() for kind in kinds),
    ]
    text = "".join(("NONE", *(f":+{name}" for name in wanted), ":%SERVER_PRECEDENCE"))
    out = ffi.new("gnutls_priority_t *")
    require(load().gnutls_priority_init(out, text.encode("ascii"), ffi.NULL), f"refuses {text}")
    made = owned(owner, out[0], load().gnutls_priority_deinit)
    more = _codes(made) - {suite.code for suite in suites}
    if more or not suites:
        names = ", ".join(suite.name for suite in terms.suites)
        raise ConfigurationError(f"{version()} cannot be kept to these cipher suites: {names}")
    return made


def _codes(made: CData) -> set[int]:
    """The suites that GnuTLS makes of what it was given."""
    index, code, found = ffi.new("unsigned int *"), ffi.new("unsigned char[2]"), set[int]()
    for number in itertools.count():
        result = load().gnutls_priority_get_cipher_suite_index(made, number, index)
        if result == _NO_MORE_DATA:
            break
        if result == 0:
            load().gnutls_cipher_suite_info(index[0], code, *[ffi.NULL] * 4)
            found.add(int.from_bytes(bytes(code), "big"))
    return found


def certificate(owner: object, credential: LocalCredential) -> CData:
    """What we show, with its key, of which GnuTLS gets a copy.

    Raises:
        ConfigurationError: It does not take them.
    """
    library, raw = load(), credential.certificate_type is CertificateType.RAW_PUBLIC_KEY
    made = allocated(
        owner,
        "gnutls_certificate_credentials_t",
        library.gnutls_certificate_allocate_credentials,
        library.gnutls_certificate_free_credentials,
    )
    chain, form = credential.certificate_chain, Encoding.DER if raw else Encoding.PEM
    pem = b"" if raw else b"".join(x509.load_der_x509_certificate(der).public_bytes(form) for der in chain)
    key = credential.private_key.private_bytes(form, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    try:
        if raw:
            result = library.gnutls_certificate_set_rawpk_key_mem(
                made, datum(chain[0]), datum(key), _DER, ffi.NULL, _DIGITAL_SIGNATURE, ffi.NULL, 0, 0
            )
        else:
            result = library.gnutls_certificate_set_x509_key_mem2(
                made, datum(pem), datum(key), _PEM, ffi.NULL, 0
            )
    finally:
        wipe(key)
    require(result, f"does not take {credential.certificate_type.value}")
    return made
