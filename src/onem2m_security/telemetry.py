"""Counters and the logger: what an operator watches. Identifiers and fingerprints only, never key octets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self


class _Uncounted:
    """In place of a counter: without prometheus_client, nobody can ask for it."""

    def __init__(self, *_: object) -> None: ...

    def labels(self, *_: str) -> Self:
        return self

    def inc(self) -> None: ...

    def dec(self) -> None: ...


if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge
else:
    try:
        from prometheus_client import Counter, Gauge
    except ModuleNotFoundError:
        Counter = Gauge = _Uncounted


def key_values(fields: Mapping[str, object]) -> str:
    """Fields for one line of a log: whatever a stranger wrote is escaped, so that it stays one line."""
    return " ".join(f"{name}={value!r}" for name, value in fields.items())


@dataclass(frozen=True, slots=True)
class Event:
    """The message of a log record: what happened, and the particulars. It becomes text when it is read.

    Attributes:
        name: The same text each time.
        fields: By name. Texts of peers are as they came: only the message as text has them escaped.
    """

    name: str
    fields: Mapping[str, object]

    def __str__(self) -> str:
        return f"{self.name} {key_values(self.fields)}" if self.fields else self.name


class _EventLogger(logging.LoggerAdapter[logging.Logger]):
    """Takes the particulars of an event as keywords."""

    def process(
        self,
        msg: Any,  # noqa: ANN401 - the base class's type
        kwargs: MutableMapping[str, Any],
    ) -> tuple[Event, MutableMapping[str, Any]]:
        """What the record is made of, asked for only where its level is wanted."""
        return Event(msg, kwargs), {"extra": {"event": msg, "fields": kwargs}}


LOG: Final = _EventLogger(logging.getLogger("onem2m_security"))
LOG.logger.addHandler(logging.NullHandler())  # who does not set up logging hears nothing

HANDSHAKES: Final = Counter(
    "onem2m_handshakes_total",
    "Handshakes ended, by local identity, framework and result",
    ["local", "framework", "result"],
)
HALF_OPEN: Final = Gauge(
    "onem2m_handshakes_half_open", "Connections without a session: in their handshake, or at their end"
)
HALF_OPEN_EVICTED: Final = Counter(
    "onem2m_handshakes_evicted_total", "Unfinished handshakes dropped under pressure"
)
SESSIONS_ENDED: Final = Counter(
    "onem2m_sessions_ended_total", "Sessions that this end closed, by why", ["local", "reason"]
)
REQUESTS: Final = Counter(
    "onem2m_requests_total", "oneM2M requests answered, by response status code", ["local", "rsc"]
)
CARRIED: Final = Counter(
    "onem2m_gateway_requests_total", "Requests at a gateway, by response status code", ["local", "rsc"]
)
KEYS_STORED: Final = Counter("onem2m_keys_stored_total", "Keys made durable, by kind", ["kind"])
FETCHES: Final = Counter(
    "onem2m_key_fetches_total", "Keys asked of a MAF, MEF or BSF, by result", ["function", "result"]
)
BOOTSTRAPPINGS: Final = Counter(
    "onem2m_gba_bootstrappings_total", "Answers of a BSF on Ub, by HTTP status", ["bsf", "status"]
)
OVER_QUOTA: Final = Counter(
    "onem2m_over_quota_total", "What was refused because a peer was over a quota, by quota", ["quota"]
)
