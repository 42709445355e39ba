"""TLS over TCP.

``SecureTransport`` is the protocol of the TCP connection below and the transport of the application protocol
above, which sees the connection only once the handshake is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import HandshakeError, HandshakeTimeoutError
from ..frameworks.steps import Acceptor, Authorities, Initiator
from ..tasks import GRACE_SECONDS
from .address import Address
from .connection import Made, SecureConnection, completed
from .limits import Limits
from .link import Link
from .open_sessions import OpenSessions
from .standing import OwnSession
from .stream import StreamPort, StreamTransport

ProtocolFactory = Callable[["SecureTransport"], asyncio.Protocol]
"""Makes the application's protocol once the handshake is over."""

Upper = TypeVar("Upper", bound=asyncio.Protocol)


class SecureTransport(StreamTransport, SecureConnection):
    """One secured TCP connection, at either end."""

    def __init__(
        self,
        session: OwnSession,
        make_upper: ProtocolFactory,
        limits: Limits,
        listener: Listener | None = None,
    ) -> None:
        StreamTransport.__init__(self, limits, listener)
        SecureConnection.__init__(self, session, limits, listener)
        self._make_upper = make_upper
        self._reading = True
        self._held = False

    # --- what TCP tells -------------------------------------------------------------------------------------

    def opened(self) -> None:
        """TCP is up: the handshake begins."""
        self.begin()

    def received(self, data: bytes) -> None:
        """Octets from the peer."""
        self.touch()
        self.handle(self.session.receive(data))

    def ended_by_peer(self) -> None:
        """The peer closed its direction."""
        self.handle(self.session.connection_lost())

    def lost(self) -> None:
        """TCP is down."""
        self.handle(self.session.connection_lost())
        self.finish()

    # --- the transport of the application -------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's signature
        """``established``, ``association``, ``sslcontext`` (true: it is secured), or what TCP knows."""
        if name in {"established", "association", "sslcontext"}:
            if not self.handshake.done() or self.handshake.exception() is not None:
                return default
            established = self.handshake.result()
            return {"established": established, "association": established.association}.get(name, True)
        return super().get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send application data."""
        if data and not self._closing and not self.has_ended():
            self.touch()
            self.session.send(bytes(data))
            self.flush()

    def close(self) -> None:
        """Say close_notify, send what is buffered, and close in bounded time."""
        if not self._closing:
            self.session.close()
            self.flush()
            self.shut()

    def is_reading(self) -> bool:
        """Does application data flow in?"""
        return self._reading

    def pause_reading(self) -> None:
        """Let the peer wait."""
        self._reading = False
        self._apply_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._reading = True
        self._apply_reading()

    # --- what TCP supplies to the connection ----------------------------------------------------------------

    def flush(self) -> None:
        """Send what the session has to send."""
        data = self.session.data_to_send()
        if data:
            self.write_lower(data)

    def hold_reading(self, *, hold: bool) -> None:
        """Stop or go on reading during a step of the handshake."""
        self._held = hold
        self._apply_reading()

    def _apply_reading(self) -> None:
        if self._reading and not self._held:
            super().resume_reading()
        else:
            super().pause_reading()

    def begin_application(self) -> None:
        """Bring up the application's protocol."""
        self._upper = self._make_upper(self)
        self._upper.connection_made(self)
        if self._writing_paused:
            self._upper.pause_writing()

    def deliver(self, data: bytes) -> None:
        """Application data."""
        if self._upper is not None:
            self._upper.data_received(data)

    def drop_half_open(self) -> None:
        """End an unfinished handshake at once."""
        super().drop_half_open()
        self.abort()

    def drop(self) -> None:
        """Make room for another connection."""
        self.drop_half_open()

    def wind_up(self) -> None:
        """The port stops: finish what is under way, and close."""
        if self._upper is not None and not hasattr(self._upper, "shutdown"):
            self.close()
        super().wind_up()

    @property
    def has_last_words(self) -> bool:
        """Answers are missed, and alerts; an initiator's close_notify is not, nor what nobody listens to.

        Of a peer that has said that it sends nothing any more, there is nothing to throw away either.
        """
        if self.session.is_heard_out:
            return False
        if isinstance(self.session.owner, Acceptor):
            return True
        failure = self.handshake.exception() if self.handshake.done() else None
        return failure is not None and not isinstance(failure, HandshakeTimeoutError)

    @property
    def peer_address(self) -> str:
        """The peer's address and port."""
        return str(self.address)


class Listener(StreamPort):
    """A TCP port on which TLS clients are accepted.

    Attributes:
        authorities: Who is served here.
        open_sessions: The established sessions.
    """

    def __init__(
        self,
        authorities: Authorities,
        make_upper: ProtocolFactory,
        limits: Limits,
        *,
        open_sessions: OpenSessions | None = None,
    ) -> None:
        super().__init__(limits)
        self.authorities = authorities
        self.open_sessions = open_sessions or OpenSessions(authorities, limits.quotas)
        self._make_upper = make_upper

    def accept(self) -> SecureTransport:
        """A transport for the next client."""
        return SecureTransport(self.authorities.session(), self._make_upper, self._limits, self)

    async def start(self, address: Address) -> Address:
        """Listen; returns the address in use (for port 0 with the port that was chosen).

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        address = await super().start(address)
        self.open_sessions.start()
        return address

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Accept nobody more, let what is under way finish within the grace period (seconds), then end it."""
        await self.open_sessions.stop()
        await super().stop(grace=grace)


async def open_transport(
    link: Link, initiator: Initiator, make_upper: Callable[[SecureTransport], Upper]
) -> Upper:
    """Connect and complete the handshake as an initiator; returns the application's protocol.

    Raises:
        HandshakeError: The peer cannot be reached, or the handshake failed.
    """
    address, limits = link.address, link.limits or Limits()
    loop = asyncio.get_running_loop()
    session = initiator.session(address.host)
    made = Made(make_upper)
    try:
        async with asyncio.timeout(limits.handshake_seconds):
            _, transport = await loop.create_connection(
                lambda: SecureTransport(session, made, limits),
                address.host,
                address.port,
            )
    except TimeoutError:
        raise HandshakeTimeoutError(
            f"{address} did not answer within {limits.handshake_seconds:g} s"
        ) from None
    except OSError as error:
        raise HandshakeError(f"{address} cannot be reached: {error.strerror or error}") from error
    try:
        await completed(transport, initiator, address)
    except HandshakeError:
        await transport.wait_gone()
        raise
    return made.application
