"""The CSE behind us, in the clear: how request primitives get there."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import replace

from ..net.address import Address
from ..net.coap import carried_by as carried_over_coap
from ..net.limits import Limits
from ..net.local_address import is_loopback
from ..net.plain_clients import PlainLink, plain_peer, plain_sessions
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..telemetry import LOG
from .upstream_terms import UpstreamAddress, UpstreamTerms

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
