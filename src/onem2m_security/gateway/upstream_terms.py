"""Values that say where the CSE behind us is, in the clear, and what it is asked at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from ..errors import ConfigurationError
from ..net.address import Address
from ..net.local_address import LocalAddress, UnixSocket

ANSWER_SECONDS: Final = 30.0
"""How long a CSE may take for an answer, by default."""
UNDER_WAY: Final = 32
"""How many requests are under way there at once, by default."""
_USUAL_PORTS: Final = {"http": 80, "coap": 5683}


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """Where the CSE behind us listens in the clear.

    Attributes:
        scheme: ``http`` or ``coap``.
        address: A host and port, or a Unix socket.
    """

    scheme: str
    address: LocalAddress

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``http://HOST[:PORT]``, ``coap://HOST[:PORT]`` or ``unix:PATH`` (HTTP).

        Raises:
            ConfigurationError: It is none of these.
        """
        if text.startswith("unix:"):
            return cls("http", UnixSocket.parse(text))
        scheme, found, rest = text.partition("://")
        authority = rest.removesuffix("/")
        if not found or scheme.lower() not in _USUAL_PORTS or not authority or set(authority) & set("/?#@ "):
            raise ConfigurationError(
                f"{text[:80]!r} is not where a CSE listens: http://HOST:PORT, coap://HOST:PORT or unix:PATH "
                "is expected"
            )
        scheme = scheme.lower()
        has_port = ":" in authority.rpartition("]")[2]
        return cls(scheme, Address.parse(authority if has_port else f"{authority}:{_USUAL_PORTS[scheme]}"))

    def __str__(self) -> str:
        return (
            str(self.address) if isinstance(self.address, UnixSocket) else f"{self.scheme}://{self.address}"
        )


@dataclass(frozen=True, slots=True)
class UpstreamTerms:
    """What the CSE behind us is asked at most.

    Attributes:
        answer_seconds: How long it may take for an answer.
        under_way: How many requests are under way there at once.
        waiting: How many more wait for that.
        each: How many of one peer are under way or wait.
    """

    answer_seconds: float = ANSWER_SECONDS
    under_way: int = UNDER_WAY
    waiting: int = 256
    each: int = 16
