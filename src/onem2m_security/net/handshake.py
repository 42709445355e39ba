"""The rules of one handshake without any I/O: what happened goes in, what is to be done comes out.

offered → resolved → completed → committed → released, and over all of it the deadline. What comes after the
end (the answer of a MAF, a commit) changes nothing. Sockets, tasks and timers are the connection's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..alerts import Alert
from ..credentials import ResolvedKey
from ..errors import HandshakeError, HandshakeTimeoutError
from ..frameworks.steps import Acceptor, Established, Initiator
from ..tls.events import DataReceived, Event, HandshakeCompleted, PskIdentityOffered, SessionEnded
from ..tls.states import State
from ..tls.suites import Suite
from .standing import OwnSession


@dataclass(frozen=True, slots=True)
class Resolve:
    """Ask the acceptor's resolver for the key, then say ``resolved``, or ``refused``."""

    acceptor: Acceptor
    identity: bytes
    suite: Suite


@dataclass(frozen=True, slots=True)
class Commit:
    """Make durable what the framework exports, then say ``committed``, or ``refused``."""

    acceptor: Acceptor
    established: Established


@dataclass(frozen=True, slots=True)
class Begin:
    """The handshake is over: what waits to be sent leaves, and the application begins."""

    established: Established


@dataclass(frozen=True, slots=True)
class Deliver:
    """Application data."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fail:
    """The handshake came to nothing: tell whoever waits for it."""

    error: HandshakeError


@dataclass(frozen=True, slots=True)
class Shut:
    """Nothing more will come: send what waits, and close."""


Command = Resolve | Commit | Begin | Deliver | Fail | Shut


class Handshake:
    """One handshake, at either end, and what its session tells afterwards.

    Attributes:
        is_over: It has succeeded or failed.
    """

    def __init__(self, session: OwnSession, seconds: float) -> None:
        """A handshake that is about to begin.

        Args:
            session: A new session; its owner is who we are.
            seconds: How long it may take; the owner's clock says when that is over.
        """
        self.is_over = False
        self._session = session
        self._seconds = seconds
        self._resolved: ResolvedKey | None = None
        self._established: Established | None = None

    def happened(self, events: Iterable[Event]) -> list[Command]:
        """The session told this."""
        return [command for event in events for command in self._follows(event)]

    def _follows(self, event: Event) -> list[Command]:
        match event, self._session.owner:
            case PskIdentityOffered(identity, suite), Acceptor() as acceptor:
                return [Resolve(acceptor, identity, suite)]
            case HandshakeCompleted(), Acceptor() as acceptor:
                self._established = acceptor.establish(self._session, self._resolved)
                return [Commit(acceptor, self._established)]
            case HandshakeCompleted(), Initiator() as initiator:
                return self._begin(initiator.establish(self._session))
            case DataReceived(data), _:
                return [Deliver(data)]
            case SessionEnded(error), _:
                closed = HandshakeError("the peer closed the connection during the handshake")
                return [*self._fail(error or closed), Shut()]
        return []

    def resolved(self, key: ResolvedKey | None) -> list[Command]:
        """The resolver answered; None when it has no key for the identity."""
        if self._session.state is not State.RESOLVING:
            return []
        self._resolved = key
        return self.happened(self._session.answer(None if key is None else key.key))

    def committed(self) -> list[Command]:
        """What was agreed on is durable: the last flight may leave."""
        if self._established is None or self._session.state is not State.WITHHOLDING:
            return []
        events = self._session.release()
        return [*self._begin(self._established), *self.happened(events)]

    def refused(self) -> list[Command]:
        """A step came to nothing, or another handshake needs the place."""
        return self.happened(self._session.abort(Alert.internal_error))

    def expired(self) -> list[Command]:
        """Its time is over."""
        message = f"no complete handshake within {self._seconds:g} s: {self._session.awaits}"
        failed = self._fail(HandshakeTimeoutError(message, alert=Alert.internal_error))
        return [*failed, *self.refused()]

    def _begin(self, established: Established) -> list[Command]:
        self.is_over = True
        return [Begin(established)]

    def _fail(self, error: HandshakeError) -> list[Command]:
        if self.is_over:
            return []
        self.is_over = True
        return [Fail(error)]
