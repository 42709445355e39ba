"""What the bindings to HTTP (TS-0009), CoAP (TS-0008) and WebSocket (TS-0020) share, without I/O.

A binding turns messages into carried primitives, whose content is octets; here these become primitives with a
content of JSON values, and back.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from ..errors import MessageError
from ..frameworks.steps import Established
from ..onem2m.carried import MAX_REQUEST_ID, CarriedRequest, CarriedResponse, path_of, to_of
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from .limits import Limits
from .request_client import Asked

RequestHandler = Callable[[Request, Established], Awaitable[Response]]
"""Answers a request primitive that came over an established session."""

CarriedHandler = Callable[[CarriedRequest, Established], Awaitable[CarriedResponse]]
"""Answers a request primitive whose content it need not read, and that came over an established session."""

RELEASE_VERSION: Final = "3"
"""The Release Version Indicator of what is sent (TS-0009 clause 6.4.22, TS-0008 clause 6.2.2.4)."""

_JSON: Final = "application/json"
_JSON_TYPES: Final = {_JSON, "application/vnd.onem2m-res+json"}
_JSON_RANGES: Final = _JSON_TYPES | {"*/*", "application/*", "application/vnd.onem2m-ntfy+json"}


def answering(handler: RequestHandler, limits: Limits) -> CarriedHandler:
    """Answers carried primitives by a handler for which their content is JSON values."""

    async def answer(carried: CarriedRequest, established: Established) -> CarriedResponse:
        response = await handler(_request(carried, limits), established)
        content = write_content(response.content)
        return CarriedResponse(
            response.rsc,
            carried.request_id,
            release_version=RELEASE_VERSION,
            location="" if response.created is None else path_of(to_of(response.created)),
            content_type=_JSON if content else "",
            content=content,
        )

    return answer


def _request(carried: CarriedRequest, limits: Limits) -> Request:
    request = request_primitive(
        carried.operation,
        path_segments(path_of(carried.to).encode()),
        carried.originator,
        carried.request_id,
        carried.resource_type,
    )
    require_json_is_acceptable(is_acceptable=_takes_json(carried.accept))
    is_json = carried.content_type.partition(";")[0] in _JSON_TYPES
    return replace(
        request,
        content=read_content(carried.content, limits, is_json=is_json),
        query=tuple(parse_qsl(carried.query, keep_blank_values=True)),
        release_version=carried.release_version,
        parameters=carried.parameters,
    )


def _takes_json(accept: str) -> bool:
    """Whether an Accept header (TS-0009 clause 6.4.2) leaves room for JSON; without any, everything is."""
    for part in filter(None, (part.strip().lower() for part in accept.split(","))):
        name, *rest = (each.strip() for each in part.split(";"))
        weight = next((value for key, _, value in (each.partition("=") for each in rest) if key == "q"), "1")
        if name in _JSON_RANGES and weight.strip("0.") != "":
            return True
    return not accept.strip()


def carried_of(asked: Asked, originator: str) -> CarriedRequest:
    """What is asked, as a carried primitive from this originator."""
    content = b"" if asked.content is None else write_content(asked.content)
    return CarriedRequest(
        asked.operation,
        to_of(asked.to),
        asked.request_id,
        originator=originator,
        resource_type=asked.resource_type if asked.operation is Operation.CREATE else None,
        release_version=RELEASE_VERSION,
        accept=_JSON,
        content_type=_JSON if content else "",
        content=content,
    )


def response_of(carried: CarriedResponse, limits: Limits) -> Response:
    """The response primitive of a carried one.

    Raises:
        MessageError: It has no status that is known, or another content than a JSON object.
    """
    return read_response(str(int(carried.rsc)), carried.content, limits)


def request_primitive(
    operation: Operation | None,
    to: tuple[str, ...],
    originator: str,
    request_id: str,
    resource_type: int | None = None,
) -> Request:
    """A request as far as its head tells; its content is still to come.

    Args:
        operation: What the method means; None when it means nothing here. POST means NOTIFY, and CREATE when
            there is a Resource Type (TS-0009 clause 6.2.1, TS-0008 clause 6.2.1).
        to: The segments of the path.
        originator: The From parameter, at most 255 characters of which count.
        request_id: The Request Identifier, 1 to 255 characters; empty when it is missing.
        resource_type: The Resource Type; None when it is missing.

    Raises:
        RefusedError: OPERATION_NOT_ALLOWED, BAD_REQUEST for the Request Identifier.
    """
    if operation is None:
        raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, "POST, GET, PUT and DELETE are offered")
    if not 1 <= len(request_id) <= MAX_REQUEST_ID:
        raise RefusedError(Rsc.BAD_REQUEST, "the Request Identifier is missing, or too long")
    if operation is Operation.NOTIFY and resource_type is not None:
        operation = Operation.CREATE
    return Request(operation, to, originator[:255], request_id, resource_type=resource_type)


def path_segments(raw_path: bytes) -> tuple[str, ...]:
    """The path, split before it is unquoted: a base64 identifier may hold a quoted slash.

    Raises:
        RefusedError: BAD_REQUEST when it is not UTF-8.
    """
    parts = raw_path.partition(b"?")[0].strip(b"/").split(b"/")
    try:
        return tuple(unquote_to_bytes(part).decode("utf-8") for part in parts)
    except UnicodeDecodeError:
        raise RefusedError(Rsc.BAD_REQUEST, "the path is not UTF-8") from None


def require_json_is_acceptable(*, is_acceptable: bool) -> None:
    """Every answer here is JSON: for whoever takes none there is none (TS-0004 clause 7.3.3.1).

    Raises:
        RefusedError: NOT_ACCEPTABLE.
    """
    if not is_acceptable:
        raise RefusedError(Rsc.NOT_ACCEPTABLE, "application/json is the only form of an answer here")


def read_content(body: bytes | None, limits: Limits, *, is_json: bool) -> object:
    """The Content of a request, as JSON values; None without one.

    Args:
        body: The octets; None when there were more than ``body_octets``.
        limits: Bounds on its size.
        is_json: Whether its media type is one of oneM2M's for JSON.

    Raises:
        RefusedError: CONTENTS_UNACCEPTABLE when it is too long, UNSUPPORTED_MEDIA_TYPE when it is of another
            type or of none, BAD_REQUEST when it is not JSON.
    """
    if body is None or len(body) > limits.body_octets:
        raise RefusedError(
            Rsc.CONTENTS_UNACCEPTABLE, f"the content has more than {limits.body_octets} octets"
        )
    if not body:
        return None
    if not is_json:
        raise RefusedError(Rsc.UNSUPPORTED_MEDIA_TYPE, "the content is not application/json")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(Rsc.BAD_REQUEST, "the content is not JSON") from None


def write_content(content: Mapping[str, Any] | None) -> bytes:
    """A Content parameter as octets; none for None."""
    return b"" if content is None else json.dumps(content).encode()


def read_response(status: str | bytes | None, body: bytes | None, limits: Limits) -> Response:
    """A response primitive.

    Args:
        status: The Response Status Code in digits; None when it is missing.
        body: The octets of its content; None when there were more than ``body_octets``.
        limits: Bounds on its size.

    Raises:
        MessageError: It is too long, or no response primitive.
    """
    if body is None or len(body) > limits.body_octets:
        raise MessageError("the answer is too long")
    try:
        rsc = Rsc(int(status or b""))
        content = json.loads(body) if body else None
    except (ValueError, RecursionError):
        raise MessageError("the answer is no oneM2M response primitive") from None
    if content is not None and not isinstance(content, dict):
        raise MessageError("the content of the answer is not a JSON object")
    return Response(rsc, content)
