"""Reads the psk_identity from the client's second flight before the TLS engine sees it.

In (D)TLS 1.2 the ClientKeyExchange travels in the clear, and for PSK key exchanges it begins with the
psk_identity (RFC 4279 clause 2). Reading it here lets a resolver be awaited in the middle of the handshake,
which the engine's own callback cannot do. Nothing read here is trusted: what cannot be parsed goes to the
engine, which rejects it with the right alert, and the engine's callback checks that it saw the same identity.

The readers are told the chosen suite by the ServerHello that our own side has written.
"""

from __future__ import annotations

import abc
from typing import Final

from ..texts import IDENTITY_MAX_OCTETS
from .records import (
    CONTENT_HANDSHAKE,
    HANDSHAKE_CLIENT_KEY_EXCHANGE,
    DatagramFragment,
    datagram_fragments,
    handshake_body,
    server_hello_suite,
)
from .suites import BY_CODE, Suite

_LENGTH_OCTETS: Final = 2
_MESSAGE_HEADER_OCTETS: Final = 4
_KEY_EXCHANGE_MAX_OCTETS: Final = _LENGTH_OCTETS + IDENTITY_MAX_OCTETS + 1 + 255
"""The longest ClientKeyExchange that is looked at: an identity, and an ECDH public key."""


class PskIdentityReader(abc.ABC):
    """Watches one server-side handshake for the client's psk_identity.

    Attributes:
        suite: The suite that our side chose, once it has.
        finished: Nothing more is to be learned; the rest goes to the engine unread.
    """

    def __init__(self) -> None:
        self.suite: Suite | None = None
        self.finished = False

    @staticmethod
    def over(*, datagram: bool) -> PskIdentityReader:
        """The reader for DTLS, or for TLS."""
        return DatagramIdentityReader() if datagram else StreamIdentityReader()

    @abc.abstractmethod
    def read(self, unit: bytes) -> bytes | None:
        """Look at one unit of the client: a whole record, or a datagram.

        Returns:
            The psk_identity, once it is complete.
        """

    def wrote(self, octets: bytes, *, datagram: bool) -> None:
        """Take note of a flight of our own side."""
        if self.suite is not None or self.finished:
            return
        code = server_hello_suite(octets, datagram=datagram)
        if code is not None:
            self.suite = BY_CODE.get(code)
            self.finished = self.suite is None or not self.suite.key_exchange.uses_psk


class StreamIdentityReader(PskIdentityReader):
    """The reader for TLS: takes whole records, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._handshake = bytearray()

    def read(self, unit: bytes) -> bytes | None:
        """Look at one whole record of the client; return the psk_identity once it is complete."""
        if self.suite is None or self.finished:
            return None
        self._handshake += handshake_body(unit)
        message = self._handshake
        if unit[0] != CONTENT_HANDSHAKE or (message and message[0] != HANDSHAKE_CLIENT_KEY_EXCHANGE):
            self.finished = True
            return None
        if len(message) < _MESSAGE_HEADER_OCTETS:
            return None
        announced = int.from_bytes(message[1:_MESSAGE_HEADER_OCTETS], "big")
        return self._identity(bytes(message[_MESSAGE_HEADER_OCTETS:]), announced)

    def _identity(self, body: bytes, announced: int) -> bytes | None:
        """The identity at the beginning of a ClientKeyExchange of the announced length, once it is there."""
        if len(body) < _LENGTH_OCTETS:
            return None
        length = int.from_bytes(body[:_LENGTH_OCTETS], "big")
        if length > IDENTITY_MAX_OCTETS or _LENGTH_OCTETS + length > announced:
            self.finished = True
            return None
        if len(body) < _LENGTH_OCTETS + length:
            return None
        self.finished = True
        return body[_LENGTH_OCTETS : _LENGTH_OCTETS + length]


class DatagramIdentityReader(PskIdentityReader):
    """The reader for DTLS: the message may come in pieces, twice, or out of order (RFC 6347 4.2.3)."""

    def __init__(self) -> None:
        super().__init__()
        self._body = bytearray()
        self._present = bytearray()

    def read(self, unit: bytes) -> bytes | None:
        """Look at one datagram of the client; return the psk_identity once it is complete."""
        if self.suite is None or self.finished:
            return None
        for fragment in datagram_fragments(unit):
            if fragment.message_type == HANDSHAKE_CLIENT_KEY_EXCHANGE:
                self._add(fragment)
        return self._identity()

    def _add(self, fragment: DatagramFragment) -> None:
        if not self._body:
            if fragment.message_length > _KEY_EXCHANGE_MAX_OCTETS:
                self.finished = True
                return
            self._body = bytearray(fragment.message_length)
            self._present = bytearray(fragment.message_length)
        end = fragment.offset + len(fragment.body)
        if fragment.message_length == len(self._body) and end <= len(self._body):
            self._body[fragment.offset : end] = fragment.body
            self._present[fragment.offset : end] = b"\1" * len(fragment.body)

    def _identity(self) -> bytes | None:
        if self.finished or len(self._body) < _LENGTH_OCTETS or not all(self._present[:_LENGTH_OCTETS]):
            return None
        end = _LENGTH_OCTETS + int.from_bytes(self._body[:_LENGTH_OCTETS], "big")
        if end > len(self._body) or end > _LENGTH_OCTETS + IDENTITY_MAX_OCTETS:
            self.finished = True
            return None
        if not all(self._present[:end]):
            return None
        self.finished = True
        return bytes(self._body[_LENGTH_OCTETS:end])
