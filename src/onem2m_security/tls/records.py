"""TLS and DTLS records and handshake messages, as far as they must be looked at from outside the engine.

RFC 5246 clause 6.2, RFC 6347 clauses 4.1 and 4.2. Only plaintext is read here, nothing is trusted, and every
length is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

CONTENT_CHANGE_CIPHER_SPEC: Final = 20
CONTENT_ALERT: Final = 21
CONTENT_HANDSHAKE: Final = 22
CONTENT_APPLICATION_DATA: Final = 23

HANDSHAKE_CLIENT_HELLO: Final = 1
HANDSHAKE_SERVER_HELLO: Final = 2
HANDSHAKE_HELLO_VERIFY_REQUEST: Final = 3
HANDSHAKE_CERTIFICATE: Final = 11
HANDSHAKE_CLIENT_KEY_EXCHANGE: Final = 16

RECORD_HEADER_OCTETS: Final = 5
RECORD_MAX_OCTETS: Final = RECORD_HEADER_OCTETS + (1 << 14) + 2048
"""The longest TLSCiphertext record (RFC 5246 clause 6.2.3), in octets."""

DATAGRAM_RECORD_HEADER_OCTETS: Final = 13
"""Type, version, epoch (2), sequence number (6), length (RFC 6347 clause 4.1)."""

DATAGRAM_MAX_OCTETS: Final = DATAGRAM_RECORD_HEADER_OCTETS + (1 << 14) + 2048
"""The longest datagram that is looked at: one record of the greatest length."""

EXTENSION_EXTENDED_MASTER_SECRET: Final = 23

_MESSAGE_HEADER_OCTETS: Final = 4
_FRAGMENT_HEADER_OCTETS: Final = 12
_ALERT_OCTETS: Final = 2
_FATAL: Final = 2
_TLS_1_2: Final = b"\x03\x03"
_DTLS_1_2: Final = b"\xfe\xfd"
_DTLS_1_0: Final = b"\xfe\xff"
_CLIENT_HELLO_START: Final = Struct(">xBxH6sHB3s2x3s3s2x32sB")
"""Record header, message header, client_version, random and the length of session_id."""


def take_record(buffer: bytearray) -> bytes | None:
    """Remove the first whole TLS record from the buffer; None when it is not there yet.

    Octets that are no TLS record (unknown content type, impossible length) are returned as they are, all of
    them: the engine gives the right answer to those.
    """
    if len(buffer) < RECORD_HEADER_OCTETS:
        return None
    length = RECORD_HEADER_OCTETS + int.from_bytes(buffer[3:5], "big")
    is_record = (
        CONTENT_CHANGE_CIPHER_SPEC <= buffer[0] <= CONTENT_APPLICATION_DATA and buffer[1] == _TLS_1_2[0]
    )
    if not is_record or length > RECORD_MAX_OCTETS:
        length = len(buffer)
    if len(buffer) < length:
        return None
    record = bytes(buffer[:length])
    del buffer[:length]
    return record


def handshake_body(record: bytes) -> bytes:
    """What a TLS record carries."""
    return record[RECORD_HEADER_OCTETS:]


def alert_record(code: int) -> bytes:
    """A fatal alert in the clear, as a TLS record."""
    return bytes((CONTENT_ALERT, *_TLS_1_2, 0, _ALERT_OCTETS, _FATAL, code))


def split_datagram(octets: bytes) -> Iterator[bytes]:
    """The DTLS records in a run of octets; what is no record ends the iteration."""
    position = 0
    while position + DATAGRAM_RECORD_HEADER_OCTETS <= len(octets):
        body = position + DATAGRAM_RECORD_HEADER_OCTETS
        end = body + int.from_bytes(octets[body - 2 : body], "big")
        if end > len(octets):
            return
        yield octets[position:end]
        position = end


def epoch_of(record: bytes) -> int:
    """The epoch of a DTLS record: 0 in the clear, 1 after ChangeCipherSpec; 0 for less than a header."""
    return int.from_bytes(record[3:5], "big")


def sequence_of(record: bytes) -> int:
    """The sequence number of a DTLS record within its epoch."""
    return int.from_bytes(record[5:11], "big")


def message_sequence_of(record: bytes) -> int:
    """The message_seq of the handshake message that a DTLS record in the clear begins with."""
    start = DATAGRAM_RECORD_HEADER_OCTETS + 4
    return int.from_bytes(record[start : start + 2], "big")


def datagram_alert(code: int, sequence: int) -> bytes:
    """A fatal alert in the clear, as a DTLS record of epoch 0 with this sequence number."""
    header = bytes((CONTENT_ALERT, *_DTLS_1_2, 0, 0)) + sequence.to_bytes(6, "big")
    return header + bytes((0, _ALERT_OCTETS, _FATAL, code))


@dataclass(frozen=True, slots=True)
class DatagramFragment:
    """A piece of a DTLS handshake message (RFC 6347 clause 4.2.2)."""

    message_type: int
    message_length: int
    message_sequence: int
    offset: int
    body: bytes


def datagram_fragments(datagram: bytes) -> Iterator[DatagramFragment]:
    """The handshake fragments in the clear that a datagram carries."""
    for record in split_datagram(datagram):
        if record[0] == CONTENT_HANDSHAKE and epoch_of(record) == 0:
            yield from _fragments(record[DATAGRAM_RECORD_HEADER_OCTETS:])


def _fragments(body: bytes) -> Iterator[DatagramFragment]:
    while len(body) >= _FRAGMENT_HEADER_OCTETS:
        length = int.from_bytes(body[9:12], "big")
        piece = body[_FRAGMENT_HEADER_OCTETS : _FRAGMENT_HEADER_OCTETS + length]
        if len(piece) < length:
            return
        yield DatagramFragment(
            message_type=body[0],
            message_length=int.from_bytes(body[1:4], "big"),
            message_sequence=int.from_bytes(body[4:6], "big"),
            offset=int.from_bytes(body[6:9], "big"),
            body=piece,
        )
        body = body[_FRAGMENT_HEADER_OCTETS + length :]


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What is read of a ClientHello before its sender has proven its address (RFC 6347 clause 4.2.1).

    Attributes:
        random: 32 octets; a ClientHello and its repetition with a cookie have the same.
        cookie: Empty in the first one.
        record_sequence: The 6 octets that the answer must carry too.
    """

    random: bytes
    cookie: bytes
    record_sequence: bytes


