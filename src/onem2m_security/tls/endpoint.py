"""What one side brings to its (D)TLS handshakes: suites, certificate, verifier; and the engine's contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..credentials import Secret
from ..errors import ConfigurationError, IdentifierError
from ..identifiers import CredentialId, EntityId
from ..texts import IDENTITY_MAX_OCTETS, shown
from ..user_settings import Uss
from .engine import CertificateType, Context, LocalCredential, Terms
from .openssl import OpenSslContext
from .suites import CERTIFICATE_SUITES, PSK_SUITES, Suite


class PeerIdentity(Protocol):
    """What a certificate verifier tells of the peer."""

    @property
    def peer(self) -> EntityId | None:
        """The authenticated identity."""

    @property
    def credential_id(self) -> CredentialId | None:
        """The certificate's Credential-ID."""

    @property
    def expires(self) -> datetime | None:
        """When the certificate ends (UTC)."""

    @property
    def allowed_ae_ids(self) -> tuple[EntityId, ...]:
        """For a device or Node-ID certificate: the AEs that it may act for."""

    @property
    def targets(self) -> tuple[EntityId, ...]:
        """For whom keys derived from the session may be."""

    @property
    def user_settings(self) -> tuple[Uss, ...]:
        """What is said of the peer beside its identity (USS)."""


class Verifier(Protocol):
    """Decides on the peer's certificates, in the middle of the handshake."""

    @property
    def certificate_types(self) -> frozenset[CertificateType]:
        """What the peer may show; at least one."""

    def verify(self, chain: Sequence[bytes], *, server: bool) -> PeerIdentity:
        """Accept the DER certificates (leaf first, as received), or the public key, and say who it is.

        Args:
            chain: What the peer sent: certificates, or one SubjectPublicKeyInfo (DER) of a raw public key.
            server: Whether the peer is the server of this handshake, or its client.

        Raises:
            CertificateRejectedError: Refused; its ``alert`` goes to the peer.
        """


@dataclass(frozen=True, slots=True)
class PskOffer:
    """The psk_identity and psk of a client (RFC 4279).

    Attributes:
        identity: 1 to 255 octets, no NUL.
        key: 1 to 256 octets.
    """

    identity: bytes
    key: Secret = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.identity) <= IDENTITY_MAX_OCTETS or b"\0" in self.identity:
            raise IdentifierError(
                f"{shown(self.identity)} cannot be a psk_identity: "
                f"1 to {IDENTITY_MAX_OCTETS} octets without NUL"
            )


@dataclass(eq=False, slots=True)
class Endpoint:
    """One side's (D)TLS configuration, shared by all its sessions.

    Attributes:
        server: Accepting side (Entity B, MAF, MEF) or initiating side (Entity A, Enrolee).
        psk: Offer or accept the PSK suites (10.2.2).
        certificate: Our own certificate, for the certificate suites (10.2.3).
        verifier: Judges the peer's certificate; required with ``certificate``.
        hide_unknown_identities: Answer an unknown psk_identity with a random key, so that nobody learns which
            identities exist (RFC 4279 clause 5.3); otherwise with the unknown_psk_identity alert.
        suites: A narrower choice of suites, in order of preference.
        requires_extended_master_secret: Refuse a peer with a certificate but without Extended Master Secret
            (RFC 7627): for frameworks that export keys from the session.
    """

    server: bool
    psk: bool = True
    certificate: LocalCredential | None = None
    verifier: Verifier | None = None
    hide_unknown_identities: bool = True
    suites: tuple[Suite, ...] | None = None
    requires_extended_master_secret: bool = False
    _contexts: dict[bool, Context] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.verifier is None):
            raise ConfigurationError(
                "certificates are mutual: give a certificate and what to verify the peer by"
            )
        if not self.allowed_suites:
            raise ConfigurationError("no cipher suite is left: give a pre-shared key, a certificate, or both")
        self._engine()

    @property
    def endpoint(self) -> Endpoint:
        """Itself: a session may belong to nobody but its configuration."""
        return self

    @property
    def allowed_suites(self) -> tuple[Suite, ...]:
        """The suites that this endpoint negotiates, in order of preference."""
        possible = (PSK_SUITES if self.psk else ()) + (CERTIFICATE_SUITES if self.certificate else ())
        return possible if self.suites is None else tuple(suite for suite in self.suites if suite in possible)

    @property
    def takes_raw_public_keys(self) -> bool:
        """May either end show a raw public key (RFC 7250)?"""
        ours = () if self.certificate is None else (self.certificate.certificate_type,)
        theirs = () if self.verifier is None else self.verifier.certificate_types
        return CertificateType.RAW_PUBLIC_KEY in {*ours, *theirs}

    def _engine(self) -> Callable[[Terms], Context]:
        """The one library, or the other where raw public keys take it."""
        if not self.takes_raw_public_keys:
            return OpenSslContext
        from .gnutls import GnuTlsContext  # noqa: PLC0415 - a library of the system, which need not be there
        from .gnutls_library import load  # noqa: PLC0415

        load()
        return GnuTlsContext

    def context(self, *, datagram: bool) -> Context:
        """The engine's context for TLS or DTLS, made once."""
        if datagram not in self._contexts:
            terms = Terms(
                server=self.server,
                datagram=datagram,
                suites=self.allowed_suites,
                credential=self.certificate,
                accepts=frozenset() if self.verifier is None else self.verifier.certificate_types,
            )
            self._contexts[datagram] = self._engine()(terms)
        return self._contexts[datagram]
