"""The HTTP binding (TS-0009) on the accepting side: oneM2M primitives over HTTP over a secured connection.

Beside them, what another protocol asks below a well-known URI of its own (``plain``). How HTTP is read and
written is ``http_server``; the asking side is ``http_client``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from ..frameworks.steps import Established
from ..onem2m.primitives import RefusedError, Request, Response, Rsc
from .binding import (
    RELEASE_VERSION,
    RequestHandler,
    path_segments,
    read_content,
    request_primitive,
    require_json_is_acceptable,
    write_content,
)
from .http_client import METHODS, path_component
from .http_messages import HttpRequest, HttpResponse
from .http_server import HttpProtocol
from .http_trial import check_bounds
from .limits import Limits
from .plain import PlainAnswer, PlainHandler, PlainRequest
from .tcp import ProtocolFactory, SecureTransport
from .websocket_server import upgraded

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

    __slots__ = ("_make", "_transport")  # there is one for each idle session

    def __init__(
        self, make: Callable[[SecureTransport], asyncio.Protocol], transport: SecureTransport
    ) -> None:
        self._make = make
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        protocol = self._make(self._transport)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    def shutdown(self) -> None:
        """The server stops: nobody waits for an answer here."""
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
        ConfigurationError: The bounds do not hold with the httptools that is installed.
    """
    check_bounds()
    requests = _Requests(handler, limits, well_known or {})
    on_top = upgraded(handler, limits)

    def make(connection: SecureTransport) -> asyncio.Protocol:
        established = connection.handshake.result()
        return HttpProtocol(
            lambda request: requests.answer(request, established),
            limits,
            connection.run,
            lambda: on_top(connection),
        )

    return lambda connection: _AwaitingHttp(make, connection)


class _Requests:
    """Answers the requests of one port: by the handler of primitives, or by that of a well-known URI."""

    def __init__(
        self, handler: RequestHandler, limits: Limits, well_known: Mapping[str, PlainHandler]
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._well_known = well_known

    async def answer(self, request: HttpRequest, established: Established) -> HttpResponse:
        try:
            path = path_segments(request.path)
        except RefusedError as refused:
            return _render(refused.response, request)
        if path[0] == ".well-known" and (plain := self._well_known.get("".join(path[1:2]))) is not None:
            return await self._answer_plain(plain, request, path[2:], established)
        try:
            response = await self._handler(self._primitive(request, path), established)
        except RefusedError as refused:
            response = refused.response
        return _render(response, request)

    def _primitive(self, request: HttpRequest, path: tuple[str, ...]) -> Request:
        media_type, parameters = _media_type(request.first(b"content-type"))
        primitive = request_primitive(
            _OPERATIONS.get(request.method),
            path,
            request.first(b"x-m2m-origin"),
            request.first(b"x-m2m-ri"),
            _resource_type(parameters.get("ty")),
        )
        require_json_is_acceptable(is_acceptable=_takes_json(request.all_of(b"accept")))
        content = read_content(request.body, self._limits, is_json=media_type in _JSON_TYPES)
        return primitive if content is None else replace(primitive, content=content)

    async def _answer_plain(
        self, plain: PlainHandler, request: HttpRequest, path: tuple[str, ...], established: Established
    ) -> HttpResponse:
        """Answer a request of another protocol, by what its handler says."""
        try:
            answer = await plain(_plain_request(request, path, self._limits), established)
        except RefusedError as refused:
            answer = PlainAnswer.refusal(_STATUS[refused.rsc], str(refused))
        headers = [("Cache-Control", "no-store"), *answer.headers.items()]
        if answer.body:
            headers.append(("Content-Type", answer.media_type))
        return HttpResponse(answer.status, tuple(headers), answer.body)


def _plain_request(request: HttpRequest, path: tuple[str, ...], limits: Limits) -> PlainRequest:
    if request.body is None:
        raise RefusedError(Rsc.CONTENTS_UNACCEPTABLE, f"the body has more than {limits.body_octets} octets")
    media_type, _ = _media_type(request.first(b"content-type"))
    return PlainRequest(request.method, path, media_type, request.body)


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


def _render(response: Response, request: HttpRequest) -> HttpResponse:
    content = write_content(response.content)
    headers = [
        ("X-M2M-RSC", str(int(response.rsc))),
        ("X-M2M-RVI", RELEASE_VERSION),
        ("Cache-Control", "no-store"),
    ]
    if request_id := request.first(b"x-m2m-ri"):
        headers.append(("X-M2M-RI", request_id))
    if response.created is not None:
        headers.append(("Content-Location", path_component(response.created)))
    if content:
        headers.append(("Content-Type", "application/json"))
    return HttpResponse(_STATUS[response.rsc], tuple(headers), content)
