"""Ub over plain HTTP, at the UE (TS 24.109 clause 4). The accepting side is ``ub``.

Ub protects itself: Digest AKA proves both ends and auth-int the bodies, so 3GPP runs it over plain HTTP on
TCP. Both modules only carry, and decide nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final, Self

import httpcore

from ..errors import MessageError, ResolverUnavailableError
from ..gba.ub_messages import UbResponse
from ..identifiers import Fqdn
from .limits import Limits, at_most
from .link import Link

UB_BODY_MAX_OCTETS: Final = 8192


class UbClient:
    """A UE's connection to one BSF; an asynchronous context manager that closes it."""

    def __init__(self, bsf: Fqdn, link: Link) -> None:
        """Ask the BSF of this name behind this link, always over plain HTTP."""
        address, self._limits = link.address, link.limits or Limits()
        self._bsf = bsf
        self._url = httpcore.URL(
            scheme=b"http", host=address.host.encode("ascii"), port=address.port, target=b"/"
        )
        self._pool = httpcore.AsyncConnectionPool(max_connections=1)

    async def get(self, authorization: str) -> UbResponse:
        """GET / with these credentials, and the answer, whatever its status but 429.

        Raises:
            ResolverUnavailableError: The BSF cannot be reached, does not speak HTTP, or is asked too often.
            MessageError: The answer is too long.
        """
        headers = [
            (b"Host", str(self._bsf).encode("ascii")),
            (b"User-Agent", b"onem2m-security 3gpp-gba"),
            (b"Accept", b"*/*"),
            (b"Authorization", authorization.encode("ascii")),
        ]
        seconds = self._limits.request_seconds
        timeouts = {"pool": seconds, "connect": seconds, "read": seconds, "write": seconds}
        try:
            async with (
                asyncio.timeout(seconds),
                self._pool.stream(
                    "GET", self._url, headers=headers, extensions={"timeout": timeouts}
                ) as answer,
            ):
                return await self._read(answer)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise ResolverUnavailableError(f"{self._bsf}: {error or type(error).__name__}") from error

    async def _read(self, answer: httpcore.Response) -> UbResponse:
        if answer.status == 429:
            raise ResolverUnavailableError(f"{self._bsf} is asked too often from our address: wait a little")
        body = await at_most(UB_BODY_MAX_OCTETS, answer.aiter_stream())
        if body is None:
            raise MessageError(f"{self._bsf}: the answer is too long")
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers)
        return UbResponse(answer.status, tuple(headers), body)

    async def close(self) -> None:
        """Close the connection."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()
