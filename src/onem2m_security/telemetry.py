"""Counters and the logger: what an operator watches. Identifiers and fingerprints only, never key octets."""

from __future__ import annotations

from typing import Final

import structlog
from prometheus_client import Counter, Gauge

LOG: Final = structlog.stdlib.get_logger("onem2m_security")

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
