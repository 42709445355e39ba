"""Carried primitives as HTTP messages and back (TS-0009 clause 6), without I/O.

Only header fields that the binding knows are taken and written: what is for one connection only, and what
somebody else's server would take for one of them under another spelling, goes no further.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..errors import MessageError
from ..onem2m.carried import (
    CarriedRequest,
    CarriedResponse,
    checked_query,
    checked_request_id,
    checked_value,
    media_type_of,
    path_of,
    resource_type_of,
    to_of_path,
)
from ..onem2m.primitives import Operation, RefusedError, Rsc

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields: names in any case, values without the space around them."""

METHODS: Final = {
    Operation.CREATE: "POST",
    Operation.RETRIEVE: "GET",
    Operation.UPDATE: "PUT",
    Operation.DELETE: "DELETE",
    Operation.NOTIFY: "POST",
}
_OPERATIONS: Final = {method: operation for operation, method in METHODS.items()}
_PARAMETERS: Final = {
    "ot": "X-M2M-OT",
    "rqet": "X-M2M-RET",
    "rset": "X-M2M-RST",
    "oet": "X-M2M-OET",
    "rtu": "X-M2M-RTU",
    "ec": "X-M2M-EC",
    "gid": "X-M2M-GID",
    "ati": "X-M2M-ATI",
    "tkns": "Authorization",
    "cnst": "X-M2M-CTS",
    "cnot": "X-M2M-CTO",
    "vsi": "X-M2M-VSI",
    "aus": "X-M2M-AS",
    "asri": "X-M2M-ASRI",
    "etag": "ETag",
    "if-match": "If-Match",
    "if-none-match": "If-None-Match",
}
"""Short names to header fields (TS-0009 clause 6.4). What is HTTP's own has no short name, nor has the
notificationURI of the Response Type: it is called as its header is."""
_NAMES: Final = {header.lower(): name for name, header in _PARAMETERS.items()}

_STATUS: Final[Mapping[int, tuple[int, ...]]] = {
    200: (2000, 2002, 2004),
    201: (2001,),
    202: (1000, 1001, 1002),
    400: (4000, 4102, 4110, 4120, 4122, 4123, 4143, 6010, 6022, 6023, 6024),
    403: (
        *(4101, 4103, 4106, 4107, 4108, 4109, *range(4111, 4118), 4126, 4127, 4128),
        *(5105, 5203, 5205, 5208, 5214, 5215, 5218, 5222),
    ),
    404: (4004, 4118, 4119, 4121, 5103, 5107, 6003, 6005),
    405: (4005,),
    406: (5207,),
    409: (4104, 4105, 4124, 5106, 5219, 5220, 6028, 6029),
    415: (4015,),
    429: (4029,),
    500: (5000, 5204, 5209, 5210, 5211, 5212, 5216, 5217, 5221, 6020, 6021, 6025, 6026),
    501: (4001, 4125, 5001, 5206),
    504: (4008, 6030, 6031),
}
"""HTTP status to Response Status Codes (TS-0009 table 6.3.2-1, where 4128 is missing)."""
_STATUS_OF: Final = {rsc: status for status, codes in _STATUS.items() for rsc in codes}
_BY_CLASS: Final = {1: 202, 2: 200, 4: 400, 5: 500, 6: 500}


def status_of(rsc: int) -> int:
    """The HTTP status for a Response Status Code; of one that is not known, that of its class."""
    return _STATUS_OF.get(rsc) or _BY_CLASS.get(rsc // 1000, 500)


# --- requests ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpRequestHead:
    """What comes before the body of an HTTP request.

    Attributes:
        method: ``GET``, ``POST`` …
        path: The path component of the request-target, as it came.
        query: Its query component, as it came, without ``?``.
        headers: The header fields.
    """

    method: str
    path: bytes = field(repr=False)
    query: bytes = field(default=b"", repr=False)
    headers: Headers = field(default=(), repr=False)


def read_request(head: HttpRequestHead, content: bytes = b"") -> CarriedRequest:
    """A request primitive.

    Args:
        head: What came before the body.
        content: The body.

    Raises:
        RefusedError: OPERATION_NOT_ALLOWED for another method; BAD_REQUEST for a parameter that is there
            twice, is not of its form, or is missing.
    """
    operation = _OPERATIONS.get(head.method)
    if operation is None:
        raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, "POST, GET, PUT and DELETE are offered")
    found = _each_once(head.headers)
    media_type, details = media_type_of(found.get("content-type", ""))
    resource_type = None
    if "ty" in details:
        resource_type = resource_type_of(details.pop("ty"))
    if operation in (Operation.CREATE, Operation.NOTIFY):  # TS-0009 clause 6.2.1
        operation = Operation.NOTIFY if resource_type is None else Operation.CREATE
    return CarriedRequest(
        operation,
        to_of_path(head.path),
        checked_request_id(found.get("x-m2m-ri", "")),
        originator=found.get("x-m2m-origin", ""),
        resource_type=resource_type if operation is Operation.CREATE else None,
        release_version=found.get("x-m2m-rvi", ""),
        query=checked_query(head.query.decode("latin-1")),
        parameters=_parameters(found),
        accept=found.get("accept", ""),
        content_type=";".join([media_type, *(f"{name}={value}" for name, value in details.items())]),
        content=content,
    )


