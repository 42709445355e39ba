"""One association with Entity B that is there whenever it is wanted, for as long as a process runs (8.2.2).

It is opened at first use or at the start, by whatever credential the way says; its credential is used again
until it ends, and made anew before that; what cannot be opened is tried again after a while, and not sooner.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol, TypeVar

from ..association import Association
from ..clock import CLOCK, Clock
from ..errors import HandshakeError, SecurityFrameworkError
from ..frameworks.steps import Established, How, Initiator, Renewing
from ..net.link import Link
from ..telemetry import LOG
from .entity_a import meet

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0
"""Between attempts that fail: twice as long each time, up to this."""

RENEWAL_MARGIN: Final = 0.1
"""The last part of a credential's life in which it is made anew."""

LOOK_SECONDS: Final = 60.0
"""How long to wait at most before the wall clock is looked at again, which somebody may set."""


class OpenSession(Protocol):
    """A session with Entity B, whatever it carries."""

    established: Established


Opened = TypeVar("Opened", bound=OpenSession)


class BackOff:
    """When what failed may be tried again; without a clock of its own.

    A pause is drawn between its half and its whole, so that a thousand devices do not come back together.
    """

    def __init__(self, draw: Callable[[], float] | None = None) -> None:
        """Nothing has failed yet.

        Args:
            draw: Draws from 0 up to 1; by default as the operating system does.
        """
        self._draw = draw or secrets.SystemRandom().random
        self._failures = 0
        self._until = -math.inf

    def failed(self, now: float) -> None:
        """It failed at this moment (seconds, by a clock that never goes back)."""
        whole = min(FIRST_PAUSE_SECONDS * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 16)
        self._until = now + whole * (1 + self._draw()) / 2

    def succeeded(self) -> None:
        """The next failure is a first one again."""
        self._failures, self._until = 0, -math.inf

    def seconds(self, now: float) -> float:
        """For how long not to try yet; 0 when it may be tried."""
        return max(0.0, self._until - now)


class KeptAssociation:
    """An association with one Entity B, and the sessions that it is carried by.

    Attributes:
        link: Where Entity B listens.
        association: What the newest session means; None before the first.
    """

    def __init__(
        self,
        link: Link,
        how: How,
        *,
        clock: Clock = CLOCK,
        back_off: BackOff | None = None,
        opened: Callable[[Initiator], None] = lambda _: None,
    ) -> None:
        """An association that is not opened yet.

        Args:
            link: Where Entity B listens, over what, within which bounds.
            how: How we prove ourselves, and to whom.
            clock: What ends and renews credentials, and how long pauses are.
            back_off: When to try again what failed.
            opened: Hears by what each session was opened.
        """
        self.link = link
        self.association: Association | None = None
        self._how = how
        self._clock = clock
        self._opening = back_off or BackOff()
        self._heard = opened
        self._renewing = BackOff()
        self._failure = ""
        self._due: datetime | None = None
        self._turn = asyncio.Lock()
        self._is_fresh = False
        """A credential was made anew, and no session was opened by it yet."""
        self._is_to_renew = asyncio.Event()

    async def open(self, open_session: Callable[[Initiator], Awaitable[Opened]]) -> Opened:
        """Open one more session by the credential of now.

        One is opened at a time: a credential that must be made is made once, and what fails has failed for
        all that wait.

        Args:
            open_session: Opens it where the link says; raises HandshakeError when that fails.

        Raises:
            HandshakeError: Entity B, or whoever provides our credential, cannot be reached or refuses us; or
                that was so a moment ago, and it is too early to try again.
            SecurityFrameworkError: As for ``clients.entity_a.associate``.
        """
        async with self._turn:
            shown: list[Initiator] = []

            async def open_shown(initiator: Initiator) -> Opened:
                session = await open_session(initiator)
                shown.append(initiator)
                return session

            seconds = self._opening.seconds(self._clock.monotonic())
            if seconds:
                raise HandshakeError(f"{self._failure} (tried again in {seconds:.1f} s)")
            try:
                session = await meet(self.link, self._how, open_shown)
            except SecurityFrameworkError as error:
                self._failure = str(error)
                self._opening.failed(self._clock.monotonic())
                raise
            self._opening.succeeded()
            self._is_now(session.established.association)
            self._heard(shown[-1])
            return session

    def serves(self, established: Established) -> bool:
        """Whether a session may take requests: its credential is that of now, and has not ended."""
        return (
            self.association is not None
            and _right(established.association) == _right(self.association)
            and not self._has_ended(established.association)
        )

    async def keep(
        self,
        open_another: Callable[[], Awaitable[object]],
        *,
        at_start: bool,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Renew the credential before it ends; runs until it is cancelled.

        Args:
            open_another: Has one more session opened, and keeps it for whoever wants one.
            at_start: Open a session now, and try until that succeeds; otherwise wait for the first use.
            sleep: Waits for so many seconds.
        """
        while at_start and self.association is None:
            try:
                await open_another()
            except SecurityFrameworkError as error:
                LOG.warning("not associated", address=str(self.link.address), error=str(error))
                await sleep(self._opening.seconds(self._clock.monotonic()) or FIRST_PAUSE_SECONDS)
        while True:
            await self._is_to_renew.wait()
            await sleep(self._seconds_to_renewal())
            await self.renew_if_due(open_another)

    async def renew_if_due(self, open_another: Callable[[], Awaitable[object]]) -> None:
        """Make the credential anew if it is about to end, and have a session opened by it.

        While either fails, the sessions of the one before serve until it ends.
        """
        due, now = self._due, self._clock.monotonic()
        if due is None or self._clock.now() < due or self._renewing.seconds(now):
            return
        try:
            await self._make_afresh()
            await open_another()
        except SecurityFrameworkError as error:
            LOG.warning("a credential is about to end, and cannot be renewed", error=str(error))
            self._renewing.failed(self._clock.monotonic())
            return
        self._renewing.succeeded()
        if self._due == due:  # there is none that lives longer
            self._set_due(None)

    async def _make_afresh(self) -> None:
        async with self._turn:
            if isinstance(self._how, Renewing) and not self._is_fresh:
                await self._how.afresh()
                self._is_fresh = True

    def _is_now(self, association: Association) -> None:
        if self.association is None or _right(association) != _right(self.association):
            self._is_fresh = False
            self._set_due(self._renewal(association))
        self.association = association

    def _renewal(self, association: Association) -> datetime | None:
        if association.expires is None or isinstance(self._how, Initiator):
            return None
        return association.expires - RENEWAL_MARGIN * (association.expires - self._clock.now())

    def _set_due(self, due: datetime | None) -> None:
        self._due = due
        if due is None:
            self._is_to_renew.clear()
        else:
            self._is_to_renew.set()

    def _seconds_to_renewal(self) -> float:
        now = self._clock.monotonic()
        due = math.inf if self._due is None else (self._due - self._clock.now()).total_seconds()
        return min(max(due, self._renewing.seconds(now), 0.0), LOOK_SECONDS)

    def _has_ended(self, association: Association) -> bool:
        return association.expires is not None and association.expires <= self._clock.now()


def _right(association: Association) -> tuple[object, ...]:
    """What tells one credential from the next."""
    return (association.credential_id, association.expires)
