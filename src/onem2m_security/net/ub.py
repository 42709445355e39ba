"""Ub over plain HTTP at the BSF. The asking side is ``ub_client``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..gba.ub_messages import UbRequest, UbResponse
from ..quotas import OverQuota
from .http_messages import HttpRequest, HttpResponse
from .limits import Limits, network_of
from .plain_port import PlainPort
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


class UbListener(PlainPort):
    """The TCP port where a BSF meets UEs."""

    def __init__(self, handler: UbHandler, *, limits: Limits | None = None) -> None:
        """Hand every request to the handler.

        Args:
            handler: Answers a request.
            limits: Bounds on sizes, time and number; of bodies and idleness, Ub has narrower ones.
        """
        given = limits or Limits()
        super().__init__(
            replace(
                given,
                body_octets=min(given.body_octets, UB_BODY_MAX_OCTETS),
                idle_seconds=min(given.idle_seconds, UB_IDLE_SECONDS),
            )
        )
        self._crowd = _Crowd(self._limits.connections_per_address)
        self._handler = handler

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

    async def answer(self, connection: StreamTransport, request: HttpRequest) -> HttpResponse:
        """Answer a UE."""
        authorizations = request.all_of(b"authorization")
        if request.body is None or len(authorizations) > 1:
            return HttpResponse(413 if request.body is None else 400)
        uri = b"?".join((request.path, request.query)) if request.query else request.path
        answered = await self._handler(
            UbRequest(
                request.method,
                uri.decode("latin-1"),
                authorizations[0] if authorizations else None,
                request.body,
                network_of(connection.address.host),
            )
        )
        return HttpResponse(answered.status, tuple(answered.headers), answered.body)
