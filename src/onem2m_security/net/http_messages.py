"""HTTP messages as values: what a server is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from ..clock import CLOCK, Clock

SAFE: Final = frozenset({"GET"})
"""The methods here that change nothing (RFC 9110 clause 9.2.1)."""

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
    path: bytes = field(repr=False)
    query: bytes = field(repr=False)
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

    def octets(self, *, is_last: bool = False, has_body: bool = True, clock: Clock = CLOCK) -> bytes:
        """As it is sent.

        Args:
            is_last: Whether the connection ends with it.
            has_body: Whether the body follows: not after HEAD.
            clock: What says when that is.

        Raises:
            ValueError: A header field holds the end of a line.
        """
        date = _date(clock.now().replace(microsecond=0))
        fields = [("Date", date), *self.headers]
        if self.status not in _WITHOUT_BODY:
            fields.append(("Content-Length", str(len(self.body))))
        if is_last:
            fields.append(("Connection", "close"))
        line = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"
        return head(line, fields) + (self.body if has_body else b"")


Answer = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Answers a request; one that is too long has no body, and is to be refused."""


def head(line: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The head of a message, whose fields hold what they are given and no field more.

    Raises:
        ValueError: A field holds the end of a line.
    """
    lines = [line, *(f"{name}: {value}" for name, value in fields)]
    whole = "\r\n".join(lines)
    if whole.count("\n") != len(lines) - 1 or whole.count("\r") != len(lines) - 1 or "\0" in whole:
        raise ValueError("a header field holds the end of a line")
    return f"{whole}\r\n\r\n".encode()


@lru_cache(maxsize=1)
def _date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)
