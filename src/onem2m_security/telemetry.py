"""Counters and the logger: what an operator watches. Identifiers and fingerprints only, never key octets."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

try:
    from prometheus_client import REGISTRY
    from prometheus_client import Metric as _Family
except ModuleNotFoundError:  # nobody can ask what was counted
    _Family = None  # type: ignore[assignment,misc]


class Count:
    """How many there are, or were."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        """One more."""
        self.value += 1

    def dec(self) -> None:
        """One less."""
        self.value -= 1


class Metric:
    """What is counted under one name, by labels; it becomes samples when somebody reads it.

    It counts on the event loop's thread, so counting is adding to an int.

    Attributes:
        kind: ``counter`` or ``gauge``.
        name: As Prometheus has it; that of a counter ends with ``_total``.
        documentation: What is counted.
        names: Those of the labels.
        counts: One for each set of labels that occurred.
    """

    def __init__(self, kind: str, name: str, documentation: str, names: tuple[str, ...] = ()) -> None:
        """Nothing is counted yet."""
        self.kind, self.name, self.documentation, self.names = kind, name, documentation, names
        self.counts: dict[tuple[object, ...], Count] = {}
        _METRICS.append(self)
        if not names:
            self.labels()

    def labels(self, *values: object) -> Count:
        """The count under these labels."""
        count = self.counts.get(values)
        if count is None:
            count = self.counts[values] = Count()
        return count


_METRICS: Final[list[Metric]] = []


class _Collector:
    """Gives all that is counted to whoever asks Prometheus's registry."""

    def collect(self) -> Iterator[_Family]:
        for metric in _METRICS:
            family = _Family(metric.name.removesuffix("_total"), metric.documentation, metric.kind)
            for values, count in list(metric.counts.items()):
                labels = dict(zip(metric.names, map(str, values), strict=True))
                family.add_sample(metric.name, labels, count.value)
            yield family

    def describe(self) -> Iterator[_Family]:
        return self.collect()


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

HANDSHAKES: Final = Metric(
    "counter",
    "onem2m_handshakes_total",
    "Handshakes ended, by local identity, framework and result",
    ("local", "framework", "result"),
)
HALF_OPEN: Final = Metric(
    "gauge",
    "onem2m_handshakes_half_open",
    "Connections without a session: in their handshake, or at their end",
).labels()
HALF_OPEN_EVICTED: Final = Metric(
    "counter", "onem2m_handshakes_evicted_total", "Unfinished handshakes dropped under pressure"
).labels()
SESSIONS_ENDED: Final = Metric(
    "counter", "onem2m_sessions_ended_total", "Sessions that this end closed, by why", ("local", "reason")
)
REQUESTS: Final = Metric(
    "counter", "onem2m_requests_total", "oneM2M requests answered, by response status code", ("local", "rsc")
)
KEYS_STORED: Final = Metric("counter", "onem2m_keys_stored_total", "Keys made durable, by kind", ("kind",))
FETCHES: Final = Metric(
    "counter",
    "onem2m_key_fetches_total",
    "Keys asked of a MAF, MEF or BSF, by result",
    ("function", "result"),
)
BOOTSTRAPPINGS: Final = Metric(
    "counter",
    "onem2m_gba_bootstrappings_total",
    "Answers of a BSF on Ub, by HTTP status",
    ("bsf", "status"),
)
CARRIED: Final = Metric(
    "counter",
    "onem2m_gateway_requests_total",
    "Requests at a gateway, by response status code",
    ("local", "rsc"),
)
OVER_QUOTA: Final = Metric(
    "counter",
    "onem2m_over_quota_total",
    "What was refused because a peer was over a quota, by quota",
    ("quota",),
)

if _Family is not None:
    REGISTRY.register(_Collector())
