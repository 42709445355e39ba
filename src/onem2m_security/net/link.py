"""How to get to a peer: one value for where it listens, over what, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError
from .address import Address, Binding, Transport
from .limits import Limits


@dataclass(frozen=True, slots=True)
class Link:
    """The way to one peer. Who we are, and who the peer must be, is not of the way: an ``Initiator`` says it.

    Attributes:
        address: Where the peer listens.
        transport: TLS, or DTLS.
        limits: Bounds on time and size; None for those that suit whoever uses the link.
        binding: What carries requests; None for HTTP over TLS, and CoAP over DTLS.

    Raises:
        ConfigurationError: The binding does not go over the transport.
    """

    address: Address
    transport: Transport = Transport.TLS
    limits: Limits | None = None
    binding: Binding | None = None

    def __post_init__(self) -> None:
        if self.binding is not None and self.binding.transport is not self.transport:
            raise ConfigurationError(f"{self.binding.value} does not go over {self.transport.value}")

    @property
    def carries_requests(self) -> Binding:
        """What carries requests here."""
        usual = Binding.HTTP if self.transport is Transport.TLS else Binding.COAP
        return self.binding or usual
