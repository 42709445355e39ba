"""The challenges of a BSF that wait for an answer.

A challenge is used up by its right answer, by the card's AUTS and by time; by nothing that a stranger can
send. Of one subscriber there are ``PER_SUBSCRIBER`` at most: whoever asks for one more is handed the newest
again. RAND and AUTN are no secrets, and a card takes the newest most surely. So a stranger who asks all the
time takes no place from the subscriber, and moves its sequence number by ``PER_SUBSCRIBER`` in ``SECONDS`` at
most.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final

from ..gba.aka import AuthenticationVector
from ..gba.digest_headers import Challenge, Credentials, DigestAlgorithm
from ..gba.keys import Impi
from ..gba.subscriber import Guss

SECONDS: Final = 60.0
"""How long a challenge is handed out, and how long it can be answered after it was handed out."""

PER_SUBSCRIBER: Final = 32
"""As many as a USIM's array has elements (TS 33.102 Annex C.3)."""

CAPACITY: Final = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Challenged:
    """A challenge of one subscriber.

    Attributes:
        impi: The subscriber.
        vector: The vector, as it is for GBA_ME or GBA_U.
        guss: The user security settings that it was made for.
        challenge: What is sent, in the first version of Digest AKA.
        made: When it was made, in seconds that never go back.
        deadline: Until when it can be answered.
    """

    impi: Impi
    vector: AuthenticationVector = field(repr=False)
    guss: Guss | None
    challenge: Challenge
    made: float
    deadline: float

    @property
    def nonce(self) -> str:
        """What the answer names it by."""
        return self.challenge.nonce

    @property
    def gba_u(self) -> bool:
        """Whether it is for a bootstrapping on the UICC."""
        return self.guss is not None and self.guss.gba_u

    def as_answered(self, credentials: Credentials, offered: tuple[DigestAlgorithm, ...]) -> Challenge:
        """The challenge in the version that the UE chose; in the first one where it names none or another."""
        chosen = credentials.algorithm
        return replace(self.challenge, algorithm=chosen if chosen in offered else offered[0])


@dataclass(eq=False, slots=True)
class _Turns:
    """Those who take turns."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: int = 0


class Challenges:
    """The table, ordered by deadline; under pressure of many subscribers' challenges the oldest goes."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        """An empty table of this capacity."""
        self._capacity = capacity
        self._by_nonce: OrderedDict[str, Challenged] = OrderedDict()
        self._nonces: dict[Impi, OrderedDict[str, None]] = {}
        """Of each subscriber, the oldest first."""
        self._turns: dict[Impi, _Turns] = {}

    def __len__(self) -> int:
        return len(self._by_nonce)

    @contextlib.asynccontextmanager
    async def turn(self, impi: Impi) -> AsyncIterator[None]:
        """Wait for one's turn: whoever asks many times at once gets no more than whoever asks in turn."""
        turns = self._turns.setdefault(impi, _Turns())
        turns.count += 1
        try:
            async with turns.lock:
                yield
        finally:
            turns.count -= 1
            if not turns.count:
                del self._turns[impi]

    def add(self, challenged: Challenged) -> None:
        """Keep a new one; if there are too many of this subscriber, its oldest goes."""
        siblings = self._nonces.get(challenged.impi, ())
        if len(siblings) >= PER_SUBSCRIBER:
            self.remove(self._by_nonce[next(iter(siblings))])
        self._by_nonce[challenged.nonce] = challenged
        self._nonces.setdefault(challenged.impi, OrderedDict())[challenged.nonce] = None
        if len(self._by_nonce) > self._capacity:
            self.remove(next(iter(self._by_nonce.values())))

    def share(self, impi: Impi, guss: Guss | None, now: float) -> Challenged | None:
        """The newest of this subscriber, to be handed out again; None while there is room for a new one.

        None too if it was made for other settings, or too long ago. Then the oldest, which was handed out no
        later than the newest was made, can be answered no more: ``add`` may drop it.
        """
        siblings = self._nonces.get(impi)
        if siblings is None or len(siblings) < PER_SUBSCRIBER:
            return None
        newest = self._by_nonce[next(reversed(siblings))]
        if newest.guss != guss or now >= newest.made + SECONDS:
            return None
        shared = replace(newest, deadline=now + SECONDS)
        self._by_nonce[shared.nonce] = shared
        self._by_nonce.move_to_end(shared.nonce)
        return shared

    def find(self, nonce: str, impi: Impi) -> Challenged | None:
        """A challenge of this subscriber; it stays."""
        found = self._by_nonce.get(nonce)
        return None if found is None or found.impi != impi else found

    def remove(self, challenged: Challenged) -> bool:
        """It is used up; whether it was not before."""
        if self._by_nonce.pop(challenged.nonce, None) is None:
            return False
        siblings = self._nonces[challenged.impi]
        del siblings[challenged.nonce]
        if not siblings:
            del self._nonces[challenged.impi]
        return True

    def drop_older_than(self, moment: float) -> None:
        """Forget those with a deadline up to this moment."""
        while self._by_nonce:
            oldest = next(iter(self._by_nonce.values()))
            if oldest.deadline > moment:
                return
            self.remove(oldest)
