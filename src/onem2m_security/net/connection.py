"""What a secured connection is, whatever carries it: the asyncio shell around one sans-IO session.

The rules of the handshake are in ``handshake.py``; here are its timer, and its steps that take time: on the
accepting side the key is looked up in the middle of the handshake, and then something must be durable before
the last flight leaves. A step that needs no task has none: the answer is there at once, or somebody calls
back. TCP and UDP supply the few operations that differ.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ..association import Association
from ..credentials import ResolvedKey
from ..errors import HandshakeError, ResolverUnavailableError, SecurityFrameworkError
from ..frameworks.steps import Acceptor, Established, Initiator, Pending, resolve_now
from ..tasks import Tasks
from ..telemetry import HANDSHAKES, LOG
from ..texts import shown
from ..tls.events import Event
from ..tls.states import State
from ..tls.suites import Suite
from .address import Address
from .handshake import Begin, Command, Commit, Deliver, Fail, Handshake, Resolve, Shut
from .limits import HalfOpen, Limits
from .standing import OwnSession, Sessions, Standing
from .wheel import Deadline, Wheel


class Port(Protocol):
    """What a connection asks of the port that accepted it."""

    half_open: HalfOpen
    tasks: Tasks
    wheel: Wheel

    @property
    def open_sessions(self) -> Sessions:
        """The established sessions."""
        ...


class SecureConnection(Standing):
    """One secured connection, at either end.

    Attributes:
        handshake: Done with what the handshake established, or with the error that ended it.
    """

    def __init__(
        self,
        session: OwnSession,
        limits: Limits,
        port: Port | None = None,
    ) -> None:
        """A connection whose handshake is about to begin.

        Args:
            session: A new session; its owner is who we are.
            limits: Bounds on time.
            port: On the accepting side: where the client came in.
        """
        sessions, wheel = (None, None) if port is None else (port.open_sessions, port.wheel)
        super().__init__(session, limits, sessions, wheel)
        self._unknown: bytes | None = None
        self.handshake: asyncio.Future[Established] = self.loop.create_future()
        self._port = port
        self._tasks = Tasks() if port is None else port.tasks
        self._rules = Handshake(session, limits.handshake_seconds)
        self._task: asyncio.Task[None] | None = None
        self._deadline: Deadline | None = None

    # --- what TCP and UDP supply --------------------------------------------------------------------------

    @abc.abstractmethod
    def hold_reading(self, *, hold: bool) -> None:
        """Stop or go on reading while a step of the handshake takes its time."""

    @abc.abstractmethod
    def begin_application(self) -> None:
        """The handshake is over: bring up the application on top."""

    @abc.abstractmethod
    def deliver(self, data: bytes) -> None:
        """Application data for the application on top."""

    # --- the life of a connection ------------------------------------------------------------------------

    def begin(self) -> None:
        """The handshake begins."""
        self._deadline = self.wheel.call_later(self.limits.handshake_seconds, self._handshake_expired)
        if self._port is None:
            self.flush()

    def handle(self, events: list[Event]) -> None:
        """Act on what the session tells, and send what it has to send."""
        self._do(self._rules.happened(events))
        self.flush()

    def _do(self, commands: list[Command]) -> None:
        """Whatever begins the application or ends the connection sends; of the rest ``flush`` takes care."""
        for command in commands:
            match command:
                case Resolve(acceptor, identity, suite):
                    self._resolve(acceptor, identity, suite)
                case Commit(acceptor, established):
                    self._commit(acceptor, established)
                case Begin(established):
                    self.flush()
                    self._established(established)
                case Deliver(data):
                    if not self.is_ending and not self.has_ended():
                        self.deliver(data)
                case Fail(error):
                    self._fail(error)
                case Shut():
                    self.flush()
                    self.shut()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this for the application; the port owns it, and a failure is reported with the peer's name."""
        self._tasks.start(work, self._work_failed)

    def _work_failed(self, error: BaseException) -> None:
        peer = self.peer_address if self.established is None else self.established.holder
        LOG.error("handler failed", error=repr(error), peer=peer, address=self.peer_address)

    def finish(self) -> None:
        """Nothing carries the connection any more."""
        if self._unknown is not None:
            # Said at the end, and not before: the answer must not take longer than for a wrong key, and who
            # is on the same core as we are gets it only when we have nothing to do.
            LOG.info("unknown identity", identity=shown(self._unknown), peer=self.peer_address)
            self._unknown = None
        self._handshake_over()
        self.leave()
        if self._task is not None:
            self._task.cancel()

    def drop_half_open(self) -> None:
        """End an unfinished handshake, to make room for another."""
        self._do(self._rules.refused())

    # --- the handshake -------------------------------------------------------------------------------------

    def _resolve(self, acceptor: Acceptor, identity: bytes, suite: Suite) -> None:
        """Find the key: at once, or else in a task."""
        try:
            key = resolve_now(acceptor.resolver, identity, suite)
        except Exception as error:  # noqa: BLE001 - whatever it is ends this handshake, not the port
            self._not_resolved(identity, error)
            return
        if isinstance(key, Pending):
            step = self._resolve_later(acceptor, identity, suite)
            self._await(step, partial(self._not_resolved, identity))
        else:
            self._resolved(identity, key)

    async def _resolve_later(self, acceptor: Acceptor, identity: bytes, suite: Suite) -> None:
        self._resolved(identity, await acceptor.resolver.resolve(identity, suite))
        self.flush()

    def _resolved(self, identity: bytes, key: ResolvedKey | None) -> None:
        self._do(self._rules.resolved(key))
        if key is None:
            self._unknown = identity

    def _not_resolved(self, identity: bytes, error: BaseException) -> None:
        self._refuse("the key for an identity could not be found", error, identity=shown(identity))

    def _commit(self, acceptor: Acceptor, established: Established) -> None:
        """Make durable what the framework exports; only then may the last flight leave."""
        if acceptor.established is None:
            self._committed(None)
            return
        try:
            has_begun = acceptor.commit(established, self._committed)
        except Exception as error:  # noqa: BLE001 - whatever it is ends this handshake, not the port
            self._committed(error)
            return
        if not has_begun:
            self._await(self._commit_later(acceptor.established(established)), self._committed)
        elif self.session.state is State.WITHHOLDING:
            self.hold_reading(hold=True)

    async def _commit_later(self, durable: Awaitable[None]) -> None:
        await durable
        self._committed(None)

    def _committed(self, error: BaseException | None) -> None:
        """What is exported is durable, or could not be made so."""
        self.hold_reading(hold=False)
        if error is None:
            self._do(self._rules.committed())
        elif not self._rules.is_over:
            self._refuse("the handshake could not be made durable", error)

    def _await(self, step: Coroutine[Any, Any, None], failed: Callable[[BaseException], None]) -> None:
        """Do a step of the handshake that takes time; nothing is read meanwhile."""
        self.hold_reading(hold=True)
        self._task = self._tasks.start(step, failed)
        self._task.add_done_callback(self._step_done)

    def _step_done(self, task: asyncio.Task[None]) -> None:
        if self._task is task:  # and not followed by another
            self._task = None
            self.hold_reading(hold=False)

    def _refuse(self, what: str, error: BaseException, **details: Any) -> None:  # noqa: ANN401 - texts
        if isinstance(error, SecurityFrameworkError):
            unavailable = isinstance(error, ResolverUnavailableError)
            LOG.warning(what, error=str(error), unavailable=unavailable, peer=self.peer_address, **details)
        else:
            LOG.error("handshake step failed", error=repr(error), peer=self.peer_address)
        self._do(self._rules.refused())

    def _established(self, established: Established) -> None:
        self._handshake_over()
        if self.handshake.cancelled():  # nobody waits any more, and ``completed`` is about to end this
            return
        self._log_result(established.association, None)
        if not self.handshake.done():
            self.handshake.set_result(established)
        self.enter(established)
        self.begin_application()
        self.watch()

    def _fail(self, error: HandshakeError) -> None:
        if self.handshake.cancelled():  # nobody waits any more
            return
        self._log_result(None, error)
        self.handshake.set_exception(error)
        self.handshake.exception()  # whoever awaits it hears of it; nobody has to

    def _handshake_expired(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._do(self._rules.expired())

    def _handshake_over(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._port is not None:
            self._port.half_open.leave(self)

    def _log_result(self, association: Association | None, failure: HandshakeError | None) -> None:
        local = str(self.session.owner.local)
        if association is not None:
            framework = association.framework.value
            HANDSHAKES.labels(local, framework, "established").inc()
            if LOG.isEnabledFor(logging.INFO):
                proof = association.peer_proof.value
                LOG.info(
                    "associated", peer=str(association.peer), proof=proof, local=local, framework=framework
                )
        elif failure is not None:
            HANDSHAKES.labels(local, "", failure.outcome).inc()
            LOG.info(
                "handshake failed",
                peer=self.peer_address,
                local=local,
                error=str(failure),
                alert=None if failure.alert is None else failure.alert.name,
            )


Connection = TypeVar("Connection", bound=SecureConnection)
App = TypeVar("App")


class Made(Generic[Connection, App]):
    """Makes the application of one connection, and keeps it for whoever opened the connection.

    Attributes:
        application: What was made, even if the peer has closed the connection since.
    """

    application: App

    def __init__(self, make: Callable[[Connection], App]) -> None:
        """Make it so."""
        self._make = make

    def __call__(self, connection: Connection) -> App:
        """The handshake is over."""
        self.application = self._make(connection)
        return self.application


async def completed(connection: SecureConnection, initiator: Initiator, address: Address) -> Established:
    """Wait for an initiator's handshake; its error names the peer.

    Raises:
        HandshakeError: The handshake failed.
    """
    try:
        return await connection.handshake
    except HandshakeError as error:
        told = "" if error.alert is None or error.alert.name in str(error) else f" [{error.alert} was sent]"
        raise type(error)(f"{initiator.peer} at {address}: {error}{told}", alert=error.alert) from None
    except asyncio.CancelledError:
        connection.drop_half_open()
        raise
