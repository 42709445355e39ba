"""Where a peer listens, as people write it, and over what."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, Self

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


_SCHEMES: Final = {"https": Transport.TLS, "coaps": Transport.DTLS}
_USUAL_PORTS: Final = {Transport.TLS: 443, Transport.DTLS: 5684}
_AUTHORITY: Final = re.compile(r"[^/?#@\s]+")


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

    @classmethod
    def located(cls, text: str, transport: Transport) -> tuple[Self, Transport]:
        """Where a function listens and over what: as ``HOST:PORT``, as a host, or as a URI.

        Args:
            text: ``mef.example.com:7443``; ``mef.example.com``, at the usual port; ``https://mef.example.com``
                (TLS) or ``coaps://mef.example.com:7443`` (DTLS).
            transport: Over what, where the text does not say it.

        Raises:
            ConfigurationError: It is none of these, or a URI with more than a host and a port.
        """
        scheme, found, rest = text.rpartition("://")
        if found:
            if scheme.lower() not in _SCHEMES or not _AUTHORITY.fullmatch(rest.removesuffix("/")):
                raise ConfigurationError(
                    f"{text[:80]!r} is not where it listens: https://HOST[:PORT] or coaps://HOST[:PORT] is "
                    "expected"
                )
            transport, text = _SCHEMES[scheme.lower()], rest.removesuffix("/")
        has_port = ":" in text.rpartition("]")[2]
        return cls.parse(text if has_port else f"{text}:{_USUAL_PORTS[transport]}"), transport

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
