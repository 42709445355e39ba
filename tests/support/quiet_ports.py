"""Ports for programs that must be told theirs before they run."""

from __future__ import annotations

import contextlib
import os
import socket


def a_quiet_port() -> int:
    """A free port among those that the system gives to nobody by itself: no client takes it by chance."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with contextlib.suppress(OSError), socket.socket() as tcp:
            tcp.bind(("127.0.0.1", port))
            with socket.socket(type=socket.SOCK_DGRAM) as udp:
                udp.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
