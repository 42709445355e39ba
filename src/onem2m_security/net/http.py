"""The HTTP binding (TS-0009) on the accepting side: oneM2M primitives over HTTP over a secured connection.

Beside them, what another protocol asks below a well-known URI of its own (``plain``). The application finds
the association in the state of the request. The asking side is ``http_client``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, cast
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from ..frameworks.steps import Established
from ..onem2m.primitives import RefusedError, Request, Response, Rsc
from .binding import (
    MAX_SEGMENTS,
    RELEASE_VERSION,
    RequestHandler,
    read_content,
    request_primitive,
    require_json_is_acceptable,
    write_content,
)
from .http_client import METHODS, path_component
from .http_server import BoundedHttpProtocol, check_bounds, http_config
from .limits import Limits, at_most
from .plain import PlainAnswer, PlainHandler, PlainRequest
from .tcp import ProtocolFactory, SecureTransport

_OPERATIONS: Final = {method: operation for operation, method in METHODS.items()}

_STATUS: Final = {
    Rsc.OK: 200,
    Rsc.CREATED: 201,
    Rsc.DELETED: 200,
    Rsc.UPDATED: 200,
    Rsc.BAD_REQUEST: 400,
    Rsc.CONTENTS_UNACCEPTABLE: 400,
    Rsc.ORIGINATOR_HAS_NO_PRIVILEGE: 403,
    Rsc.ORIGINATOR_NOT_AUTHENTICATED: 403,
    Rsc.NOT_FOUND: 404,
    Rsc.OPERATION_NOT_ALLOWED: 405,
    Rsc.NOT_ACCEPTABLE: 406,
    Rsc.CONFLICT: 409,
    Rsc.UNSUPPORTED_MEDIA_TYPE: 415,
    Rsc.TOO_MANY_REQUESTS: 429,
    Rsc.INTERNAL_SERVER_ERROR: 500,
    Rsc.TARGET_NOT_REACHABLE: 404,
}
"""Response Status Code to HTTP status (TS-0009 table 6.3.2-1)."""

_JSON_TYPES: Final = {"application/json", "application/vnd.onem2m-res+json"}
_JSON_RANGES: Final = _JSON_TYPES | {"*/*", "application/*", "application/vnd.onem2m-ntfy+json"}
_TYPE_NUMBER: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


class _AwaitingHttp(asyncio.Protocol):
    """Stands in for the HTTP protocol until a request comes: many clients only shake hands (8.8.2.2)."""

    def __init__(self, make: Callable[[], asyncio.Protocol]) -> None:
        self._make = make
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            protocol = self._make()
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(data)

    def shutdown(self) -> None:
        """The server stops: nobody waits for an answer here."""
        if self._transport is not None:
            self._transport.close()


def http_protocol(
    handler: RequestHandler, limits: Limits, well_known: Mapping[str, PlainHandler] | None = None
) -> ProtocolFactory:
    """A protocol factory for a listener: requests on each connection go to the handler.

    Args:
        handler: Answers a request primitive that came over an established session.
        limits: Bounds on head, body and time.
        well_known: Who answers the requests below ``/.well-known/NAME``, by that name.

    Raises:
        ConfigurationError: The bounds do not hold with the uvicorn that is installed.
    """
    check_bounds()

    async def answer(http_request: HttpRequest) -> HttpResponse:
        established: Established = http_request.state.established
        request_id = http_request.headers.get("x-m2m-ri", "")
        try:
            response = await handler(await _parse(http_request, limits), established)
        except RefusedError as refused:
            response = refused.response
        except ClientDisconnect:
            return HttpResponse(status_code=400)
        return _render(response, request_id)

    methods = [*_OPERATIONS, "HEAD", "PATCH"]
    routes = [
        Route(f"/.well-known/{name}/{{path:path}}", _plain_route(plain, limits), methods=methods)
        for name, plain in (well_known or {}).items()
    ]
    app = Starlette(routes=[*routes, Route("/{path:path}", answer, methods=methods)])
    config = http_config(app, limits)
    state = ServerState()

    def make(connection: SecureTransport) -> asyncio.Protocol:
        session = {"established": connection.handshake.result()}
        return _AwaitingHttp(lambda: BoundedHttpProtocol(config, state, session, limits=limits))

    return make


def _plain_route(handler: PlainHandler, limits: Limits) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Answers the requests of another protocol, by what its handler says."""

    async def answer(http_request: HttpRequest) -> HttpResponse:
        established: Established = http_request.state.established
        try:
            plain = await handler(await _parse_plain(http_request, limits), established)
        except RefusedError as refused:
            plain = PlainAnswer.refusal(_STATUS[refused.rsc], str(refused))
        except ClientDisconnect:
            return HttpResponse(status_code=400)
        headers = {"Cache-Control": "no-store", **plain.headers}
        media_type = plain.media_type if plain.body else None
        return HttpResponse(plain.body or None, plain.status, headers=headers, media_type=media_type)

    return answer


