"""How a request of Ub looks: what of HTTP Digest AKA travels, whatever carries it (TS 24.109 clause 4)."""

from __future__ import annotations

from dataclasses import dataclass

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

    Attributes:
        status: The status code.
        headers: Names and values; a name may come twice.
        body: The entity body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = (NO_STORE,)
    body: bytes = b""
