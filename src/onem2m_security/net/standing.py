"""How long an established session stands, at either end: until its credential ends or is trusted no more.

The clock of the event loop never goes back and so measures idleness; the end of a credential is a moment of
the wall clock, which somebody may set, and so it is looked at again and again.
"""

from __future__ import annotations

import abc
import asyncio
import math
from typing import Final, Protocol, TypeAlias

from ..clock import Clock
from ..credentials import ResolvedKey
from ..errors import CertificateRejectedError
from ..frameworks.renewal import verify_again
from ..frameworks.steps import Acceptor, Established, Initiator
from ..telemetry import LOG, SESSIONS_ENDED
from ..tls.session import Session
from ..tls.states import State
from .limits import Limits
from .wheel import Deadline, Wheel

LOOK_SECONDS = 60.0
"""A session that will end looks at the wall clock at least this often."""

ASK_SECONDS: Final = 1.0
"""Another party is asked about a session at most this often, however short a time its word counts."""

LAST_WORDS_SECONDS: Final = 0.2
"""For the refusal of a request to leave, before the session on which it came is closed."""

# Why a session is ended, for the log and the counter.
EXPIRED: Final = "expired"
REVOKED: Final = "revoked"
IDLE: Final = "idle"
CROWDED_OUT: Final = "over the quota of its peer"


OwnSession: TypeAlias = Session[Initiator | Acceptor]
"""A session that knows on which side we are, and as whom."""


class Sessions(Protocol):
    """The established sessions of the port that accepted them, as one of them sees it."""

    @property
    def clock(self) -> Clock:
        """What says when another party is to be asked again."""
        ...

    def enter(self, session: Standing, /) -> None:
        """It is established."""

    def leave(self, session: Standing, /) -> None:
        """Nothing carries it any more."""

    def ask_again(self, session: Standing, /) -> None:
        """What another party said of its key is old."""

    async def renewed(self, session: Standing, /) -> Established | None:
        """What it means now; None when it is to end."""
        ...

    async def turn(self, session: Standing, /) -> None:
        """Wait until its peer may ask for something."""


class Standing(abc.ABC):
    """A session and the right on which it rests.

    Attributes:
        session: The sans-IO session.
        limits: Bounds on time.
        loop: The event loop.
        wheel: Its deadlines.
        established: What the session means now; None until the handshake is done.
        is_ending: It is about to be closed: nothing more is heard.
        last_activity: When application data last passed, by the clock of the event loop (seconds).
        undecided_until: Until when nobody is asked again whether it stands, by the same clock: whoever knows
            could not be asked.
    """

    def __init__(
        self, session: OwnSession, limits: Limits, sessions: Sessions | None, wheel: Wheel | None
    ) -> None:
        """A session whose handshake is about to begin.

        Args:
            session: A new session.
            limits: Bounds on time.
            sessions: On the accepting side: the established ones of the same port.
            wheel: On the accepting side: the deadlines of the same port.
        """
        self.session = session
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.wheel = wheel or Wheel()
        self.established: Established | None = None
        self.is_ending = False
        self.last_activity = 0.0
        self.undecided_until = 0.0
        self._sessions = sessions
        self._asked_at = -math.inf
        self._watch_timer: Deadline | None = None

    @abc.abstractmethod
    def flush(self) -> None:
        """Send what the session has to send."""

    @abc.abstractmethod
    def shut(self) -> None:
        """Close what carries the connection, after what was sent has left."""

    @property
    @abc.abstractmethod
    def peer_address(self) -> str:
        """The peer's address and port, for a log line."""

    def touch(self) -> None:
        """Application data passed: the session is not idle."""
        self.last_activity = self.loop.time()

    def enter(self, established: Established) -> None:
        """The handshake is done."""
        self.established = established
        self.touch()
        if self._sessions is not None:
            self._sessions.enter(self)

    def leave(self) -> None:
        """Nothing carries the session any more."""
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        if self._sessions is not None:
            self._sessions.leave(self)

    # --- what it means now ----------------------------------------------------------------------------------

    async def renewed(self) -> Established | None:
        """What the session means at this moment; None when what authenticated it is gone, and it is to end.

        Raises:
            StoreError: It cannot be looked up.
            CertificateRejectedError: Nobody can say whether the peer's certificate is revoked.
        """
        if self.has_ended():
            return None
        return self.established if self._sessions is None else await self._sessions.renewed(self)

    async def turn(self) -> None:
        """Wait until the peer may ask for something, where so many requests a second are allowed to it."""
        if self._sessions is not None:
            await self._sessions.turn(self)

    def renew(self, established: Established) -> None:
        """It stands, and means this from now on."""
        self.established = established
        self.watch()

    def postpone(self, seconds: float) -> None:
        """Nobody could say whether it stands: let them be asked again after a while."""
        self.undecided_until = self.loop.time() + seconds
        self.watch()

    def has_ended(self) -> bool:
        """Whether the association is at its end; if so, the session ends with it. Nothing passes after it."""
        if self.established is None or self.established.association.seconds_left > 0:
            return False
        self.end(EXPIRED)
        return True

    # --- its end --------------------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """End an established session: say close_notify and close."""
        if self.established is None or self.session.state is not State.OPEN:
            return
        association = self.established.association
        SESSIONS_ENDED.labels(str(association.local), reason).inc()
        LOG.info(
            "session ended",
            reason=reason,
            peer=str(association.peer),
            credential=str(association.credential_id),
            address=self.peer_address,
        )
        self.session.close()
        self.flush()
        self.shut()

    def end_soon(self, reason: str) -> None:
        """The same, once what is being said has left; nothing is heard meanwhile."""
        if not self.is_ending:
            self.is_ending = True
            self.loop.call_later(LAST_WORDS_SECONDS, self.end, reason)

    # --- its time -------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """End it if it is idle for too long or has no right any more, now or when its time comes."""
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        if self.established is None or self.has_ended() or self.session.state is not State.OPEN:
            return
        idle = self.last_activity + self.limits.idle_seconds - self.loop.time()
        if idle <= 0:
            self.end(IDLE)
        else:
            self._watch_timer = self.wheel.call_later(
                min(idle, self._until_look(self.established)), self._look
            )

    def _look(self) -> None:
        if self._sessions is not None or self._peer_stands():
            self.watch()

    def _until_look(self, established: Established) -> float:
        """After how many seconds to look at the wall clock, or to have somebody asked about the key."""
        left = established.association.seconds_left
        look = left if left == math.inf else min(left, LOOK_SECONDS)
        key = established.credential
        if self._sessions is None or not isinstance(key, ResolvedKey) or key.ask_again is None:
            return look
        now = self.loop.time()
        again = max(
            key.ask_again - self._sessions.clock.monotonic(),
            self.undecided_until - now,
            self._asked_at + ASK_SECONDS - now,
        )
        if again > 0:
            return min(look, again)
        self._asked_at = now
        self._sessions.ask_again(self)
        return look

    def _peer_stands(self) -> bool:
        """On the initiating side: would the peer's certificates be accepted now? If not, the session ends."""
        try:
            stands = verify_again(self.session)
        except CertificateRejectedError as error:
            LOG.warning("a certificate cannot be looked up", error=str(error), peer=self.peer_address)
            return True
        if not stands:
            self.end(REVOKED)
        return stands
