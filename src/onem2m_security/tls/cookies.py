"""The stateless cookie exchange of DTLS (RFC 6347 clause 4.2.1).

A client that is not known gets a HelloVerifyRequest with a cookie over its address and its random, and no
memory is spent on it until it has sent the cookie back: a forged sender address never does. The answer is
shorter than the question, so the exchange cannot be used to amplify traffic. Until the cookie is right, the
TLS engine sees nothing of what an unknown sender writes.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final, Generic

from .records import ClientHello, hello_verify_request
from .session import Owner_co, Session

COOKIE_OCTETS: Final = 32


class CookieGate(Generic[Owner_co]):
    """Stands before the sessions of one DTLS port."""

    def __init__(self, make_session: Callable[[], Session[Owner_co]]) -> None:
        """Guard sessions that this function makes (server side, over DatagramFraming)."""
        self._make_session = make_session
        self._secrets = (secrets.token_bytes(32), secrets.token_bytes(32))

    def rotate(self) -> None:
        """Change the secret; cookies under the one before are still taken, older ones are not."""
        self._secrets = (secrets.token_bytes(32), self._secrets[0])

    def receive(
        self, hello: ClientHello, datagram: bytes, address: bytes
    ) -> Session[Owner_co] | bytes | None:
        """A ClientHello of an unknown client.

        Args:
            hello: What was read of it.
            datagram: The datagram that holds it.
            address: Octets that stand for the client's address and port.

        Returns:
            The datagram to answer with; or, once the cookie is right, a session for this client, which must
            be given the datagram again; or None when the engine makes nothing of it.
        """
        if not self._is_taken(hello, address):
            return hello_verify_request(hello, self._cookie(self._secrets[0], hello, address))
        session = self._make_session()
        return session if session.listen(datagram, hello.cookie) else None

    def _is_taken(self, hello: ClientHello, address: bytes) -> bool:
        """Whether it brings a cookie of ours; none is computed for one that brings none."""
        return len(hello.cookie) == COOKIE_OCTETS and any(
            hmac.compare_digest(self._cookie(secret, hello, address), hello.cookie)
            for secret in self._secrets
        )

    def _cookie(self, secret: bytes, hello: ClientHello, address: bytes) -> bytes:
        """The random is of fixed length: no two pairs of random and address make the same octets."""
        return hmac.digest(secret, hello.random + address, "sha256")
