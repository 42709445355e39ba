"""Whole primitives as JSON (TS-0004 clause 8.4), as WebSocket carries them (TS-0020), without I/O.

A request is told by its ``op`` and a response by its ``rsc`` (TS-0020 annex A.1). ``to`` is written as the
path of HTTP is: in segments that are percent-encoded, since an identifier may hold a slash (OURS).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ..errors import MessageError
from ..onem2m.primitives import Operation, RefusedError, Request, Response, Rsc
from .binding import RELEASE_VERSION, path_segments, request_primitive
from .http_client import path_component
from .request_client import Asked

_MAX_TYPE: Final = 99_999


def write_request(asked: Asked, originator: str) -> str:
    """A request primitive."""
    primitive: dict[str, Any] = {
        "op": int(asked.operation),
        "to": path_component(asked.to),
        "fr": originator,
        "rqi": asked.request_id,
        "rvi": RELEASE_VERSION,
    }
    if asked.resource_type is not None and asked.operation is Operation.CREATE:
        primitive["ty"] = asked.resource_type
    if asked.content is not None:
        primitive["pc"] = asked.content
    return json.dumps(primitive)


def write_response(response: Response, request_id: str) -> str:
    """A response primitive; the Request Identifier is left out where the request had none to answer to."""
    primitive: dict[str, Any] = {"rsc": int(response.rsc), "rvi": RELEASE_VERSION}
    if request_id:
        primitive["rqi"] = request_id
    if response.content is not None:
        primitive["pc"] = response.content
    return json.dumps(primitive)


def read_primitive(text: str) -> dict[str, Any]:
    """The parameters of a primitive, by their short names; none of them is looked at.

    Raises:
        MessageError: It is no JSON object.
    """
    try:
        primitive = json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError("the message is not JSON") from None
    if not isinstance(primitive, dict):
        raise MessageError("the message is not a JSON object")
    return primitive


def is_request(primitive: Mapping[str, Any]) -> bool:
    """Whether it asks for something."""
    return "op" in primitive


def request_id_of(primitive: Mapping[str, Any]) -> str:
    """The Request Identifier; empty when it is missing or none."""
    request_id = primitive.get("rqi")
    return request_id if isinstance(request_id, str) and _is_whole(request_id) else ""


def read_request(primitive: Mapping[str, Any], here: str) -> Request:
    """A request primitive from its parameters.

    Args:
        primitive: The parameters.
        here: The FQDN whose resources are here: the one that an absolute ``to`` (``//FQDN/…``) may name.

    Raises:
        RefusedError: As ``request_primitive`` says; BAD_REQUEST for a parameter of another type or form.
    """
    operation, resource_type = primitive.get("op"), primitive.get("ty")
    if isinstance(operation, bool) or not isinstance(operation, int):
        raise RefusedError(Rsc.BAD_REQUEST, "the Operation (op) is not a number")
    known = Operation(operation) if operation in set(Operation) else None
    if resource_type is not None and not _is_type(resource_type):
        raise RefusedError(Rsc.BAD_REQUEST, "the Resource Type (ty) is not a number of at most five digits")
    request = request_primitive(
        known,
        _segments(_text(primitive, "to"), here),
        _text(primitive, "fr"),
        request_id_of(primitive),
        resource_type if known is Operation.CREATE else None,
    )
    return replace(request, content=primitive.get("pc"))


def read_answer(primitive: Mapping[str, Any]) -> Response:
    """A response primitive from its parameters.

    Raises:
        MessageError: It is none.
    """
    status, content = primitive.get("rsc"), primitive.get("pc")
    if isinstance(status, bool) or not isinstance(status, int) or status not in set(Rsc):
        raise MessageError("the answer is no oneM2M response primitive")
    if content is not None and not isinstance(content, dict):
        raise MessageError("the content of the answer is not a JSON object")
    return Response(Rsc(status), content)


def _is_type(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TYPE


def _text(primitive: Mapping[str, Any], name: str) -> str:
    """A parameter that is a text; empty when it is missing.

    Raises:
        RefusedError: BAD_REQUEST when it is something else.
    """
    value = primitive.get(name, "")
    if not isinstance(value, str) or not _is_whole(value):
        raise RefusedError(Rsc.BAD_REQUEST, f"the parameter {name} is not a text")
    return value


def _is_whole(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which JSON can say and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _segments(to: str, here: str) -> tuple[str, ...]:
    if to.startswith("//"):
        authority, _, to = to.removeprefix("//").partition("/")
        if authority.lower() != here.lower():
            raise RefusedError(Rsc.NOT_FOUND, "nothing is found here")
    return path_segments(to.encode())
