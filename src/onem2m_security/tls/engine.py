"""What a session needs of a TLS library, and nothing more.

A ``Context`` is made once for an endpoint and a transport; an ``Engine`` is one end of one session. Octets
are fed and drained, a ``CallbackTarget`` is asked while the handshake goes on and at no other time, and what
goes wrong is an ``EngineError`` that speaks in alerts. What a library calls its parts stays in that library's
own modules.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..alerts import Alert
from .suites import Suite


class CertificateType(enum.Enum):
    """What an end shows in its Certificate message (RFC 7250)."""

    X509 = "an X.509 certificate"
    RAW_PUBLIC_KEY = "a raw public key"


class LocalCredential(Protocol):
    """A certificate of our own with its chain and private key; or a key pair alone."""

    @property
    def certificate_type(self) -> CertificateType:
        """Which of them it is."""

    @property
    def certificate_chain(self) -> Sequence[bytes]:
        """DER certificates, our own first; of a raw public key its one SubjectPublicKeyInfo, DER."""

    @property
    def private_key(self) -> Any:  # noqa: ANN401 - cryptography has a dozen key types
        """The private key, as cryptography holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a context is made by.

    Attributes:
        server: Which side it is.
        datagram: DTLS, or TLS.
        suites: What may be negotiated, in order of preference.
        credential: What we show and sign with; None for pre-shared keys alone.
        accepts: What the peer may show, on which the session's target decides; without it, it shows nothing.
    """

    server: bool
    datagram: bool
    suites: tuple[Suite, ...]
    credential: LocalCredential | None = field(repr=False)
    accepts: frozenset[CertificateType] = frozenset()


class EngineError(Exception):
    """The engine has ended a session.

    Attributes:
        alert: The alert that the peer answered with; None when it is the engine that refuses.
        reason: The first cause, in the library's words; empty when the peer closed without a word.
    """

    def __init__(self, reason: str, alert: Alert | None = None) -> None:
        """With the library's reason, and what the peer said, if it said something."""
        self.reason, self.alert = reason, alert
        super().__init__(reason)


class CallbackTarget(Protocol):
    """What an engine asks of its session; no exception may leave these."""

    def server_psk(self, identity: bytes) -> bytes | None:
        """The key for the identity that the client showed; None to refuse it."""

    def client_psk(self) -> tuple[bytes, bytes] | None:
        """The identity and key to show; None when there is none."""

    def server_hello_seen(self, body: bytes) -> None:
        """The ServerHello, ours or the peer's, without its header."""

    def peer_certificates_received(self, chain: Sequence[bytes]) -> None:
        """The peer's Certificate message: DER certificates as received, or one SubjectPublicKeyInfo."""

    def server_name_received(self) -> None:
        """The client's SNI host name, or its absence, is known: choose the context."""

    def verify_peer(self) -> Alert | None:
        """None when the received certificates are accepted, else the alert to send."""


class Engine(Protocol):
    """One end of one TLS 1.2 or DTLS 1.2 session, between two queues of octets."""

    def use(self, context: Context) -> bool:
        """Go on with this context: for ``server_name_received``. False if it is another library's."""

    def feed(self, octets: bytes) -> None:
        """Octets of the peer: over TLS cut anywhere, over DTLS one datagram."""

    def drain(self) -> bytes:
        """All octets for the peer that there are; over DTLS whole records."""

    def handshake(self, target: CallbackTarget) -> bool:
        """Go on with the handshake as far as what was fed allows; whether it is complete.

        Args:
            target: Asked meanwhile.

        Raises:
            EngineError: It has failed; what is to be said to the peer can be drained.
        """

    def read(self) -> bytes | None:
        """Application data; empty after the peer's close_notify; None when there is nothing yet.

        Raises:
            EngineError: The session has failed.
        """

    def write(self, data: bytes) -> None:
        """Protect application data.

        Raises:
            EngineError: It cannot be sent: over DTLS, it is longer than a record.
        """

    def close(self) -> None:
        """Say close_notify, if that can still be said."""

    def limit_datagrams(self, octets: int) -> None:
        """DTLS: make no record that is longer than a datagram of so many octets."""

    def listen(self, datagram: bytes, cookie: bytes) -> bool:
        """DTLS: begin with the ClientHello of a client that has proven its address; a server without one yet.

        Args:
            datagram: The ClientHello with this cookie; it must be fed again.
            cookie: The client's cookie (RFC 6347 clause 4.2.1).

        Returns:
            Whether the engine could make sense of it.
        """

    def retransmit_in(self) -> float | None:
        """DTLS: after how many seconds ``retransmit`` is due; None when nothing waits for an answer."""

    def retransmit(self) -> None:
        """DTLS: make the last flight again.

        Raises:
            EngineError: It was made too often already.
        """

    @property
    def suite(self) -> Suite | None:
        """The suite that was agreed on; None before."""

    @property
    def protocol(self) -> str:
        """``TLSv1.2`` or ``DTLSv1.2``."""

    @property
    def server_name(self) -> bytes | None:
        """The SNI host name that the client sent."""

    @property
    def has_extended_master_secret(self) -> bool:
        """Was Extended Master Secret (RFC 7627) negotiated? Known after the handshake."""

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material (RFC 5705), without a context value."""


class Context(Protocol):
    """What all sessions of an endpoint over one transport share."""

    def engine(self, *, server_name: str | None = None) -> Engine:
        """An engine whose handshake is about to begin.

        Args:
            server_name: Client only: the SNI host name (an FQDN in A-labels).
        """
