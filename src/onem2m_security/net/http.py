"""The HTTP binding (TS-0009) on the accepting side: oneM2M primitives over HTTP over a secured connection.

Beside them, what another protocol asks below a well-known URI of its own (``plain``). How HTTP is read and
written is ``http_server``; the asking side is ``http_client``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from ..frameworks.steps import Established
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import RefusedError, Rsc
from .binding import RELEASE_VERSION, CarriedHandler, RequestHandler, answering, path_segments
from .http_carried import HttpRequestHead, read_request, request_id_in, status_of, write_response
from .http_messages import Answer, HttpRequest, HttpResponse
from .http_server import HttpProtocol
from .http_trial import check_bounds
from .limits import Limits
from .plain import PlainAnswer, PlainHandler, PlainRequest
from .tcp import ProtocolFactory, SecureTransport
from .websocket_server import upgraded

_WELL_KNOWN: Final = b"/.well-known/"


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
    """A protocol factory for a listener: requests on each connection go to the handler, by WebSocket too.

    Args:
        handler: Answers a request primitive that came over an established session.
        limits: Bounds on head, body and time.
        well_known: Who answers the requests below ``/.well-known/NAME``, by that name.

    Raises:
        ConfigurationError: The bounds do not hold with the httptools that is installed.
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

    def make(connection: SecureTransport) -> asyncio.Protocol:
        established = connection.handshake.result()

        async def carried(request: CarriedRequest) -> CarriedResponse:
            return await handler(request, established)

        async def answer(request: HttpRequest) -> HttpResponse:
            if well_known and request.path.startswith(_WELL_KNOWN):
                name, _, rest = request.path.removeprefix(_WELL_KNOWN).partition(b"/")
                if (plain := well_known.get(name.decode("latin-1"))) is not None:
                    return await _answer_plain(plain, request, rest, established, limits)
            return await primitives(request)

        primitives = http_answer(carried, limits)
        over = None if on_top is None else partial(on_top, connection)
        return HttpProtocol(answer, limits, connection.run, over)

    return lambda connection: _AwaitingHttp(make, connection)


def http_answer(handler: Callable[[CarriedRequest], Awaitable[CarriedResponse]], limits: Limits) -> Answer:
    """What answers HTTP requests by a handler of primitives.

    Args:
        handler: Answers a request primitive whose content stays as it came.
        limits: Bounds on the body.
    """

    async def answer(request: HttpRequest) -> HttpResponse:
        try:
            return _render(await handler(_primitive(request, limits)))
        except RefusedError as refused:
            request_id = request_id_in(request.headers)
            return _render(CarriedResponse.refusal(refused, request_id, RELEASE_VERSION))

    return answer


def _primitive(request: HttpRequest, limits: Limits) -> CarriedRequest:
    primitive = read_request(HttpRequestHead(request.method, request.path, request.query, request.headers))
    if request.body is None:
        raise RefusedError(
            Rsc.CONTENTS_UNACCEPTABLE, f"the content has more than {limits.body_octets} octets"
        )
    return replace(primitive, content=request.body)


def _render(response: CarriedResponse) -> HttpResponse:
    status, headers = write_response(response)
    return HttpResponse(status, tuple(headers), response.content)


async def _answer_plain(
    plain: PlainHandler, request: HttpRequest, path: bytes, established: Established, limits: Limits
) -> HttpResponse:
    """Answer a request of another protocol, by what its handler says."""
    try:
        answer = await plain(_plain_request(request, path_segments(path), limits), established)
    except RefusedError as refused:
        answer = PlainAnswer.refusal(status_of(refused.rsc), str(refused))
    headers = [("Cache-Control", "no-store"), *answer.headers.items()]
    if answer.body:
        headers.append(("Content-Type", answer.media_type))
    return HttpResponse(answer.status, tuple(headers), answer.body)


def _plain_request(request: HttpRequest, path: tuple[str, ...], limits: Limits) -> PlainRequest:
    if request.body is None:
        raise RefusedError(Rsc.CONTENTS_UNACCEPTABLE, f"the body has more than {limits.body_octets} octets")
    media_type = request.first(b"content-type").partition(";")[0].strip().lower()
    return PlainRequest(request.method, path, media_type, request.body)
