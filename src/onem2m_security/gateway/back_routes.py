"""The way back at a gateway: its CSE's requests to a registree travel over SA2 (TS-0003 clause 8.2.1).

An entity registers over SA1 with a pointOfAccess that takes (D)TLS. The CSE is told a plain address of the
gateway's instead; what it sends there goes through a second association, of which the gateway is the client,
by the credential of the first, with no MAF in between.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from ..clients.kept_association import KeptAssociation
from ..errors import (
    AnswerTimeoutError,
    ConfigurationError,
    HandshakeError,
    ResolverUnavailableError,
    SecurityFrameworkError,
)
from ..frameworks.renewal import renewed
from ..frameworks.request_reachable import initiator
from ..frameworks.steps import Acceptor, Established, Initiator
from ..net.address import Address, Transport
from ..net.binding import CarriedHandler
from ..net.http import http_answer
from ..net.limits import Limits
from ..net.link import Link
from ..net.local_address import require_loopback
from ..net.plain_port import PlainHttpPort, for_programs
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import RefusedError, Rsc
from ..tasks import together
from ..telemetry import LOG
from .carriers import Carrier, carrier
from .points_of_access import mapped, may_register

EACH: Final = 4
"""Authorities at which one registree is reached; a further one takes the place of the oldest."""
REGISTREES: Final = 10_000
"""Registrees that are reached; beyond that the one that was silent for longest goes."""
_TRANSPORTS: Final = {"https": Transport.TLS, "coaps": Transport.DTLS}
_PROTOCOLS: Final = {Transport.TLS: "TLSv1.2", Transport.DTLS: "DTLSv1.2"}
_UNKNOWN: Final = RefusedError(Rsc.TARGET_NOT_REACHABLE, "nobody is reached here")
_NOT_REACHED: Final = RefusedError(Rsc.TARGET_NOT_REACHABLE, "the entity cannot be reached")
_TOO_LATE: Final = RefusedError(Rsc.REQUEST_TIMEOUT, "the entity gave no answer in time")

StopPort = Callable[[], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Route:
    """The way to one authority of a registree."""

    token: str
    carrier: Carrier


@dataclass(slots=True, eq=False)
class _Registree:
    """Who is reached, and by what: the newest session of SA1."""

    newest: Established
    routes: OrderedDict[tuple[Transport, str], _Route] = field(default_factory=OrderedDict)


class BackRoutes:
    """The handler of SA1 with the way back."""

    def __init__(self, handler: CarriedHandler, limits: Limits) -> None:
        """Nobody is reached yet.

        Args:
            handler: Answers the requests of registrees.
            limits: Bounds on time and size, towards the CSE and registrees.
        """
        self._handler = handler
        self._limits = limits
        self._registrees: OrderedDict[str, _Registree] = OrderedDict()
        self._by_token: dict[str, tuple[_Registree, _Route]] = {}
        self._plain = ""
        self._stop_port: StopPort | None = None

    # --- SA1 ------------------------------------------------------------------------------------------------

    async def handle(self, request: CarriedRequest, established: Established) -> CarriedResponse:
        """Answer a request of a registree."""
        known = self._registrees.get(established.holder)
        if known is not None:
            known.newest = established
            self._registrees.move_to_end(established.holder)
        if not may_register(request) or not self._plain:
            return await self._handler(request, established)
        told: dict[str, str] = {}
        left: list[Carrier] = []

        def change(uri: str) -> str:
            plain = self._plain_of(uri, established, left)
            told[plain] = uri
            return plain

        asked = mapped(request, change)
        await together(*(one.close() for one in left))
        response = await self._handler(asked, established)
        return mapped(response, lambda uri: told.get(uri, uri))

    def _plain_of(self, uri: str, established: Established, left: list[Carrier]) -> str:
        """What the CSE is told instead of a pointOfAccess; the same, where there is no way there."""
        found = _address_of(uri)
        if found is None or established.association.peer is None:
            return uri
        transport, address, path = found
        if established.association.protocol != _PROTOCOLS[transport]:
            LOG.warning("a pointOfAccess over another transport than the association", uri=uri[:200])
            return uri
        registree = self._registrees.setdefault(established.holder, _Registree(established))
        key = (transport, str(address))
        if key not in registree.routes:
            route = _Route(secrets.token_urlsafe(16), self._carrier(registree, address, transport))
            registree.routes[key] = route
            self._by_token[route.token] = (registree, route)
        registree.routes.move_to_end(key)
        left += self._crowded_out(registree)
        return f"{self._plain}/{registree.routes[key].token}{path}"

    def _crowded_out(self, registree: _Registree) -> list[Carrier]:
        gone = [registree.routes.popitem(last=False)[1]] if len(registree.routes) > EACH else []
        if len(self._registrees) > REGISTREES:
            _, oldest = self._registrees.popitem(last=False)
            gone += oldest.routes.values()
        for route in gone:
            del self._by_token[route.token]
        return [route.carrier for route in gone]

    def _carrier(self, registree: _Registree, address: Address, transport: Transport) -> Carrier:
        async def by_sa1() -> Initiator:
            """The credential of now, with the roles reversed."""
            return initiator(registree.newest)

        return carrier(KeptAssociation(Link(address, transport, self._limits), by_sa1), address.host)

    # --- SA2 ------------------------------------------------------------------------------------------------

    async def deliver(self, request: CarriedRequest, _: object = None) -> CarriedResponse:
        """Carry a request of the CSE to the registree that its address means.

        Raises:
            RefusedError: TARGET_NOT_REACHABLE or REQUEST_TIMEOUT.
        """
        token, _slash, rest = request.to.partition("/")
        found = self._by_token.get(token)
        if found is None:
            raise _UNKNOWN
        registree, route = found
        try:
            if not await _stands(registree):
                raise HandshakeError("its association has ended")
            response = await route.carrier.carry(replace(request, to=rest))
        except RefusedError:
            raise
        except AnswerTimeoutError as error:
            self._log(registree, error)
            raise _TOO_LATE from None
        except SecurityFrameworkError as error:
            self._log(registree, error)
            raise _NOT_REACHED from None
        return replace(response, request_id=request.request_id)

    @staticmethod
    def _log(registree: _Registree, error: SecurityFrameworkError) -> None:
        LOG.warning("a registree is not reached", peer=registree.newest.holder, error=str(error))

    async def listen(self, address: Address) -> Address:
        """Offer the CSE plain addresses here; returns the address in use.

        Raises:
            ConfigurationError: It is not loopback, or cannot be listened on.
        """
        require_loopback(address)
        port = PlainHttpPort(for_programs(http_answer(self.deliver, self._limits)), limits=self._limits)
        bound = await port.start(address)
        self._plain = f"http://{bound}"
        self._stop_port = port.stop
        return bound

    async def stop(self) -> None:
        """Nobody is reached any more."""
        if self._stop_port is not None:
            await self._stop_port()
        await together(*(route.carrier.close() for _, route in self._by_token.values()))


async def _stands(registree: _Registree) -> bool:
    """Whether SA1 would be accepted now: its right is that of SA2."""
    newest = registree.newest
    if newest.association.seconds_left <= 0:
        return False
    owner = newest.session.owner
    if not isinstance(owner, Acceptor):
        return True
    try:
        now = await renewed(owner, newest)
    except ResolverUnavailableError:
        return True  # nobody can say: it counts as it last did, until it ends
    if now is not None:
        registree.newest = now
    return now is not None


def _address_of(uri: str) -> tuple[Transport, Address, str] | None:
    """Over what, where, and the rest of a URI that takes (D)TLS; None for any other."""
    try:
        parts = urlsplit(uri)
        transport = _TRANSPORTS[parts.scheme.lower()]
        address, _ = Address.located(f"{parts.scheme}://{parts.netloc}", transport)
    except (ValueError, KeyError, ConfigurationError):
        return None
    if "@" in parts.netloc or parts.fragment:
        return None
    return transport, address, parts.path + (f"?{parts.query}" if parts.query else "")
