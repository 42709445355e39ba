"""The oneM2M security frameworks (TS-0003): who is at the other end, proven inside the handshake."""

__version__ = "0.1.0"
