"""DTLS over UDP: one socket, many peers.

An unknown sender costs no memory until it has returned a cookie. Handshakes and established sessions are
kept apart: a peer that crashed and comes back from the same address and port gets a handshake beside its old
session, which it replaces only when it is complete (RFC 6347 clause 4.2.8), and only an authenticated peer
ever takes the place of another. A forged ClientHello ends nobody's session, nor does a flood of honest ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from ..errors import ConfigurationError
from ..frameworks.steps import Authorities
from ..tasks import GRACE_SECONDS, Stopped, Tasks
from ..telemetry import LOG
from ..tls.cookies import CookieGate
from ..tls.framing import DatagramFraming
from ..tls.records import DATAGRAM_MAX_OCTETS, ClientHello, client_hello
from .address import Address
from .connection import SecureConnection
from .limits import HalfOpen, Limits
from .listening import receive_datagrams
from .open_sessions import OpenSessions
from .standing import OwnSession
from .wheel import Deadline, Wheel

_COOKIE_SECRET_SECONDS: Final = 60.0
_RECEIVE_BUFFER_OCTETS: Final = 4 << 20
_PROTECTION_OCTETS: Final = 13 + 16 + 16 + 32
"""The most that a record adds to its content: header, explicit IV, padding, MAC."""


class DatagramApplication(Protocol):
    """What sits on top of a DTLS connection."""

    def datagram_received(self, data: bytes) -> None:
        """The content of one record."""

    def ended(self) -> None:
        """Nothing more will come."""


MakeApplication = Callable[["DatagramConnection"], DatagramApplication]
"""Makes the application once the handshake is over."""


class DatagramConnection(SecureConnection):
    """One DTLS peer.

    Attributes:
        address: The peer's host and port.
        key: The peer's address as the socket gave it.
        max_payload: The most octets that one ``send`` takes.
        client_random: What tells the client's handshake from its next one; None on the initiating side.
    """

    def __init__(
        self,
        session: OwnSession,
        limits: Limits,
        address: Address,
        transmit: Callable[[bytes], None],
        make_application: MakeApplication,
        *,
        listener: DatagramListener | None = None,
        key: tuple[Any, ...] = (),
        random: bytes | None = None,
    ) -> None:
        super().__init__(session, limits, listener)
        self.address = address
        self.key = key
        self.client_random = random
        self.max_payload = limits.datagram_octets - _PROTECTION_OCTETS
        self.network_error: OSError | None = None
        self._transmit = transmit
        self._make_application = make_application
        self._listener = listener
        self._closers: list[Callable[[], None]] = []
        self._application: DatagramApplication | None = None
        self._retransmission: Deadline | None = None
        self._shut = False

    def received(self, datagram: bytes) -> None:
        """A datagram of the peer; whatever is wrong with it, the port goes on.

        Some event loops close a socket whose protocol raises, and this socket may be that of all peers.
        """
        try:
            self.handle(self.session.receive(datagram))
        except Exception as error:  # noqa: BLE001 - a mistake of the application on top is that one peer's
            LOG.error("datagram not handled", error=repr(error), peer=self.peer_address)

    def send(self, data: bytes) -> None:
        """Send application data in one datagram.

        Raises:
            ConfigurationError: It does not fit.
        """
        if len(data) > self.max_payload:
            raise ConfigurationError(
                f"{len(data)} octets do not fit one datagram: at most {self.max_payload}"
            )
        if not self._shut and not self.has_ended():
            self.touch()
            self.session.send(data)
            self.flush()

    def close(self) -> None:
        """Say close_notify and forget the peer."""
        if not self._shut:
            self.session.close()
            self.flush()
            self.shut()

    def on_shut(self, close: Callable[[], None]) -> None:
        """Call this when the connection is over."""
        self._closers.append(close)

    @property
    def closed(self) -> bool:
        """Is it over?"""
        return self._shut

    # --- what UDP supplies to the connection ----------------------------------------------------------------

    def flush(self) -> None:
        """Send what the session has to send, and see to it that somebody looks for the answer."""
        for datagram in self.session.datagrams_to_send():
            self._transmit(datagram)
        if self._retransmission is None and not self._shut:
            self._await_answer(self.session.retransmit_in())

    def _await_answer(self, seconds: float | None) -> None:
        if seconds is not None:
            self._retransmission = self.wheel.call_later(seconds, self._look_for_answer)

    def _look_for_answer(self) -> None:
        """The time is over that there was when somebody last looked: something may have come since."""
        self._retransmission = None
        left = self.session.retransmit_in()
        if left is not None and left <= 0:
            self.handle(self.session.retransmit())
        else:
            self._await_answer(left)

    def hold_reading(self, *, hold: bool) -> None:
        """Datagrams cannot be held back; the session keeps a few and UDP may lose the rest."""

    def shut(self) -> None:
        """Forget the peer."""
        if self._shut:
            return
        self._shut = True
        if self._retransmission is not None:
            self._retransmission.cancel()
        self.finish()
        if self._listener is not None:
            self._listener.left(self)
        for close in self._closers:
            close()
        application, self._application = self._application, None
        if application is not None:
            application.ended()

    def begin_application(self) -> None:
        """Bring up the application."""
        if self._listener is not None:
            self._listener.associated(self)
        self._application = self._make_application(self)

    def deliver(self, data: bytes) -> None:
        """Application data; nothing else that bears the peer's address shows that the peer is alive."""
        self.touch()
        if self._listener is not None:
            self._listener.heard(self)
        if self._application is not None:
            self._application.datagram_received(data)

    @property
    def peer_address(self) -> str:
        """The peer's address and port."""
        return str(self.address)


