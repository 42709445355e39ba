"""Diameter messages, as far as Zn needs them (RFC 6733; TS 29.109 clauses 5 and 6).

Octets to AVPs and back with python-diameter's codec, and the AVPs of the Bootstrapping-Info command. Values
are read strictly and bounded. This module never opens a socket, and decides nothing.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from diameter.message import Message  # type: ignore[import-untyped]
from diameter.message.avp import Avp  # type: ignore[import-untyped]
from diameter.message.avp.errors import AvpDecodeError  # type: ignore[import-untyped]
from diameter.message.packer import Error as PackerError  # type: ignore[import-untyped]

from ..errors import IdentifierError, MessageError
from ..identifiers import EntityId

MESSAGE_MAX_OCTETS: Final = 1 << 16
HEADER_OCTETS: Final = 20

APPLICATION_BASE: Final = 0
APPLICATION_ZN: Final = 16777220
VENDOR_3GPP: Final = 10415

CAPABILITIES_EXCHANGE: Final = 257
DEVICE_WATCHDOG: Final = 280
DISCONNECT_PEER: Final = 282
BOOTSTRAPPING_INFO: Final = 310

SUCCESS: Final = 2001
COMMAND_UNSUPPORTED: Final = 3001
UNABLE_TO_DELIVER: Final = 3002
APPLICATION_UNSUPPORTED: Final = 3007
INVALID_AVP_VALUE: Final = 5004
MISSING_AVP: Final = 5005
UNABLE_TO_COMPLY: Final = 5012
NOT_AUTHORIZED: Final = 5402
"""Experimental result of TS 29.109: the NAF, or the NAF for this subscriber."""
TRANSACTION_IDENTIFIER_INVALID: Final = 5403
"""Experimental result of TS 29.109: the B-TID is unknown or has ended."""

_Code = tuple[int, int]

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

_OPTIONAL: Final = {PRODUCT_NAME}  # in the base protocol the only AVP here that is sent without the M bit
_MANDATORY = 0x40
_NTP_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_NTP_ERA = 1 << 32
_SETTINGS_MAX_OCTETS = 8192
_NO_STATE_MAINTAINED = 1
_UNREADABLE = (EOFError, ValueError, struct.error, PackerError, AvpDecodeError)
"""What python-diameter raises for octets that are no message."""

_USS_ID = "1000000"
"""The first GSID that an operator may give a meaning to (TS 29.109 clause 6.3.1.4)."""

Value = bytes | str | int | datetime | list["Attribute"]
Attribute = tuple[_Code, Value]
"""An AVP: code and vendor, and its value."""


@dataclass(frozen=True, slots=True)
class DiameterMessage:
    """A request or an answer.

    Attributes:
        command: The command code.
        application: The application identifier.
        is_request: Whether it is a request.
        hop_by_hop: The hop-by-hop identifier, which an answer repeats.
        end_to_end: The end-to-end identifier, which an answer repeats.
        attributes: The AVPs; they may hold keys.
        is_error: Whether an answer has the E bit, for a protocol error (3xxx).
    """

    command: int
    application: int
    is_request: bool
    hop_by_hop: int
    end_to_end: int
    attributes: tuple[Any, ...] = field(repr=False)
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
            header.command_code,
            header.application_id,
            header.is_request,
            header.hop_by_hop_identifier,
            header.end_to_end_identifier,
            tuple(message.avps),
            header.is_error,
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

    @property
    def result(self) -> int:
        """The Result-Code, or the code of the Experimental-Result.

        Raises:
            MessageError: There is neither.
        """
        if self._find(RESULT_CODE) is not None:
            return self.number_of(RESULT_CODE)
        group = self._avps_of(EXPERIMENTAL_RESULT)
        try:
            inner = [avp for avp in group[0].value if _code(avp) == EXPERIMENTAL_RESULT_CODE] if group else []
        except _UNREADABLE:
            inner = []
        if len(inner) != 1:
            raise MessageError("the answer has no result")
        return _number(inner[0].payload)

    def _avps_of(self, code: _Code) -> list[Any]:
        return [avp for avp in self.attributes if _code(avp) == code]

    def _find(self, code: _Code) -> bytes | None:
        found = self._avps_of(code)
        if len(found) > 1:
            raise MessageError(f"the AVP {code[0]} is there twice")
        return found[0].payload if found else None


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


def zn_application() -> list[Attribute]:
    """What says, in every message of Zn, that it belongs to Zn and needs no session state."""
    application: list[Attribute] = [(VENDOR_ID, VENDOR_3GPP), (AUTH_APPLICATION_ID, APPLICATION_ZN)]
    return [(VENDOR_SPECIFIC_APPLICATION_ID, application), (AUTH_SESSION_STATE, _NO_STATE_MAINTAINED)]


def experimental_result(code: int) -> Attribute:
    """A result of TS 29.109."""
    return EXPERIMENTAL_RESULT, [(VENDOR_ID, VENDOR_3GPP), (EXPERIMENTAL_RESULT_CODE, code)]


def capabilities(origin_host: str, origin_realm: str) -> list[Attribute]:
    """What a peer says of itself in a Capabilities-Exchange (RFC 6733 clause 5.3)."""
    application: list[Attribute] = [(VENDOR_ID, VENDOR_3GPP), (AUTH_APPLICATION_ID, APPLICATION_ZN)]
    return [
        (ORIGIN_HOST, origin_host),
        (ORIGIN_REALM, origin_realm),
        (HOST_IP_ADDRESS, b"\0\x01\x7f\0\0\1"),  # where we are reached is no business of the peer
        (VENDOR_ID, 0),
        (PRODUCT_NAME, "onem2m-security"),
        (SUPPORTED_VENDOR_ID, VENDOR_3GPP),
        (VENDOR_SPECIFIC_APPLICATION_ID, application),
    ]


def settings_of(entity: EntityId) -> bytes:
    """The user security settings that a NAF is told: a ussList with the subscriber's identity as its UID."""
    uid = escape(entity.text)
    text = f'<ussList><uss id="{_USS_ID}" type="0"><uids><uid>{uid}</uid></uids></uss></ussList>'
    return b'<?xml version="1.0" encoding="UTF-8"?>' + text.encode("utf-8")


def entity_in(settings: bytes) -> EntityId | None:
    """The subscriber's CSE-ID or AE-ID out of its user security settings: the first UID that is one.

    Raises:
        MessageError: They are too long, or not XML, or with a document type.
    """
    if len(settings) > _SETTINGS_MAX_OCTETS:
        raise MessageError("the user security settings are too long")
    try:
        root = fromstring(settings, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise MessageError("the user security settings are not XML, or have a document type") from None
    for element in root.iter():
        if str(element.tag).rpartition("}")[2] == "uid" and element.text:
            try:
                return EntityId.parse(element.text.strip())
            except IdentifierError:
                continue  # a UID may be anything: an IMPU, a telephone number
    return None
