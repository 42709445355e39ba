"""The engine by OpenSSL: pyOpenSSL, plus what it lacks, from cryptography's binding.

No other module of this floor knows the library; engine.py says what is asked of it.

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
from collections.abc import Iterator, Sequence
from typing import Any, Final

import cryptography
import OpenSSL
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from ..alerts import Alert
from ..errors import ConfigurationError
from .engine import CallbackTarget, Context, EngineError, LocalCredential, Terms
from .records import HANDSHAKE_CERTIFICATE, HANDSHAKE_SERVER_HELLO, certificate_list
from .suites import BY_OPENSSL_NAME, Suite

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

LIBRARIES: Final = f"pyOpenSSL {OpenSSL.__version__} with cryptography {cryptography.__version__}"
"""What is installed, for a message."""

OPENSSL_VERSION: Final = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii")

GROUPS: Final = b"P-256"
"""The only group: the standard's certificates use P-256, and a short ClientHello fits one datagram."""

SIGNATURE_ALGORITHMS: Final = b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512"
"""What signs a handshake, at either end; security level 0 alone would let SHA-1 in (RFC 9155)."""

_OP_NO_ENCRYPT_THEN_MAC: Final = 1 << 19
"""SSL_OP_NO_ENCRYPT_THEN_MAC; pyOpenSSL has no name for it."""

_X509_UNSPECIFIED: Final = 1

_CHUNK: Final = 1 << 16

_targets: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _pointer(ssl: Any) -> int:
    return int(_ffi.cast("uintptr_t", ssl))


def _server_name(connection: SSL.Connection) -> None:
    target = _targets.get(_pointer(connection._ssl))
    if target is not None:
        target.server_name_received()


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


@_ffi.callback("void(int, int, int, const void *, size_t, SSL *, void *)")  # type: ignore[untyped-decorator]
def _message(
    written: int, version: int, content_type: int, buffer: Any, length: int, ssl: Any, arg: Any
) -> None:
    del arg
    if content_type != 22 or length < 8:
        return
    kind = int(_ffi.cast("unsigned char *", buffer)[0])
    is_hello, is_theirs = kind == HANDSHAKE_SERVER_HELLO, kind == HANDSHAKE_CERTIFICATE and not written
    target = _targets.get(_pointer(ssl)) if is_hello or is_theirs else None
    if target is None:
        return
    body = bytes(_ffi.buffer(buffer, length))[12 if version >> 8 == 0xFE else 4 :]
    if is_hello:
        target.server_hello_seen(body)
    else:
        target.peer_certificates_received(certificate_list(body))


class OpenSslContext:
    """(D)TLS 1.2 only; no tickets, resumption, renegotiation or compression.

    Security level 0 is needed for CCM_8, which the standard makes mandatory; exact lists of suites, groups
    and signature algorithms keep anything weaker out.
    """

    def __init__(self, terms: Terms) -> None:
        """A context by these terms.

        Raises:
            ConfigurationError: The installed libraries lack something that is needed.
        """
        missing = [name for name in _NEEDED if not hasattr(_lib, name)]
        if missing:
            raise ConfigurationError(
                f"the installed cryptography package lacks {', '.join(missing)}: "
                "install a version within the bounds of this package's dependencies"
            )
        self._server = terms.server
        self.context = SSL.Context(SSL.DTLS_METHOD if terms.datagram else SSL.TLS_METHOD)
        _limit(self.context, datagram=terms.datagram)
        names = ":".join(suite.openssl_name for suite in terms.suites)
        self.context.set_cipher_list(f"@SECLEVEL=0:{names}".encode("ascii"))
        # A server without a certificate signs nothing: its clients may name what they like, even RSA alone.
        _choose_algorithms(self.context._context, signs=terms.credential is not None or not terms.server)
        _set_callbacks(self.context, terms)
        if terms.credential is not None:
            _show(self.context, terms.credential)

    def engine(self, target: CallbackTarget, *, server_name: str | None = None) -> OpenSslEngine:
        """An engine whose handshake is about to begin."""
        return OpenSslEngine(self.context, target, server=self._server, server_name=server_name)


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
    context.set_mode(_lib.SSL_MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)


def _choose_algorithms(raw: Any, *, signs: bool) -> None:
    if _lib.SSL_CTX_set1_curves_list(raw, GROUPS) != 1:
        raise ConfigurationError(f"{OPENSSL_VERSION} does not offer the group {GROUPS.decode()}")
    if signs and _lib.SSL_CTX_set1_sigalgs_list(raw, SIGNATURE_ALGORITHMS) != 1:
        raise ConfigurationError(f"{OPENSSL_VERSION} does not offer {SIGNATURE_ALGORITHMS.decode()}")


def _set_callbacks(context: SSL.Context, terms: Terms) -> None:
    raw = context._context
    if terms.server:
        _lib.SSL_CTX_set_psk_server_callback(raw, _server_psk)
        context.set_tlsext_servername_callback(_server_name)
        if terms.datagram:
            context.set_cookie_generate_callback(_generate_cookie)
            context.set_cookie_verify_callback(_verify_cookie)
    else:
        _lib.SSL_CTX_set_psk_client_callback(raw, _client_psk)
    if terms.accepts:
        mode = _lib.SSL_VERIFY_PEER | _lib.SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        _lib.SSL_CTX_set_verify(raw, mode, _verify)
        # The verifier validates the path: without this the engine would check every signature on it again.
        _lib.SSL_CTX_set_verify_depth(raw, 0)
        _lib.SSL_CTX_set_msg_callback(raw, _message)


