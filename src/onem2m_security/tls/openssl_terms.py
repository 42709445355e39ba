"""What an endpoint's terms are to OpenSSL: a context that negotiates exactly that and nothing weaker."""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL

from ..errors import ConfigurationError
from . import openssl_callbacks as callbacks
from .engine import LocalCredential, Terms
from .openssl_library import OPENSSL_VERSION, lib, require_functions

GROUPS: Final = b"P-256"
"""The only group: the standard's certificates use P-256, and a short ClientHello fits one datagram."""

SIGNATURE_ALGORITHMS: Final = b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512"
"""What signs a handshake, at either end; security level 0 alone would let SHA-1 in (RFC 9155)."""

_OP_NO_ENCRYPT_THEN_MAC: Final = 1 << 19
"""SSL_OP_NO_ENCRYPT_THEN_MAC; pyOpenSSL has no name for it."""


def context_by(terms: Terms) -> SSL.Context:
    """(D)TLS 1.2 only; no tickets, resumption, renegotiation or compression.

    Security level 0 is needed for CCM_8, which the standard makes mandatory; exact lists of suites, groups
    and signature algorithms keep anything weaker out.

    Raises:
        ConfigurationError: The installed libraries lack something that is needed.
    """
    require_functions()
    context = SSL.Context(SSL.DTLS_METHOD if terms.datagram else SSL.TLS_METHOD)
    _limit(context, datagram=terms.datagram)
    names = ":".join(suite.openssl_name for suite in terms.suites)
    context.set_cipher_list(f"@SECLEVEL=0:{names}".encode("ascii"))
    # A server without a certificate signs nothing: its clients may name what they like, even RSA alone.
    _choose_algorithms(context._context, signs=terms.credential is not None or not terms.server)
    _set_callbacks(context._context, terms)
    if terms.credential is not None:
        _show(context, terms.credential)
    return context


def _limit(context: SSL.Context, *, datagram: bool) -> None:
    version = 0xFEFD if datagram else SSL.TLS1_2_VERSION
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_options(
        SSL.OP_NO_TICKET
        | SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
        | SSL.OP_NO_QUERY_MTU
    )
    if datagram:
        # With Encrypt-then-MAC, OpenSSL (1.1.1 to 4.0, issue 24972) answers one forged record with a fatal
        # alert instead of dropping it (RFC 6347 clause 4.1.2.7): whoever can write a peer's address could end
        # its session under the CBC suites. Without it the record is dropped, and in constant time.
        context.set_options(_OP_NO_ENCRYPT_THEN_MAC)
    context.set_mode(lib.SSL_MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)


def _choose_algorithms(raw: Any, *, signs: bool) -> None:
    if lib.SSL_CTX_set1_curves_list(raw, GROUPS) != 1:
        raise ConfigurationError(f"{OPENSSL_VERSION} does not offer the group {GROUPS.decode()}")
    if signs and lib.SSL_CTX_set1_sigalgs_list(raw, SIGNATURE_ALGORITHMS) != 1:
        raise ConfigurationError(f"{OPENSSL_VERSION} does not offer {SIGNATURE_ALGORITHMS.decode()}")


def _set_callbacks(raw: Any, terms: Terms) -> None:
    if terms.server:
        lib.SSL_CTX_set_psk_server_callback(raw, callbacks.server_psk)
        lib.SSL_CTX_set_tlsext_servername_callback(raw, callbacks.server_name)
        if terms.datagram:
            lib.SSL_CTX_set_cookie_generate_cb(raw, callbacks.generate_cookie)
            lib.SSL_CTX_set_cookie_verify_cb(raw, callbacks.verify_cookie)
    else:
        lib.SSL_CTX_set_psk_client_callback(raw, callbacks.client_psk)
    if terms.accepts:
        mode = lib.SSL_VERIFY_PEER | lib.SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        lib.SSL_CTX_set_verify(raw, mode, callbacks.verify)
        # The verifier validates the path: without this the engine would check every signature on it again.
        lib.SSL_CTX_set_verify_depth(raw, 0)
        lib.SSL_CTX_set_msg_callback(raw, callbacks.message)


def _show(context: SSL.Context, credential: LocalCredential) -> None:
    from cryptography import x509  # noqa: PLC0415

    first, *rest = (x509.load_der_x509_certificate(der) for der in credential.certificate_chain)
    context.use_certificate(first)
    for certificate in rest:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(credential.private_key)
