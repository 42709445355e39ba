"""DTLS over UDP on the initiating side: a connected socket with one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import HandshakeError
from ..frameworks.steps import Initiator
from ..tls.framing import DatagramFraming
from ..tls.states import State
from .connection import Made, completed
from .limits import Limits
from .link import Link
from .udp import DatagramApplication, DatagramConnection

App = TypeVar("App", bound=DatagramApplication)


class _ClientProtocol(asyncio.DatagramProtocol):
    """A connected UDP socket with one DTLS session."""

    def __init__(self) -> None:
        self.connection: DatagramConnection | None = None

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        del addr
        if self.connection is not None:
            self.connection.received(data)

    def error_received(self, exc: Exception) -> None:
        if self.connection is not None and isinstance(exc, OSError):
            self.connection.network_error = exc


async def open_datagram_connection(
    link: Link, initiator: Initiator, make_application: Callable[[DatagramConnection], App]
) -> App:
    """Complete a DTLS handshake as an initiator; returns the application.

    Raises:
        HandshakeError: The peer cannot be reached, or the handshake failed.
    """
    address, limits = link.address, link.limits or Limits()
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(
            _ClientProtocol, remote_addr=(address.host, address.port)
        )
    except OSError as error:
        raise HandshakeError(f"{address} cannot be reached: {error.strerror or error}") from error
    try:
        session = initiator.session(address.host, framing=DatagramFraming(limits.datagram_octets))
    except BaseException:
        transport.close()
        raise
    made = Made(make_application)
    connection = DatagramConnection(
        session,
        limits,
        address,
        lambda datagram: None if transport.is_closing() else transport.sendto(datagram),
        made,
    )
    connection.on_shut(transport.close)
    protocol.connection = connection
    connection.begin()
    try:
        await completed(connection, initiator, address)
    except HandshakeError as error:
        transport.close()
        if connection.network_error is not None and connection.session.state is State.ENDED:
            raise type(error)(f"{error} ({connection.network_error.strerror})", alert=error.alert) from None
        raise
    return made.application
