"""What the library logs, for tests: through the standard library's logging, like anybody's handler."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onem2m_security.telemetry import LOG


class _Kept(logging.Handler):
    def __init__(self, entries: list[dict[str, Any]]) -> None:
        super().__init__()
        self._entries = entries

    def emit(self, record: logging.LogRecord) -> None:
        event, fields = getattr(record, "event", record.getMessage()), getattr(record, "fields", {})
        self._entries.append({"event": event, "log_level": record.levelname.lower(), **fields})


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Each event from now on, of every level, with its fields; nobody else gets them meanwhile."""
    entries: list[dict[str, Any]] = []
    handler, logger = _Kept(entries), LOG.logger
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield entries
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
