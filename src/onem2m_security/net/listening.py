"""Sockets that peers come to: TCP connections and datagrams, by the poller or by the event loop itself."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..telemetry import LOG
from . import poller
from .address import Address
from .raw_stream import RawStream

_ACCEPTED_AT_ONCE: Final = 64
_DATAGRAMS_AT_ONCE: Final = 64
_DATAGRAM_OCTETS: Final = 1 << 16
_TOO_MANY: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_SECONDS: Final = 1.0

MakeProtocol = Callable[[], asyncio.Protocol]


class Closable(Protocol):
    """A socket, or several, to which peers come."""

    def close(self) -> None:
        """Let nobody come any more."""


async def listen(accept: MakeProtocol, address: Address, backlog: int) -> tuple[Closable, Address]:
    """Listen for TCP connections; where it listens, for port 0 with the port that was chosen.

    Args:
        accept: Makes the protocol of the next connection.
        address: A name stands for all its addresses.
        backlog: How many connections may wait.

    Raises:
        OSError: It cannot be listened on.
    """
    server: Closable
    if poller.is_used:
        sockets = await _bound(address, socket.SOCK_STREAM)
        for one in sockets:
            one.listen(backlog)
        server = _Servers([_Server(one, accept) for one in sockets])
        name = sockets[0].getsockname()
    else:
        loop = asyncio.get_running_loop()
        served = await loop.create_server(accept, address.host, address.port, backlog=backlog)
        server, name = served, served.sockets[0].getsockname()
    return server, Address(name[0], name[1])


async def receive_datagrams(
    protocol: asyncio.DatagramProtocol, address: Address
) -> asyncio.DatagramTransport:
    """Have a protocol get the datagrams that are sent here.

    Raises:
        OSError: It cannot be listened on.
    """
    if poller.is_used:
        [bound] = await _bound(address, socket.SOCK_DGRAM)
        return RawDatagrams(bound, protocol)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: protocol, local_addr=(address.host, address.port)
    )
    return transport


async def _bound(address: Address, kind: socket.SocketKind) -> list[socket.socket]:
    """A socket for each address of a name; of datagrams for its first one."""
    infos = await asyncio.get_running_loop().getaddrinfo(
        address.host or None, address.port, type=kind, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, _, protocol, _, where in dict.fromkeys(infos):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.settimeout(0)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind is socket.SOCK_STREAM:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # which connections inherit
            one.bind(where)
            if kind is socket.SOCK_DGRAM:
                break
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


class _Servers:
    """All of one port."""

    def __init__(self, servers: list[_Server]) -> None:
        self._servers = servers

    def close(self) -> None:
        for server in self._servers:
            server.close()


class _Server:
    """One listening socket."""

    def __init__(self, listening: socket.socket, accept: MakeProtocol) -> None:
        self._socket, self._accept = listening, accept
        self._loop = asyncio.get_running_loop()
        self._poller = poller.poller()
        self._resume: asyncio.TimerHandle | None = None
        self._poller.watch(listening.fileno(), self, poller.READABLE)

    def ready(self, events: int) -> None:
        """Connections wait."""
        del events
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connected, peer = self._socket.accept()
            except OSError as error:
                if error.errno in _TOO_MANY:
                    self._pause(error)
                return
            try:
                RawStream(connected, peer, self._poller).begin(self._accept())
            except BaseException:
                connected.close()
                raise
            if self._socket.fileno() < 0:
                return

    def failed(self, error: Exception) -> None:
        """A connection could not be begun."""
        LOG.error("a connection could not be accepted", error=repr(error))

    def _pause(self, error: OSError) -> None:
        """Without a descriptor to spare nobody can be accepted: let some time pass."""
        LOG.error("no connection can be accepted", error=error.strerror)
        self._poller.change(self._socket.fileno(), 0)
        self._resume = self._loop.call_later(
            _PAUSE_SECONDS, self._poller.change, self._socket.fileno(), poller.READABLE
        )

    def close(self) -> None:
        """Let nobody come any more."""
        if self._socket.fileno() < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
        self._poller.forget(self._socket.fileno())
        self._socket.close()


class RawDatagrams(asyncio.DatagramTransport):
    """A UDP socket. What cannot be sent at once is lost, as any datagram may be."""

    def __init__(self, bound: socket.socket, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__()
        self._socket, self._protocol = bound, protocol
        self._loop = asyncio.get_running_loop()
        self._poller = poller.poller()
        self._closed = False
        protocol.connection_made(self)
        self._poller.watch(bound.fileno(), self, poller.READABLE)

    def ready(self, events: int) -> None:
        """Datagrams wait, or the network has said something."""
        del events
        for _ in range(_DATAGRAMS_AT_ONCE):
            try:
                datagram, sender = self._socket.recvfrom(_DATAGRAM_OCTETS, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                self._protocol.error_received(error)
                return
            self._protocol.datagram_received(datagram, sender)
            if self._closed:
                return

    def failed(self, error: Exception) -> None:
        """One datagram could not be handled; the port goes on."""
        LOG.error("datagram not handled", error=repr(error))

    def sendto(self, data: Any, addr: Any = None) -> None:  # noqa: ANN401 - asyncio's signature
        """Send a datagram."""
        if self._closed:
            return
        try:
            self._socket.sendto(data, socket.MSG_DONTWAIT, addr)
        except BlockingIOError:
            return
        except OSError as error:
            self._protocol.error_received(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        """``socket`` and ``sockname``."""
        if name == "sockname":
            return self._socket.getsockname()
        return self._socket if name == "socket" else default

    def is_closing(self) -> bool:
        """Is it closed?"""
        return self._closed

    def close(self) -> None:
        """Receive and send nothing any more."""
        if not self._closed:
            self._closed = True
            self._poller.forget(self._socket.fileno())
            self._socket.close()
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """The same: nothing waits to be sent."""
        self.close()
