"""CoAP without DTLS, for the entities of this machine: each address and port is a peer, for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Final, cast

from ..clock import CLOCK, Clock
from ..errors import ConfigurationError
from ..tasks import GRACE_SECONDS, Stopped, Tasks
from ..telemetry import LOG
from .address import Address
from .coap import CoapServer
from .coap_layer import CoapApplication
from .coap_messages import EXCHANGE_SECONDS

MAX_PEERS: Final = 256
"""How many are remembered; beyond that the one that was silent for longest goes."""
DATAGRAM_OCTETS: Final = 1232 + 64
"""The longest message that is read: what fits every IPv6 path, and a little more."""
_PAYLOAD_OCTETS: Final = 1152
"""The longest that is sent (RFC 7252 clause 4.6)."""


class _Peer:
    """Somebody who sent us a message."""

    def __init__(self, transport: asyncio.DatagramTransport, addr: tuple[Any, ...]) -> None:
        self.peer_address = str(Address(addr[0], addr[1]))
        self.max_payload = _PAYLOAD_OCTETS
        self.closed = False
        self.last_heard = 0.0
        self._transport = transport
        self._addr = addr

    def send(self, data: bytes) -> None:
        """Send one message."""
        if not self.closed and not self._transport.is_closing():
            self._transport.sendto(data, self._addr)

    def close(self) -> None:
        """Say nothing more."""
        self.closed = True


class PlainCoapPort(Stopped, asyncio.DatagramProtocol):
    """A UDP port without DTLS.

    Attributes:
        tasks: What runs for the peers: nothing that aiocoap does not own.
    """

    def __init__(self, server: CoapServer, *, clock: Clock = CLOCK) -> None:
        """A port whose requests this server answers."""
        self.tasks = Tasks()
        self._server = server
        self._clock = clock
        self._peers: OrderedDict[tuple[Any, ...], tuple[_Peer, CoapApplication]] = OrderedDict()
        self._transport: asyncio.DatagramTransport | None = None

    async def listen(self, address: Address) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: self, local_addr=(address.host, address.port)
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {address} (UDP): {error.strerror or error}"
            ) from error
        name = transport.get_extra_info("sockname")
        return Address(name[0], name[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """A datagram from anybody."""
        if len(data) > DATAGRAM_OCTETS or self._transport is None:
            return
        peer, application = self._peers.get(addr) or self._new(self._transport, addr)
        self._peers.move_to_end(addr)
        peer.last_heard = self._clock.monotonic()
        try:
            application.datagram_received(data)
        except Exception as error:  # noqa: BLE001 - some event loops close a socket whose protocol raises
            LOG.error("datagram not handled", error=repr(error), peer=peer.peer_address)

    def error_received(self, exc: Exception) -> None:
        """Somebody is gone before the answer came."""
        LOG.debug("network error", error=str(exc))

    def _new(
        self, transport: asyncio.DatagramTransport, addr: tuple[Any, ...]
    ) -> tuple[_Peer, CoapApplication]:
        since = self._clock.monotonic() - EXCHANGE_SECONDS
        while self._peers and (len(self._peers) >= MAX_PEERS or self._oldest.last_heard < since):
            self._forget(next(iter(self._peers)))
        peer = _Peer(transport, addr)
        self._peers[addr] = (peer, self._server.on(peer))
        return self._peers[addr]

    @property
    def _oldest(self) -> _Peer:
        return next(iter(self._peers.values()))[0]

    def _forget(self, addr: tuple[Any, ...]) -> None:
        peer, application = self._peers.pop(addr)
        peer.close()
        application.ended()

    @property
    def connections(self) -> int:
        """Peers that are remembered."""
        return len(self._peers)

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Answer nothing more."""
        del grace
        for addr in list(self._peers):
            self._forget(addr)
        if self._transport is not None:
            self._transport.close()
        await self._server.stop()
