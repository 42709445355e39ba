"""The only module that knows the TLS library: pyOpenSSL, plus what it lacks, from cryptography's OpenSSL.

pyOpenSSL has no pre-shared keys, and its verify callback cannot choose an alert. Both come from symbols that
the cryptography package keeps in its binding for this purpose. They are looked for before a context is made,
and trial.py tries what they do before a port is opened, so that a change of library shows at once and not in
the middle of a handshake.

The callbacks are made once and live as long as the process. They find their session by the pointer of its SSL
object, and let no exception out into C.
"""

from __future__ import annotations

import hmac
import weakref
from collections.abc import Sequence
from typing import Any, Final, Protocol

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from ..alerts import Alert
from ..errors import ConfigurationError, HandshakeError

_binding = Binding()
_lib: Any = _binding.lib
_ffi: Any = _binding.ffi

_NEEDED = (
    "SSL_CTX_set_psk_server_callback",
    "SSL_CTX_set_psk_client_callback",
    "SSL_CTX_set_verify",
    "SSL_CTX_set_msg_callback",
    "SSL_CTX_set1_sigalgs_list",
    "SSL_get_extms_support",
)

OPENSSL_VERSION: Final = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii")

GROUPS: Final = b"P-256"
"""The only group: the standard's certificates use P-256, and a short ClientHello fits one datagram."""

SIGNATURE_ALGORITHMS: Final = b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512"
"""What signs a handshake, at either end; security level 0 alone would let SHA-1 in (RFC 9155)."""

_OP_NO_ENCRYPT_THEN_MAC: Final = 1 << 19
"""SSL_OP_NO_ENCRYPT_THEN_MAC; pyOpenSSL has no name for it."""

_X509_UNSPECIFIED: Final = 1


class CallbackTarget(Protocol):
    """What the callbacks ask of a session."""

    def server_psk(self, identity: bytes) -> bytes | None:
        """The key for the identity that the client showed; None to refuse it."""

    def client_psk(self) -> tuple[bytes, bytes] | None:
        """The identity and key to show; None when there is none."""

    def server_hello_seen(self, body: bytes) -> None:
        """The ServerHello, ours or the peer's, without its header."""

    def peer_certificates_received(self, chain: Sequence[bytes]) -> None:
        """The peer's Certificate message: DER certificates in the order received."""

    def server_name_received(self, connection: SSL.Connection) -> None:
        """The client's SNI host name, or its absence, is known: choose the context."""

    def verify_peer(self) -> Alert | None:
        """None when the received certificates are accepted, else the alert to send."""


_targets: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _pointer(ssl: Any) -> int:
    return int(_ffi.cast("uintptr_t", ssl))


def register(connection: SSL.Connection, target: CallbackTarget) -> None:
    """Let the callbacks of this connection reach the target, for as long as it lives."""
    _targets[_pointer(connection._ssl)] = target


def _server_name(connection: SSL.Connection) -> None:
    target = _targets.get(_pointer(connection._ssl))
    if target is not None:
        target.server_name_received(connection)


@_ffi.callback("unsigned int(SSL *, const char *, unsigned char *, unsigned int)", error=0)  # type: ignore[untyped-decorator]
def _server_psk(ssl: Any, identity: Any, out: Any, room: int) -> int:
    target = _targets.get(_pointer(ssl))
    key = None if target is None or identity == _ffi.NULL else target.server_psk(_ffi.string(identity))
    if key is None or len(key) > room:
        return 0
    _ffi.memmove(out, key, len(key))
    return len(key)


@_ffi.callback(
    "unsigned int(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)", error=0
)  # type: ignore[untyped-decorator]
def _client_psk(ssl: Any, hint: Any, identity_out: Any, identity_room: int, out: Any, room: int) -> int:
    del hint  # RFC 4279 clause 5.2: the hint is not used to choose an identity
    target = _targets.get(_pointer(ssl))
    offer = None if target is None else target.client_psk()
    if offer is None or len(offer[0]) + 1 > identity_room or len(offer[1]) > room:
        return 0
    _ffi.memmove(identity_out, offer[0] + b"\0", len(offer[0]) + 1)
    _ffi.memmove(out, offer[1], len(offer[1]))
    return len(offer[1])


