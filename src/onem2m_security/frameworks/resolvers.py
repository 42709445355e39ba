"""Resolvers that any framework may use: keys in memory, keys of another party, several resolvers in turn.

Nothing here performs I/O: a resolver that asks another party is given the function that does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey
from ..defaults import WORD_REMEMBERED
from ..errors import IdentifierError, ResolverUnavailableError
from ..identifiers import Fqdn, KeyIdentifier
from ..tasks import Tasks, together
from ..telemetry import FETCHES, LOG
from ..tls.suites import Suite
from .steps import PENDING, Pending, Resolver, resolve_now


@runtime_checkable
class Asking(Resolver, Protocol):
    """A resolver that asks others, in tasks of its own: whoever stops the port stops it after the port."""

    async def stop(self) -> None:
        """Wait for nobody's answer any more; who waits for one gets none."""


class ResolverChain:
    """Asks several resolvers: those that keep keys themselves in turn, then, together, those that ask others.

    One identifier may be known to any of several parties: an MEF and a BSF may have one FQDN (8.3.2.3). So
    nobody is passed over because somebody before cannot be asked, and one that does not answer takes no time
    away from the next: all of it lasts as long as the slowest. What nobody knows is told as unavailable if
    somebody could not be asked, since it may be known there.
    """

    def __init__(self, resolvers: Iterable[Resolver]) -> None:
        resolvers = tuple(resolvers)
        self._asking = tuple(one for one in resolvers if isinstance(one, Asking))
        self._own: Sequence[Resolver] = tuple(one for one in resolvers if not isinstance(one, Asking))
        self._tasks = Tasks()

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The first key that any of them has.

        Raises:
            ResolverUnavailableError: Nobody has one, and somebody could not be asked.
        """
        for resolver in self._own:
            found = await resolver.resolve(identity, suite)
            if found is not None:
                return found
        if len(self._asking) == 1:
            return await self._asking[0].resolve(identity, suite)
        return await self._first_of_those_asked(identity, suite)

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The same, as far as nobody needs to be awaited."""
        for resolver in self._own:
            found = resolve_now(resolver, identity, suite)
            if found is not None:
                return found
        answers = [resolve_now(one, identity, suite) for one in self._asking]
        found = next((one for one in answers if isinstance(one, ResolvedKey)), None)
        return found or (PENDING if PENDING in answers else None)

    async def _first_of_those_asked(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        asked = [self._tasks.start(one.resolve(identity, suite), _not_answered) for one in self._asking]
        unavailable: ResolverUnavailableError | None = None
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    found = await answer
                except ResolverUnavailableError as error:
                    unavailable = unavailable or error
                    continue
                if found is not None:
                    return found
        finally:
            for one in asked:
                one.cancel()
        if unavailable is not None:
            raise unavailable
        return None

    async def stop(self) -> None:
        """Stop those that ask others."""
        await together(*(one.stop() for one in self._asking))


class ProvisionedKeys:
    """Keys held in memory, by identifier: what a device or a CSE was configured with."""

    def __init__(self, keys: Iterable[ResolvedKey], *, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._keys = {key.key_id: key for key in keys}

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The configured key, unless it has expired."""
        return self.resolve_now(identity, suite)

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The same: nobody has to be awaited for it."""
        del suite
        key_id = parse_identity(identity)
        found = None if key_id is None else self._keys.get(key_id)
        return found if found is not None and not has_expired(found, self._clock.now()) else None

    def forget(self, key_id: KeyIdentifier) -> None:
        """Trust this key no more."""
        self._keys.pop(key_id, None)


Fetch = Callable[[KeyIdentifier], Awaitable[ResolvedKey | None]]


REMEMBERED: Final = WORD_REMEMBERED
"""How long what another party said of a key counts, unless told otherwise."""


class RemoteKeys:
    """Asks the party that the identifier names, in the middle of the handshake, and remembers for a while.

    Only configured FQDNs are asked: a client cannot make us call a host of its choice. Handshakes with
    one identifier share one request. What was said of a key counts for a bounded time, and never beyond the
    key's end; then the party is asked again, since it may have revoked the key. At most ``capacity`` keys are
    remembered; what a party does not know is not.
    """

    def __init__(
        self,
        sources: Mapping[Fqdn, Fetch],
        *,
        timeout: float = 5.0,
        remembered: timedelta = REMEMBERED,
        capacity: int = 100_000,
        concurrency: int = 256,
        clock: Clock = CLOCK,
    ) -> None:
        """Ask these parties.

        Args:
            sources: FQDN to the function that asks.
            timeout: Seconds to wait for an answer.
            remembered: How long an answer counts.
            capacity: Keys remembered.
            concurrency: Requests under way at once; further handshakes wait.
            clock: What ages answers and ends keys.
        """
        self._sources = dict(sources)
        self._timeout = timeout
        self._remembered = remembered.total_seconds()
        self._clock = clock
        self._capacity = capacity
        self._kept: OrderedDict[KeyIdentifier, ResolvedKey] = OrderedDict()
        self._under_way: dict[KeyIdentifier, asyncio.Task[ResolvedKey | None]] = {}
        self._tasks = Tasks()
        self._places = asyncio.Semaphore(concurrency)

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The key, from memory or from the party at the identifier's FQDN.

        Its ``ask_again`` says how long the answer counts.

        Raises:
            ResolverUnavailableError: The party cannot be asked, or nobody is asked any more.
        """
        found = self.resolve_now(identity, suite)
        if not isinstance(found, Pending):
            return found
        key_id = KeyIdentifier.parse(identity)
        task = self._under_way.get(key_id)
        if task is None:
            task = self._tasks.start(self._ask(key_id), _not_answered)
            self._under_way[key_id] = task
            task.add_done_callback(lambda _: self._under_way.pop(key_id, None))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelled():
                raise ResolverUnavailableError(f"{key_id.fqdn} is not asked any more") from None
            raise

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The key from memory; None for an identifier about which nobody is asked."""
        del suite
        key_id = parse_identity(identity)
        if key_id is None or key_id.fqdn not in self._sources:
            return None
        kept = self._kept.get(key_id)
        if kept is None or not self._counts(kept):
            return PENDING
        self._kept.move_to_end(key_id)
        return kept

    async def stop(self) -> None:
        """Wait for nobody's answer any more; who waits for one gets none."""
        await self._tasks.stop(0)

    def _counts(self, kept: ResolvedKey) -> bool:
        asked_again_at = kept.ask_again or 0.0
        return asked_again_at > self._clock.monotonic() and not has_expired(kept, self._clock.now())

    async def _ask(self, key_id: KeyIdentifier) -> ResolvedKey | None:
        function, asked = str(key_id.fqdn), self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout), self._places:
                found = await self._sources[key_id.fqdn](key_id)
        except TimeoutError:
            FETCHES.labels(function, "timeout").inc()
            raise ResolverUnavailableError(f"{function} gave no answer within {self._timeout:g} s") from None
        except ResolverUnavailableError:
            FETCHES.labels(function, "unavailable").inc()
            raise
        if found is None or has_expired(found, self._clock.now()):
            FETCHES.labels(function, "unknown").inc()
            self._kept.pop(key_id, None)
            return None
        FETCHES.labels(function, "found").inc()
        found = replace(found, ask_again=asked + self._remembered)
        self._kept[key_id] = found
        self._kept.move_to_end(key_id)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return found

    def forget(self, key_id: KeyIdentifier) -> None:
        """Drop a kept key, so that the next handshake asks again."""
        self._kept.pop(key_id, None)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _not_answered(error: BaseException) -> None:
    """Whoever waits for the answer hears of it and says so; perhaps nobody waits any more."""
    LOG.debug("a key could not be asked for", error=repr(error))


def parse_identity(
    identity: bytes, parse: Callable[[bytes], KeyIdentifier] = KeyIdentifier.parse
) -> KeyIdentifier | None:
    """A psk_identity as a key identifier; None when it cannot be one.

    Args:
        identity: As the client sent it.
        parse: Reads the kind of identifier that is meant: for a Km, ``KeyIdentifier.parse_km_id``.
    """
    try:
        return parse(identity)
    except IdentifierError:
        return None


def has_expired(key: ResolvedKey, now: datetime) -> bool:
    """Has the key's lifetime ended by now (UTC)?"""
    return key.expires is not None and key.expires <= now
