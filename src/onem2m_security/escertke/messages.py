"""The cut of ESCertKE: which TLS 1.2 messages make up each of the four (TS-0003 table 8.7.2.2-1).

Every message is looked at before the TLS engine sees it: exactly the TLS messages of the table, in its order,
nothing before, between or after. Handshake messages may be cut over records or share one (RFC 5246 clause
6.2.1). Lengths are checked before use, sizes are bounded. Nothing is decrypted and nothing is believed here:
what the messages say is for the engine, which also refuses every value that it did not negotiate.

The entries that the table marks with "*" depend on the suite; all suites of clause 10.2.3 with mutual
certificates need every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..alerts import Alert
from ..errors import HandshakeError
from ..tls.records import (
    CONTENT_ALERT,
    CONTENT_CHANGE_CIPHER_SPEC,
    CONTENT_HANDSHAKE,
    HANDSHAKE_CLIENT_HELLO,
    HANDSHAKE_CLIENT_KEY_EXCHANGE,
    HANDSHAKE_SERVER_HELLO,
    RECORD_HEADER_OCTETS,
)

_NAMES: Final = {
    0: "HelloRequest",
    HANDSHAKE_CLIENT_HELLO: "ClientHello",
    HANDSHAKE_SERVER_HELLO: "ServerHello",
    4: "NewSessionTicket",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    HANDSHAKE_CLIENT_KEY_EXCHANGE: "ClientKeyExchange",
    20: "Finished",
    22: "CertificateStatus",
}
_TLS_1_2: Final = b"\x03\x03"
_FRAGMENT_MAX_OCTETS: Final = 1 << 14
_FINISHED_MAX_OCTETS: Final = 512
"""A Finished record: IV or nonce, 16 octets, MAC or tag, at most 255 octets of padding."""

_EXTENDED_MASTER_SECRET: Final = 23
_SUPPORTED_VERSIONS: Final = 43


@dataclass(frozen=True, slots=True)
class _Form:
    """One row of the table: the handshake messages in the clear, and whether CCS and Finished follow."""

    clear: tuple[int, ...]
    finished: bool
    max_octets: int


_FORMS: Final = {
    1: _Form((HANDSHAKE_CLIENT_HELLO,), finished=False, max_octets=8 * 1024),
    2: _Form((HANDSHAKE_SERVER_HELLO, 11, 12, 13, 14), finished=False, max_octets=32 * 1024),
    3: _Form((11, HANDSHAKE_CLIENT_KEY_EXCHANGE, 15), finished=True, max_octets=32 * 1024),
    4: _Form((), finished=True, max_octets=1024),
}

MESSAGE_MAX_OCTETS: Final = max(form.max_octets for form in _FORMS.values())
"""The longest ESCertKE message, in octets: what a transport needs to read at most."""


def check_message(number: int, message: bytes) -> tuple[bytes, ...]:
    """Does this have the form of ESCertKE message ``number``?

    Args:
        number: 1 to 4.
        message: All of it.

    Returns:
        Its handshake messages that are in the clear, each with its header of 4 octets.

    Raises:
        HandshakeError: It has not; ``alert`` is what to tell the peer.
    """
    form = _FORMS[number]
    if len(message) > form.max_octets:
        raise HandshakeError(
            f"message {number} is longer than {form.max_octets} octets", alert=Alert.decode_error
        )
    records = list(_records(number, message))
    count = next((i for i, (kind, _) in enumerate(records) if kind != CONTENT_HANDSHAKE), len(records))
    clear = _check_clear(number, form, b"".join(body for _, body in records[:count]))
    _check_finished(number, form, records[count:])
    return clear


def begins_exchange(message: bytes) -> bool:
    """Is this meant as message 1: does it begin with a ClientHello?"""
    start = RECORD_HEADER_OCTETS
    return message[:1] == bytes((CONTENT_HANDSHAKE,)) and message[start : start + 1] == bytes(
        (HANDSHAKE_CLIENT_HELLO,)
    )


def alert_in(message: bytes) -> Alert | None:
    """The alert, if the message is the peer's refusal: one alert in the clear (RFC 5246 clause 7.2).

    An alert of a kind unknown here is called ``close_notify``: the exchange has ended all the same.
    """
    is_alert = len(message) == RECORD_HEADER_OCTETS + 2 and message[0] == CONTENT_ALERT
    return (Alert.known(message[-1]) or Alert.close_notify) if is_alert else None


def _records(number: int, message: bytes) -> Iterator[tuple[int, bytes]]:
    """The TLS records: content type and body."""
    # A ClientHello's record carries 1.0 or 1.2, as the client likes (RFC 5246 appendix E.1).
    versions = {_TLS_1_2, b"\x03\x01"} if number == 1 else {_TLS_1_2}
    position = 0
    while position < len(message):
        header = message[position : position + RECORD_HEADER_OCTETS]
        position += RECORD_HEADER_OCTETS
        length = int.from_bytes(header[3:5], "big")
        body = message[position : position + length]
        position += length
        if len(header) < RECORD_HEADER_OCTETS or len(body) < length:
            raise HandshakeError(f"message {number} ends within a TLS record", alert=Alert.decode_error)
        if header[1:3] not in versions:
            raise HandshakeError(
                f"message {number} holds a record that is not of TLS 1.2", alert=Alert.protocol_version
            )
        if not 1 <= length <= _FRAGMENT_MAX_OCTETS:
            raise HandshakeError(
                f"message {number} holds a record of {length} octets", alert=Alert.record_overflow
            )
        yield header[0], body


def _check_clear(number: int, form: _Form, handshake: bytes) -> tuple[bytes, ...]:
    """The handshake messages before ChangeCipherSpec: exactly those of the table."""
    found: list[bytes] = []
    position = 0
    while position < len(handshake):
        kind = handshake[position]
        expected = form.clear[len(found)] if len(found) < len(form.clear) else None
        if kind != expected:
            raise _unexpected(number, kind, expected)
        body = position + 4
        end = body + int.from_bytes(handshake[position + 1 : body], "big")
        if body > len(handshake) or end > len(handshake):
            raise HandshakeError(
                f"message {number} ends within its {_name(kind)}: a part of it is missing",
                alert=Alert.decode_error,
            )
        if kind in {HANDSHAKE_CLIENT_HELLO, HANDSHAKE_SERVER_HELLO}:
            _check_hello(kind, handshake[body:end])
        found.append(handshake[position:end])
        position = end
    if len(found) < len(form.clear):
        raise HandshakeError(
            f"message {number} ends where {_name(form.clear[len(found)])} is expected",
            alert=Alert.unexpected_message,
        )
    return tuple(found)


def _check_finished(number: int, form: _Form, records: list[tuple[int, bytes]]) -> None:
    """ChangeCipherSpec, then one protected record with the Finished; or nothing."""
    if not form.finished:
        if records:
            raise HandshakeError(
                f"message {number} holds more than its handshake messages", alert=Alert.unexpected_message
            )
        return
    kinds = [kind for kind, _ in records]
    if kinds != [CONTENT_CHANGE_CIPHER_SPEC, CONTENT_HANDSHAKE] or records[0][1] != b"\1":
        raise HandshakeError(
            f"message {number} does not end with ChangeCipherSpec and Finished alone",
            alert=Alert.unexpected_message,
        )
    if len(records[1][1]) > _FINISHED_MAX_OCTETS:
        raise HandshakeError(
            f"message {number} ends with more than a Finished: a record of {len(records[1][1])} octets",
            alert=Alert.decode_error,
        )


def _check_hello(kind: int, body: bytes) -> None:
    """TLS 1.2 and nothing else, with Extended Master Secret, without which no key may be exported."""
    name = _name(kind)
    extensions = _extensions(kind, body)
    versions = extensions.get(_SUPPORTED_VERSIONS)
    if body[:2] != _TLS_1_2 or (versions is not None and versions != b"\2" + _TLS_1_2):
        raise HandshakeError(
            f"{name} speaks of another version than TLS 1.2: ESCertKE is TLS 1.2, offer nothing else",
            alert=Alert.protocol_version,
        )
    if _EXTENDED_MASTER_SECRET not in extensions:
        raise HandshakeError(
            f"{name} lacks Extended Master Secret (RFC 7627), without which no key is exported",
            alert=Alert.handshake_failure,
        )


def _extensions(kind: int, body: bytes) -> dict[int, bytes]:
    """The extensions of a ClientHello or a ServerHello (RFC 5246 clauses 7.4.1.2 to 7.4.1.4)."""
    reader = Reader(_name(kind), body)
    reader.take(2 + 32)  # version, random
    reader.vector(1)  # session_id
    if kind == HANDSHAKE_CLIENT_HELLO:
        reader.vector(2)  # cipher_suites
        reader.vector(1)  # compression_methods
    else:
        reader.take(2 + 1)  # cipher_suite, compression_method
    found: dict[int, bytes] = {}
    if not reader.left:
        return found
    listed = Reader(_name(kind), reader.vector(2))
    reader.end()
    while listed.left:
        extension = int.from_bytes(listed.take(2), "big")
        if extension in found:
            raise HandshakeError(f"{_name(kind)} holds an extension twice", alert=Alert.decode_error)
        found[extension] = listed.vector(2)
    return found


class Reader:
    """Takes octets from the front, never more than there are."""

    def __init__(self, name: str, octets: bytes) -> None:
        """Read the octets of a message of this name."""
        self._name = name
        self._octets = octets
        self._position = 0

    @property
    def left(self) -> int:
        """How many are left."""
        return len(self._octets) - self._position

    def take(self, count: int) -> bytes:
        """So many octets.

        Raises:
            HandshakeError: There are fewer.
        """
        if count > self.left:
            raise HandshakeError(f"{self._name} is malformed", alert=Alert.decode_error)
        self._position += count
        return self._octets[self._position - count : self._position]

    def vector(self, length_octets: int) -> bytes:
        """A vector with a length of so many octets in front of it (RFC 5246 clause 4.3)."""
        return self.take(int.from_bytes(self.take(length_octets), "big"))

    def end(self) -> None:
        """There must be no more.

        Raises:
            HandshakeError: There are.
        """
        if self.left:
            raise HandshakeError(f"{self._name} is malformed", alert=Alert.decode_error)


def _unexpected(number: int, kind: int, expected: int | None) -> HandshakeError:
    place = "after its end" if expected is None else f"where {_name(expected)} is expected"
    return HandshakeError(f"message {number} holds {_name(kind)} {place}", alert=Alert.unexpected_message)


def _name(kind: int) -> str:
    return _NAMES.get(kind, f"handshake message {kind}")
