"""Every task has an owner: what runs is reported when it fails, and ends with what it runs for."""

from __future__ import annotations

import abc
import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar, copy_context
from types import TracebackType
from typing import Any, Final, Self, TypeVar

GRACE_SECONDS: Final = 5.0
"""How long what is under way may go on once a port stops."""

_T = TypeVar("_T")

_NUMBERS: Final = itertools.count()
_WITHIN: ContextVar[frozenset[int]] = ContextVar("_WITHIN", default=frozenset())
"""The numbers of the owned tasks from within which something is done, in whichever task that they have begun.

The tasks themselves would be kept by every timer that they have set: an idle session has one.
"""


class Tasks:
    """The tasks of one owner, such as a port."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], int] = {}

    def __len__(self) -> int:
        return len(self._running)

    def start(
        self, work: Coroutine[Any, Any, _T], failed: Callable[[BaseException], None]
    ) -> asyncio.Task[_T]:
        """Begin; ``failed`` hears of the exception that ends the work, unless it was cancelled."""
        context = copy_context()
        task = asyncio.get_running_loop().create_task(work, context=context)
        number = next(_NUMBERS)
        context.run(_WITHIN.set, _WITHIN.get() | {number})
        self._running[task] = number

        def done(task: asyncio.Task[_T]) -> None:
            del self._running[task]
            error = None if task.cancelled() else task.exception()
            if error is not None:
                failed(error)

        task.add_done_callback(done)
        return task

    async def stop(self, grace: float) -> None:
        """Wait for all of them: for so many seconds as they are, then cancelled.

        Whoever stops a port from within one of its own tasks does not wait for that one.
        """
        within = _WITHIN.get()
        others = {task for task, number in self._running.items() if number not in within}
        if others and grace > 0:
            await asyncio.wait(others, timeout=grace)
        others &= self._running.keys()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def together(*works: Awaitable[None]) -> None:
    """Do all of this at the same time; the first failure is raised when the rest has ended too."""
    failures: list[Exception] = []

    async def noted(work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - one that cannot be stopped keeps no other from being stopped
            failures.append(error)

    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(noted(work))
    if failures:
        raise failures[0]


async def until_first(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of this until the first has ended, then no more of it; its failure is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


class Stopped(abc.ABC):
    """What is to be stopped when it is left: an asynchronous context manager.

    Attributes:
        tasks: What runs for the peers.
    """

    tasks: Tasks

    @abc.abstractmethod
    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Accept nobody more, let what is under way finish within the grace period (seconds), then end it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
