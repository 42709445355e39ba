"""The stateless cookie exchange of DTLS (RFC 6347 clause 4.2.1).

A client that is not known gets a HelloVerifyRequest with a cookie over its address, and no memory is spent on
it until it has sent the cookie back: a forged sender address never does. The answer is shorter than the
question, so the exchange cannot be used to amplify traffic.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from .binding import Listening
from .records import is_client_hello
from .session import Session

COOKIE_OCTETS = 32


class CookieGate:
    """Stands before the sessions of one DTLS port.

    One listening session serves all unknown clients; the client that returns its cookie takes it over, and a
    new one stands in its place.
    """

    def __init__(self, make_session: Callable[[], Session]) -> None:
        """Guard sessions that this function makes (server side, over DatagramFraming)."""
        self._make_session = make_session
        self._secrets = (secrets.token_bytes(32), secrets.token_bytes(32))
        self._listening: Session | None = None

    def rotate(self) -> None:
        """Change the secret; cookies under the one before are still taken, older ones are not."""
        self._secrets = (secrets.token_bytes(32), self._secrets[0])

    def receive(self, datagram: bytes, address: bytes) -> tuple[Session | None, list[bytes]]:
        """A datagram of an unknown client, with the octets that stand for its address and port.

        Returns:
            The client's own session once its cookie is right, which then takes the datagram again, and the
            datagrams to send.
        """
        if not is_client_hello(datagram):
            return None, []
        if self._listening is None:
            self._listening = self._make_session()
        session = self._listening
        generated = hmac.digest(self._secrets[0], address, "sha256")
        accepted = (generated, hmac.digest(self._secrets[1], address, "sha256"))
        verdict = session.listen(datagram, generated, accepted)
        if verdict is Listening.ASKED:
            return None, session.datagrams_to_send()
        self._listening = None
        return (session if verdict is Listening.PROVEN else None), []
