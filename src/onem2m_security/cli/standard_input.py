"""Standard input as commands read it while they do other things: a pipe, a file, or a terminal."""

from __future__ import annotations

import os
import signal
import stat
import sys
from typing import Final, Protocol

_LOOK_AGAIN: Final = 0.25
"""Seconds until a job in the background looks whether it has come to the foreground."""


class Source(Protocol):
    """Where octets come from."""

    async def read(self, limit: int, /) -> bytes:
        """At most so many octets; none at the end."""


class Terminal:
    """What is typed, as long as this job is in the foreground.

    The system stops a job in the background that reads its terminal (SIGTTIN), with all that it serves. So
    nothing is read until the job is brought to the foreground, and everything else goes on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Between the look and the read the shell may take the terminal away: then the read fails, no more.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)

    async def read(self, limit: int, /) -> bytes:
        """What was typed, at most so many octets; none at the end of the input or of the terminal."""
        import asyncio

        while True:
            while not self._is_ours():  # noqa: ASYNC110 - no signal tells it
                await asyncio.sleep(_LOOK_AGAIN)
            await self._readable()
            try:
                if self._is_ours():
                    return os.read(self._descriptor, limit)
            except OSError:
                if self._is_ours():  # the terminal is gone
                    return b""

    def _is_ours(self) -> bool:
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # not the terminal that controls this job: reading it stops nobody
            return True

    async def _readable(self) -> None:
        import asyncio

        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)


async def standard_input() -> Source:
    """Standard input, whatever it is."""
    import asyncio

    descriptor = sys.stdin.fileno()
    if sys.stdin.isatty():
        return Terminal(descriptor)
    reader = asyncio.StreamReader()
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin.buffer)
    else:  # a plain file cannot be waited for: it is there already
        reader.feed_data(await asyncio.to_thread(sys.stdin.buffer.read))
        reader.feed_eof()
    return reader
