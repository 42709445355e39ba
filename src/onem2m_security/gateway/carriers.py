"""What carries requests through a kept association: HTTP over a few sessions, or CoAP over one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ..clients.kept_association import KeptAssociation
from ..errors import ConfigurationError
from ..frameworks.steps import Established, Initiator
from ..net.address import Binding
from ..net.coap import carried_by as carried_by_coap
from ..net.coap_client import CoapSessions, MakeApplication
from ..net.coap_layer import CoapRemote
from ..net.http_client import HttpPeer
from ..net.http_pool import HttpConnection, HttpPool
from ..net.limits import Limits
from ..net.tcp import SecureTransport, open_transport
from ..net.udp_client import open_datagram_connection
from ..onem2m.carried import CarriedRequest, CarriedResponse


class Carrier(Protocol):
    """Carries requests to Entity B and brings the answers back."""

    async def carry(self, request: CarriedRequest) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes.

        Raises:
            AnswerTimeoutError: There was no answer in time.
            RefusedError: The binding cannot carry what the request says.
            SecurityFrameworkError: Entity B cannot be reached, or its answer is no response primitive.
        """

    async def open_another(self) -> None:
        """Open one more session, for the next request."""

    async def close(self) -> None:
        """End the sessions."""


@dataclass(slots=True)
class _Session:
    """A session that carries HTTP."""

    established: Established


class HttpCarrier:
    """Over TLS: each request has a session to itself while it lasts, and sessions are used again."""

    def __init__(self, kept: KeptAssociation, authority: str) -> None:
        """Carry over this association.

        Args:
            kept: The association.
            authority: The host that requests name.
        """
        self._kept = kept
        self._pool = HttpPool(self._connect, kept.link.limits or Limits(), pipelined=1)
        self._peer = HttpPeer(authority, self._pool)

    async def carry(self, request: CarriedRequest) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes."""
        return await self._peer.carry(request)

    async def open_another(self) -> None:
        """Open one more session, for the next request that takes one."""
        await self._pool.open_another()

    async def _connect(self, connection: HttpConnection) -> None:
        sessions: list[_Session] = []

        def on_top(transport: SecureTransport) -> HttpConnection:
            sessions.append(_Session(transport.handshake.result()))
            return connection

        async def opened(initiator: Initiator) -> _Session:
            await open_transport(self._kept.link, initiator, on_top)
            return sessions[-1]

        session = await self._kept.open(opened)
        connection.serves = lambda: self._kept.serves(session.established)

    async def close(self) -> None:
        """End the sessions."""
        await self._pool.close()


class CoapCarrier:
    """Over DTLS: one session for all requests, which their tokens tell apart."""

    def __init__(self, kept: KeptAssociation, authority: str) -> None:
        """Carry over this association; CoAP names the host by no option here, since it has one session."""
        del authority
        self._kept = kept
        self._sessions = CoapSessions(kept.link.limits or Limits(), self._open, kept.serves)

    async def carry(self, request: CarriedRequest) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes."""
        limits = self._kept.link.limits or Limits()
        return await carried_by_coap(self._sessions, request, str(self._kept.link.address), limits)

    async def open_another(self) -> None:
        """Open one more session, which takes the place of the one before."""
        await self._sessions.open(another=True)

    async def _open(self, make: MakeApplication) -> CoapRemote:
        async def opened(initiator: Initiator) -> CoapRemote:
            return (await open_datagram_connection(self._kept.link, initiator, make)).remote

        return await self._kept.open(opened)

    async def close(self) -> None:
        """End the sessions."""
        await self._sessions.close()


_CARRIERS: Final[Mapping[Binding, Callable[[KeptAssociation, str], Carrier]]] = {
    Binding.HTTP: HttpCarrier,
    Binding.COAP: CoapCarrier,
}


def carrier(kept: KeptAssociation, authority: str) -> Carrier:
    """What carries requests over this association, by the binding that its link names.

    Raises:
        ConfigurationError: There is none for it.
    """
    binding = kept.link.carries_requests
    if binding not in _CARRIERS:
        raise ConfigurationError(f"an agent carries requests over HTTP or CoAP, not over {binding.value}")
    return _CARRIERS[binding](kept, authority)
