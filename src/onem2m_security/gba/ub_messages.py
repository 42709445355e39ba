"""How Ub looks: what of HTTP Digest AKA travels, whatever carries it (TS 24.109 clause 4), for both ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from ..errors import MessageError
from .bootstrap_info import MEDIA_TYPE
from .digest_headers import AuthenticationInfo, Challenge

NO_STORE = ("Cache-Control", "no-store")
"""Nothing of Ub may be kept on the way."""


@dataclass(frozen=True, slots=True)
class UbRequest:
    """An HTTP request on Ub.

    Attributes:
        method: The method.
        uri: The request target, as in the request line.
        authorization: The Authorization header; None without one.
        body: The entity body, which auth-int covers.
        network: Where it came from, as ``net.limits.network_of`` has it; None for no limit on its rate.
    """

    method: str
    uri: str
    authorization: str | None
    body: bytes = b""
    network: str | None = None


@dataclass(frozen=True, slots=True)
class UbResponse:
    """An HTTP response on Ub.

    What it challenges with and how it proves itself is written by ``challenging`` and ``finishing``, and read
    by ``challenges`` and ``authentication_info``.

    Attributes:
        status: The status code.
        headers: Names and values; a name may come twice.
        body: The entity body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = (NO_STORE,)
    body: bytes = b""

    @classmethod
    def challenging(cls, offered: Iterable[Challenge]) -> Self:
        """401, with these challenges in order."""
        return cls(401, (*(("WWW-Authenticate", str(challenge)) for challenge in offered), NO_STORE))

    @classmethod
    def finishing(cls, info: AuthenticationInfo, body: bytes) -> Self:
        """200, with the bootstrapping info that the BSF's proof covers."""
        return cls(200, (("Content-Type", MEDIA_TYPE), ("Authentication-Info", str(info)), NO_STORE), body)

    @property
    def challenges(self) -> tuple[Challenge, ...]:
        """The challenges, in order.

        Raises:
            MessageError: One is not a challenge of Digest AKA with a qop that is known here.
        """
        return tuple(Challenge.parse(value) for value in self._values("www-authenticate"))

    @property
    def authentication_info(self) -> AuthenticationInfo | None:
        """The BSF's proof of itself; None without one.

        Raises:
            MessageError: It is there twice, or not well formed.
        """
        found = self._values("authentication-info")
        if len(found) > 1:
            raise MessageError("Authentication-Info is there twice")
        return AuthenticationInfo.parse(found[0]) if found else None

    def _values(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header.lower() == name]
