"""The Terminating End-Point's half-finished exchanges, kept apart (TS-0003 clause 8.7.2.2).

Between messages 2 and 3 the handshake state lives here, in memory only, under an exchange id that the
transport supplies: over oneM2M primitives the From parameter (TS-0001 clause 11.4.3). A handshake that is
half done cannot be saved: a restart loses it, and the initiator, whose message 3 finds nothing, learns that
it must begin again. The number and the age of exchanges are bounded.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..errors import KeyEstablishmentError
from ..identifiers import shown
from ..telemetry import HALF_OPEN_EVICTED, LOG
from ..tls.alerts import CODES
from ..tls.records import alert_record
from .base import Acceptor
from .escertke import DEFAULT_SECONDS, Step, TerminatingEndPoint
from .escertke_messages import begins_exchange

DEFAULT_CAPACITY: Final = 1000
"""Half-finished exchanges kept at once; each takes some 50 kB."""


class TerminatingExchanges:
    """Serves one Terminating End-Point to many initiators at a time."""

    def __init__(
        self,
        configured: Acceptor,
        *,
        capacity: int = DEFAULT_CAPACITY,
        seconds: float = DEFAULT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No exchange yet.

        Args:
            configured: See ``escertke.acceptor``.
            capacity: Half-finished exchanges kept; one more pushes out the oldest.
            seconds: How long one is kept.
            clock: Gives seconds that never go back.
        """
        self._configured = configured
        self._capacity = capacity
        self._seconds = seconds
        self._clock = clock
        self._half_finished: OrderedDict[str, TerminatingEndPoint] = OrderedDict()

    def __len__(self) -> int:
        """How many half-finished exchanges there are."""
        self.expire()
        return len(self._half_finished)

    def process(self, exchange_id: str, message: bytes) -> Step:
        """Take message 1 or 3 of an exchange.

        Args:
            exchange_id: Tells exchanges apart; who may use which is the transport's to say. A message 1 under
                the id of a half-finished exchange ends that one: it is not what was expected.
            message: The octets.

        Raises:
            KeyEstablishmentError: The exchange has ended without a key; ``reply`` is for the initiator.
        """
        self.expire()
        end_point = self._half_finished.pop(exchange_id, None)
        if end_point is None:
            end_point = self._begin(exchange_id, message)
        try:
            step = end_point.process(message)
        except KeyEstablishmentError as error:
            LOG.info(
                "key establishment refused",
                local=str(self._configured.local),
                exchange=shown(exchange_id),
                alert=error.alert,
                reason=str(error),
            )
            raise
        if step.key is None:
            self._keep(exchange_id, end_point)
        else:
            LOG.info(
                "end-to-end key established",
                local=str(self._configured.local),
                exchange=shown(exchange_id),
                peer=str(step.key.peer),
                key=step.key.key.fingerprint,
            )
        return step

    def expire(self) -> None:
        """Discard what has become too old; ``process`` does so too."""
        while self._half_finished:
            exchange_id, oldest = next(iter(self._half_finished.items()))
            if not oldest.expired:
                return
            del self._half_finished[exchange_id]

    def _begin(self, exchange_id: str, message: bytes) -> TerminatingEndPoint:
        if not begins_exchange(message):
            raise KeyEstablishmentError(
                f"no exchange is under way under {shown(exchange_id)}: it is over, was lost with a restart "
                "or took too long; begin a new one with message 1",
                alert="unexpected_message",
                reply=alert_record(CODES["unexpected_message"]),
            )
        return TerminatingEndPoint(self._configured, seconds=self._seconds, clock=self._clock)

    def _keep(self, exchange_id: str, end_point: TerminatingEndPoint) -> None:
        self._half_finished[exchange_id] = end_point
        if len(self._half_finished) > self._capacity:
            self._half_finished.popitem(last=False)
            HALF_OPEN_EVICTED.inc()
