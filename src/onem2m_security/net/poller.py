"""One reader for all sockets that accept peers: an epoll set, whose descriptor the event loop watches.

To the loop the set is one descriptor, which is readable when any of its sockets has something. So a
connection costs the loop no handle of its own, and one turn of the loop serves whatever is ready. Where there
is no epoll, and where ``is_used`` is set to false, sockets are the event loop's own, with everything above
them the same.
"""

from __future__ import annotations

import asyncio
import select
from typing import Final, Protocol

READABLE: Final = getattr(select, "EPOLLIN", 1)
WRITABLE: Final = getattr(select, "EPOLLOUT", 4)
BROKEN: Final = getattr(select, "EPOLLHUP", 16) | getattr(select, "EPOLLERR", 8)
"""Told whether it was asked for or not."""

_EVENTS_MAX: Final = 256

is_used = hasattr(select, "epoll")
"""Whether ports that are started from now on have their sockets here."""


class Watched(Protocol):
    """A socket."""

    def ready(self, events: int) -> None:
        """Some of READABLE, WRITABLE and BROKEN; it may be told once more than it is true."""

    def failed(self, error: Exception) -> None:
        """``ready`` raised this: the others go on."""


class Poller:
    """The sockets of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """None yet; there must be a first one, and with the last one it is over."""
        self._loop = loop
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        loop.add_reader(self._epoll.fileno(), self._run)

    def watch(self, descriptor: int, watched: Watched, events: int) -> None:
        """Tell of these events from now on."""
        self._epoll.register(descriptor, events)
        self._watched[descriptor] = watched

    def change(self, descriptor: int, events: int) -> None:
        """Tell of these instead."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Tell of nothing any more; to be called before the descriptor is closed."""
        del self._watched[descriptor]
        self._epoll.unregister(descriptor)
        if not self._watched:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            del _POLLERS[self._loop]

    def _run(self) -> None:
        for descriptor, events in self._epoll.poll(0, _EVENTS_MAX):
            # Whoever had it may have gone since, and another may have it: then it is told for nothing.
            watched = self._watched.get(descriptor)
            if watched is None:
                continue
            try:
                watched.ready(events)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is that socket's affair
                watched.failed(error)


_POLLERS: Final[dict[asyncio.AbstractEventLoop, Poller]] = {}


def poller() -> Poller:
    """That of the running event loop, for a socket that is watched at once."""
    loop = asyncio.get_running_loop()
    if loop not in _POLLERS:
        for former in [one for one in _POLLERS if one.is_closed()]:  # with sockets that nobody closed
            del _POLLERS[former]
        _POLLERS[loop] = Poller(loop)
    return _POLLERS[loop]
