"""Reads the psk_identity from the client's second flight before the TLS engine sees it.

In TLS 1.2 the ClientKeyExchange travels in the clear, and for PSK key exchanges it begins with the
psk_identity (RFC 4279 clause 2). Reading it here lets a resolver be awaited in the middle of the handshake,
which the engine's own callback cannot do. Nothing read here is trusted: what cannot be parsed goes to the
engine, which rejects it with the right alert, and the engine's callback checks that it saw the same identity.

The reader takes whole records. It learns the chosen suite from the ServerHello that our own side has written.
"""

from __future__ import annotations

from typing import Final

from ..identifiers import IDENTITY_MAX_OCTETS
from .suites import BY_CODE, Suite

RECORD_HEADER_OCTETS: Final = 5
RECORD_MAX_OCTETS: Final = RECORD_HEADER_OCTETS + (1 << 14) + 2048
"""The longest TLSCiphertext record (RFC 5246 clause 6.2.3), in octets."""

CONTENT_CHANGE_CIPHER_SPEC: Final = 20
CONTENT_ALERT: Final = 21
CONTENT_HANDSHAKE: Final = 22
CONTENT_APPLICATION_DATA: Final = 23

HANDSHAKE_SERVER_HELLO: Final = 2
HANDSHAKE_CLIENT_KEY_EXCHANGE: Final = 16
_HANDSHAKE_HEADER_OCTETS: Final = 4


def take_record(buffer: bytearray) -> bytes | None:
    """Remove the first whole TLS record from the buffer; None when it is not there yet.

    Octets that are no TLS record (unknown content type, impossible length) are returned as they are, all of
    them: the engine gives the right answer to those.
    """
    if len(buffer) < RECORD_HEADER_OCTETS:
        return None
    length = RECORD_HEADER_OCTETS + int.from_bytes(buffer[3:5], "big")
    is_record = CONTENT_CHANGE_CIPHER_SPEC <= buffer[0] <= CONTENT_APPLICATION_DATA and buffer[1] == 3
    if not is_record or length > RECORD_MAX_OCTETS:
        length = len(buffer)
    if len(buffer) < length:
        return None
    record = bytes(buffer[:length])
    del buffer[:length]
    return record


def chosen_suite(server_flight: bytes) -> Suite | None:
    """The suite in the ServerHello with which our own first flight begins; None if it begins otherwise."""
    body = server_flight[RECORD_HEADER_OCTETS:]
    if not server_flight or server_flight[0] != CONTENT_HANDSHAKE or body[0] != HANDSHAKE_SERVER_HELLO:
        return None
    return _suite_in_server_hello(body[_HANDSHAKE_HEADER_OCTETS:])


def _suite_in_server_hello(body: bytes) -> Suite | None:
    session_id_length = body[34]  # after server_version (2) and random (32)
    return BY_CODE.get(int.from_bytes(body[35 + session_id_length : 37 + session_id_length], "big"))


class PskIdentityReader:
    """Watches one server-side TLS handshake for the client's psk_identity.

    Attributes:
        finished: Nothing more is to be learned; the rest goes to the engine unread.
    """

    def __init__(self) -> None:
        self.finished = False
        self._suite: Suite | None = None
        self._handshake = bytearray()

    def wrote(self, flight: bytes) -> None:
        """Take note of octets that our own side writes."""
        if self._suite is None and not self.finished and flight and flight[0] == CONTENT_HANDSHAKE:
            self._suite = chosen_suite(flight)
            self.finished = self._suite is None or not self._suite.key_exchange.uses_psk

    def read(self, record: bytes) -> bytes | None:
        """Look at one whole record of the client; return the psk_identity once it is complete."""
        if self._suite is None or self.finished:
            return None
        if record[0] != CONTENT_HANDSHAKE:
            self.finished = True
            return None
        self._handshake += record[RECORD_HEADER_OCTETS:]
        return self._identity()

    def _identity(self) -> bytes | None:
        message = self._handshake
        if message and message[0] != HANDSHAKE_CLIENT_KEY_EXCHANGE:
            self.finished = True
            return None
        start = _HANDSHAKE_HEADER_OCTETS + 2
        if len(message) < start:
            return None
        length = int.from_bytes(message[_HANDSHAKE_HEADER_OCTETS:start], "big")
        if length > IDENTITY_MAX_OCTETS or length + 2 > int.from_bytes(message[1:4], "big"):
            self.finished = True
            return None
        if len(message) < start + length:
            return None
        self.finished = True
        return bytes(message[start : start + length])
