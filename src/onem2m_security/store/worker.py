"""The thread that does in the database what the event loop may not wait for: what syncs, scans or may block.

What a handshake needs of SQLite is done on the loop itself (``hot.py``); what does not go well there comes
here.

What is asked while the thread is busy is taken up together: reads of one sort become one query, all writes
one transaction with one commit (group commit), and one call brings all the answers back to the event loop.
So the cost of a sync to disk is shared by everybody who waits for it. A job that fails fails alone: its group
is rolled back and done again in halves, until the one that fails is by itself; the connection stays, unless
it may be what failed. The worker knows nothing of keys.

Errors travel in one way: a function that does one job raises what it has to say, and a handler, which does
many, gives an ``Outcome`` for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine

from ..clock import CLOCK, Clock
from ..errors import SecurityFrameworkError, StoreUnavailableError
from .database import begin_writing, is_locked, is_unavailable, spares_connection, translated
from .log import WriteAheadLog, is_failed_sync

GROUP_MAX = 1000
"""The most jobs in one transaction."""

GATHERING_SECONDS = 0.003
"""How long the thread lets jobs gather, when there were several at once before. A lone job never waits."""

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")

Outcome: TypeAlias = _Result | SecurityFrameworkError
"""What one of several jobs came to: its result, or the error of that job alone."""

Handler = Callable[[Connection, Sequence[_Argument]], Sequence[Outcome[_Result]]]
"""Does several jobs of one sort; gives the outcome of each in order. What it raises is the error of all."""


def outcome_of(function: Callable[..., _Result], *arguments: object) -> Outcome[_Result]:
    """What a call came to. That the database did not do it is no outcome of one job: it is raised."""
    try:
        return function(*arguments)
    except StoreUnavailableError:
        raise
    except SecurityFrameworkError as error:
        return error


def result_of(outcome: Outcome[_Result]) -> _Result:
    """The result of a job; its error is raised."""
    if isinstance(outcome, SecurityFrameworkError):
        raise outcome
    return outcome


@dataclass(slots=True, eq=False)
class _Job:
    handler: Handler[Any, Any]
    argument: Any
    write: bool
    deadline: float
    future: asyncio.Future[Any]


_Outcome = tuple[_Job, object, BaseException | None]


class Worker:
    """Runs handlers in a thread of its own, on behalf of the event loop that made it.

    Args:
        engine: The database.
        patience: Seconds that a job waits for a locked database before it fails.
        clock: The time; of the store too, which is made with this worker.
        log: The log of an SQLite database, which is kept short here.
    """

    def __init__(
        self, engine: Engine, patience: float, *, clock: Clock = CLOCK, log: WriteAheadLog | None = None
    ) -> None:
        self.clock = clock
        self._log = log
        self._engine = engine
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._crowded = False
        self._stopped = self._loop.create_future()
        self._reader: Connection | None = None
        self._writer: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="onem2m-store", daemon=True)
        self._thread.start()

    def submit(
        self, handler: Handler[_Argument, _Result], argument: _Argument, *, write: bool = False
    ) -> asyncio.Future[_Result]:
        """Have a handler called with this argument, among others that wait for the same handler.

        A job whose future is cancelled may be done all the same.

        Raises:
            StoreUnavailableError: The worker is closed, or a sync has failed; through the future: the
                database is locked, full, read-only or out of reach.
        """
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        if write and self._log is not None:
            self._log.check()
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._queue.put(_Job(handler, argument, write, self.clock.monotonic() + self._patience, future))
        return future

    async def read(self, function: Callable[[Connection], _Result]) -> _Result:
        """Have a function called that only reads; what it raises is raised here."""
        return await self.submit(_read_each, function)

    async def write(self, function: Callable[[Connection], _Result]) -> _Result:
        """Have a function called that writes; what it raises is raised here, and undoes all that it did.

        It may be called more than once: what others did in the same transaction is done again without it.
        """
        return await self.submit(_write_each, function, write=True)

    async def close(self) -> None:
        """Finish what was submitted, close the connections, end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.shield(self._stopped)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[_Job] = []
        stopping = False
        while waiting or not stopping:
            jobs, stop = self._take(block=not waiting and not stopping)
            stopping |= stop
            jobs = waiting + jobs
            waiting = self._do([job for job in jobs if not job.write], self._read)
            waiting += self._do([job for job in jobs if job.write], self._write)
            self._relieve_log()
        self._drop_connections()
        self._engine.dispose()
        self._to_loop(self._say_stopped)

    def _relieve_log(self) -> None:
        """After all have their answers: a checkpoint is nobody's business."""
        if self._log is None or self._writer is None or not self._log.is_long():
            return
        connection = self._writer.connection.driver_connection
        if isinstance(connection, sqlite3.Connection):
            with contextlib.suppress(sqlite3.Error):  # the log stays long; whoever writes hears of the disk
                self._log.relieve(connection)

    def _say_stopped(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _take(self, *, block: bool) -> tuple[list[_Job], bool]:
        """What is in the queue, and whether its end was reached; waits for the first if asked to.

        A group costs a query and a commit however many share it, and each takes turns with the event loop
        at the interpreter: under load, few large groups are cheaper than many small ones.
        """
        jobs: list[_Job] = []
        with contextlib.suppress(queue.Empty):
            while len(jobs) < GROUP_MAX:
                job = self._queue.get(block=block and not jobs)
                if job is None:
                    return jobs, True
                jobs.append(job)
                if len(jobs) == 1 and self._crowded:
                    time.sleep(GATHERING_SECONDS)
        self._crowded = len(jobs) > 1
        return jobs, False

    def _do(self, jobs: list[_Job], attempt: Callable[[list[_Job]], list[_Outcome]]) -> list[_Job]:
        """Do the jobs together; give back those to try again because the database is locked."""
        if not jobs:
            return []
        try:
            outcomes = attempt(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is goes to those who wait; the thread goes on
            return self._failed(jobs, error, attempt)
        self._settle(outcomes)
        return []

    def _failed(
        self, jobs: list[_Job], error: Exception, attempt: Callable[[list[_Job]], list[_Outcome]]
    ) -> list[_Job]:
        if is_locked(error):
            now = self.clock.monotonic()
            self._settle((job, None, self._out_of_patience()) for job in jobs if job.deadline <= now)
            return [job for job in jobs if job.deadline > now]
        if self._log is not None and is_failed_sync(getattr(error, "orig", error)):
            self._log.fail(error)
        if not spares_connection(error):
            self._drop_connections()
        if len(jobs) > 1 and not is_unavailable(error):
            middle = len(jobs) // 2
            return self._do(jobs[:middle], attempt) + self._do(jobs[middle:], attempt)
        self._settle((job, None, translated(error)) for job in jobs)
        return []

    def _out_of_patience(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the database was locked by another program for {self._patience:g} seconds: try again later"
        )

    def _read(self, jobs: list[_Job]) -> list[_Outcome]:
        if self._reader is None:
            self._reader = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        jobs = sorted(jobs, key=lambda job: hash(job.handler))  # reads may be done in any order
        try:
            return _perform(self._reader, jobs)
        finally:
            self._reader.rollback()

    def _write(self, jobs: list[_Job]) -> list[_Outcome]:
        if self._writer is None:
            self._writer = self._engine.connect()
        with self._writer.begin():
            begin_writing(self._writer)
            return _perform(self._writer, jobs)

    def _drop_connections(self) -> None:
        """Close the connections; the next job makes new ones, which mends a lost one."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                with contextlib.suppress(Exception):  # it may be lost already: there is nothing to save
                    connection.close()
        self._reader = self._writer = None

    def _settle(self, outcomes: Iterable[_Outcome]) -> None:
        settled = list(outcomes)
        self._to_loop(lambda: _resolve(settled))

    def _to_loop(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback)


def _perform(connection: Connection, jobs: list[_Job]) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for handler, group in itertools.groupby(jobs, key=attrgetter("handler")):
        alike = list(group)
        results = handler(connection, [job.argument for job in alike])
        for job, result in zip(alike, results, strict=True):
            error = result if isinstance(result, SecurityFrameworkError) else None
            outcomes.append((job, result, error))
    return outcomes


def _resolve(outcomes: list[_Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)


def _read_each(
    connection: Connection, functions: Sequence[Callable[[Connection], _Result]]
) -> list[Outcome[_Result]]:
    return [outcome_of(function, connection) for function in functions]


def _write_each(
    connection: Connection, functions: Sequence[Callable[[Connection], _Result]]
) -> list[_Result]:
    return [function(connection) for function in functions]