def client_hello(datagram: bytes) -> ClientHello | None:
    """The whole, unfragmented ClientHello in the clear that a datagram begins with; None if it has none.

    This runs for every datagram of everybody, so it reads fixed places instead of the general structure.
    """
    if len(datagram) < _CLIENT_HELLO_START.size or datagram[0] != CONTENT_HANDSHAKE:
        return None
    (
        major,
        epoch,
        sequence,
        record_length,
        message_type,
        length,
        offset,
        fragment_length,
        random,
        id_length,
    ) = _CLIENT_HELLO_START.unpack_from(datagram)
    if major != _DTLS_1_2[0] or epoch or message_type != HANDSHAKE_CLIENT_HELLO:
        return None
    if any(offset) or length != fragment_length or _octets(length) + _FRAGMENT_HEADER_OCTETS > record_length:
        return None
    end = DATAGRAM_RECORD_HEADER_OCTETS + _FRAGMENT_HEADER_OCTETS + _octets(length)
    cookie_start = _CLIENT_HELLO_START.size + id_length + 1
    if end > len(datagram) or cookie_start > end:
        return None
    cookie = datagram[cookie_start : cookie_start + datagram[cookie_start - 1]]
    if cookie_start + datagram[cookie_start - 1] > end:
        return None
    return ClientHello(random, cookie, sequence)


def hello_verify_request(hello: ClientHello, cookie: bytes) -> bytes:
    """The datagram that asks the sender of a ClientHello to return this cookie (RFC 6347 clause 4.2.1).

    It names DTLS 1.0, as that clause advises for every server.
    """
    body = _DTLS_1_0 + bytes((len(cookie),)) + cookie
    length = len(body).to_bytes(3, "big")
    message = bytes((HANDSHAKE_HELLO_VERIFY_REQUEST,)) + length + bytes(5) + length + body
    header = bytes((CONTENT_HANDSHAKE,)) + _DTLS_1_0 + bytes(2) + hello.record_sequence
    return header + len(message).to_bytes(2, "big") + message


def server_hello_extensions(body: bytes) -> frozenset[int]:
    """The numbers of the extensions in a ServerHello without its header; what is no extension ends them."""
    found = set()
    # After the session_id (at 34) come the suite and compression_method, then the length of the extensions.
    position = 35 + (body[34] if len(body) > 34 else 0) + 5
    while position + 4 <= len(body):
        found.add(int.from_bytes(body[position : position + 2], "big"))
        position += 4 + int.from_bytes(body[position + 2 : position + 4], "big")
    return frozenset(found)


def certificate_list(body: bytes) -> list[bytes]:
    """The certificates in a Certificate message without its header (RFC 5246 clause 7.4.2)."""
    chain, position = [], 3
    while position + 3 <= len(body):
        length = int.from_bytes(body[position : position + 3], "big")
        chain.append(body[position + 3 : position + 3 + length])
        position += 3 + length
    return chain


def _octets(length: bytes) -> int:
    return int.from_bytes(length, "big")


def server_hello_suite(flight: bytes, *, datagram: bool) -> int | None:
    """The code of the suite in the ServerHello with which a flight of our own begins; None if it has none."""
    if datagram:
        first = next(datagram_fragments(flight), None)
        if first is None or first.message_type != HANDSHAKE_SERVER_HELLO or first.offset:
            return None
        body = first.body
    else:
        if flight[:1] != bytes((CONTENT_HANDSHAKE,)) or flight[5:6] != bytes((HANDSHAKE_SERVER_HELLO,)):
            return None
        body = flight[RECORD_HEADER_OCTETS + _MESSAGE_HEADER_OCTETS :]
    return server_hello_code(body)


def server_hello_code(body: bytes) -> int | None:
    """The code of the suite in a ServerHello without its header; None if it ends before."""
    session_id_end = 35 + body[34] if len(body) > 34 else 0  # after server_version (2) and random (32)
    code = body[session_id_end : session_id_end + 2]
    return int.from_bytes(code, "big") if session_id_end and len(code) == 2 else None
