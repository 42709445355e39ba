"""Requests over HTTP that are no oneM2M primitives: what another protocol asks on the port of a function.

Such a protocol has a well-known URI (RFC 8615), by whose name its requests are told from all others. They
come over the same sessions, with the same bounds and quotas.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from ..frameworks.steps import Established


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A request.

    Attributes:
        method: ``GET``, ``POST`` …
        path: The segments below the well-known URI.
        media_type: Of the body, in lower case, without parameters; empty where none was given.
        body: The octets, at most ``body_octets``.
    """

    method: str
    path: tuple[str, ...]
    media_type: str = ""
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class PlainAnswer:
    """An answer.

    Attributes:
        status: The HTTP status code.
        body: The octets; by default none.
        media_type: Of the body.
        headers: Further header fields, by name in lower case.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    media_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def refusal(cls, status: int, text: str, **headers: str) -> PlainAnswer:
        """An answer to tell people why (RFC 7030 clause 4.2.3: text/plain)."""
        return cls(status, f"{text}\n".encode(), headers=headers)


PlainHandler = Callable[[PlainRequest, Established], Awaitable[PlainAnswer]]
"""Answers a request that came over an established session."""
