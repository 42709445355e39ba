"""The HTTP binding (TS-0009) on the accepting side: oneM2M primitives over HTTP over a secured connection.

Beside them, what another protocol asks below a well-known URI of its own (``plain``). The application finds
the association in the state of the request. The asking side is ``http_client``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from ..frameworks.steps import Established
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import RefusedError, Rsc
from .binding import RELEASE_VERSION, CarriedHandler, RequestHandler, answering, path_segments
from .http_carried import METHODS, HttpRequestHead, read_request, request_id_in, status_of, write_response
from .http_server import BoundedHttpProtocol, check_bounds, http_config
from .limits import Limits, at_most
from .plain import PlainAnswer, PlainHandler, PlainRequest
from .tcp import ProtocolFactory, SecureTransport
from .websocket_server import upgraded

_METHODS: Final = sorted(set(METHODS.values()))


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
    """A protocol factory for a listener: requests on each connection go to the handler, by WebSocket too.

    Args:
        handler: Answers a request primitive that came over an established session.
        limits: Bounds on head, body and time.
        well_known: Who answers the requests below ``/.well-known/NAME``, by that name.

    Raises:
        ConfigurationError: The bounds do not hold with the uvicorn that is installed.
    """
    on_top = upgraded(handler, limits)
    return carried_http_protocol(answering(handler, limits), limits, well_known, on_top)


def carried_http_protocol(
    handler: CarriedHandler,
    limits: Limits,
    well_known: Mapping[str, PlainHandler] | None = None,
    on_top: Callable[[SecureTransport], asyncio.Protocol] | None = None,
) -> ProtocolFactory:
    """The same for a handler that carries primitives on.

    Args:
        handler: Answers a request primitive whose content stays as it came.
        limits: Bounds on head, body and time.
        well_known: As for ``http_protocol``.
        on_top: Makes what takes over a connection on which WebSocket is asked for; None for nothing.

    Raises:
        ConfigurationError: As for ``http_protocol``.
    """
    check_bounds()
    app = http_application(handler, limits, well_known)

    def take_over(*, app_state: Mapping[str, Any], **_: object) -> asyncio.Protocol:
        assert on_top is not None  # noqa: S101 - it is not handed over to otherwise
        return on_top(app_state["connection"])

    config = http_config(app, limits, take_over if on_top else None)
    state = ServerState()

    def make(connection: SecureTransport) -> asyncio.Protocol:
        session = {"established": connection.handshake.result(), "connection": connection}
        return _AwaitingHttp(lambda: BoundedHttpProtocol(config, state, session, limits=limits))

    return make


def http_application(
    handler: Callable[[CarriedRequest, Any], Awaitable[CarriedResponse]],
    limits: Limits,
    well_known: Mapping[str, PlainHandler] | None = None,
) -> Starlette:
    """What answers HTTP requests by a handler of primitives.

    Args:
        handler: Answers a request primitive; its second argument is ``established`` of the request's state.
        limits: Bounds on the body.
        well_known: As for ``http_protocol``.
    """

    async def answer(http_request: HttpRequest) -> HttpResponse:
        try:
            return _render(await handler(await _parse(http_request, limits), http_request.state.established))
        except RefusedError as refused:
            request_id = request_id_in(http_request.headers.raw)
            return _render(CarriedResponse.refusal(refused, request_id, RELEASE_VERSION))
        except ClientDisconnect:
            return HttpResponse(status_code=400)

    methods = [*_METHODS, "HEAD", "PATCH"]
    routes = [
        Route(f"/.well-known/{name}/{{path:path}}", _plain_route(plain, limits), methods=methods)
        for name, plain in (well_known or {}).items()
    ]
    return Starlette(routes=[*routes, Route("/{path:path}", answer, methods=methods)])


def _plain_route(handler: PlainHandler, limits: Limits) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """Answers the requests of another protocol, by what its handler says."""

    async def answer(http_request: HttpRequest) -> HttpResponse:
        established: Established = http_request.state.established
        try:
            plain = await handler(await _parse_plain(http_request, limits), established)
        except RefusedError as refused:
            plain = PlainAnswer.refusal(status_of(refused.rsc), str(refused))
        except ClientDisconnect:
            return HttpResponse(status_code=400)
        headers = {"Cache-Control": "no-store", **plain.headers}
        media_type = plain.media_type if plain.body else None
        return HttpResponse(plain.body or None, plain.status, headers=headers, media_type=media_type)

    return answer


async def _parse_plain(http_request: HttpRequest, limits: Limits) -> PlainRequest:
    media_type = http_request.headers.get("content-type", "").partition(";")[0].strip().lower()
    path = path_segments(http_request.scope.get("raw_path", b""))[2:]
    body = await at_most(limits.body_octets, http_request.stream())
    if body is None:
        raise RefusedError(Rsc.CONTENTS_UNACCEPTABLE, f"the body has more than {limits.body_octets} octets")
    return PlainRequest(http_request.method, path, media_type, body)


async def _parse(http_request: HttpRequest, limits: Limits) -> CarriedRequest:
    """A request primitive; what its head says wrong is told before its body is read."""
    scope = http_request.scope
    path = scope.get("raw_path", b"").partition(b"?")[0]
    request = read_request(
        HttpRequestHead(scope["method"], path, scope["query_string"], http_request.headers.raw)
    )
    body = await at_most(limits.body_octets, http_request.stream())
    if body is None:
        raise RefusedError(
            Rsc.CONTENTS_UNACCEPTABLE, f"the content has more than {limits.body_octets} octets"
        )
    return replace(request, content=body)


def _render(response: CarriedResponse) -> HttpResponse:
    status, headers = write_response(response)
    made = HttpResponse(response.content or None, status)
    made.raw_headers += [(name.lower().encode("ascii"), value.encode()) for name, value in headers]
    return made
