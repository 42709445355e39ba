"""CoAP messages (RFC 7252 clause 3), read from a stranger's octets with the options that are known here.

aiocoap would take any option of any length, and remembers for good each number and each content format that
it has ever seen. What passes here has known options of the defined lengths only; the rest is ignored or
refused, as RFC 7252 clauses 5.4.1 to 5.4.5 say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiocoap
from aiocoap import error
from aiocoap.message import Direction
from aiocoap.numbers.constants import TransportTuning
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.numbers.types import Type
from aiocoap.optiontypes import BlockOption, OpaqueOption, StringOption, UintOption

EXCHANGE_SECONDS: Final = 247.0
"""EXCHANGE_LIFETIME (RFC 7252 clause 4.8.2): after that a peer may use a Message ID for something else."""

# TS-0008 table 6.2.2.4.0-1
FROM: Final = OptionNumber(279)
REQUEST_ID: Final = OptionNumber(283)
RESPONSE_STATUS: Final = OptionNumber(307)
RESOURCE_TYPE: Final = OptionNumber(267)
RELEASE_VERSION_INDICATOR: Final = OptionNumber(271)

_VERSION: Final = 1
_HEADER_OCTETS: Final = 4
_TOKEN_MAX_OCTETS: Final = 8
_PAYLOAD_MARKER: Final = 0xFF


@dataclass(frozen=True, slots=True)
class _Option:
    """What is known of an option: its format, its longest value in octets, and whether it may be repeated."""

    format: type[StringOption | UintOption | OpaqueOption | BlockOption]
    octets: int
    repeatable: bool = False


_TEXT: Final = _Option(StringOption, 255)
_NUMBER: Final = _Option(UintOption, 2)
_TEXTS: Final = _Option(StringOption, 255, repeatable=True)
_KNOWN: Final = {
    # RFC 7252 table 4; conditions (If-Match, If-None-Match) are not offered.
    OptionNumber.URI_HOST: _TEXT,
    OptionNumber.URI_PORT: _NUMBER,
    OptionNumber.LOCATION_PATH: _TEXTS,
    OptionNumber.URI_PATH: _TEXTS,
    OptionNumber.URI_QUERY: _TEXTS,
    OptionNumber.CONTENT_FORMAT: _NUMBER,
    OptionNumber.ACCEPT: _NUMBER,
    OptionNumber.PROXY_URI: _Option(OpaqueOption, 1034),
    OptionNumber.PROXY_SCHEME: _Option(OpaqueOption, 255),
    # RFC 7959 clause 2.1, RFC 9175 clause 3.2
    OptionNumber.BLOCK1: _Option(BlockOption, 3),
    OptionNumber.BLOCK2: _Option(BlockOption, 3),
    OptionNumber.SIZE1: _Option(UintOption, 4),
    OptionNumber.SIZE2: _Option(UintOption, 4),
    OptionNumber.REQUEST_TAG: _Option(OpaqueOption, 8, repeatable=True),
    # TS-0008 table 6.2.2.4.0-1: OT, RTURI, ASRI, RQET, RSET, OET, GID, ATI, VSI, GTM, AUS; EC, CTO, CTS
    **dict.fromkeys(map(OptionNumber, (FROM, REQUEST_ID, RELEASE_VERSION_INDICATOR)), _TEXT),
    **dict.fromkeys(map(OptionNumber, (259, 263, 275, 291, 295, 299, 311, 327, 331, 339)), _TEXT),
    OptionNumber(335): _Option(StringOption, 512),
    **dict.fromkeys(
        map(OptionNumber, (RESPONSE_STATUS, RESOURCE_TYPE, 303, 319, 323)), _Option(UintOption, 2)
    ),
}
for _number in (FROM, REQUEST_ID, RELEASE_VERSION_INDICATOR, RESPONSE_STATUS, RESOURCE_TYPE):
    _number.format = _KNOWN[_number].format

_PROXYING: Final = {OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME}

Refusal: TypeAlias = error.ConstructionRenderableError


class _Tuning(TransportTuning):
    """aiocoap remembers no message of a peer: repetitions are met before it, within bounds."""

    EXCHANGE_LIFETIME = 0.0


_TUNING: Final = _Tuning()


def read_message(data: bytes, remote: object) -> tuple[Any, Refusal | None]:
    """Read a CoAP message.

    Args:
        data: A datagram's content.
        remote: Whose it is.

    Returns:
        The message, and how to refuse it if it is a request: 5.05 when it is meant for a proxy, 4.02 for a
        critical option that is not known, too long or not of its form. An elective one is left out.

    Raises:
        aiocoap.error.UnparsableMessage: It is no CoAP message.
    """
    token_octets = data[0] & 0x0F if data else 0
    start = _HEADER_OCTETS + token_octets
    if len(data) < start or not data or data[0] >> 6 != _VERSION or token_octets > _TOKEN_MAX_OCTETS:
        raise error.UnparsableMessage
    message = aiocoap.Message(code=data[1], transport_tuning=_TUNING)
    message.mtype = Type(data[0] >> 4 & 3)
    message.mid = int.from_bytes(data[2:_HEADER_OCTETS], "big")
    message.token = data[_HEADER_OCTETS:start]
    message.remote = remote
    message.direction = Direction.INCOMING
    options, message.payload = _split(data[start:])
    refused = [number for number, value in options if not _add(message, number, value) and number & 1]
    if not _PROXYING.isdisjoint(number for number, _ in options):
        return message, error.ProxyingNotSupported("this is no proxy")
    if refused:
        return message, error.BadOption(f"option {refused[0]} is not supported, or not with this value")
    return message, None


def _split(rest: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The options, by number and value, and the payload (RFC 7252 clause 3.1)."""
    options: list[tuple[int, bytes]] = []
    number = position = 0
    while position < len(rest):
        first, position = rest[position], position + 1
        if first == _PAYLOAD_MARKER:
            if position == len(rest):
                raise error.UnparsableMessage
            return options, rest[position:]
        delta, position = _extended(first >> 4, rest, position)
        octets, position = _extended(first & 0x0F, rest, position)
        number += delta
        if position + octets > len(rest) or number > 0xFFFF:
            raise error.UnparsableMessage
        options.append((number, rest[position : position + octets]))
        position += octets
    return options, b""


def _extended(field: int, rest: bytes, position: int) -> tuple[int, int]:
    """An option's delta or length, and where it ends."""
    more = {13: 1, 14: 2}.get(field, 0)
    if field == 15 or position + more > len(rest):
        raise error.UnparsableMessage
    base = {13: 13, 14: 269}.get(field, field)
    return base + int.from_bytes(rest[position : position + more], "big"), position + more


def _add(message: Any, number: int, value: bytes) -> bool:
    """Add an option to the message if it is known, in its form and not one too many."""
    known = _KNOWN.get(number)
    if known is None or len(value) > known.octets:
        return False
    if message.opt.get_option(number) and not known.repeatable:
        return False
    option = known.format(OptionNumber(number))
    try:
        option.decode(value)
    except UnicodeDecodeError:
        return False
    message.opt.add_option(option)
    return True


def text_option(message: Any, number: OptionNumber) -> str:
    """The value of a text option; empty when it is not there."""
    found = message.opt.get_option(number)
    return str(found[0].value)[:255] if found else ""


def number_option(message: Any, number: OptionNumber) -> int | None:
    """The value of a number option; None when it is not there."""
    found = message.opt.get_option(number)
    return int(found[0].value) if found else None