async def _parse_plain(http_request: HttpRequest, limits: Limits) -> PlainRequest:
    media_type, _ = _media_type(http_request.headers.get("content-type", ""))
    path = _segments(http_request.scope.get("raw_path", b""))[2:]
    body = await at_most(limits.body_octets, http_request.stream())
    if body is None:
        raise RefusedError(Rsc.CONTENTS_UNACCEPTABLE, f"the body has more than {limits.body_octets} octets")
    return PlainRequest(http_request.method, path, media_type, body)


async def _parse(http_request: HttpRequest, limits: Limits) -> Request:
    headers = http_request.headers
    media_type, parameters = _media_type(headers.get("content-type", ""))
    request = request_primitive(
        _OPERATIONS.get(http_request.method),
        _segments(http_request.scope.get("raw_path", b"")),
        headers.get("x-m2m-origin", ""),
        headers.get("x-m2m-ri", ""),
        _resource_type(parameters.get("ty")),
    )
    require_json_is_acceptable(is_acceptable=_takes_json(headers.getlist("accept")))
    body = await at_most(limits.body_octets, http_request.stream())
    return replace(request, content=read_content(body, limits, is_json=media_type in _JSON_TYPES))


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type or range, and its parameters."""
    name, *rest = (part.strip() for part in text.lower().split(";"))
    pairs = (part.partition("=") for part in rest)
    return name, {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def _resource_type(text: str | None) -> int | None:
    """The Resource Type, a parameter of Content-Type (TS-0009 clause 6.4.3).

    Raises:
        RefusedError: BAD_REQUEST when it is no number of five digits at most.
    """
    if text is None:
        return None
    if not _TYPE_NUMBER.fullmatch(text):
        raise RefusedError(Rsc.BAD_REQUEST, "the Resource Type (ty) is not a number of at most five digits")
    return int(text)


def _takes_json(accept: Iterable[str]) -> bool:
    """Whether the Accept headers (TS-0009 clause 6.4.2) leave room for JSON; without any, everything is."""
    ranges = [_media_type(part) for header in accept for part in header.split(",")]
    return not ranges or any(
        name in _JSON_RANGES and parameters.get("q", "1").strip("0.") != "" for name, parameters in ranges
    )


def _segments(raw_path: bytes) -> tuple[str, ...]:
    """The path, split before it is unquoted: a base64 identifier may hold a quoted slash.

    Of a path that is too long, no more than shows that it is.
    """
    parts = raw_path.partition(b"?")[0].strip(b"/").split(b"/")
    try:
        return tuple(unquote_to_bytes(part).decode("utf-8") for part in parts[: MAX_SEGMENTS + 1])
    except UnicodeDecodeError:
        raise RefusedError(Rsc.BAD_REQUEST, "the path is not UTF-8") from None


def _render(response: Response, request_id: str) -> HttpResponse:
    content = write_content(response.content)
    headers = {
        "X-M2M-RSC": str(int(response.rsc)),
        "X-M2M-RVI": RELEASE_VERSION,
        "Cache-Control": "no-store",
    }
    if request_id:
        headers["X-M2M-RI"] = request_id
    if response.created is not None:
        headers["Content-Location"] = path_component(response.created)
    media_type = "application/json" if content else None
    return HttpResponse(
        content or None, status_code=_STATUS[response.rsc], headers=headers, media_type=media_type
    )
