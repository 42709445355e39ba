"""Ub over plain HTTP, at the UE (TS 24.109 clause 4). The accepting side is ``ub``.

Ub protects itself: Digest AKA proves both ends and auth-int the bodies, so 3GPP runs it over plain HTTP on
TCP. Both modules only carry, and decide nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, Self

from ..errors import MessageError, ResolverUnavailableError
from ..gba.ub_messages import UbResponse
from ..identifiers import Fqdn
from .http_pool import HttpConnection, HttpPool
from .limits import Limits
from .link import Link

UB_BODY_MAX_OCTETS: Final = 8192


class UbClient:
    """A UE's connection to one BSF; an asynchronous context manager that closes it."""

    def __init__(self, bsf: Fqdn, link: Link) -> None:
        """Ask the BSF of this name behind this link, always over plain HTTP."""
        self._bsf = bsf
        self._address = link.address
        limits = link.limits or Limits()
        limits = replace(limits, body_octets=min(limits.body_octets, UB_BODY_MAX_OCTETS))
        self._pool = HttpPool(self._connect, limits, most=1)

    async def _connect(self, connection: HttpConnection) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, self._address.host, self._address.port)

    async def get(self, authorization: str) -> UbResponse:
        """GET / with these credentials, and the answer, whatever its status but 429.

        Raises:
            ResolverUnavailableError: The BSF cannot be reached, does not speak HTTP, or is asked too often.
            MessageError: The answer is too long.
        """
        headers = {
            "Host": str(self._bsf),
            "User-Agent": "onem2m-security 3gpp-gba",
            "Accept": "*/*",
            "Authorization": authorization,
        }
        try:
            answer = await self._pool.exchange("GET", "/", headers)
        except OSError as error:
            raise ResolverUnavailableError(f"{self._bsf}: {error or type(error).__name__}") from error
        if answer.status == 429:
            raise ResolverUnavailableError(f"{self._bsf} is asked too often from our address: wait a little")
        if answer.body is None:
            raise MessageError(f"{self._bsf}: the answer is too long")
        return UbResponse(answer.status, answer.headers, answer.body)

    async def close(self) -> None:
        """Close the connection."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()
