"""The CSE behind us, in the clear: where it is, and how request primitives get there."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from ..errors import ConfigurationError
from ..net.address import Address
from ..net.coap import carried_by as carried_over_coap
from ..net.limits import Limits
from ..net.local_address import LocalAddress, UnixSocket, is_loopback
from ..net.plain_clients import PlainLink, plain_peer, plain_sessions
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..telemetry import LOG

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


Vouched = Iterable[tuple[str, str]]
"""Header fields in which a CSE is told what an association has proven."""


class Upstream(abc.ABC):
    """Asks the CSE behind us.

    Attributes:
        address: Where it listens.
    """

    def __init__(self, address: UpstreamAddress) -> None:
        self.address = address

    @abc.abstractmethod
    async def carry(self, request: CarriedRequest, vouched: Vouched = ()) -> CarriedResponse:
        """Send a request primitive as it is, and return the response primitive as it comes.

        Args:
            request: The request primitive.
            vouched: Further header fields; only HTTP has them.

        Raises:
            AnswerTimeoutError: There was no answer in time.
            ResolverUnavailableError: The CSE cannot be reached, or its answer is no response primitive.
            RefusedError: The binding cannot carry what the request says.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Close what is open."""


class _OverHttp(Upstream):
    def __init__(self, to: UpstreamAddress, link: PlainLink, under_way: int) -> None:
        super().__init__(to)
        self._peer = plain_peer(link, under_way)

    async def carry(self, request: CarriedRequest, vouched: Vouched = ()) -> CarriedResponse:
        return await self._peer.carry(request, vouched)

    async def close(self) -> None:
        await self._peer.close()


class _OverCoap(Upstream):
    def __init__(self, to: UpstreamAddress, link: PlainLink) -> None:
        super().__init__(to)
        self._limits = link.limits
        self._sessions = plain_sessions(link)

    async def carry(self, request: CarriedRequest, vouched: Vouched = ()) -> CarriedResponse:
        del vouched
        return await carried_over_coap(self._sessions, request, str(self.address), self._limits)

    async def close(self) -> None:
        await self._sessions.close()


def upstream(to: UpstreamAddress, limits: Limits, terms: UpstreamTerms) -> Upstream:
    """Who asks the CSE at this address.

    Args:
        to: Where it listens.
        limits: Bounds on the answer.
        terms: Bounds on time and number.
    """
    link = PlainLink(to.address, replace(limits, request_seconds=terms.answer_seconds))
    if isinstance(to.address, Address) and not is_loopback(to.address.host):
        LOG.warning(
            "the CSE is asked in the clear over a network: whoever reaches it there needs no association",
            address=str(to),
        )
    if to.scheme == "coap":
        return _OverCoap(to, link)
    return _OverHttp(to, link, terms.under_way)
