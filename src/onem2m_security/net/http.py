"""The HTTP binding (TS-0009): oneM2M primitives over HTTP/1.1 over a secured connection.

uvicorn's protocol class parses and writes HTTP on the server, httpcore on the client; both run on our own
transports. The application finds the association in the state of the request.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, cast
from urllib.parse import quote, unquote_to_bytes

import httpcore
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ..errors import HandshakeError, ResolverUnavailableError
from ..frameworks.base import Established, Initiator
from ..functions.primitives import Operation, RefusedError, Request, Response, Rsc
from .address import Address
from .channel import Channel, open_channel
from .limits import Limits
from .tcp import ProtocolFactory

RequestHandler = Callable[[Request, Established], Awaitable[Response]]

RELEASE_VERSION_INDICATOR: Final = "3"
"""X-M2M-RVI (TS-0009 clause 6.4.22)."""

_METHODS: Final = {
    Operation.CREATE: "POST",
    Operation.RETRIEVE: "GET",
    Operation.UPDATE: "PUT",
    Operation.DELETE: "DELETE",
}
_OPERATIONS: Final = {method: operation for operation, method in _METHODS.items()}

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
    Rsc.CONFLICT: 409,
    Rsc.TOO_MANY_REQUESTS: 429,
    Rsc.INTERNAL_SERVER_ERROR: 500,
    Rsc.TARGET_NOT_REACHABLE: 404,
}
"""Response Status Code to HTTP status (TS-0009 table 6.3.2-1)."""

MAX_SEGMENTS: Final = 8
MAX_CONNECTIONS: Final = 8
"""Of one client to its peer, in use or kept; more would make httpcore's pool slower, not faster."""
_JSON_TYPES: Final = {"application/json", "application/vnd.onem2m-res+json"}


# --- server -------------------------------------------------------------------------------------------------


