"""The OpenSSL inside the cryptography wheel: what of it is called, and what its errors mean.

The functions are those that cryptography keeps in its binding for pyOpenSSL. They are looked for before a
context is made, and trial.py tries what they do before a port is opened, so that a change of library shows at
once and not in the middle of a handshake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cryptography
import OpenSSL
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from ..alerts import Alert
from ..errors import ConfigurationError
from .engine import EngineError

_binding = Binding()
lib: Any = _binding.lib
ffi: Any = _binding.ffi

NEEDED: Final = (
    *("SSL_CTX_set_psk_server_callback", "SSL_CTX_set_psk_client_callback", "SSL_CTX_set_verify"),
    *("SSL_CTX_set_msg_callback", "SSL_CTX_set1_sigalgs_list", "SSL_CTX_set_tlsext_servername_callback"),
    *("SSL_CTX_set_cookie_generate_cb", "SSL_CTX_set_cookie_verify_cb", "SSL_get_extms_support"),
    *("SSL_new", "SSL_free", "SSL_set_bio", "SSL_set_accept_state", "SSL_set_connect_state"),
    *("BIO_new", "BIO_s_mem", "BIO_read", "BIO_write", "SSL_set_SSL_CTX", "SSL_set_tlsext_host_name"),
    *("SSL_do_handshake", "SSL_read", "SSL_write", "SSL_shutdown", "SSL_get_error", "ERR_get_error"),
    *("ERR_reason_error_string", "SSL_export_keying_material", "SSL_get_current_cipher"),
    *("SSL_get_version", "SSL_get_servername", "SSL_set_mtu", "DTLSv1_listen", "DTLSv1_handle_timeout"),
    *("Cryptography_DTLSv1_get_timeout", "BIO_ADDR_new", "BIO_ADDR_free"),
)

LIBRARIES: Final = f"pyOpenSSL {OpenSSL.__version__} with cryptography {cryptography.__version__}"
"""What is installed, for a message."""

OPENSSL_VERSION: Final = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii")


def require_functions() -> None:
    """Look for all that is needed.

    Raises:
        ConfigurationError: The installed libraries lack something.
    """
    missing = [name for name in NEEDED if not hasattr(lib, name)]
    if missing:
        raise ConfigurationError(
            f"the installed cryptography package lacks {', '.join(missing)}: "
            "install a version within the bounds of this package's dependencies"
        )


def ended(ssl: Any, result: int) -> EngineError | None:
    """What a result that is no success means: the end of the session, or None if it waits for more."""
    kind = lib.SSL_get_error(ssl, result)
    if kind in {lib.SSL_ERROR_WANT_READ, lib.SSL_ERROR_WANT_WRITE}:
        return None
    reasons = _reasons()
    if kind == lib.SSL_ERROR_SSL and not reasons:
        reasons = ["unknown reason"]
    return engine_error(reasons)


def _reasons() -> list[str]:
    """What the thread's error queue holds, the first cause first; it is empty then."""
    reasons = []
    while code := lib.ERR_get_error():
        text = lib.ERR_reason_error_string(code)
        reasons.append("" if text == ffi.NULL else ffi.string(text).decode("utf-8", "replace"))
    return [reason for reason in reasons if reason]


def engine_error(reasons: Sequence[str]) -> EngineError:
    """From OpenSSL's reason texts, the first cause first."""
    alert = next(filter(None, map(_alert_told, reasons)), None)
    return EngineError(reasons[0] if reasons else "", alert)


def _alert_told(reason: str) -> Alert | None:
    """The alert that an OpenSSL reason text such as ``ssl/tls alert bad record mac`` tells of, if any.

    For the alerts of RFC 6066 it leaves the word out: ``tlsv1 unrecognized name``.
    """
    _, told, name = reason.partition("alert " if "alert " in reason else "tlsv1 ")
    return Alert.__members__.get(name.replace(" ", "_").replace("cancelled", "canceled")) if told else None