@_ffi.callback("int(int, X509_STORE_CTX *)", error=0)  # type: ignore[untyped-decorator]
def _verify(preverified: int, store: Any) -> int:
    """Our verifier decides; the engine's own opinion on the path, without our anchors, is not asked."""
    del preverified
    ssl = _lib.X509_STORE_CTX_get_ex_data(store, _lib.SSL_get_ex_data_X509_STORE_CTX_idx())
    target = _targets.get(_pointer(ssl))
    alert = Alert.certificate_unknown if target is None else target.verify_peer()
    if alert is None:
        _lib.X509_STORE_CTX_set_error(store, 0)
        return 1
    _lib.X509_STORE_CTX_set_error(store, alert.x509_errors[0] if alert.x509_errors else _X509_UNSPECIFIED)
    return 0


_HANDSHAKE_SERVER_HELLO, _HANDSHAKE_CERTIFICATE = 2, 11


@_ffi.callback("void(int, int, int, const void *, size_t, SSL *, void *)")  # type: ignore[untyped-decorator]
def _message(
    written: int, version: int, content_type: int, buffer: Any, length: int, ssl: Any, arg: Any
) -> None:
    del arg
    if content_type != 22 or length < 8:
        return
    kind = int(_ffi.cast("unsigned char *", buffer)[0])
    is_hello, is_theirs = kind == _HANDSHAKE_SERVER_HELLO, kind == _HANDSHAKE_CERTIFICATE and not written
    target = _targets.get(_pointer(ssl)) if is_hello or is_theirs else None
    if target is None:
        return
    body = bytes(_ffi.buffer(buffer, length))[12 if version >> 8 == 0xFE else 4 :]
    if is_hello:
        target.server_hello_seen(body)
    else:
        target.peer_certificates_received(_split_certificates(body))


def _split_certificates(body: bytes) -> list[bytes]:
    """The ASN.1Cert vectors of a Certificate message (RFC 5246 clause 7.4.2); the engine checks its form."""
    chain, position = [], 3
    while position + 3 <= len(body):
        length = int.from_bytes(body[position : position + 3], "big")
        chain.append(body[position + 3 : position + 3 + length])
        position += 3 + length
    return chain