class _BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the limits that it lacks: size of a head, time for a whole request."""

    limits: Limits

    def __init__(self, *args: Any, limits: Limits) -> None:  # noqa: ANN401 - handed through
        super().__init__(*args)
        self.limits = limits
        self._head_octets = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_octets += len(data)
            if self._head_octets > self.limits.head_octets + self.limits.body_octets:
                self.send_400_response("Request head too large.")
                return
        super().data_received(data)

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) <= self.limits.head_octets:
            super().on_url(url)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.handshake_seconds, self.transport.close)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_octets, self._in_head = 0, True
        self._cancel_deadline()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


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


def http_protocol(handler: RequestHandler, limits: Limits) -> ProtocolFactory:
    """A protocol factory for a listener: requests on each connection go to the handler.

    Args:
        handler: Answers a request primitive that came over an established session.
        limits: Bounds on head, body and time.
    """

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

    app = Starlette(routes=[Route("/{path:path}", answer, methods=[*_OPERATIONS, "HEAD", "PATCH"])])
    config = Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=int(limits.idle_seconds),
        h11_max_incomplete_event_size=limits.head_octets,
    )
    config.load()
    state = ServerState()

    def make(established: Established) -> asyncio.Protocol:
        return _AwaitingHttp(
            lambda: _BoundedHttpProtocol(config, state, {"established": established}, limits=limits)
        )

    return make


async def _parse(http_request: HttpRequest, limits: Limits) -> Request:
    operation = _OPERATIONS.get(http_request.method)
    if operation is None:
        raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, "POST, GET, PUT and DELETE are offered")
    request_id = http_request.headers.get("x-m2m-ri")
    if not request_id or len(request_id) > 255:
        raise RefusedError(Rsc.BAD_REQUEST, "X-M2M-RI (the Request Identifier) is missing")
    return Request(
        operation=operation,
        to=_segments(http_request.scope.get("raw_path", b"")),
        originator=http_request.headers.get("x-m2m-origin", "")[:255],
        request_id=request_id,
        content=await _content(http_request, limits),
    )


def _segments(raw_path: bytes) -> tuple[str, ...]:
    """The path, split before it is unquoted: a base64 identifier may hold a quoted slash."""
    parts = raw_path.partition(b"?")[0].strip(b"/").split(b"/")
    try:
        segments = tuple(unquote_to_bytes(part).decode("utf-8") for part in parts[: MAX_SEGMENTS + 1])
    except UnicodeDecodeError:
        raise RefusedError(Rsc.BAD_REQUEST, "the path is not UTF-8") from None
    if len(segments) > MAX_SEGMENTS:
        raise RefusedError(Rsc.NOT_FOUND, "nothing is found here")
    return segments


async def _content(http_request: HttpRequest, limits: Limits) -> object:
    body = bytearray()
    async for chunk in http_request.stream():
        body += chunk
        if len(body) > limits.body_octets:
            raise RefusedError(
                Rsc.CONTENTS_UNACCEPTABLE, f"the content has more than {limits.body_octets} octets"
            )
    if not body:
        return None
    media_type = http_request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _JSON_TYPES:
        raise RefusedError(Rsc.CONTENTS_UNACCEPTABLE, "the content is not application/json")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(Rsc.BAD_REQUEST, "the content is not JSON") from None


def _render(response: Response, request_id: str) -> HttpResponse:
    content = None if response.content is None else json.dumps(response.content).encode()
    headers = {
        "X-M2M-RSC": str(int(response.rsc)),
        "X-M2M-RVI": RELEASE_VERSION_INDICATOR,
        "Cache-Control": "no-store",
    }
    if request_id:
        headers["X-M2M-RI"] = request_id
    media_type = None if content is None else "application/json"
    return HttpResponse(content, status_code=_STATUS[response.rsc], headers=headers, media_type=media_type)


# --- client -------------------------------------------------------------------------------------------------


class _Stream(httpcore.AsyncNetworkStream):
    """A channel as httpcore wants it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                return await self._channel.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                await self._channel.write(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._channel.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        return self._channel.closing if info == "is_readable" else None


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens secured connections to one peer, whatever host httpcore names."""

    def __init__(self, initiator: Initiator, address: Address, limits: Limits) -> None:
        self._initiator = initiator
        self._address = address
        self._limits = limits
        self.established: Established | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del host, port, timeout, local_address, socket_options
        try:
            channel = await open_channel(self._initiator, self._address, limits=self._limits)
        except HandshakeError as error:
            raise httpcore.ConnectError(str(error)) from error
        self.established = channel.established
        return _Stream(channel)


class HttpClient:
    """Sends request primitives to one peer, over connections that one initiator makes and that are reused."""

    def __init__(self, initiator: Initiator, address: Address, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._authority = (initiator.server_name and str(initiator.server_name)) or address.host
        self._originator = str(initiator.local)
        self._backend = _Backend(initiator, address, self._limits)
        # The pool looks through all that wait for it at every step: let them wait here.
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=min(60.0, self._limits.idle_seconds / 2),
            network_backend=self._backend,
        )

    async def request(
        self,
        operation: Operation,
        to: Iterable[str],
        *,
        content: Mapping[str, Any] | None = None,
        resource_type: int | None = None,
    ) -> Response:
        """Send a request primitive and return the response primitive, whatever its status.

        Args:
            operation: What to do.
            to: The segments of the resource's path.
            content: The Content parameter, as JSON values.
            resource_type: For CREATE: the type of the resource.

        Raises:
            ResolverUnavailableError: The peer cannot be reached, or its answer is no response primitive.
        """
        body = b"" if content is None else json.dumps(content).encode()
        headers = [
            (b"Host", self._authority.encode("ascii")),
            (b"X-M2M-Origin", self._originator.encode()),
            (b"X-M2M-RI", secrets.token_hex(8).encode()),
            (b"X-M2M-RVI", RELEASE_VERSION_INDICATOR.encode()),
            (b"Accept", b"application/json"),
        ]
        if content is not None:
            type_part = "" if resource_type is None else f";ty={resource_type}"
            headers += [
                (b"Content-Type", f"application/json{type_part}".encode()),
                (b"Content-Length", str(len(body)).encode()),
            ]
        url = httpcore.URL(
            scheme=b"http",
            host=self._authority.encode("ascii"),
            port=None,
            target=("/" + "/".join(quote(segment, safe="") for segment in to)).encode("ascii"),
        )
        seconds = self._limits.request_seconds
        timeouts = {"pool": seconds, "connect": seconds, "read": seconds, "write": seconds}
        try:
            async with (
                asyncio.timeout(seconds),
                self._places,
                self._pool.stream(
                    _METHODS[operation], url, headers=headers, content=body, extensions={"timeout": timeouts}
                ) as answer,
            ):
                return _response(answer, await self._body(answer))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise ResolverUnavailableError(f"{self._authority}: {error or type(error).__name__}") from error

    async def _body(self, answer: httpcore.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_stream():
            body += chunk
            if len(body) > self._limits.body_octets:
                raise ResolverUnavailableError(f"{self._authority}: the answer is too long")
        return bytes(body)

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established.

        Raises:
            HandshakeError: No connection was made yet.
        """
        if self._backend.established is None:
            raise HandshakeError("no connection was made yet")
        return self._backend.established

    async def close(self) -> None:
        """Close the kept connections."""
        await self._pool.aclose()


def _response(answer: httpcore.Response, body: bytes) -> Response:
    headers = {name.lower(): value for name, value in answer.headers}
    try:
        rsc = Rsc(int(headers[b"x-m2m-rsc"]))
        content = json.loads(body) if body else None
    except (KeyError, ValueError, RecursionError):
        raise ResolverUnavailableError("the answer is no oneM2M response primitive") from None
    if content is not None and not isinstance(content, dict):
        raise ResolverUnavailableError("the content of the answer is not a JSON object")
    return Response(rsc, content)
