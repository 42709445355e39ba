"""Ub over plain HTTP, at the BSF and at the UE (TS 24.109 clause 4).

Ub protects itself: Digest AKA proves both ends and auth-int the bodies, so 3GPP runs it over plain HTTP on
TCP. uvicorn's protocol class serves, httpcore asks; this module only carries, and decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import httpcore
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from ..errors import ConfigurationError, MessageError, ResolverUnavailableError
from ..functions.ub import UbRequest, UbResponse
from ..identifiers import Fqdn
from .address import Address
from .http_server import BoundedHttpProtocol
from .limits import Limits

UB_BODY_MAX_OCTETS = 8192

UbHandler = Callable[[UbRequest], Awaitable[UbResponse]]


class _UbProtocol(BoundedHttpProtocol):
    """A UE's connection: closed when it does not ask in time, and when there are too many."""

    def __init__(self, *args: Any, limits: Limits, empty: asyncio.Event) -> None:  # noqa: ANN401 - handed through
        super().__init__(*args, limits=limits)
        self._empty = empty

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        # Up to the end of the first request; uvicorn's own keep-alive bounds what follows.
        self._deadline = self.loop.call_later(self.limits.handshake_seconds, transport.close)
        self._empty.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.connections:
            self._empty.set()


class UbListener:
    """The TCP port where a BSF meets UEs."""

    def __init__(self, handler: UbHandler, *, limits: Limits | None = None) -> None:
        """Hand every request to the handler."""
        self._limits = limits or Limits()
        self._state = ServerState()
        self._config = Config(
            _application(handler),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=max(1, int(min(30.0, self._limits.idle_seconds))),
            h11_max_incomplete_event_size=self._limits.head_octets,
        )
        self._config.load()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _UbProtocol(self._config, self._state, {}, limits=self._limits, empty=self._empty),
                address.host,
                address.port,
                backlog=2048,
            )
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {address}: {error.strerror or error}") from error
        name = self._server.sockets[0].getsockname()
        return Address(name[0], name[1])

    async def stop(self, *, grace: float = 5.0) -> None:
        """Accept nobody more, let requests under way finish within the grace period (seconds), then close."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._empty.wait()
        for connection in list(self._state.connections):
            connection.transport.abort()


def _application(handler: UbHandler) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        try:
            body = await _body(request)
        except ClientDisconnect:
            return
        authorizations = request.headers.getlist("authorization")
        if body is None or len(authorizations) > 1:
            await HttpResponse(status_code=413 if body is None else 400)(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        uri = f"{path}?{query}" if query else path
        asked = UbRequest(request.method, uri, authorizations[0] if authorizations else None, body)
        answered = await handler(asked)
        response = HttpResponse(answered.body, answered.status)
        for name, value in answered.headers:
            response.headers.append(name, value)
        await response(scope, receive, send)

    return application


async def _body(request: HttpRequest) -> bytes | None:
    """The entity body; None when it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > UB_BODY_MAX_OCTETS:
            return None
    return bytes(body)


@dataclass(frozen=True, slots=True)
class UbAnswer:
    """What the BSF answered.

    Attributes:
        status: The status code.
        challenges: The WWW-Authenticate values, in order.
        authentication_info: The Authentication-Info value; None without one.
        body: The entity body.
    """

    status: int
    challenges: tuple[str, ...]
    authentication_info: str | None
    body: bytes


class UbClient:
    """A UE's connection to one BSF; an asynchronous context manager that closes it."""

    def __init__(self, bsf: Fqdn, address: Address, *, limits: Limits | None = None) -> None:
        """Ask the BSF of this name at this address."""
        self._limits = limits or Limits()
        self._bsf = bsf
        self._url = httpcore.URL(
            scheme=b"http", host=address.host.encode("ascii"), port=address.port, target=b"/"
        )
        self._pool = httpcore.AsyncConnectionPool(max_connections=1)

    async def get(self, authorization: str) -> UbAnswer:
        """GET / with these credentials, and the answer, whatever its status.

        Raises:
            ResolverUnavailableError: The BSF cannot be reached, or does not speak HTTP.
            MessageError: The answer is too long, or has Authentication-Info twice.
        """
        headers = [
            (b"Host", str(self._bsf).encode("ascii")),
            (b"User-Agent", b"onem2m-security 3gpp-gba"),
            (b"Accept", b"*/*"),
            (b"Authorization", authorization.encode("ascii")),
        ]
        seconds = self._limits.request_seconds
        timeouts = {"pool": seconds, "connect": seconds, "read": seconds, "write": seconds}
        try:
            async with (
                asyncio.timeout(seconds),
                self._pool.stream(
                    "GET", self._url, headers=headers, extensions={"timeout": timeouts}
                ) as answer,
            ):
                return await self._read(answer)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise ResolverUnavailableError(f"{self._bsf}: {error or type(error).__name__}") from error

    async def _read(self, answer: httpcore.Response) -> UbAnswer:
        body = bytearray()
        async for chunk in answer.aiter_stream():
            body += chunk
            if len(body) > UB_BODY_MAX_OCTETS:
                raise MessageError(f"{self._bsf}: the answer is too long")
        found = [(name.lower(), value.decode("latin-1")) for name, value in answer.headers]
        infos = [value for name, value in found if name == b"authentication-info"]
        if len(infos) > 1:
            raise MessageError(f"{self._bsf} answered with Authentication-Info twice")
        challenges = tuple(value for name, value in found if name == b"www-authenticate")
        return UbAnswer(answer.status, challenges, infos[0] if infos else None, bytes(body))

    async def close(self) -> None:
        """Close the connection."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()
