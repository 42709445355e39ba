"""A simulated link between a DTLS client and a DTLS server, both sans-IO: loss, copies, delay, truncation.

Time is simulated too: nobody waits. The engine's retransmission timers read the system's clock, so the
process must run with libfaketime for them to follow (``VirtualClock``); without it, a link on which nothing
needs to be repeated can still be simulated (``StillClock``).
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from onem2m_security.alerts import Alert
from onem2m_security.credentials import Secret
from onem2m_security.tls.cookies import CookieGate
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.events import (
    DataReceived,
    Event,
    HandshakeCompleted,
    PskIdentityOffered,
    SessionEnded,
)
from onem2m_security.tls.framing import DatagramFraming
from onem2m_security.tls.records import client_hello
from onem2m_security.tls.session import Session
from onem2m_security.tls.states import State

LABEL = b"EXPORTER-oneM2M-Connection"
CLIENT_ADDRESS = b"192.0.2.1 40000"
DEADLINE = 120.0
"""Simulated seconds after which both owners give up, as ``Limits.handshake_seconds`` has them do."""


class Clock(Protocol):
    """What the engine takes for the time of day."""

    def advance(self, seconds: float) -> None:
        """Time passes."""


class StillClock:
    """The system's own clock; simulated time passes without it, so no retransmission is ever due."""

    def advance(self, seconds: float) -> None:
        pass


