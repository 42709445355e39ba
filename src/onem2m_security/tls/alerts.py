"""TLS alerts (RFC 5246 clause 7.2, RFC 4279 clause 6, RFC 6066 clause 9): numbers, names and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import HandshakeError

CODES: Final = {
    "close_notify": 0,
    "unexpected_message": 10,
    "bad_record_mac": 20,
    "record_overflow": 22,
    "handshake_failure": 40,
    "bad_certificate": 42,
    "unsupported_certificate": 43,
    "certificate_revoked": 44,
    "certificate_expired": 45,
    "certificate_unknown": 46,
    "illegal_parameter": 47,
    "unknown_ca": 48,
    "access_denied": 49,
    "decode_error": 50,
    "decrypt_error": 51,
    "protocol_version": 70,
    "insufficient_security": 71,
    "internal_error": 80,
    "user_canceled": 90,
    "no_renegotiation": 100,
    "unsupported_extension": 110,
    "unrecognized_name": 112,
    "unknown_psk_identity": 115,
}
NAMES: Final = {code: name for name, code in CODES.items()}

FATAL: Final = 2

_ADVICE: Final = {
    "bad_record_mac": "the peer does not know the identity, or holds another key for it",
    "decrypt_error": "the peer does not know the identity, or holds another key for it",
    "unknown_psk_identity": "the peer does not know the identity: is it provisioned, and not expired?",
    "handshake_failure": "no cipher suite in common, or no certificate where one is needed",
    "protocol_version": "the peer does not speak (D)TLS 1.2",
    "unknown_ca": "the certificate does not lead to a root of trust that the peer was configured with",
    "bad_certificate": "the certificate does not have the name or the form that the peer was configured with",
    "certificate_expired": "the certificate is not valid now: check it and both clocks",
    "certificate_revoked": "the certificate was revoked: enrol again",
    "unrecognized_name": "the peer does not serve the name that was asked for",
    "internal_error": "the peer gave up: something that it needs failed, or its time ran out",
}


SILENCE: Final = (
    "over DTLS an unknown identity or a wrong key is met with silence, until somebody's time is up"
)


def describe(alert: str, *, datagram: bool = False) -> str:
    """The alert's name, and what it usually means here; over DTLS one may mean more."""
    advice = _ADVICE.get(alert)
    if advice is not None and datagram and alert == "internal_error":
        advice += f"; {SILENCE}"
    return alert if advice is None else f"{alert} ({advice})"


def failure(reasons: Sequence[str], sent: str | None, *, datagram: bool) -> HandshakeError:
    """What it means that the engine ended a handshake.

    Args:
        reasons: OpenSSL's reason texts, the first cause first.
        sent: The alert that the engine has sent, if it has.
        datagram: Whether this is DTLS.
    """
    for reason in reasons:
        alert = from_engine_reason(reason)
        if alert is not None:
            return HandshakeError(f"the peer answered with {describe(alert, datagram=datagram)}", alert=alert)
    reason = reasons[0] if reasons else "unknown reason"
    if sent in {"bad_record_mac", "decrypt_error"}:
        reason = "the peer holds another key for the identity, or the identity is unknown here"
    return HandshakeError(f"the handshake failed: {reason}", alert=sent)


def from_engine_reason(reason: str) -> str | None:
    """The alert that an OpenSSL reason text such as ``ssl/tls alert bad record mac`` tells of, if any.

    For the alerts of RFC 6066 it leaves the word out: ``tlsv1 unrecognized name``.
    """
    _, found, name = reason.partition("alert ")
    if found:
        return name.strip().replace(" ", "_")
    name = reason.removeprefix("tlsv1 ").replace(" ", "_")
    return name if reason.startswith("tlsv1 ") and name in CODES else None
