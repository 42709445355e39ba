"""Ports and clients by transport: what TLS with HTTP, and DTLS with CoAP, look like from above."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from ..errors import PeerRefusedError
from ..frameworks.steps import Authorities, Established, Initiator
from ..onem2m.primitives import Operation, Response, Rsc
from .address import Address, Transport
from .channel import ChannelHandler, channel_protocol, datagram_channels
from .coap import CoapClient, CoapServer
from .http import http_protocol
from .http_client import HttpClient
from .limits import Limits
from .open_sessions import OpenSessions, RequestHandler
from .tasks import GRACE_SECONDS
from .tcp import Listener
from .udp import DatagramListener


class Port(Protocol):
    """A port that accepts clients until it is stopped."""

    open_sessions: OpenSessions

    @property
    def connections(self) -> int:
        """Clients connected now."""

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use."""

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Let what is under way finish within the grace period (seconds), and close."""

    async def __aenter__(self) -> Self:
        """The port, which is stopped in the end."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""


class RequestClient(Protocol):
    """Sends request primitives to one peer."""

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established."""

    async def request(
        self,
        operation: Operation,
        to: Iterable[str],
        *,
        content: Mapping[str, Any] | None = None,
        resource_type: int | None = None,
    ) -> Response:
        """Send a request primitive and return the response primitive, whatever its status."""

    async def close(self) -> None:
        """Close the kept connections."""


class _CoapPort(DatagramListener):
    """A DTLS port with a CoAP server on top."""

    def __init__(
        self, authorities: Authorities, server: CoapServer, limits: Limits, open_sessions: OpenSessions
    ) -> None:
        super().__init__(authorities, server.application, limits, open_sessions=open_sessions)
        self._server = server

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Stop the port, then the server."""
        await super().stop(grace=grace)
        await self._server.stop()


async def request_port(
    transport: Transport, authorities: Authorities, handler: RequestHandler, limits: Limits
) -> Port:
    """A port on which requests are answered: HTTP over TLS, or CoAP over DTLS.

    The handler gets what each session means at the moment of its request.
    """
    open_sessions = OpenSessions(authorities, limits.quotas)
    handler = open_sessions.guard(handler)
    if transport is Transport.TLS:
        return Listener(authorities, http_protocol(handler, limits), limits, open_sessions=open_sessions)
    return _CoapPort(authorities, await CoapServer.create(handler, limits), limits, open_sessions)


def channel_port(
    transport: Transport, authorities: Authorities, handler: ChannelHandler, limits: Limits
) -> Port:
    """A port on which each client gets a channel, for which the handler runs."""
    if transport is Transport.TLS:
        return Listener(authorities, channel_protocol(handler), limits)
    return DatagramListener(authorities, datagram_channels(handler), limits)


def request_client(
    transport: Transport, initiator: Initiator, address: Address, *, limits: Limits | None = None
) -> RequestClient:
    """A client of the peer at this address: HTTP over TLS, or CoAP over DTLS."""
    make = HttpClient if transport is Transport.TLS else CoapClient
    return make(initiator, address, limits=limits)


def expect(response: Response, *accepted: Rsc) -> Mapping[str, Any]:
    """The content of a response with an accepted status.

    Raises:
        PeerRefusedError: Any other status; the message carries the peer's own words.
    """
    if response.rsc not in accepted:
        told = (response.content or {}).get("m2m:dbg", "")
        raise PeerRefusedError(f"{response.rsc.name}: {str(told)[:200]}", rsc=int(response.rsc))
    return response.content or {}
