"""Carried primitives as CoAP messages and back (TS-0008 clause 6), without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import aiocoap
from aiocoap.numbers.codes import Code
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.optiontypes import StringOption, UintOption

from ..errors import MessageError
from ..onem2m.carried import (
    CarriedRequest,
    CarriedResponse,
    checked_query,
    checked_request_id,
    checked_value,
    media_type_of,
    segments_of,
    to_of,
)
from ..onem2m.primitives import Operation, RefusedError, Rsc
from .coap_messages import (
    FROM,
    RELEASE_VERSION_INDICATOR,
    REQUEST_ID,
    RESOURCE_TYPE,
    RESPONSE_STATUS,
    number_option,
    text_option,
)

METHODS: Final = {
    Operation.CREATE: Code.POST,
    Operation.RETRIEVE: Code.GET,
    Operation.UPDATE: Code.PUT,
    Operation.DELETE: Code.DELETE,
    Operation.NOTIFY: Code.POST,
}
_OPERATIONS: Final = {code: operation for operation, code in METHODS.items()}

_TEXTS: Final = {
    "ot": 259,
    "rqet": 291,
    "rset": 295,
    "oet": 299,
    "rtu": 263,
    "gid": 311,
    "ati": 327,
    "vsi": 331,
    "grtm": 335,
    "aus": 339,
    "asri": 275,
}
_NUMBERS: Final = {"ec": 303, "cnot": 319, "cnst": 323}
"""Short names to options, with texts and with numbers (TS-0008 table 6.2.2.4.0-1)."""
_TEXT_OCTETS: Final = 255
_TOKENS: Final = "tkns"
"""A parameter that stands in the query here, and in a header over HTTP (TS-0008 clause 6.2.2.3)."""
_IN_QUERY: Final = "!$'()*+,-./:=?@_~"
_NOT_AT_HAND: Final = frozenset({"if-match", "if-none-match"})

_FORMATS: Final = {
    "application/xml": 41,
    "application/json": 50,
    "application/cbor": 60,
    "application/vnd.onem2m-res+json": 10001,
    "application/vnd.onem2m-ntfy+xml": 10002,
    "application/vnd.onem2m-ntfy+json": 10003,
    "application/vnd.onem2m-preq+xml": 10006,
    "application/vnd.onem2m-preq+json": 10007,
    "application/vnd.onem2m-prsp+xml": 10008,
    "application/vnd.onem2m-prsp+json": 10009,
    "application/vnd.onem2m-res+cbor": 10010,
    "application/vnd.onem2m-ntfy+cbor": 10011,
    "application/vnd.onem2m-preq+cbor": 10012,
    "application/vnd.onem2m-prsp+cbor": 10013,
    "application/vnd.onem2m-res+xml": 10014,
}
"""TS-0008 clause 6.2.2.2."""
_MEDIA_TYPES: Final = {number: media_type for media_type, number in _FORMATS.items()}

_CODES: Final[Mapping[Code, tuple[int, ...]]] = {
    Code.CREATED: (2001, 1001),
    Code.DELETED: (2002,),
    Code.CHANGED: (2004, 1000, 1002),
    Code.CONTENT: (2000,),
    Code.BAD_REQUEST: (
        *(4000, 4102, 4104, 4110, 4123, 4124, 4143),
        *(5106, 5219, 5220, 6010, 6022, 6023, 6024, 6028, 6029),
    ),
    Code.BAD_OPTION: (4120, 4122),
    Code.FORBIDDEN: (
        *(4101, 4103, *range(4105, 4110), *range(4111, 4118), 4126, 4127, 4128),
        *(5105, 5203, 5205, 5208, 5214, 5215, 5218, 5222),
    ),
    Code.NOT_FOUND: (4004, 4118, 4119, 4121, 5103, 5107, 6003, 6005),
    Code.METHOD_NOT_ALLOWED: (4005,),
    Code.NOT_ACCEPTABLE: (5207,),
    Code.UNSUPPORTED_CONTENT_FORMAT: (4015,),
    Code.TOO_MANY_REQUESTS: (4029,),
    Code.INTERNAL_SERVER_ERROR: (
        5000,
        5204,
        5209,
        5210,
        5211,
        5212,
        5216,
        5217,
        5221,
        6020,
        6021,
        6025,
        6026,
    ),
    Code.NOT_IMPLEMENTED: (4001, 4125, 5001, 5206),
    Code.GATEWAY_TIMEOUT: (4008, 6030, 6031),
}
"""CoAP response code to Response Status Codes (TS-0008 table 6.2.4-1, where 1000 and 4128 are missing)."""
_CODE_OF: Final = {rsc: code for code, known in _CODES.items() for rsc in known}
_BY_CLASS: Final = {1: Code.CHANGED, 2: Code.CONTENT, 4: Code.BAD_REQUEST}
_PLAIN: Final = {
    Code.CREATED: 2001,
    Code.DELETED: 2002,
    Code.CHANGED: 2004,
    Code.CONTENT: 2000,
    Code.METHOD_NOT_ALLOWED: 4005,
    Code.NOT_ACCEPTABLE: 5207,
    Code.UNSUPPORTED_CONTENT_FORMAT: 4015,
}
"""What a code means by itself: where several share one, the option must say which (TS-0008 clause 6.2.4)."""


def code_of(rsc: int, operation: Operation | None = None) -> Code:
    """The CoAP code for a Response Status Code; of one that is not known, that of its class.

    Args:
        rsc: The Response Status Code.
        operation: What it answers.
    """
    if rsc == Rsc.OK and operation is Operation.NOTIFY:
        return Code.CHANGED
    return _CODE_OF.get(rsc) or _BY_CLASS.get(rsc // 1000, Code.INTERNAL_SERVER_ERROR)


# --- requests ------------------------------------------------------------------------------------------


def read_request(message: Any) -> CarriedRequest:
    """A request primitive.

    Args:
        message: A whole request, as ``coap_messages`` reads one.

    Raises:
        RefusedError: OPERATION_NOT_ALLOWED for another method; BAD_REQUEST for a parameter that is not of its
            form, or is missing; UNSUPPORTED_MEDIA_TYPE and NOT_ACCEPTABLE for a format that is no oneM2M one.
    """
    operation = _OPERATIONS.get(message.code)
    if operation is None:
        raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, "POST, GET, PUT and DELETE are offered")
    taken, query = _split_query(message.opt.uri_query)
    resource_type = number_option(message, RESOURCE_TYPE)
    if message.code == Code.POST:  # TS-0008 clause 6.2.1
        operation = Operation.NOTIFY if resource_type is None else Operation.CREATE
        if "op" in taken:
            operation = _operation(taken.pop("op"))
    elif "op" in taken:
        raise RefusedError(Rsc.BAD_REQUEST, "the Operation (op) stands in the query of a POST only")
    content_type = _media_type(message.opt.content_format, Rsc.UNSUPPORTED_MEDIA_TYPE)
    return CarriedRequest(
        operation,
        to_of(message.opt.uri_path),
        checked_request_id(_text(message, "Request Identifier", REQUEST_ID)),
        originator=_text(message, "From", FROM),
        resource_type=resource_type if operation is Operation.CREATE else None,
        release_version=_text(message, "Release Version Indicator", RELEASE_VERSION_INDICATOR),
        query=query,
        parameters={**_parameters(message), **taken},
        accept=_media_type(message.opt.accept, Rsc.NOT_ACCEPTABLE),
        content_type=content_type if message.payload else "",
        content=message.payload,
    )


def _operation(text: str) -> Operation:
    if text not in {str(int(known)) for known in Operation}:
        raise RefusedError(Rsc.BAD_REQUEST, "the Operation (op) is not one of 1 to 5")
    return Operation(int(text))


def write_request(request: CarriedRequest) -> Any:
    """The CoAP request for a request primitive; its remote is for whoever sends it.

    Raises:
        RefusedError: NOT_ACCEPTABLE, UNSUPPORTED_MEDIA_TYPE or NOT_IMPLEMENTED: it says what CoAP cannot
            carry; BAD_REQUEST: a parameter is too long for it.
    """
    if not _NOT_AT_HAND.isdisjoint(request.parameters):
        raise RefusedError(Rsc.NOT_IMPLEMENTED, "conditional requests do not go over CoAP here")
    message = aiocoap.Message(code=METHODS[request.operation], payload=request.content)
    message.opt.uri_path = segments_of(request.to)
    queries = [unquote(part) for part in request.query.split("&") if part]
    if _TOKENS in request.parameters:
        queries.append(f"{_TOKENS}={request.parameters[_TOKENS]}")
    if any(len(text.encode()) > _TEXT_OCTETS for text in (*message.opt.uri_path, *queries)):
        raise RefusedError(Rsc.BAD_REQUEST, "a part of the path or of the query is too long for CoAP")
    message.opt.uri_query = queries
    _add_text(message, FROM, request.originator)
    _add_text(message, REQUEST_ID, request.request_id)
    _add_text(message, RELEASE_VERSION_INDICATOR, request.release_version)
    _add_parameters(message, request.parameters)
    if request.resource_type is not None:
        message.opt.add_option(UintOption(RESOURCE_TYPE, request.resource_type))
    if request.content:
        message.opt.content_format = _format(request.content_type, Rsc.UNSUPPORTED_MEDIA_TYPE)
    if request.accept:
        message.opt.accept = _wanted(request.accept)
    return message


def _split_query(options: tuple[str, ...]) -> tuple[dict[str, str], str]:
    """What stands in the query here and elsewhere over HTTP, and the rest as a query component."""
    taken: dict[str, str] = {}
    rest = []
    for option in filter(None, options):
        name, _, value = option.partition("=")
        if name not in {"op", _TOKENS}:
            rest.append(quote(option, safe=_IN_QUERY))
        elif name in taken:
            raise RefusedError(Rsc.BAD_REQUEST, f"the parameter {name} is there twice")
        else:
            taken[name] = checked_value(name, value.encode())
    return taken, checked_query("&".join(rest))


# --- responses -----------------------------------------------------------------------------------------


def read_response(message: Any) -> CarriedResponse:
    """A response primitive.

    Raises:
        MessageError: It is none.
    """
    rsc = number_option(message, RESPONSE_STATUS) or _PLAIN.get(message.code)
    if rsc is None:
        raise MessageError("the answer is no oneM2M response primitive: it has no Response Status Code")
    try:
        location = "/".join(quote(segment, safe="") for segment in message.opt.location_path)
        return CarriedResponse(
            rsc,
            _text(message, "Request Identifier", REQUEST_ID),
            originator=_text(message, "From", FROM),
            release_version=_text(message, "Release Version Indicator", RELEASE_VERSION_INDICATOR),
            parameters=_parameters(message),
            location=f"/{location}" if location else "",
            content_type=_media_type(message.opt.content_format, Rsc.UNSUPPORTED_MEDIA_TYPE),
            content=message.payload,
        )
    except RefusedError as error:
        raise MessageError(f"the answer is no response primitive: {error}") from None


def write_response(response: CarriedResponse, operation: Operation | None = None) -> Any:
    """The CoAP response for a response primitive.

    What went through an association is for nobody else: no cache keeps it (TS-0008 clause 6.4).

    Args:
        response: The response primitive.
        operation: What it answers; None where the request could not be read.

    Raises:
        RefusedError: It says what CoAP cannot carry.
    """
    code = code_of(response.rsc, operation)
    is_notified = response.rsc == Rsc.OK and operation is Operation.NOTIFY
    payload = b"" if is_notified else response.content  # table 6.2.4-1: the payload shall be empty
    message = aiocoap.Message(code=code, payload=payload)
    message.opt.add_option(UintOption(RESPONSE_STATUS, int(response.rsc)))
    _add_text(message, REQUEST_ID, response.request_id)
    _add_text(message, FROM, response.originator)
    _add_text(message, RELEASE_VERSION_INDICATOR, response.release_version)
    _add_parameters(message, response.parameters)
    message.opt.max_age = 0
    if payload:
        message.opt.content_format = _format(response.content_type, Rsc.INTERNAL_SERVER_ERROR)
    if response.location:
        location = tuple(unquote(segment) for segment in response.location.strip("/").split("/"))
        if any(len(segment.encode()) > _TEXT_OCTETS for segment in location):
            raise RefusedError(Rsc.INTERNAL_SERVER_ERROR, "the location is too long for CoAP")
        message.opt.location_path = location
    return message


# --- options -------------------------------------------------------------------------------------------


def _text(message: Any, name: str, number: OptionNumber) -> str:
    return checked_value(name, text_option(message, number).encode())


def _parameters(message: Any) -> dict[str, str]:
    texts = {name: _text(message, name, OptionNumber(number)) for name, number in _TEXTS.items()}
    numbers = {name: number_option(message, OptionNumber(number)) for name, number in _NUMBERS.items()}
    return {name: text for name, text in texts.items() if text} | {
        name: str(number) for name, number in numbers.items() if number is not None
    }


def _add_text(message: Any, number: int, text: str) -> None:
    if not text:
        return
    if len(text.encode()) > _TEXT_OCTETS:
        raise RefusedError(Rsc.BAD_REQUEST, "a parameter is too long for CoAP")
    message.opt.add_option(StringOption(OptionNumber(number), text))


def _add_parameters(message: Any, parameters: Mapping[str, str]) -> None:
    """Those that CoAP has an option for; the others are HTTP's own."""
    for name, value in parameters.items():
        if name in _TEXTS:
            _add_text(message, _TEXTS[name], value)
        elif name in _NUMBERS:
            if not value.isascii() or not value.isdigit() or int(value) > 0xFFFF:
                raise RefusedError(Rsc.BAD_REQUEST, f"the parameter {name} is not a number of two octets")
            message.opt.add_option(UintOption(OptionNumber(_NUMBERS[name]), int(value)))


def _media_type(number: int | None, otherwise: Rsc) -> str:
    if number is None:
        return ""
    if number not in _MEDIA_TYPES:
        raise RefusedError(otherwise, f"content format {int(number)} is none of oneM2M's")
    return _MEDIA_TYPES[number]


def _format(content_type: str, otherwise: Rsc) -> int:
    name, _ = media_type_of(content_type)
    if name not in _FORMATS:
        raise RefusedError(otherwise, "the media type of the content has no content format of CoAP")
    return _FORMATS[name]


def _wanted(accept: str) -> int | None:
    """The format that an Accept header wants most, of those that CoAP has; None when any will do."""
    ranges = [part.strip() for part in accept.split(",")]
    wanted = [name for name in (one.partition(";")[0].strip().lower() for one in ranges) if name]
    known = next((_FORMATS[name] for name in wanted if name in _FORMATS), None)
    if known is None and not any("*" in name for name in wanted):
        raise RefusedError(Rsc.NOT_ACCEPTABLE, "no media type that is wanted has a content format of CoAP")
    return known
