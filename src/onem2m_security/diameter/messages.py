"""Diameter messages, as far as Zh and Zn need them (RFC 6733; TS 29.109 clauses 4 to 6).

Octets to AVPs and back with python-diameter's codec. Values are read strictly and bounded. This module never
opens a socket, and decides nothing.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from diameter.message import Message  # type: ignore[import-untyped]
from diameter.message.avp import Avp  # type: ignore[import-untyped]
from diameter.message.avp.errors import AvpDecodeError  # type: ignore[import-untyped]
from diameter.message.packer import Error as PackerError  # type: ignore[import-untyped]

from ..errors import MessageError
from ..identifiers import Fqdn

MESSAGE_MAX_OCTETS: Final = 1 << 16
HEADER_OCTETS: Final = 20

APPLICATION_BASE: Final = 0
APPLICATION_ZN: Final = 16777220
APPLICATION_ZH: Final = 16777221
VENDOR_3GPP: Final = 10415

CAPABILITIES_EXCHANGE: Final = 257
DEVICE_WATCHDOG: Final = 280
DISCONNECT_PEER: Final = 282
MULTIMEDIA_AUTH: Final = 303
BOOTSTRAPPING_INFO: Final = 310

SUCCESS: Final = 2001
COMMAND_UNSUPPORTED: Final = 3001
UNABLE_TO_DELIVER: Final = 3002
APPLICATION_UNSUPPORTED: Final = 3007
INVALID_AVP_VALUE: Final = 5004
MISSING_AVP: Final = 5005
UNABLE_TO_COMPLY: Final = 5012
USER_UNKNOWN: Final = 5001
"""Experimental result of TS 29.229: no such subscriber."""
IDENTITY_UNKNOWN: Final = 5401
"""Experimental result of TS 29.109: no such subscriber."""
NOT_AUTHORIZED: Final = 5402
"""Experimental result of TS 29.109: the NAF, or the NAF for this subscriber."""
TRANSACTION_IDENTIFIER_INVALID: Final = 5403
"""Experimental result of TS 29.109: the B-TID is unknown or has ended."""

_Code = tuple[int, int]

USER_NAME: Final = (1, 0)
SESSION_ID: Final = (263, 0)
ORIGIN_HOST: Final = (264, 0)
ORIGIN_REALM: Final = (296, 0)
DESTINATION_HOST: Final = (293, 0)
DESTINATION_REALM: Final = (283, 0)
RESULT_CODE: Final = (268, 0)
EXPERIMENTAL_RESULT: Final = (297, 0)
EXPERIMENTAL_RESULT_CODE: Final = (298, 0)
VENDOR_SPECIFIC_APPLICATION_ID: Final = (260, 0)
VENDOR_ID: Final = (266, 0)
SUPPORTED_VENDOR_ID: Final = (265, 0)
AUTH_APPLICATION_ID: Final = (258, 0)
AUTH_SESSION_STATE: Final = (277, 0)
HOST_IP_ADDRESS: Final = (257, 0)
PRODUCT_NAME: Final = (269, 0)
DISCONNECT_CAUSE: Final = (273, 0)
GBA_USER_SEC_SETTINGS: Final = (400, VENDOR_3GPP)
TRANSACTION_IDENTIFIER: Final = (401, VENDOR_3GPP)
NAF_ID: Final = (402, VENDOR_3GPP)
KEY_EXPIRY_TIME: Final = (404, VENDOR_3GPP)
ME_KEY_MATERIAL: Final = (405, VENDOR_3GPP)
UICC_KEY_MATERIAL: Final = (406, VENDOR_3GPP)
GBA_U_AWARENESS_INDICATOR: Final = (407, VENDOR_3GPP)
BOOTSTRAP_INFO_CREATION_TIME: Final = (408, VENDOR_3GPP)
GBA_TYPE: Final = (410, VENDOR_3GPP)
SIP_AUTHENTICATION_SCHEME: Final = (608, VENDOR_3GPP)
SIP_AUTHENTICATE: Final = (609, VENDOR_3GPP)
SIP_AUTHORIZATION: Final = (610, VENDOR_3GPP)
SIP_AUTH_DATA_ITEM: Final = (612, VENDOR_3GPP)
CONFIDENTIALITY_KEY: Final = (625, VENDOR_3GPP)
INTEGRITY_KEY: Final = (626, VENDOR_3GPP)

_OPTIONAL: Final = {PRODUCT_NAME}  # in the base protocol the only AVP here that is sent without the M bit
_MANDATORY = 0x40
_NTP_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_NTP_ERA = 1 << 32
_NO_STATE_MAINTAINED = 1
_UNREADABLE = (EOFError, ValueError, struct.error, PackerError, AvpDecodeError, RecursionError)
"""What python-diameter raises for octets that are no message."""

Value = bytes | str | int | datetime | list["Attribute"]
Attribute = tuple[_Code, Value]
"""An AVP: code and vendor, and its value."""


@dataclass(frozen=True, slots=True)
class Avps:
    """AVPs in their order: those of a message, or of a grouped AVP.

    Attributes:
        attributes: The AVPs; they may hold keys.
    """

    attributes: tuple[Any, ...] = field(repr=False)

    def octets_of(self, code: _Code) -> bytes:
        """The value of an AVP.

        Raises:
            MessageError: It is missing, or there twice.
        """
        value = self._find(code)
        if value is None:
            raise MessageError(f"the AVP {code[0]} is missing")
        return value

    def optional(self, code: _Code) -> bytes | None:
        """The value of an AVP that may be missing.

        Raises:
            MessageError: It is there twice.
        """
        return self._find(code)

    def number_of(self, code: _Code) -> int:
        """The value of an AVP of type Unsigned32 or Enumerated.

        Raises:
            MessageError: It is missing, there twice, or has not 4 octets.
        """
        return _number(self.octets_of(code))

    def time_of(self, code: _Code) -> datetime:
        """The value of an AVP of type Time (UTC).

        Raises:
            MessageError: It is missing, there twice, or has not 4 octets.
        """
        seconds = self.number_of(code)
        # RFC 6733 clause 4.3.1: without the most significant bit it is a time of the next era, from 2036 on.
        return _NTP_EPOCH + timedelta(seconds=seconds if seconds & 0x80000000 else seconds + _NTP_ERA)

    def group_of(self, code: _Code) -> Avps:
        """What is in a grouped AVP.

        Raises:
            MessageError: It is missing, there twice, or not well formed.
        """
        self.octets_of(code)
        try:
            return Avps(tuple(self._avps_of(code)[0].value))
        except (*_UNREADABLE, TypeError):
            raise MessageError(f"the grouped AVP {code[0]} is not well formed") from None

    def _avps_of(self, code: _Code) -> list[Any]:
        return [avp for avp in self.attributes if _code(avp) == code]

    def _find(self, code: _Code) -> bytes | None:
        found = self._avps_of(code)
        if len(found) > 1:
            raise MessageError(f"the AVP {code[0]} is there twice")
        return found[0].payload if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiameterMessage(Avps):
    """A request or an answer.

    Attributes:
        command: The command code.
        application: The application identifier.
        is_request: Whether it is a request.
        hop_by_hop: The hop-by-hop identifier, which an answer repeats.
        end_to_end: The end-to-end identifier, which an answer repeats.
        is_error: Whether an answer has the E bit, for a protocol error (3xxx).
    """

    command: int
    application: int
    is_request: bool
    hop_by_hop: int
    end_to_end: int
    is_error: bool = False

    @classmethod
    def request(cls, command: int, application: int, attributes: Iterable[Attribute]) -> Self:
        """A new request with identifiers of its own."""
        hop_by_hop, end_to_end = secrets.randbits(32), secrets.randbits(32)
        return cls(
            command=command,
            application=application,
            is_request=True,
            hop_by_hop=hop_by_hop,
            end_to_end=end_to_end,
            attributes=_avps(attributes),
        )

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Read a whole message.

        Raises:
            MessageError: It is not well formed.
        """
        if not HEADER_OCTETS <= len(octets) <= MESSAGE_MAX_OCTETS or octets[0] != 1:
            raise MessageError("this is no Diameter message of version 1")
        try:
            message = Message.from_bytes(octets, plain_msg=True)
        except _UNREADABLE:
            raise MessageError("the Diameter message is not well formed") from None
        header = message.header
        if header.length != len(octets):
            raise MessageError("the Diameter message has another length than it says")
        return cls(
            command=header.command_code,
            application=header.application_id,
            is_request=header.is_request,
            hop_by_hop=header.hop_by_hop_identifier,
            end_to_end=header.end_to_end_identifier,
            attributes=tuple(message.avps),
            is_error=header.is_error,
        )

    def answer(self, attributes: Iterable[Attribute], *, is_error: bool = False) -> DiameterMessage:
        """An answer to this request; Session-Id is repeated where the request has one."""
        session_id = self._find(SESSION_ID)
        first: list[Attribute] = [] if session_id is None else [(SESSION_ID, session_id)]
        return DiameterMessage(
            command=self.command,
            application=self.application,
            is_request=False,
            hop_by_hop=self.hop_by_hop,
            end_to_end=self.end_to_end,
            attributes=_avps([*first, *attributes]),
            is_error=is_error,
        )

    def octets(self) -> bytes:
        """The message as it is sent."""
        message = Message(avps=list(self.attributes))
        header = message.header
        header.command_code, header.application_id = self.command, self.application
        header.hop_by_hop_identifier, header.end_to_end_identifier = self.hop_by_hop, self.end_to_end
        header.is_request, header.is_error = self.is_request, self.is_error
        header.is_proxyable = self.application != APPLICATION_BASE
        written: bytes = message.as_bytes()
        return written

    @property
    def result(self) -> int:
        """The Result-Code, or the code of the Experimental-Result.

        Raises:
            MessageError: There is neither.
        """
        if self.optional(RESULT_CODE) is not None:
            return self.number_of(RESULT_CODE)
        if self.optional(EXPERIMENTAL_RESULT) is None:
            raise MessageError("the answer has no result")
        return self.group_of(EXPERIMENTAL_RESULT).number_of(EXPERIMENTAL_RESULT_CODE)


