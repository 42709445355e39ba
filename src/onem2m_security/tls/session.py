"""One TLS or DTLS session without any I/O: octets in, events out, octets to send.

``receive(data)`` returns what happened, ``data_to_send()`` what must go out. A server session stops at two
points and waits for its owner:

* after ``PskIdentityOffered``, until ``answer(key)``: the owner finds the key, however long that takes;
* after ``HandshakeCompleted``, until ``release()``: the last flight is withheld, so that what was exported
  can be made durable before the client believes in it.

``abort(alert)`` ends it at either point. Sockets, clocks and awaits stay with the owner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from ..alerts import SILENCE, Alert
from ..credentials import Secret
from ..errors import HandshakeError
from .endpoint import Endpoint, PskOffer
from .engine import EngineError
from .events import DataReceived, Event, HandshakeCompleted, PskIdentityOffered, SessionEnded
from .failures import explained
from .framing import Framing, StreamFraming
from .judgement import Judgement
from .psk_identity import PskIdentityReader
from .states import TRANSITIONS, Cause, State
from .suites import Suite

_NOBODYS_KEY: Final = Secret.generate()
"""The answer to unknown identities, of this process: to draw one for each takes time that others do not."""


class Party(Protocol):
    """Whom a session belongs to: whoever has an endpoint, such as an acceptor; or an endpoint by itself."""

    @property
    def endpoint(self) -> Endpoint:
        """The configuration of the session."""


Owner_co = TypeVar("Owner_co", bound=Party, covariant=True)


class Session(Judgement, Generic[Owner_co]):
    """One end of a TLS 1.2 or DTLS 1.2 session.

    Attributes:
        owner: Whom it belongs to; on a server the one that the client's SNI, or its identity, chose.
        state: Where it stands.
        verified_peer: What the verifier said of the peer's certificate, or None.
        is_heard_out: The peer has said close_notify: it sends nothing any more.
    """

    def __init__(
        self,
        owner: Owner_co,
        *,
        offer: PskOffer | None = None,
        server_name: str | None = None,
        select: Callable[[str | None], Owner_co | None] | None = None,
        select_by_identity: Callable[[bytes, Suite], Owner_co | None] | None = None,
        framing: Framing | None = None,
    ) -> None:
        """A new session; a client's first flight is at once ready to send.

        Args:
            owner: Whose it is; the ``server`` of its endpoint decides the role.
            offer: Client only: the identity and key to show.
            server_name: Client only: the SNI host name (an FQDN in A-labels).
            select: Server only: chooses the owner for a received SNI host name; None refuses the name.
            select_by_identity: Server only: may choose it by the psk_identity where there was no SNI.
            framing: How octets travel: StreamFraming (TLS, the default) or DatagramFraming (DTLS).
        """
        super().__init__()
        self.owner = owner
        self.state = State.HANDSHAKE
        self.is_heard_out = False
        self._offer = offer
        self._select = select
        self._select_by_identity = select_by_identity
        self._answer: tuple[bytes, Secret | None] | None = None
        self._framing = framing or StreamFraming()
        self._reader = PskIdentityReader.over(datagram=self._framing.datagram)
        context = self.endpoint.context(datagram=self._framing.datagram)
        self._engine = context.engine(server_name=server_name)
        self._framing.configure(self._engine)
        if not self.endpoint.server:
            self._handshake()

    @property
    def endpoint(self) -> Endpoint:
        """The configuration in force: the owner's."""
        return self.owner.endpoint

    # --- octets and events ------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take octets from the peer: over TLS cut anywhere, over DTLS one datagram."""
        if self.state is State.ENDED or not data:
            return []
        if self.state is State.OPEN:
            self._engine.feed(data)
            return self._read()
        self._framing.push(data)
        return self._proceed()

    def data_to_send(self) -> bytes:
        """Octets for the peer, once; empty while the last flight is withheld."""
        return b"" if self.state is State.WITHHOLDING else b"".join(self._framing.collect())

    def datagrams_to_send(self) -> list[bytes]:
        """The same, as the datagrams that DTLS sends."""
        return [] if self.state is State.WITHHOLDING else self._framing.collect()

    def listen(self, datagram: bytes, cookie: bytes) -> bool:
        """DTLS server without a client yet: begin with a ClientHello that carries this cookie.

        The session must be given the datagram again (RFC 6347 clause 4.2.1).

        Returns:
            Whether the engine could make sense of it; if not, the session is used up.
        """
        return self._engine.listen(datagram, cookie)

    def retransmit_in(self) -> float | None:
        """DTLS: after how many seconds of silence ``retransmit`` is due; None when nothing is under way."""
        # After ``answer`` the client has every flight that there was, and it is its turn to repeat.
        if not self._framing.datagram or self.state is not State.HANDSHAKE or self._answer is not None:
            return None
        return self._engine.retransmit_in()

    def retransmit(self) -> list[Event]:
        """DTLS: the peer was silent for too long: send the last flight again (RFC 6347 clause 4.2.4)."""
        if self.retransmit_in() is None:
            return []
        try:
            self._engine.retransmit()
        except EngineError:
            return [self._end(HandshakeError("the peer is silent: the last flight was repeated in vain"))]
        self._drain()
        return []

    def answer(self, key: Secret | None) -> list[Event]:
        """Go on after PskIdentityOffered, with the key for the identity; None when there is none."""
        if self._answer is None or not self._may(Cause.ANSWERED):
            return []
        if key is None and self.endpoint.hide_unknown_identities:
            key = _NOBODYS_KEY
        self._answer = (self._answer[0], key)
        self._framing.begin_last_flight()
        self._move(Cause.ANSWERED)
        return self._proceed()

    def release(self) -> list[Event]:
        """Go on after HandshakeCompleted: the last flight may leave, application data may pass."""
        if not self._may(Cause.RELEASED):
            return []
        self._framing.drop_repetitions()
        self._move(Cause.RELEASED)
        return self._pass_data()

    def abort(self, alert: Alert) -> list[Event]:
        """End an unfinished handshake with this alert instead of whatever was waiting to be sent."""
        if not self._may(Cause.ABORTED):
            return []
        self._framing.alert_instead(alert)
        error = HandshakeError(f"the handshake was ended with {alert}", alert=alert)
        return [self._end(error, Cause.ABORTED)]

    def send(self, data: bytes) -> None:
        """Protect application data; it comes out of ``data_to_send``."""
        self._engine.write(data)
        self._drain()

    def close(self) -> None:
        """Say close_notify; nothing can be sent after it."""
        if self.state is State.OPEN:
            self._engine.close()
            self._drain()
        if self._may(Cause.OVER):
            self._move(Cause.OVER)

    def connection_lost(self) -> list[Event]:
        """The transport ended without a close_notify."""
        if not self._may(Cause.OVER):
            return []
        during = "the session" if self.state is State.OPEN else "the handshake"
        return [self._end(HandshakeError(f"the peer closed the connection during {during}"))]

    # --- what is known after the handshake ----------------------------------------------------------------

    @property
    def suite(self) -> Suite:
        """The negotiated cipher suite."""
        suite = self._reader.suite or self._engine.suite  # a server has told it itself
        if suite is None:
            raise LookupError("no suite is agreed on yet")
        return suite

    @property
    def protocol(self) -> str:
        """``TLSv1.2`` or ``DTLSv1.2``."""
        return self._engine.protocol

    @property
    def server_name(self) -> str | None:
        """The SNI host name that the client sent; None if none, or not ASCII."""
        name = self._engine.server_name
        return name.decode("ascii") if name is not None and name.isascii() else None

    @property
    def psk_identity(self) -> bytes | None:
        """The psk_identity that the session was made with; None with certificates."""
        if not self.suite.key_exchange.uses_psk:
            return None
        if self.endpoint.server:
            return None if self._answer is None else self._answer[0]
        return None if self._offer is None else self._offer.identity

    @property
    def has_extended_master_secret(self) -> bool:
        """Is the master secret bound to the whole handshake (RFC 7627)?"""
        return self._engine.has_extended_master_secret

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material of this session (RFC 5705), without a context value.

        Args:
            label: The exporter label, ASCII.
            length: Octets wanted.
        """
        return self._engine.export(label, length)

    @property
    def awaits(self) -> str:
        """What an unfinished handshake waits for: for the message of one that ran out of time."""
        if self.state is State.RESOLVING:
            return "the key for the client's identity is still being looked up"
        if self.state is State.WITHHOLDING:
            return "what was agreed on is not durable yet"
        if self._framing.datagram and (self._answer or (self._offer and self._engine.suite)):
            return f"the peer fell silent: {SILENCE}"
        return "the peer has not done its part"

    # --- what the engine asks (engine.CallbackTarget) ------------------------------------------------------

    def server_psk(self, identity: bytes) -> bytes | None:
        """The answered key, if the engine saw the identity that was resolved."""
        if self._answer is None or self._answer[0] != identity or self._answer[1] is None:
            return None
        return self._answer[1].reveal()

    def client_psk(self) -> tuple[bytes, bytes] | None:
        """What to show, if there is an offer."""
        return None if self._offer is None else (self._offer.identity, self._offer.key.reveal())

    def server_name_received(self) -> None:
        """Choose the owner for the client's SNI host name."""
        chosen = self.owner if self._select is None else self._select(self.server_name)
        if chosen is None:
            self._failure = HandshakeError(
                "the client asked for a name not served here", alert=Alert.unrecognized_name
            )
        elif chosen is not self.owner:
            self.owner = chosen
            if not self._engine.use(self.endpoint.context(datagram=self._framing.datagram)):
                self._failure = HandshakeError(
                    "the name is served by another TLS engine than its port", alert=Alert.internal_error
                )

    # --- inside -----------------------------------------------------------------------------------------

    def _proceed(self) -> list[Event]:
        """Feed the engine, until the handshake waits for somebody.

        While the client's identity may come, that goes record by record; otherwise all at once.
        """
        events: list[Event] = []
        while self.state is State.HANDSHAKE:
            watching = self.endpoint.server and self._answer is None and not self._reader.finished
            unit = self._framing.take() if watching else self._framing.take_available()
            if unit is None:
                break
            identity = self._reader.read(unit) if watching else None
            if identity is not None and self._reader.suite is not None:
                self._framing.put_back(unit)
                self._answer = (identity, None)
                if self._select_by_identity is not None and self._engine.server_name is None:
                    self.owner = self._select_by_identity(identity, self._reader.suite) or self.owner
                self._move(Cause.IDENTITY_OFFERED)
                return [*events, PskIdentityOffered(identity, self._reader.suite)]
            self._engine.feed(unit)
            events += self._handshake()
        return events

    def _handshake(self) -> list[Event]:
        try:
            is_complete = self._engine.handshake(self)
        except EngineError as error:
            self._drain()
            return [self._end(self._handshake_error(error))]
        self._drain()
        if self._failure is not None:
            return self.abort(self._failure.alert or Alert.internal_error)
        if not is_complete:
            return []
        if self.verified_peer is None and not self.suite.key_exchange.uses_psk:
            return self.abort(Alert.certificate_unknown)  # cannot be; and if it could, it would not pass
        if self.endpoint.server:
            self._move(Cause.SERVER_DONE)
            return [HandshakeCompleted()]
        self._move(Cause.CLIENT_DONE)
        return [HandshakeCompleted(), *self._pass_data()]

    def _pass_data(self) -> list[Event]:
        """The handshake is behind us: whatever came after it is application data."""
        events = self._read()  # application data may have come in one piece with the last flight
        while self.state is State.OPEN and (unit := self._framing.take_available()) is not None:
            self._engine.feed(unit)
            events += self._read()
        return events

    def _read(self) -> list[Event]:
        """Everything that the engine can decrypt now."""
        events: list[Event] = []
        try:
            while data := self._engine.read():
                events.append(DataReceived(data))
            if data is not None:
                self.is_heard_out = True
                events.append(self._end(None))
        except EngineError as error:
            events.append(self._end(self._handshake_error(error)))
        self._drain()
        return events

    def _drain(self) -> None:
        if octets := self._engine.drain():
            self._reader.wrote(octets, datagram=self._framing.datagram)
            self._framing.write(octets)

    def _may(self, cause: Cause) -> bool:
        return cause in TRANSITIONS[self.state]

    def _move(self, cause: Cause) -> None:
        self.state = TRANSITIONS[self.state][cause]

    def _end(self, error: HandshakeError | None, cause: Cause = Cause.OVER) -> SessionEnded:
        self._move(cause)
        self._answer = None
        self._framing.discard()
        return SessionEnded(error)

    def _handshake_error(self, error: EngineError) -> HandshakeError:
        """What it means that the engine ended the session."""
        if self._failure is not None:
            return self._failure
        if self._rejection is not None:
            refused = f"the peer's certificate was refused: {self._rejection}"
            return HandshakeError(refused, alert=self._rejection.alert)
        return explained(error, self._framing)
