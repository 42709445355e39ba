"""What one end learns of its peer's certificates in the middle of a handshake, and what it makes of them."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from ..alerts import Alert
from ..errors import CertificateRejectedError, HandshakeError
from .endpoint import Endpoint, PeerIdentity
from .records import EXTENSION_EXTENDED_MASTER_SECRET, server_hello_extensions


class Judgement(abc.ABC):
    """The part of a session that judges its peer: some of what an engine asks (``engine.CallbackTarget``).

    Attributes:
        verified_peer: What the verifier said of the peer's certificate, or None.
    """

    def __init__(self) -> None:
        """Nothing was received yet."""
        self.verified_peer: PeerIdentity | None = None
        self._received_chain: Sequence[bytes] = ()
        self._rejection: CertificateRejectedError | None = None
        self._failure: HandshakeError | None = None
        self._binds_handshake = False

    @property
    @abc.abstractmethod
    def endpoint(self) -> Endpoint:
        """The configuration in force."""

    def server_hello_seen(self, body: bytes) -> None:
        """Note whether Extended Master Secret is agreed on: the engine tells it only after the handshake."""
        self._binds_handshake = EXTENSION_EXTENDED_MASTER_SECRET in server_hello_extensions(body)

    def peer_certificates_received(self, chain: Sequence[bytes]) -> None:
        """Keep the peer's Certificate message for the verifier."""
        self._received_chain = chain

    def verify_peer(self) -> Alert | None:
        """Ask the verifier once; its answer holds for every certificate of the chain."""
        if self.endpoint.requires_extended_master_secret and not self._binds_handshake:
            self._failure = HandshakeError(
                "the peer does not do Extended Master Secret (RFC 7627): without it no key is exported from "
                "a session by certificate",
                alert=Alert.handshake_failure,
            )
            return self._failure.alert
        if self._rejection is None and self.verified_peer is None and self.endpoint.verifier is not None:
            try:
                self.verified_peer = self.endpoint.verifier.verify(
                    self._received_chain, server=not self.endpoint.server
                )
            except CertificateRejectedError as rejection:
                self._rejection = rejection
        if self._rejection is not None:
            return self._rejection.alert
        return None if self.verified_peer is not None else Alert.certificate_unknown

    def verify_again(self) -> None:
        """Have the peer's certificates judged once more: what was accepted may have been revoked since.

        Raises:
            CertificateRejectedError: They would not be accepted now.
        """
        if self.verified_peer is not None and self.endpoint.verifier is not None:
            self.verified_peer = self.endpoint.verifier.verify(
                self._received_chain, server=not self.endpoint.server
            )
