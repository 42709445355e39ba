"""The tasks of a port have an owner: what runs for a peer is reported when it fails, and ends with it."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

GRACE_SECONDS: Final = 5.0
"""How long what is under way may go on once a port stops."""


class Tasks:
    """The tasks that run for the peers of one port."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(
        self, work: Coroutine[Any, Any, None], failed: Callable[[BaseException], None]
    ) -> asyncio.Task[None]:
        """Begin; ``failed`` hears of the exception that ends the work, unless it was cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                failed(error)

        task.add_done_callback(done)
        return task

    async def stop(self, grace: float) -> None:
        """Wait for all of them: for so many seconds as they are, then cancelled.

        Whoever stops a port from within one of its own tasks does not wait for that one.
        """
        others = self._running - {asyncio.current_task()}
        if others and grace > 0:
            await asyncio.wait(others, timeout=grace)
        others &= self._running
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


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
