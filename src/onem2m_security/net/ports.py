"""Ports and clients by transport: what TLS with HTTP, and DTLS with CoAP, look like from above."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..errors import HandshakeError, PeerRefusedError
from ..frameworks.steps import Authorities, Established, How, Initiator, initiator_of
from ..onem2m.primitives import Operation, Response, Rsc
from .address import Address, Transport
from .channel import ChannelHandler, channel_protocol, datagram_channels
from .coap import CoapClient, CoapServer
from .http import http_protocol
from .http_client import HttpClient
from .limits import Limits
from .link import Link
from .open_sessions import OpenSessions, RequestHandler
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

    async def stop(self) -> None:
        """Let what is under way finish, and close."""


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

    async def stop(self) -> None:
        """Stop the server, then the port."""
        await super().stop()
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


class _LinkClient:
    """A client of the peer behind a link, whose new sessions prove us in the newest way."""

    def __init__(self, link: Link, how: How) -> None:
        self._link = link
        self._how = how
        self._shown: Initiator | None = None
        self._clients: list[RequestClient] = []

    @property
    def established(self) -> Established:
        if not self._clients:
            raise HandshakeError("no connection was made yet")
        return self._clients[-1].established

    async def request(
        self,
        operation: Operation,
        to: Iterable[str],
        *,
        content: Mapping[str, Any] | None = None,
        resource_type: int | None = None,
    ) -> Response:
        initiator = await initiator_of(self._how)
        if initiator is not self._shown:  # sessions under way end by themselves, or at close
            self._shown = initiator
            self._clients.append(_client(self._link, initiator))
        return await self._clients[-1].request(operation, to, content=content, resource_type=resource_type)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


def _client(link: Link, initiator: Initiator) -> RequestClient:
    make = HttpClient if link.transport is Transport.TLS else CoapClient
    return make(initiator, link.address, limits=link.limits)


def request_client(link: Link, how: How) -> RequestClient:
    """A client of the peer behind this link: HTTP over TLS, or CoAP over DTLS.

    Args:
        link: How to get there.
        how: How we prove ourselves, and to whom.
    """
    return _client(link, how) if isinstance(how, Initiator) else _LinkClient(link, how)


def expect(response: Response, *accepted: Rsc) -> Mapping[str, Any]:
    """The content of a response with an accepted status.

    Raises:
        PeerRefusedError: Any other status; the message carries the peer's own words.
    """
    if response.rsc not in accepted:
        told = (response.content or {}).get("m2m:dbg", "")
        raise PeerRefusedError(f"{response.rsc.name}: {str(told)[:200]}", rsc=int(response.rsc))
    return response.content or {}