def make_context(
    *,
    server: bool,
    datagram: bool,
    cipher_list: str,
    certificate_chain: Sequence[bytes],
    private_key: Any,
    verifies: bool,
) -> SSL.Context:
    """An engine context: (D)TLS 1.2 only; no tickets, resumption, renegotiation or compression.

    Security level 0 is needed for CCM_8, which the standard makes mandatory; exact lists of suites, groups
    and signature algorithms keep anything weaker out.

    Raises:
        ConfigurationError: The installed libraries lack something that is needed.
    """
    missing = [name for name in _NEEDED if not hasattr(_lib, name)]
    if missing:
        raise ConfigurationError(
            f"the installed cryptography package lacks {', '.join(missing)}: "
            "install a version within the bounds of this package's dependencies"
        )
    context = SSL.Context(SSL.DTLS_METHOD if datagram else SSL.TLS_METHOD)
    version = 0xFEFD if datagram else SSL.TLS1_2_VERSION
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(f"@SECLEVEL=0:{cipher_list}".encode("ascii"))
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
    context.set_mode(_lib.SSL_MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    raw = context._context
    if _lib.SSL_CTX_set1_curves_list(raw, GROUPS) != 1:
        raise ConfigurationError(f"{OPENSSL_VERSION} does not offer the group {GROUPS.decode()}")
    # A server without a certificate signs nothing: its clients may name what they like, such as RSA alone.
    signs = bool(certificate_chain) or not server
    if signs and _lib.SSL_CTX_set1_sigalgs_list(raw, SIGNATURE_ALGORITHMS) != 1:
        raise ConfigurationError(f"{OPENSSL_VERSION} does not offer {SIGNATURE_ALGORITHMS.decode()}")
    if server:
        _lib.SSL_CTX_set_psk_server_callback(raw, _server_psk)
        context.set_tlsext_servername_callback(_server_name)
        if datagram:
            context.set_cookie_generate_callback(_generate_cookie)
            context.set_cookie_verify_callback(_verify_cookie)
    else:
        _lib.SSL_CTX_set_psk_client_callback(raw, _client_psk)
    if certificate_chain:
        from cryptography import x509  # noqa: PLC0415

        first, *rest = (x509.load_der_x509_certificate(der) for der in certificate_chain)
        context.use_certificate(first)
        for certificate in rest:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(private_key)
    if verifies:
        mode = _lib.SSL_VERIFY_PEER | _lib.SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        _lib.SSL_CTX_set_verify(raw, mode, _verify)
        # The verifier validates the path: without this the engine would check every signature on it again.
        _lib.SSL_CTX_set_verify_depth(raw, 0)
        _lib.SSL_CTX_set_msg_callback(raw, _message)
    return context


def failure(reasons: Sequence[str], sent: Alert | None, *, datagram: bool) -> HandshakeError:
    """What it means that the engine ended a handshake.

    Args:
        reasons: OpenSSL's reason texts, the first cause first.
        sent: The alert that the engine has sent, if it has.
        datagram: Whether this is DTLS.
    """
    received = next(filter(None, map(_alert_told, reasons)), None)
    if received is not None:
        told = received.described(datagram=datagram)
        return HandshakeError(f"the peer answered with {told}", alert=received)
    reason = reasons[0] if reasons else "unknown reason"
    if sent in {Alert.bad_record_mac, Alert.decrypt_error}:
        reason = "the peer holds another key for the identity, or the identity is unknown here"
    return HandshakeError(f"the handshake failed: {reason}", alert=sent)


def _alert_told(reason: str) -> Alert | None:
    """The alert that an OpenSSL reason text such as ``ssl/tls alert bad record mac`` tells of, if any.

    For the alerts of RFC 6066 it leaves the word out: ``tlsv1 unrecognized name``.
    """
    _, told, name = reason.partition("alert " if "alert " in reason else "tlsv1 ")
    return Alert.__members__.get(name.replace(" ", "_").replace("cancelled", "canceled")) if told else None


def clear_errors() -> None:
    """Empty the thread's error queue, lest an old entry be taken for the next operation's."""
    _lib.ERR_clear_error()


def has_extended_master_secret(connection: SSL.Connection) -> bool:
    """Was Extended Master Secret (RFC 7627) negotiated?"""
    return bool(_lib.SSL_get_extms_support(connection._ssl) == 1)


def _generate_cookie(connection: SSL.Connection) -> bytes:
    cookie: bytes = connection.get_app_data()
    return cookie


def _verify_cookie(connection: SSL.Connection, cookie: bytes) -> bool:
    return hmac.compare_digest(cookie, connection.get_app_data())


def listen_once(connection: SSL.Connection, datagram: bytes, cookie: bytes) -> bool:
    """Let a DTLS server's new connection begin with the ClientHello of a client that has proven its address.

    Args:
        connection: A DTLS server's connection that has no client yet.
        datagram: The ClientHello with this cookie; the connection must be given it again.
        cookie: The client's cookie (RFC 6347 clause 4.2.1).

    Returns:
        Whether the engine could make sense of it.
    """
    clear_errors()
    connection.set_app_data(cookie)
    connection.bio_write(datagram)
    try:
        connection.DTLSv1_listen()
    except SSL.Error:  # WantReadError included: the engine would ask for another cookie
        return False
    return True
