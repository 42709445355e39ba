"""HTTP messages as values: what a server is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from http import HTTPStatus

from ..clock import CLOCK, Clock

_WITHOUT_BODY = {204, 304}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request.

    Attributes:
        method: ``GET``, ``POST`` …
        path: The path of the request-target, as it was sent.
        query: What follows its question mark; empty where there is none.
        headers: The header fields in their order, by name in lower case.
        body: The octets; None when there are more than ``body_octets``.
    """

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes | None = field(repr=False)

    def all_of(self, name: bytes) -> list[str]:
        """The values of a header field, by its name in lower case."""
        return [value.decode("latin-1") for known, value in self.headers if known == name]

    def first(self, name: bytes) -> str:
        """The first value of a header field; empty where there is none."""
        for known, value in self.headers:
            if known == name:
                return value.decode("latin-1")
        return ""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response.

    Attributes:
        status: The HTTP status code.
        headers: Header fields; those of date, length and connection are added.
        body: The octets.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

    def octets(self, *, is_last: bool, has_body: bool = True, clock: Clock = CLOCK) -> bytes:
        """As it is sent.

        Args:
            is_last: Whether the connection ends with it.
            has_body: Whether the body follows: not after HEAD.
            clock: What says when that is.
        """
        date = _date(clock.now().replace(microsecond=0))
        head = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Date: {date}"]
        head += (f"{name}: {value}" for name, value in self.headers)
        if self.status not in _WITHOUT_BODY:
            head.append(f"Content-Length: {len(self.body)}")
        if is_last:
            head.append("Connection: close")
        return "\r\n".join((*head, "\r\n")).encode("latin-1") + (self.body if has_body else b"")


Answer = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Answers a request; one that is too long has no body, and is to be refused."""


@lru_cache(maxsize=1)
def _date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)