def _show(context: SSL.Context, credential: LocalCredential) -> None:
    from cryptography import x509  # noqa: PLC0415

    first, *rest = (x509.load_der_x509_certificate(der) for der in credential.certificate_chain)
    context.use_certificate(first)
    for certificate in rest:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(credential.private_key)


def _clear_errors() -> None:
    """Empty the thread's error queue, lest an old entry be taken for the next operation's."""
    _lib.ERR_clear_error()


def _generate_cookie(connection: SSL.Connection) -> bytes:
    cookie: bytes = connection.get_app_data()
    return cookie


def _verify_cookie(connection: SSL.Connection, cookie: bytes) -> bool:
    return hmac.compare_digest(cookie, connection.get_app_data())


def engine_error(reasons: Sequence[str]) -> EngineError:
    """From OpenSSL's reason texts, the first cause first."""
    alert = next(filter(None, map(_alert_told, reasons)), None)
    return EngineError(reasons[0] if reasons else "", alert)


def _raised(error: SSL.Error) -> EngineError:
    """What pyOpenSSL raised."""
    if isinstance(error, SSL.SysCallError):
        return engine_error([])
    entries = error.args[0] if error.args else ()
    return engine_error([entry[-1] for entry in entries if entry[-1]] or ["unknown reason"])


def _alert_told(reason: str) -> Alert | None:
    """The alert that an OpenSSL reason text such as ``ssl/tls alert bad record mac`` tells of, if any.

    For the alerts of RFC 6066 it leaves the word out: ``tlsv1 unrecognized name``.
    """
    _, told, name = reason.partition("alert " if "alert " in reason else "tlsv1 ")
    return Alert.__members__.get(name.replace(" ", "_").replace("cancelled", "canceled")) if told else None


class OpenSslEngine:
    """One end of one session (see ``engine.Engine``)."""

    def __init__(
        self, context: SSL.Context, target: CallbackTarget, *, server: bool, server_name: str | None
    ) -> None:
        """An engine whose handshake is about to begin."""
        self._connection = SSL.Connection(context, None)
        _targets[_pointer(self._connection._ssl)] = target
        if server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
            if server_name is not None:
                self._connection.set_tlsext_host_name(server_name.encode("ascii"))

    def use(self, context: Context) -> bool:
        """Go on with this context, if it is one of this library."""
        if not isinstance(context, OpenSslContext):
            return False
        self._connection.set_context(context.context)
        return True

    # --- octets -------------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Octets of the peer."""
        self._connection.bio_write(octets)

    def drain(self) -> Iterator[bytes]:
        """Octets for the peer."""
        while True:
            try:
                yield self._connection.bio_read(_CHUNK)
            except SSL.WantReadError:
                return

    def handshake(self) -> bool:
        """Go on with the handshake."""
        _clear_errors()
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise _raised(error) from None
        return True

    def read(self) -> bytes | None:
        """Application data, the end, or nothing yet."""
        _clear_errors()
        try:
            return self._connection.recv(_CHUNK)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            raise _raised(error) from None

    def write(self, data: bytes) -> None:
        """Protect application data."""
        view = memoryview(data)
        while view:
            try:
                sent = self._connection.send(view[:_CHUNK])
            except SSL.Error as error:
                raise _raised(error) from None
            view = view[sent:]

    def close(self) -> None:
        """Say close_notify."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            _clear_errors()

    # --- DTLS ---------------------------------------------------------------------------------------------

    def limit_datagrams(self, octets: int) -> None:
        """Make no record that is longer than a datagram of so many octets."""
        self._connection.set_ciphertext_mtu(octets)

    def listen(self, datagram: bytes, cookie: bytes) -> bool:
        """Begin with the ClientHello that carries this cookie."""
        _clear_errors()
        self._connection.set_app_data(cookie)
        self._connection.bio_write(datagram)
        try:
            self._connection.DTLSv1_listen()
        except SSL.Error:  # WantReadError included: the engine would ask for another cookie
            return False
        return True

    def retransmit_in(self) -> float | None:
        """After how many seconds ``retransmit`` is due."""
        return self._connection.DTLSv1_get_timeout()

    def retransmit(self) -> None:
        """Make the last flight again."""
        _clear_errors()
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            raise _raised(error) from None

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def suite(self) -> Suite | None:
        """The suite that was agreed on."""
        return BY_OPENSSL_NAME.get(self._connection.get_cipher_name() or "")

    @property
    def protocol(self) -> str:
        """``TLSv1.2`` or ``DTLSv1.2``."""
        return self._connection.get_protocol_version_name()

    @property
    def server_name(self) -> bytes | None:
        """The SNI host name that the client sent."""
        return self._connection.get_servername()

    @property
    def has_extended_master_secret(self) -> bool:
        """Was Extended Master Secret negotiated?"""
        return bool(_lib.SSL_get_extms_support(self._connection._ssl) == 1)

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material."""
        return self._connection.export_keying_material(label, length)