class VirtualClock:
    """libfaketime's offset, read by it from this file at every look at the clock."""

    def __init__(self) -> None:
        self._file = Path(os.environ["FAKETIME_TIMESTAMP_FILE"])
        self._offset = 0.0
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        self._offset += seconds
        self._file.write_text(f"+{self._offset:.6f}\n", encoding="ascii")


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bad a link is.

    Attributes:
        loss: The share of datagrams that never arrive.
        duplication: The share of datagrams that arrive twice.
        truncation: The share of datagrams of which a cut copy arrives as well.
        delay: Each datagram takes up to so many seconds; when that is more than the gap, they overtake.
        mtu: Of both ends.
        lookup: Seconds until the resolver has found the key.
        commit: Seconds until what was exported is durable.
    """

    loss: float = 0.0
    duplication: float = 0.0
    truncation: float = 0.0
    delay: float = 0.0
    mtu: int = 1232
    lookup: float = 0.0
    commit: float = 0.0


Fate = Callable[[bytes, bool], list[tuple[float, bytes]]]
"""What becomes of a datagram, and of one that the server sent: when, after that, which octets arrive."""


def prompt(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
    """A perfect link."""
    return [(0.0, datagram)]


def fate(conditions: Conditions, chance: random.Random) -> Fate:
    """Draw the fate of each datagram."""

    def draw(datagram: bytes, from_server: bool) -> list[tuple[float, bytes]]:
        arrivals = []
        if chance.random() >= conditions.loss:
            arrivals.append(datagram)
        if chance.random() < conditions.duplication:
            arrivals.append(datagram)
        if chance.random() < conditions.truncation:
            arrivals.append(datagram[: chance.randrange(len(datagram))])
        return [(chance.uniform(0, conditions.delay), octets) for octets in arrivals]

    return draw


@dataclass
class ServerSide:
    """What a port does for one client's address, without the socket.

    Attributes:
        sessions: Every session that a proven ClientHello began.
        identities: Every identity that had to be looked up.
        committed: The export of every handshake that was made durable.
    """

    endpoint: Endpoint
    key: Secret | None
    conditions: Conditions
    sessions: list[Session] = field(default_factory=list)
    identities: list[bytes] = field(default_factory=list)
    committed: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._gate = CookieGate(lambda: Session(self.endpoint, framing=DatagramFraming(self.conditions.mtu)))
        self._randoms: list[bytes] = []

    @property
    def session(self) -> Session | None:
        return self.sessions[-1] if self.sessions else None

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[Event]]:
        """What is to be sent without a session, and what the session tells."""
        hello = client_hello(datagram)
        if hello is not None and hello.random not in self._randoms:
            answer = self._gate.receive(hello, datagram, CLIENT_ADDRESS)
            if not isinstance(answer, Session):
                return ([] if answer is None else [answer]), []
            self.sessions.append(answer)
            self._randoms.append(hello.random)
        return [], [] if self.session is None else self.session.receive(datagram)


class Link:
    """A client and a server, and the wire between them; ``run`` lets things happen until nothing is left."""

    def __init__(
        self,
        client: Session,
        server: ServerSide,
        fates: Fate,
        *,
        clock: Clock,
    ) -> None:
        self.client, self.server = client, server
        self.client_events: list[Event] = []
        self.now = 0.0
        self.sent_datagrams: list[bytes] = []
        self.fates = fates
        self._clock = clock
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def run(self, until: float = DEADLINE) -> Link:
        """Let things happen until nothing is left to happen or the owners give up."""
        self._send_from_client()
        while (due := self._next()) is not None and due <= until:
            self._clock.advance(max(due - self.now, 0.0))
            self.now = max(due, self.now)
            if self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            else:
                self._retransmit()
        return self

    def give_up(self) -> None:
        """The owners' limit of time is over."""
        self.client_events += self.client.abort(Alert.internal_error)
        if self.server.session is not None:
            self.server.session.abort(Alert.internal_error)

    @property
    def exports_agree(self) -> bool:
        """Did both ends, and the commit, get the same octets?"""
        return self.server.committed == [self.client.export(LABEL, 48)]

    def _next(self) -> float | None:
        times = [self.now + left for left in self._timers().values()]
        if isinstance(self._clock, StillClock):
            times = []
        return min([*times, *(entry[0] for entry in self._agenda[:1])], default=None)

    def _timers(self) -> dict[Session, float]:
        ends = (self.client, *self.server.sessions[-1:])
        return {end: left for end in ends if (left := end.retransmit_in()) is not None}

    def _retransmit(self) -> None:
        for end, left in self._timers().items():
            if left <= 1e-4:
                events = end.retransmit()
                if end is self.client:
                    self.client_events += events
        self._send_from_client()
        self._send_from_server()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), action))

    def _carry(self, datagrams: list[bytes], *, from_server: bool) -> None:
        deliver = self._to_client if from_server else self._to_server
        for datagram in datagrams:
            self.sent_datagrams.append(datagram)
            for delay, octets in self.fates(datagram, from_server):
                self._later(delay, lambda octets=octets: deliver(octets))

    def _send_from_client(self) -> None:
        self._carry(self.client.datagrams_to_send(), from_server=False)

    def _send_from_server(self) -> None:
        if self.server.session is not None:
            self._carry(self.server.session.datagrams_to_send(), from_server=True)

    def _to_client(self, datagram: bytes) -> None:
        self.client_events += self.client.receive(datagram)
        self._send_from_client()

    def _to_server(self, datagram: bytes) -> None:
        answers, events = self.server.receive(datagram)
        self._carry(answers, from_server=True)
        self._server_events(events)

    def _server_events(self, events: list[Event]) -> None:
        server, session = self.server, self.server.session
        for event in events:
            match event:
                case PskIdentityOffered(identity):
                    server.identities.append(identity)
                    self._later(server.conditions.lookup, lambda: self._answer(session))
                case HandshakeCompleted():
                    self._later(server.conditions.commit, lambda: self._commit(session))
                case DataReceived(data):
                    server.received.append(data)
                case SessionEnded(error):
                    server.failures.append(str(error))
        self._send_from_server()

    def _answer(self, session: Session) -> None:
        self._server_events(session.answer(self.server.key))

    def _commit(self, session: Session) -> None:
        if session.state is State.WITHHOLDING:
            self.server.committed.append(session.export(LABEL, 48))
            self._server_events(session.release())


IDENTITY = b"a@maf.example.com"
KEY = Secret(bytes(range(32)))


def psk_link(
    conditions: Conditions,
    fates: Fate,
    clock: Clock,
    *,
    identity: bytes = IDENTITY,
    key: Secret = KEY,
    server_key: Secret | None = KEY,
) -> Link:
    """A link on which both ends use pre-shared keys."""
    client = Session(
        Endpoint(server=False),
        offer=PskOffer(identity, key),
        server_name="maf.example.com",
        framing=DatagramFraming(conditions.mtu),
    )
    return Link(client, ServerSide(Endpoint(server=True), server_key, conditions), fates, clock=clock)
