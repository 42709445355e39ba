"""What OpenSSL asks in the middle of a handshake, and who answers.

The callbacks are made once and live as long as the process. They run inside a call of an engine only, find
it by its SSL object among those that are called at this moment, and let no exception out into C.
"""

from __future__ import annotations

import hmac
from typing import Any, Final, Protocol

from ..alerts import Alert
from .engine import CallbackTarget
from .openssl_library import ffi, lib
from .records import HANDSHAKE_CERTIFICATE, HANDSHAKE_SERVER_HELLO, certificate_list

_X509_UNSPECIFIED: Final = 1
_HANDSHAKE: Final = 22
_MAJOR_OF_DATAGRAMS: Final = 0xFE


class Called(Protocol):
    """An engine that is being called.

    Attributes:
        target: Whose it is.
        cookie: DTLS: what the client must have sent back; empty where it need not.
    """

    target: CallbackTarget | None
    cookie: bytes


running: Final[dict[Any, Called]] = {}
"""The engines that are being called, by their SSL objects, which are equal if they point to one place."""


def _target(ssl: Any) -> CallbackTarget | None:
    called = running.get(ssl)
    return None if called is None else called.target


@ffi.callback("int(SSL *, int *, void *)", error=lib.SSL_TLSEXT_ERR_ALERT_FATAL)  # type: ignore[untyped-decorator]
def server_name(ssl: Any, alert: Any, arg: Any) -> int:
    """Choose who is meant."""
    del alert, arg
    target = _target(ssl)
    if target is not None:
        target.server_name_received()
    return int(lib.SSL_TLSEXT_ERR_OK)


@ffi.callback("unsigned int(SSL *, const char *, unsigned char *, unsigned int)", error=0)  # type: ignore[untyped-decorator]
def server_psk(ssl: Any, identity: Any, out: Any, room: int) -> int:
    """The key for the identity that the client showed."""
    target = _target(ssl)
    key = None if target is None or identity == ffi.NULL else target.server_psk(ffi.string(identity))
    if key is None or len(key) > room:
        return 0
    ffi.memmove(out, key, len(key))
    return len(key)


@ffi.callback(
    "unsigned int(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)", error=0
)  # type: ignore[untyped-decorator]
def client_psk(ssl: Any, hint: Any, identity_out: Any, identity_room: int, out: Any, room: int) -> int:
    """The identity and the key to show."""
    del hint  # RFC 4279 clause 5.2: the hint is not used to choose an identity
    target = _target(ssl)
    offer = None if target is None else target.client_psk()
    if offer is None or len(offer[0]) + 1 > identity_room or len(offer[1]) > room:
        return 0
    ffi.memmove(identity_out, offer[0] + b"\0", len(offer[0]) + 1)
    ffi.memmove(out, offer[1], len(offer[1]))
    return len(offer[1])


@ffi.callback("int(int, X509_STORE_CTX *)", error=0)  # type: ignore[untyped-decorator]
def verify(preverified: int, store: Any) -> int:
    """Our verifier decides; the engine's own opinion on the path, without our anchors, is not asked."""
    del preverified
    ssl = lib.X509_STORE_CTX_get_ex_data(store, lib.SSL_get_ex_data_X509_STORE_CTX_idx())
    target = _target(ffi.cast("SSL *", ssl))
    alert = Alert.certificate_unknown if target is None else target.verify_peer()
    if alert is None:
        lib.X509_STORE_CTX_set_error(store, 0)
        return 1
    lib.X509_STORE_CTX_set_error(store, alert.x509_errors[0] if alert.x509_errors else _X509_UNSPECIFIED)
    return 0


@ffi.callback("void(int, int, int, const void *, size_t, SSL *, void *)")  # type: ignore[untyped-decorator]
def message(
    written: int, version: int, content_type: int, buffer: Any, length: int, ssl: Any, arg: Any
) -> None:
    """A message passes: of interest are the ServerHello and the peer's Certificate."""
    del arg
    if content_type != _HANDSHAKE or length < 8:
        return
    kind = ffi.cast("unsigned char *", buffer)[0]
    is_hello, is_theirs = kind == HANDSHAKE_SERVER_HELLO, kind == HANDSHAKE_CERTIFICATE and not written
    target = _target(ssl) if is_hello or is_theirs else None
    if target is None:
        return
    body = bytes(ffi.buffer(buffer, length))[12 if version >> 8 == _MAJOR_OF_DATAGRAMS else 4 :]
    if is_hello:
        target.server_hello_seen(body)
    else:
        target.peer_certificates_received(certificate_list(body))


@ffi.callback("int(SSL *, unsigned char *, unsigned int *)", error=0)  # type: ignore[untyped-decorator]
def generate_cookie(ssl: Any, out: Any, length: Any) -> int:
    """For a client that brings none: what it is to send back. Ours brings one, or does not come this far."""
    called = running.get(ssl)
    if called is None or not called.cookie:
        return 0
    ffi.memmove(out, called.cookie, len(called.cookie))
    length[0] = len(called.cookie)
    return 1


@ffi.callback("int(SSL *, const unsigned char *, unsigned int)", error=0)  # type: ignore[untyped-decorator]
def verify_cookie(ssl: Any, cookie: Any, length: int) -> int:
    """Whether the client has sent back what it was to send back."""
    called = running.get(ssl)
    shown = bytes(ffi.buffer(cookie, length))
    return int(called is not None and bool(shown) and hmac.compare_digest(shown, called.cookie))
