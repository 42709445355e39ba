"""The Terminating End-Point's half-finished exchanges, kept apart (TS-0003 clause 8.7.2.2).

Between messages 2 and 3 the handshake state lives here, in memory only, under an exchange id that the
transport supplies: over oneM2M primitives the From parameter (TS-0001 clause 11.4.3). It proves nothing, so
no message ends an exchange that it does not prove to belong to: a message 1 begins another one beside it, a
message 3 goes to the one that its signature belongs to, and anything else is refused and changes nothing. The
number of exchanges is bounded, for each id and in all, and so is their age.

A handshake that is half done cannot be saved: a restart loses it, and the initiator, whose message 3 finds
nothing, learns that it must begin again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..alerts import Alert
from ..clock import CLOCK
from ..credentials import Framework
from ..errors import HandshakeError, KeyEstablishmentError
from ..frameworks.steps import Acceptor
from ..telemetry import HALF_OPEN_EVICTED, HANDSHAKES, LOG
from ..texts import shown
from ..tls.records import alert_record
from .end_points import DEFAULT_SECONDS, Step, TerminatingEndPoint
from .messages import alert_in, begins_exchange
from .proof import ClientProof, transcript

DEFAULT_CAPACITY: Final = 1000
"""Half-finished exchanges kept at once; each takes some 50 kB."""

DEFAULT_CAPACITY_PER_ID: Final = 8
"""Of them, those under one exchange id."""


@dataclass(frozen=True, slots=True, eq=False)
class _HalfFinished:
    """An exchange that waits for message 3."""

    exchange_id: str
    end_point: TerminatingEndPoint
    sent: bytes = field(repr=False)


class TerminatingExchanges:
    """Serves one Terminating End-Point to many initiators at a time."""

    def __init__(
        self,
        configured: Acceptor,
        *,
        capacity: int = DEFAULT_CAPACITY,
        capacity_per_id: int = DEFAULT_CAPACITY_PER_ID,
        seconds: float = DEFAULT_SECONDS,
        clock: Callable[[], float] = CLOCK.monotonic,
    ) -> None:
        """No exchange yet.

        Args:
            configured: See ``escertke.acceptor``.
            capacity: Half-finished exchanges kept; one more pushes out the oldest.
            capacity_per_id: The same for those of one id: one more pushes out the oldest of that id.
            seconds: How long one is kept.
            clock: Gives seconds that never go back.
        """
        self._configured = configured
        self._capacity = capacity
        self._capacity_per_id = capacity_per_id
        self._seconds = seconds
        self._clock = clock
        self._half_finished: list[_HalfFinished] = []
        """The oldest first."""

    def __len__(self) -> int:
        """How many half-finished exchanges there are."""
        self.expire()
        return len(self._half_finished)

    def process(self, exchange_id: str, message: bytes) -> Step:
        """Take message 1 or 3 of an exchange.

        Args:
            exchange_id: Tells exchanges apart; who may use which is the transport's to say.
            message: The octets.

        Raises:
            KeyEstablishmentError: This message leads nowhere; ``reply`` is for its sender. Exchanges that are
                under way stay, unless it belongs to one of them.
        """
        self.expire()
        try:
            if begins_exchange(message):
                return self._begin(exchange_id, message)
            step = self._take(exchange_id, message).end_point.process(message)
        except KeyEstablishmentError as error:
            LOG.info(
                "key establishment refused",
                local=str(self._configured.local),
                exchange=shown(exchange_id),
                alert=error.outcome,
                reason=str(error),
            )
            raise
        if step.key is not None:
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
        self._half_finished = [one for one in self._half_finished if not one.end_point.expired]

    def _begin(self, exchange_id: str, message: bytes) -> Step:
        end_point = TerminatingEndPoint(self._configured, seconds=self._seconds, clock=self._clock)
        step = end_point.process(message)
        self._half_finished.append(_HalfFinished(exchange_id, end_point, transcript(message, step.message)))
        self._make_room(exchange_id)
        return step

    def _make_room(self, exchange_id: str) -> None:
        siblings = self._under(exchange_id)
        if len(siblings) > self._capacity_per_id:
            self._half_finished.remove(siblings[0])
        elif len(self._half_finished) > self._capacity:
            del self._half_finished[0]
        else:
            return
        HALF_OPEN_EVICTED.inc()

    def _under(self, exchange_id: str) -> list[_HalfFinished]:
        return [one for one in self._half_finished if one.exchange_id == exchange_id]

    def _take(self, exchange_id: str, message: bytes) -> _HalfFinished:
        """The exchange that this message 3 belongs to; it leaves the table, since it is over in either case.

        Raises:
            KeyEstablishmentError: There is none, or it is no message 3.
        """
        told = alert_in(message)
        if told is not None:
            # In the clear, so anybody may have sent it. It is not answered by another alert.
            raise self._refusal(f"the peer ended the exchange with {told.described()}", told, is_told=False)
        candidates = self._under(exchange_id)
        if not candidates:
            raise self._refusal(
                f"no exchange is under way under {shown(exchange_id)}: it is over, was lost with a restart "
                "or took too long; begin a new one with message 1",
                Alert.unexpected_message,
            )
        try:
            proof = ClientProof.parse(message)
        except HandshakeError as error:
            raise self._refusal(str(error), error.alert or Alert.internal_error) from error
        for candidate in candidates:
            if proof.belongs_to(candidate.sent):
                self._half_finished.remove(candidate)
                return candidate
        raise self._refusal(
            f"this message 3 belongs to no exchange that is under way under {shown(exchange_id)}",
            Alert.decrypt_error,
        )

    def _refusal(self, reason: str, alert: Alert, *, is_told: bool = True) -> KeyEstablishmentError:
        HANDSHAKES.labels(str(self._configured.local), Framework.ESCERTKE.value, alert.name).inc()
        return KeyEstablishmentError(reason, alert=alert, reply=alert_record(alert) if is_told else b"")
