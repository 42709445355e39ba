"""Two sans-IO sessions facing each other, without a socket."""

from __future__ import annotations

from collections.abc import Callable

from onem2m_security.credentials import Secret
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.events import Event, HandshakeCompleted, PskIdentityOffered
from onem2m_security.tls.session import Session
from onem2m_security.tls.suites import PSK_SUITES, Suite

KEY = Secret(bytes(range(32)))
IDENTITY = b"km@maf.example.com"
ONLY_PSK = tuple(suite for suite in PSK_SUITES if suite.key_exchange.name == "PSK")


def client(
    identity: bytes = IDENTITY,
    key: Secret = KEY,
    *,
    suites: tuple[Suite, ...] | None = None,
    server_name: str | None = None,
) -> Session:
    return Session(
        Endpoint(server=False, suites=suites), offer=PskOffer(identity, key), server_name=server_name
    )


def server(*, hide_unknown_identities: bool = True, **settings) -> Session:
    return Session(Endpoint(server=True, hide_unknown_identities=hide_unknown_identities), **settings)


Answer = Callable[[bytes], Secret | None]


class Pair:
    """A client and a server, and what each of them said; ``run`` carries octets until nothing moves."""

    def __init__(
        self, a: Session, b: Session, *, answer: Answer | Secret | None = KEY, chunk: int = 0
    ) -> None:
        self.a, self.b = a, b
        self.a_events: list[Event] = []
        self.b_events: list[Event] = []
        self.identities: list[bytes] = []
        self._answer = answer
        self._chunk = chunk

    def run(self, *, release: bool = True) -> Pair:
        moved = True
        while moved:
            moved = self._carry(self.a, self.b, self.b_events) | self._carry(self.b, self.a, self.a_events)
            moved |= self._go_on(release=release)
        return self

    def _carry(self, source: Session, target: Session, events: list[Event]) -> bool:
        data = source.data_to_send()
        size = self._chunk or len(data)
        for start in range(0, len(data), size or 1):
            events.extend(target.receive(data[start : start + size]))
        return bool(data)

    def _go_on(self, *, release: bool) -> bool:
        """Do for the server what its owner does."""
        if self.b.state.name == "RESOLVING":
            offered = next(e for e in reversed(self.b_events) if isinstance(e, PskIdentityOffered))
            self.identities.append(offered.identity)
            key = self._answer(offered.identity) if callable(self._answer) else self._answer
            self.b_events.extend(self.b.answer(key))
            return True
        if release and self.b.state.name == "WITHHOLDING":
            self.b_events.extend(self.b.release())
            return True
        return False

    @property
    def a_completed(self) -> bool:
        return any(isinstance(event, HandshakeCompleted) for event in self.a_events)

    @property
    def b_completed(self) -> bool:
        return any(isinstance(event, HandshakeCompleted) for event in self.b_events)


def client_flights(identity: bytes = IDENTITY, key: Secret = KEY, suites=ONLY_PSK) -> list[bytes]:
    """What a client sends before and after the server's first flight."""
    a, b = client(identity, key, suites=suites), server()
    hello = a.data_to_send()
    b.receive(hello)
    a.receive(b.data_to_send())
    return [hello, a.data_to_send()]
