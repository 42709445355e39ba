"""TLS alerts (RFC 5246 clause 7.2, RFC 4279 clause 6, RFC 6066 clause 9): in one table."""

from __future__ import annotations

import enum
from typing import Final, Self

SILENCE: Final = (
    "over DTLS an unknown identity or a wrong key is met with silence, until somebody's time is up"
)

_OTHER_KEY: Final = "the peer does not know the identity, or holds another key for it"


class Alert(enum.IntEnum):
    """An AlertDescription: its number on the wire, and its name, as the RFC writes it, for people.

    Attributes:
        advice: What it usually means here, and what to do; empty where there is nothing to say.
        x509_errors: The X509_V_ERR values (openssl/x509_vfy.h) of refused certificates for which it is sent;
            the first makes the engine send it.
    """

    advice: str
    x509_errors: tuple[int, ...]

    def __new__(cls, code: int, advice: str = "", x509_errors: tuple[int, ...] = ()) -> Self:
        """A member of the table below."""
        alert = int.__new__(cls, code)
        alert._value_ = code
        alert.advice, alert.x509_errors = advice, x509_errors
        return alert

    close_notify = 0
    unexpected_message = 10
    bad_record_mac = 20, _OTHER_KEY
    decryption_failed = 21
    record_overflow = 22
    decompression_failure = 30
    handshake_failure = 40, "no cipher suite in common, or no certificate where one is needed", (50,)
    no_certificate = 41
    bad_certificate = (
        42,
        "the certificate does not have the name or the form that the peer was configured with",
        (28, 4, 6, 7, 13, 14, 47, 48, 49, 51, 52, 53),
    )
    unsupported_certificate = 43, "", (26, 32, 34)
    certificate_revoked = 44, "the certificate was revoked: enrol again", (23,)
    certificate_expired = 45, "the certificate is not valid now: check it and both clocks", (10, 9)
    certificate_unknown = 46, "", (31,)
    illegal_parameter = 47
    unknown_ca = (
        48,
        "the certificate does not lead to a root of trust that the peer was configured with",
        (20, 2, 18, 19, 21, 22, 24, 25, 27, 79),
    )
    access_denied = 49
    decode_error = 50
    decrypt_error = 51, _OTHER_KEY
    export_restriction = 60
    protocol_version = 70, "the peer does not speak (D)TLS 1.2"
    insufficient_security = 71
    internal_error = 80, "the peer gave up: something that it needs failed, or its time ran out"
    inappropriate_fallback = 86
    user_canceled = 90
    no_renegotiation = 100
    missing_extension = 109
    unsupported_extension = 110
    certificate_unobtainable = 111
    unrecognized_name = 112, "the peer does not serve the name that was asked for"
    bad_certificate_status_response = 113
    bad_certificate_hash_value = 114
    unknown_psk_identity = 115, "the peer does not know the identity: is it provisioned, and not expired?"
    certificate_required = 116
    no_application_protocol = 120

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(self.name, spec)

    @classmethod
    def known(cls, code: int) -> Alert | None:
        """The alert of this number; None if it is none of these."""
        return next((alert for alert in cls if alert == code), None)

    @classmethod
    def for_x509_error(cls, error: int) -> Alert:
        """The alert for a certificate that was refused with this X509_V_ERR value."""
        return next((alert for alert in cls if error in alert.x509_errors), cls.certificate_unknown)

    def described(self, *, datagram: bool = False) -> str:
        """The name, and what it usually means here; over DTLS one may mean more."""
        more = f"; {SILENCE}" if datagram and self is Alert.internal_error else ""
        return f"{self} ({self.advice}{more})" if self.advice else self.name
