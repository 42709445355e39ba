"""The one tree of exceptions. Each says what went wrong and what to do about it, and carries no secret."""

from __future__ import annotations

from .alerts import Alert


class SecurityFrameworkError(Exception):
    """Anything this package raises on purpose."""


class IdentifierError(SecurityFrameworkError, ValueError):
    """A text or an octet string is not the identifier it should be."""


class ConfigurationError(SecurityFrameworkError):
    """Settings, files or arguments that cannot work; the message names the thing and the way out."""


class CredentialError(SecurityFrameworkError, ValueError):
    """A key or a certificate that cannot be used as given."""


class StoreError(SecurityFrameworkError):
    """The store could not do what was asked; nothing was half done."""


class StoreUnavailableError(StoreError):
    """The database is locked, full, read-only or out of reach: try again when it is mended."""


class ParentGoneError(StoreError):
    """The key that a new one came from is not kept any more: it was removed or replaced meanwhile."""


class RecordCorruptedError(StoreError):
    """A sealed record does not open: altered, swapped with another, or sealed under a lost key."""


class RecordExistsError(StoreError):
    """A record of this kind with this identifier is there already."""


class MessageError(SecurityFrameworkError, ValueError):
    """A header, a body or a parameter from a peer that is not what its protocol prescribes."""


class AuthenticationError(SecurityFrameworkError):
    """A peer did not prove who it is: unknown, barred, or a MAC or a digest that does not verify."""


class QuotaError(SecurityFrameworkError):
    """A peer has or does more than is allowed to one peer; the message says of what."""


class HandshakeError(SecurityFrameworkError):
    """The (D)TLS handshake did not complete.

    Attributes:
        alert: The TLS alert sent or received, or None.
    """

    def __init__(self, message: str, *, alert: Alert | None = None) -> None:
        super().__init__(message)
        self.alert = alert

    @property
    def outcome(self) -> str:
        """The alert's name, or ``failed``: what the handshake is counted under."""
        return "failed" if self.alert is None else self.alert.name


class CertificateRejectedError(SecurityFrameworkError):
    """The peer's certificate does not prove the identity that was configured for it.

    Attributes:
        alert: The TLS alert to send.
    """

    def __init__(self, message: str, *, alert: Alert) -> None:
        super().__init__(message)
        self.alert = alert


class HandshakeTimeoutError(HandshakeError, TimeoutError):
    """The peer did not finish the handshake within the limit."""


class KeyEstablishmentError(HandshakeError):
    """An ESCertKE message led to no key, and its exchange is over: begin a new one with message 1.

    Attributes:
        reply: The octets that tell the peer (a TLS alert), for the transport to deliver; may be empty.
    """

    def __init__(self, message: str, *, alert: Alert | None = None, reply: bytes = b"") -> None:
        super().__init__(message, alert=alert)
        self.reply = reply


class ResolverUnavailableError(SecurityFrameworkError):
    """The party that knows the key (MAF, MEF or BSF) could not be asked, or gave no usable answer."""


class AnswerTimeoutError(ResolverUnavailableError, TimeoutError):
    """A request was sent, and there was no answer within the limit; it may have been carried out."""


class PeerRefusedError(SecurityFrameworkError):
    """The peer answered a request with an error.

    Attributes:
        rsc: The oneM2M Response Status Code (TS-0004 clause 6.6.3); of EST the HTTP status code.
    """

    def __init__(self, message: str, *, rsc: int) -> None:
        super().__init__(message)
        self.rsc = rsc
