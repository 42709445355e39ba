"""``[limits]`` and ``[quotas]``: what a port may cost, and what one authenticated peer may have and do."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..net.limits import DATAGRAM_OCTETS_LEAST, DATAGRAM_OCTETS_MOST, Limits
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas
from .values import Table

_DEFAULT = Limits()


class LimitSettings(Table):
    """``[limits]``: as ``net.limits.Limits``, for each port."""

    handshake_seconds: Annotated[float, Field(gt=0, le=3600)] = _DEFAULT.handshake_seconds
    idle_seconds: Annotated[float, Field(gt=0, le=86400)] = _DEFAULT.idle_seconds
    close_seconds: Annotated[float, Field(gt=0, le=3600)] = _DEFAULT.close_seconds
    half_open: Annotated[int, Field(gt=0)] = _DEFAULT.half_open
    half_open_per_address: Annotated[int, Field(gt=0)] = _DEFAULT.half_open_per_address
    connections: Annotated[int, Field(gt=0)] = _DEFAULT.connections
    connections_per_address: Annotated[int, Field(gt=0)] = _DEFAULT.connections_per_address
    backlog: Annotated[int, Field(gt=0)] = _DEFAULT.backlog
    head_octets: Annotated[int, Field(ge=1024)] = _DEFAULT.head_octets
    body_octets: Annotated[int, Field(ge=1024)] = _DEFAULT.body_octets
    request_seconds: Annotated[float, Field(gt=0, le=3600)] = _DEFAULT.request_seconds
    datagram_octets: Annotated[int, Field(ge=DATAGRAM_OCTETS_LEAST, le=DATAGRAM_OCTETS_MOST)] = (
        _DEFAULT.datagram_octets
    )

    def limits(self) -> Limits:
        """The value that the ports take."""
        return Limits(**self.model_dump())


class QuotaSettings(Table):
    """``[quotas]``: as ``peer_quotas.PeerQuotas``, for each authenticated peer."""

    live_keys: Annotated[int, Field(gt=0)] = DEFAULT_QUOTAS.live_keys
    client_registrations: Annotated[int, Field(gt=0)] = DEFAULT_QUOTAS.client_registrations
    key_registrations_per_second: Annotated[float, Field(gt=0)] = DEFAULT_QUOTAS.key_registrations_per_second
    connections: Annotated[int, Field(gt=0)] = DEFAULT_QUOTAS.connections
    requests_per_second: Annotated[float, Field(gt=0)] = DEFAULT_QUOTAS.requests_per_second

    def quotas(self) -> PeerQuotas:
        """The value that functions and ports take."""
        return PeerQuotas(**self.model_dump())