class DatagramListener(Stopped, asyncio.DatagramProtocol):
    """A UDP port on which DTLS clients are accepted.

    Attributes:
        authorities: Who is served here.
        half_open: The unfinished handshakes.
        open_sessions: The established sessions.
        tasks: What runs for the peers.
        wheel: The deadlines of handshakes and sessions.
    """

    def __init__(
        self,
        authorities: Authorities,
        make_application: MakeApplication,
        limits: Limits,
        *,
        open_sessions: OpenSessions | None = None,
    ) -> None:
        self.authorities = authorities
        self.half_open = HalfOpen(limits)
        self.tasks = Tasks()
        self.wheel = Wheel()
        self.open_sessions = open_sessions or OpenSessions(authorities, limits.quotas)
        self._make_application = make_application
        self._limits = limits
        self._gate = CookieGate(lambda: authorities.session(DatagramFraming(limits.datagram_octets)))
        self._handshakes: dict[tuple[Any, ...], DatagramConnection] = {}
        self._peers: OrderedDict[tuple[Any, ...], DatagramConnection] = OrderedDict()
        """Established sessions, the one that was silent for longest first."""
        self._transport: asyncio.DatagramTransport | None = None
        self._rotation: asyncio.TimerHandle | None = None

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        try:
            transport = await receive_datagrams(self, address)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {address} (UDP): {error.strerror or error}"
            ) from error
        with contextlib.suppress(OSError):  # the system may allow less
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_OCTETS
            )
        self._rotate()
        self.open_sessions.start()
        name = transport.get_extra_info("sockname")
        return Address(name[0], name[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """A datagram from anybody."""
        if len(data) > DATAGRAM_MAX_OCTETS:
            return
        handshake, current = self._handshakes.get(addr), self._peers.get(addr)
        hello = client_hello(data)
        if hello is not None and not _is_known(hello.random, handshake, current):
            self._unknown(hello, data, addr)
            return
        for connection in (handshake, current):  # the one to which it does not belong drops it
            if connection is not None:
                connection.received(data)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: anybody can forge one, so nothing depends on it."""
        LOG.debug("network error", error=str(exc))

    def _unknown(self, hello: ClientHello, data: bytes, addr: tuple[Any, ...]) -> None:
        """A ClientHello that belongs to no session: the sender must prove its address first."""
        session = self._gate.receive(hello, data, f"{addr[0]} {addr[1]}".encode())
        if isinstance(session, bytes):
            self._transmit(session, addr)
        elif session is not None:
            self._begin(session, hello, data, addr)

    def _begin(self, session: OwnSession, hello: ClientHello, data: bytes, addr: tuple[Any, ...]) -> None:
        """Begin the handshake of a client whose address is proven; it replaces an unfinished one."""
        connection = DatagramConnection(
            session,
            self._limits,
            Address(addr[0], addr[1]),
            lambda datagram: self._transmit(datagram, addr),
            self._make_application,
            listener=self,
            key=addr,
            random=hello.random,
        )
        replaced = self._handshakes.pop(addr, None)
        if replaced is not None:
            replaced.shut()
        self._handshakes[addr] = connection
        self.half_open.enter(connection, addr[0], connection.drop_half_open)
        connection.begin()
        connection.received(data)

    def _transmit(self, datagram: bytes, addr: tuple[Any, ...]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(datagram, addr)

    def associated(self, connection: DatagramConnection) -> None:
        """A handshake is complete: its session takes the place of an old one of the same peer.

        Beyond the limit, the peer that was silent for longest goes.
        """
        if self._handshakes.get(connection.key) is connection:
            del self._handshakes[connection.key]
        old = self._peers.pop(connection.key, None)
        if old is not None:
            old.shut()
        self._peers[connection.key] = connection
        while len(self._peers) > self._limits.connections:
            next(iter(self._peers.values())).close()

    def heard(self, connection: DatagramConnection) -> None:
        """Application data of an established peer came."""
        if self._peers.get(connection.key) is connection:
            self._peers.move_to_end(connection.key)

    def left(self, connection: DatagramConnection) -> None:
        """A peer is gone."""
        self.half_open.leave(connection)
        for table in (self._handshakes, self._peers):
            if table.get(connection.key) is connection:
                del table[connection.key]

    @property
    def connections(self) -> int:
        """Peers with a session or a handshake."""
        return len(self._peers) + len(self._handshakes)

    def _rotate(self) -> None:
        self._gate.rotate()
        self._rotation = asyncio.get_running_loop().call_later(_COOKIE_SECRET_SECONDS, self._rotate)

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Say close_notify to every peer, close the socket, and let handlers end within the grace period."""
        if self._rotation is not None:
            self._rotation.cancel()
        await self.open_sessions.stop()
        for connection in [*self._handshakes.values(), *self._peers.values()]:
            connection.close()
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)
        await self.tasks.stop(grace)


def _is_known(random: bytes, *connections: DatagramConnection | None) -> bool:
    """Is this ClientHello one that a session has seen already?"""
    return any(connection is not None and connection.client_random == random for connection in connections)
