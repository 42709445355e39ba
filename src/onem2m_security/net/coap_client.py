"""CoAP over DTLS on the asking side: one session, opened when needed and then kept; many requests at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiocoap import error

from ..errors import AnswerTimeoutError, HandshakeError
from ..frameworks.steps import Established
from .coap_layer import CoapApplication, CoapInterface, CoapRemote, coap_context
from .limits import Limits
from .udp import DatagramConnection

MAX_UNDER_WAY: Final = 64
"""Requests of one session that wait for their answers; a server of ours takes no more of one peer."""

MakeApplication = Callable[[DatagramConnection], CoapApplication]
"""What is put on top of a session."""


class CoapSessions:
    """Asks one peer. A session that may take no further request ends with those that are under way on it."""

    def __init__(
        self,
        limits: Limits,
        open_session: Callable[[MakeApplication], Awaitable[CoapRemote]],
        serves: Callable[[Established], bool] = lambda _: True,
        *,
        remote_of: Callable[[DatagramConnection], CoapRemote] = CoapRemote.of,
    ) -> None:
        """Nothing is opened yet.

        Args:
            limits: Bounds on time and size.
            open_session: Opens a session with this on top of it.
            serves: Whether the one that is kept may take a further request.
            remote_of: What the peer of a session is to the CoAP layer.
        """
        self._limits = limits
        self._open_session = open_session
        self._serves = serves
        self._remote_of = remote_of
        self._context: Any = None
        self._interface: CoapInterface | None = None
        self._remote: CoapRemote | None = None
        self._under_way: Counter[CoapRemote] = Counter()
        self._opening = asyncio.Lock()
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)

    async def ask(self, message: Any) -> Any:
        """Send a request and wait for the answer, whatever its code.

        A peer that has lost the session says nothing at all, not even that a request has come: then the
        session is closed, and the next request makes another.

        Raises:
            AnswerTimeoutError: There was no answer within ``request_seconds``, or no sign of life.
            HandshakeError: There is no session, and none can be opened.
            aiocoap.error.Error: The session ended, or the answer cannot be read.
        """
        async with self._places:
            remote = message.remote = await self.open()
            heard = remote.heard
            self._under_way[remote] += 1
            answer: asyncio.Future[Any] = self._context.request(message).response
            answer.add_done_callback(_heed)
            try:
                return await self._answer(answer, remote, heard)
            finally:
                self._under_way[remote] -= 1
                self._end_former()

    async def _answer(self, answer: asyncio.Future[Any], remote: CoapRemote, heard: int) -> Any:
        seconds = self._limits.request_seconds
        silence = min(seconds, self._limits.handshake_seconds)
        # Not asyncio.timeout: aiocoap does not expect its future to be cancelled while the session ends.
        await asyncio.wait([answer], timeout=silence)
        if not answer.done() and remote.heard != heard and seconds > silence:
            await asyncio.wait([answer], timeout=seconds - silence)
        is_lost = remote.heard == heard if not answer.done() else _is_of_network(answer.exception())
        if is_lost and remote.connection is not None:
            remote.connection.close()
        if not answer.done():
            raise AnswerTimeoutError(f"no answer within {silence if is_lost else seconds:g} s")
        return answer.result()

    async def open(self, *, another: bool = False) -> CoapRemote:
        """The session that is kept or, if it may take no further request, another.

        Args:
            another: Open another in any case.

        Raises:
            HandshakeError: None can be opened.
        """
        async with self._opening:
            kept = self._remote
            if not another and kept is not None and kept.is_open and self._serves(kept.established):
                return kept
            if self._interface is None:
                self._context, self._interface = await coap_context(self._limits)
            interface = self._interface
            self._remote = await self._open_session(
                lambda connection: CoapApplication(interface, self._remote_of(connection))
            )
            if kept is not None:
                self._under_way[kept] += 0  # it stands here until it has ended
                self._end_former()
            return self._remote

    def _end_former(self) -> None:
        for remote in [one for one, requests in self._under_way.items() if not requests]:
            del self._under_way[remote]
            if remote is not self._remote:
                remote.close()

    @property
    def established(self) -> Established:
        """What the newest session's handshake established.

        Raises:
            HandshakeError: There was none yet.
        """
        if self._remote is None:
            raise HandshakeError("no connection was made yet")
        return self._remote.established

    async def close(self) -> None:
        """Close the sessions."""
        for remote in {*self._under_way, *([self._remote] if self._remote else [])}:
            remote.close()
        if self._context is not None:
            await self._context.shutdown()
            self._context = self._interface = None


def _is_of_network(failure: BaseException | None) -> bool:
    return isinstance(failure, error.NetworkError | error.TimeoutError)


def _heed(answer: asyncio.Future[Any]) -> None:
    """An answer that comes after its request was given up is nobody's."""
    if not answer.cancelled():
        answer.exception()