def _code(avp: Any) -> _Code:  # noqa: ANN401 - python-diameter has no types
    return avp.code, avp.vendor_id


def _number(octets: bytes) -> int:
    if len(octets) != 4:
        raise MessageError("a number of 4 octets is expected")
    return int.from_bytes(octets)


def _avps(attributes: Iterable[Attribute]) -> tuple[Any, ...]:
    return tuple(_avp(code, value) for code, value in attributes)


def _avp(code: _Code, value: Value) -> Any:  # noqa: ANN401 - python-diameter has no types
    if code == EXPERIMENTAL_RESULT or isinstance(value, list):
        assert isinstance(value, list)  # noqa: S101 - our own tables
        made = Avp.new(*code, value=[_avp(*inner) for inner in value])
        made.is_mandatory = True
        return made
    flags = 0 if code in _OPTIONAL else _MANDATORY
    return Avp(code[0], code[1], _payload(value), flags)


def _payload(value: bytes | str | int | datetime) -> bytes:
    match value:
        case bytes():
            return value
        case str():
            return value.encode("utf-8")
        case int():
            return value.to_bytes(4)
        case _:
            return (int((value - _NTP_EPOCH).total_seconds()) % _NTP_ERA).to_bytes(4)


def application(identifier: int) -> list[Attribute]:
    """What says, in every message of a 3GPP application, that it belongs to it and needs no session state."""
    group: list[Attribute] = [(VENDOR_ID, VENDOR_3GPP), (AUTH_APPLICATION_ID, identifier)]
    return [(VENDOR_SPECIFIC_APPLICATION_ID, group), (AUTH_SESSION_STATE, _NO_STATE_MAINTAINED)]