def request_id_in(headers: Headers) -> str:
    """The Request Identifier of a request that is refused, for its answer; empty where there is none."""
    found = [value for name, value in headers if name.lower() == b"x-m2m-ri"]
    try:
        return checked_request_id(checked_value("x-m2m-ri", b"".join(found[:1])))
    except RefusedError:
        return ""


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """An HTTP request to send, but for what is of one connection: host and length.

    Attributes:
        method: ``GET``, ``POST`` …
        target: The path and the query, as they stand in the request line.
        headers: The header fields.
        body: The octets; None for a request without a body.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


def write_request(request: CarriedRequest) -> HttpMessage:
    """The HTTP request for a request primitive."""
    headers = _headers(
        [
            ("X-M2M-Origin", request.originator),
            ("X-M2M-RI", request.request_id),
            ("X-M2M-RVI", request.release_version),
            ("Accept", request.accept),
            *(
                (_PARAMETERS[name], value)
                for name, value in request.parameters.items()
                if name in _PARAMETERS
            ),
            ("Content-Type", _content_type(request)),
        ]
    )
    target = path_of(request.to) + (f"?{request.query}" if request.query else "")
    with_body = METHODS[request.operation] in ("POST", "PUT") or request.content
    return HttpMessage(METHODS[request.operation], target, headers, request.content if with_body else None)


def _content_type(request: CarriedRequest) -> str:
    """The media type, with ``ty`` right after it: receivers look for it there."""
    if request.resource_type is None:
        return request.content_type
    name, semicolon, rest = (request.content_type or "application/json").partition(";")
    return f"{name};ty={request.resource_type}{semicolon}{rest}"


# --- responses -----------------------------------------------------------------------------------------


def read_response(headers: Headers, content: bytes = b"") -> CarriedResponse:
    """A response primitive; the HTTP status says less than the Response Status Code, and is not looked at.

    Raises:
        MessageError: It is none.
    """
    try:
        found = _each_once(headers)
        media_type, details = media_type_of(found.get("content-type", ""))
    except RefusedError as error:
        raise MessageError(f"the answer is no response primitive: {error}") from None
    status = found.get("x-m2m-rsc", "")
    if len(status) != 4 or not status.isascii() or not status.isdigit():
        raise MessageError("the answer is no oneM2M response primitive: it has no Response Status Code")
    return CarriedResponse(
        int(status),
        found.get("x-m2m-ri", ""),
        originator=found.get("x-m2m-origin", ""),
        release_version=found.get("x-m2m-rvi", ""),
        parameters=_parameters(found),
        location=found.get("content-location", ""),
        content_type=";".join([media_type, *(f"{name}={value}" for name, value in details.items())]),
        content=content,
    )


def write_response(response: CarriedResponse) -> tuple[int, list[tuple[str, str]]]:
    """The status and the header fields for a response primitive; its content is the body.

    What went through an association is for nobody else: no cache keeps it.
    """
    headers = _headers(
        [
            ("X-M2M-RSC", str(int(response.rsc))),
            ("X-M2M-RI", response.request_id),
            ("X-M2M-RVI", response.release_version),
            ("X-M2M-Origin", response.originator),
            *(
                (_PARAMETERS[name], value)
                for name, value in response.parameters.items()
                if name in _PARAMETERS
            ),
            ("Content-Location", response.location),
            ("Content-Type", response.content_type if response.content else ""),
            ("Cache-Control", "no-store"),
        ]
    )
    return status_of(response.rsc), headers


# --- header fields -------------------------------------------------------------------------------------

_KNOWN: Final = frozenset(
    {
        "x-m2m-origin",
        "x-m2m-ri",
        "x-m2m-rvi",
        "x-m2m-rsc",
        "content-type",
        "content-location",
        "accept",
        *_NAMES,
    }
)


def _each_once(headers: Headers) -> dict[str, str]:
    """The header fields that the binding knows, by name in lower case.

    Raises:
        RefusedError: BAD_REQUEST for one that is there twice (but Accept, which is a list) or is not text.
    """
    found: dict[str, str] = {}
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        if name not in _KNOWN:
            continue
        text = checked_value(name, value)
        if name in found and name != "accept":
            raise RefusedError(Rsc.BAD_REQUEST, f"the header field {name} is there twice")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _parameters(found: Mapping[str, str]) -> dict[str, str]:
    return {_NAMES[header]: value for header, value in found.items() if header in _NAMES and value}


def _headers(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in fields if value]
