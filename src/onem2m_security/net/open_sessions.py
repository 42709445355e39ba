"""The established sessions of one port: each stands as long as what authenticated it does.

Before a request is answered, the step *resolve* is taken again (``frameworks/renewal.py``). Sessions without
requests are looked at when something may have been revoked, which costs one cheap question a second, and when
another party is to be asked again about their key. A session whose credential is gone is closed with
close_notify. One that cannot be looked up is not: what we keep ourselves and cannot read, no request is
answered on; what others keep, and they cannot be asked, counts as they last said it, until its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from ..clock import CLOCK, Clock
from ..errors import (
    CertificateRejectedError,
    HandshakeError,
    PeerRefusedError,
    ResolverUnavailableError,
    StoreError,
)
from ..frameworks.renewal import renewed
from ..frameworks.steps import Acceptor, Authorities, Established
from ..onem2m.primitives import RefusedError, Rsc
from ..peer_quotas import Ceiling, PeerQuotas, Rate
from ..tasks import Tasks
from ..telemetry import LOG
from ..tls.session import Party, Session
from ..tls.states import State
from .standing import CROWDED_OUT, REVOKED, Standing

WATCH_SECONDS: Final = 1.0
"""How often a port asks whether something was revoked."""

RETRY_SECONDS: Final = 10.0
"""After how long a party that could not be asked about an open session is asked again."""

_AT_ONCE: Final = 500
_PAUSES: Final = 9
"""How many times as long as looking took, it pauses."""
_PAUSE_MAX: Final = 10.0
_GONE: Final = "what authenticated this session is not trusted any more: open a new one"
_NO_REVISION: Final = (None, None)

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


class OpenSessions:
    """The established sessions of one port.

    Attributes:
        clock: What says when another party is to be asked again: that of whoever asks it.
    """

    def __init__(self, authorities: Authorities, quotas: PeerQuotas, *, clock: Clock = CLOCK) -> None:
        self.clock = clock
        self._authorities = authorities
        self._requests = Rate("requests", quotas.requests_per_second, clock=clock.monotonic)
        self._ceiling = Ceiling("connections", quotas.connections, clock=clock.monotonic)
        self._connections: dict[Session[Party], Standing] = {}
        self._by_peer: dict[str, set[Standing]] = {}
        self._new: set[Standing] = set()
        self._due: set[Standing] = set()
        self._revisions: dict[Acceptor, tuple[object, object]] = {}
        self._tasks = Tasks()

    def start(self) -> None:
        """Watch what the sessions rest on, from now on."""
        self._tasks.start(self._watch(), _failed)

    async def stop(self) -> None:
        """Watch no longer, and ask nobody any more."""
        await self._tasks.stop(0)

    def enter(self, connection: Standing) -> None:
        """A session is established.

        What it rests on may have been revoked since it was resolved: it is looked at once more in any case.
        Where its peer has too many, the one that was silent for longest gives way.
        """
        peer = _holder(connection)
        others = [other for other in self._by_peer.get(peer, ()) if other.session.state is State.OPEN]
        if self._ceiling.is_reached(peer, len(others)):
            silent = min(others, key=lambda other: other.last_activity)
            self.leave(silent)
            silent.end(CROWDED_OUT)
        self._by_peer.setdefault(peer, set()).add(connection)
        self._connections[connection.session] = connection
        self._new.add(connection)

    def leave(self, connection: Standing) -> None:
        """A session is over."""
        if self._connections.pop(connection.session, None) is None:
            return
        self._new.discard(connection)
        self._due.discard(connection)
        peer = _holder(connection)
        self._by_peer[peer].discard(connection)
        if not self._by_peer[peer]:
            del self._by_peer[peer]

    def ask_again(self, connection: Standing) -> None:
        """The time is over for which another party's word about the session's key holds: it is asked now."""
        self._tasks.start(self._ask(connection), _failed)

    async def _ask(self, connection: Standing) -> None:
        """Apart from the watch, which waits for no other party."""
        if not await self._decide(connection) and connection.session in self._connections:
            self._due.add(connection)

    def guard(
        self, handler: Callable[[_Request, Established], Awaitable[_Answer]]
    ) -> Callable[[_Request, Established], Awaitable[_Answer]]:
        """The handler, given what each session means at the moment of its request; no other is answered."""

        async def guarded(request: _Request, established: Established) -> _Answer:
            connection = self._connections.get(established.session)
            if connection is not None and self._requests.wait(_holder(connection)):
                raise RefusedError(Rsc.TOO_MANY_REQUESTS, "too many requests: wait a second")
            now = None if connection is None or connection.is_ending else await self._admitted(connection)
            if now is None:
                raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, _GONE)
            return await handler(request, now)

        return guarded

    async def turn(self, connection: Standing) -> None:
        """Wait until the peer may ask for something."""
        while seconds := self._requests.wait(_holder(connection)):  # noqa: ASYNC110 - time fills the bucket
            await asyncio.sleep(seconds)

    async def _admitted(self, connection: Standing) -> Established | None:
        try:
            now = await self.renewed(connection)
        except (StoreError, CertificateRejectedError) as error:
            LOG.error("a session cannot be looked up", error=str(error), peer=connection.peer_address)
            raise RefusedError(Rsc.INTERNAL_SERVER_ERROR, "the request could not be carried out") from error
        if now is None:
            connection.end_soon(REVOKED)
        return now

    async def renewed(self, connection: Standing) -> Established | None:
        """What the session means now; None when it is to end.

        Raises:
            StoreError: It cannot be looked up.
            CertificateRejectedError: Nobody can say whether the peer's certificate is revoked.
        """
        established = connection.established
        acceptor, loop = connection.session.owner, connection.loop
        if (
            established is None
            or not isinstance(acceptor, Acceptor)
            or loop.time() < connection.undecided_until
        ):
            return established
        try:
            now = await renewed(acceptor, established)
        except (ResolverUnavailableError, HandshakeError, PeerRefusedError) as error:
            LOG.warning(
                "a key cannot be asked about: its session goes on until the key ends",
                error=str(error),
                peer=connection.peer_address,
                credential=str(established.association.credential_id),
            )
            connection.postpone(RETRY_SECONDS)
            return established
        if now is not None:
            connection.renew(now)
        return now

    # --- sessions without requests ------------------------------------------------------------------------

    async def look(self, *, at_all: bool = False) -> None:
        """Look at the sessions that a revocation may concern, and at those whose time has come.

        Args:
            at_all: Look at every one.

        Raises:
            StoreError: Nobody can say whether something was revoked.
        """
        if not self._connections:
            return
        new, changed, due = set(self._new), {}, set()
        for acceptor in self._authorities.acceptors:
            revision = await _revision(acceptor)
            if at_all or revision != self._revisions.get(acceptor, _NO_REVISION):
                changed[acceptor] = revision
                due |= self._of(acceptor, self._connections.values())
            elif revision != _NO_REVISION:
                due |= self._of(acceptor, new)
        self._new -= new
        due |= self._due
        self._due = set()
        try:
            undecided = await self._look_at(due)
        except BaseException:
            self._due |= due
            raise
        self._due |= undecided
        if not undecided:
            self._revisions |= changed

    def _of(self, acceptor: Acceptor, connections: Iterable[Standing]) -> set[Standing]:
        return {one for one in connections if one.session.owner is acceptor}

    async def _look_at(self, due: Iterable[Standing]) -> set[Standing]:
        """Look at sessions, many at once; those of which nobody could say whether they stand."""
        undecided: set[Standing] = set()
        remaining = list(due)
        for at in range(0, len(remaining), _AT_ONCE):
            some = remaining[at : at + _AT_ONCE]
            decided = await asyncio.gather(*map(self._decide, some))
            undecided.update(one for one, done in zip(some, decided, strict=True) if not done)
        return {one for one in undecided if one.session in self._connections}

    async def _decide(self, connection: Standing) -> bool:
        try:
            if await self.renewed(connection) is None:
                connection.end(REVOKED)
        except StoreError:
            return False
        except CertificateRejectedError as error:
            # The lists were there at the handshake. It is looked at again when the files change.
            LOG.warning("a certificate cannot be looked up", error=str(error), peer=connection.peer_address)
        return True

    async def _watch(self) -> None:
        is_blind, loop, took = False, asyncio.get_running_loop(), 0.0
        while True:
            # Somebody may cause revocations again and again: looking never takes most of the time.
            await asyncio.sleep(min(max(WATCH_SECONDS, took * _PAUSES), _PAUSE_MAX))
            begun = loop.time()
            try:
                await self.look()
                is_blind = False
            except Exception as error:  # noqa: BLE001 - whatever it is, open sessions must go on being watched
                if not is_blind:
                    LOG.error("open sessions cannot be looked through", error=repr(error))
                is_blind = True
            took = loop.time() - begun


def _failed(error: BaseException) -> None:
    LOG.error("an open session cannot be looked at", error=repr(error))


def _holder(connection: Standing) -> str:
    assert connection.established is not None  # noqa: S101 - only established sessions are here
    return connection.established.holder


async def _revision(acceptor: Acceptor) -> tuple[object, object]:
    """What its resolver and, where it can change its mind, its verifier rest on."""
    return await acceptor.revision(), getattr(acceptor.endpoint.verifier, "revision", None)