def new_session_id(origin: Fqdn) -> str:
    """A Session-Id that nobody else uses (RFC 6733 clause 8.8)."""
    return f"{origin};{secrets.randbits(32)};{secrets.randbits(32)}"


def realm_of(name: Fqdn) -> str:
    """The Diameter realm that a host is taken to be in: its FQDN without the first label."""
    return str(name).partition(".")[2] or str(name)


def experimental_result(code: int) -> Attribute:
    """A result of TS 29.109."""
    return EXPERIMENTAL_RESULT, [(VENDOR_ID, VENDOR_3GPP), (EXPERIMENTAL_RESULT_CODE, code)]


def addressed(identifier: int, origin: Fqdn, destination: Fqdn) -> list[Attribute]:
    """What begins a request of a 3GPP application: a session of its own, from whom, and to whom."""
    return [
        (SESSION_ID, new_session_id(origin)),
        *application(identifier),
        (ORIGIN_HOST, str(origin)),
        (ORIGIN_REALM, realm_of(origin)),
        (DESTINATION_REALM, realm_of(destination)),
        (DESTINATION_HOST, str(destination)),
    ]


def hello(origin: Fqdn, identifier: int) -> DiameterMessage:
    """The Capabilities-Exchange-Request that opens the connection of a client.

    Args:
        origin: The client's FQDN.
        identifier: The 3GPP application that it speaks.
    """
    return DiameterMessage.request(CAPABILITIES_EXCHANGE, APPLICATION_BASE, capabilities(origin, identifier))


def capabilities(origin: Fqdn, identifier: int) -> list[Attribute]:
    """What a peer says of itself in a Capabilities-Exchange (RFC 6733 clause 5.3).

    Args:
        origin: The peer's FQDN.
        identifier: The 3GPP application that it speaks.
    """
    return [
        (ORIGIN_HOST, str(origin)),
        (ORIGIN_REALM, realm_of(origin)),
        (HOST_IP_ADDRESS, b"\0\x01\x7f\0\0\1"),  # where we are reached is no business of the peer
        (VENDOR_ID, 0),
        (PRODUCT_NAME, "onem2m-security"),
        (SUPPORTED_VENDOR_ID, VENDOR_3GPP),
        application(identifier)[0],
    ]
