"""How to get to a peer: one value for where it listens, over what, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass

from .address import Address, Transport
from .limits import Limits


@dataclass(frozen=True, slots=True)
class Link:
    """The way to one peer. Who we are, and who the peer must be, is not of the way: an ``Initiator`` says it.

    Attributes:
        address: Where the peer listens.
        transport: TLS, with HTTP for requests, or DTLS, with CoAP.
        limits: Bounds on time and size; None for those that suit whoever uses the link.
    """

    address: Address
    transport: Transport = Transport.TLS
    limits: Limits | None = None
