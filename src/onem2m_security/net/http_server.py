"""HTTP/1.1 on the accepting side: uvicorn's protocol class, with the bounds that it lacks."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .limits import Limits


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the limits that it lacks: size of a head, time for a whole request."""

    limits: Limits

    def __init__(self, *args: Any, limits: Limits) -> None:  # noqa: ANN401 - handed through
        super().__init__(*args)
        self.limits = limits
        self._head_octets = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_octets += len(data)
            if self._head_octets > self.limits.head_octets + self.limits.body_octets:
                self.send_400_response("Request head too large.")
                return
        super().data_received(data)

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) <= self.limits.head_octets:
            super().on_url(url)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.handshake_seconds, self.transport.close)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_octets, self._in_head = 0, True
        self._cancel_deadline()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
