"""Where a peer listens, as people write it, and over what."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from ..errors import ConfigurationError


class Transport(enum.Enum):
    """What carries a session: TLS over TCP, or DTLS over UDP (TS-0003 clause 10.2.1)."""

    TLS = "tls"
    DTLS = "dtls"


class Binding(enum.Enum):
    """What carries requests over a session: HTTP (TS-0009), CoAP (TS-0008) or WebSocket (TS-0020)."""

    HTTP = "http"
    COAP = "coap"
    WEBSOCKET = "websocket"

    @property
    def transport(self) -> Transport:
        """What it goes over."""
        return Transport.DTLS if self is Binding.COAP else Transport.TLS


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name, IPv4 or IPv6 address) and a TCP or UDP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``host:port`` or ``[IPv6]:port``.

        Raises:
            ConfigurationError: It is neither.
        """
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ConfigurationError(f"{text[:80]!r} is not an address: HOST:PORT or [IPv6]:PORT is expected")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
