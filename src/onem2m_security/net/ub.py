"""Ub over plain HTTP at the BSF, where uvicorn's protocol class serves. The asking side is ``ub_client``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..gba.ub_messages import UbRequest, UbResponse
from ..quotas import OverQuota
from .limits import Limits, at_most, network_of
from .plain_port import PlainHttpPort
from .stream import StreamTransport
from .ub_client import UB_BODY_MAX_OCTETS

UB_IDLE_SECONDS = 30.0
"""A UE asks two or three times in a row, and then not for hours."""

UbHandler = Callable[[UbRequest], Awaitable[UbResponse]]


_TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class _Crowd:
    """How many connections there are from each address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._network_of: dict[object, str] = {}
        self._present: Counter[str] = Counter()
        self._over_quota = OverQuota("ub-connections")

    def enter(self, connection: object, network: str, now: float) -> bool:
        """One more; whether it is within the limit. It counts until it has left, in either case."""
        self._network_of[connection] = network
        self._present[network] += 1
        if self._present[network] <= self._limit:
            return True
        self._over_quota.note(network, now)
        return False

    def leave(self, connection: object) -> None:
        """It is gone, if it was here."""
        network = self._network_of.pop(connection, None)
        if network is None:
            return
        self._present[network] -= 1
        if not self._present[network]:
            del self._present[network]


class UbListener(PlainHttpPort):
    """The TCP port where a BSF meets UEs."""

    def __init__(self, handler: UbHandler, *, limits: Limits | None = None) -> None:
        """Hand every request to the handler.

        Args:
            handler: Answers a request.
            limits: Bounds on sizes, time and number; of bodies and idleness, Ub has narrower ones.
        """
        given = limits or Limits()
        narrower = replace(
            given,
            body_octets=min(given.body_octets, UB_BODY_MAX_OCTETS),
            idle_seconds=min(given.idle_seconds, UB_IDLE_SECONDS),
        )
        super().__init__(_application(handler, narrower), limits=narrower)
        self._crowd = _Crowd(narrower.connections_per_address)

    def entered(self, connection: StreamTransport) -> bool:
        """A UE connected; whether there is a place for it, and not too many from its address."""
        if not super().entered(connection):
            return False
        network = network_of(connection.address.host)
        if self._crowd.enter(connection, network, connection.loop.time()):
            return True
        connection.write(_TOO_MANY)
        connection.close()
        return False

    def left(self, connection: StreamTransport) -> None:
        """A UE is gone."""
        super().left(connection)
        self._crowd.leave(connection)


def _application(handler: UbHandler, limits: Limits) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        try:
            body = await at_most(limits.body_octets, request.stream())
        except ClientDisconnect:
            return
        authorizations = request.headers.getlist("authorization")
        if body is None or len(authorizations) > 1:
            await HttpResponse(status_code=413 if body is None else 400)(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        uri = f"{path}?{query}" if query else path
        network = network_of(request.client.host if request.client else "")
        asked = UbRequest(request.method, uri, authorizations[0] if authorizations else None, body, network)
        answered = await handler(asked)
        response = HttpResponse(answered.body, answered.status)
        for name, value in answered.headers:
            response.headers.append(name, value)
        await response(scope, receive, send)

    return application
