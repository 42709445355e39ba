"""The client that drives every server alike: many TLS-PSK handshakes, as cheap as this side can make them.

It is the sans-IO session on a bare asyncio protocol: connect, handshake, close_notify, close.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from onem2m_security.credentials import Secret
from onem2m_security.net.address import Address
from onem2m_security.tls.endpoint import Endpoint, PskOffer
from onem2m_security.tls.events import HandshakeCompleted, SessionEnded
from onem2m_security.tls.session import Session
from onem2m_security.tls.suites import BY_OPENSSL_NAME

KM = Secret(bytes(range(1, 33)))
"""One key for every client, so that a server with a single key can be driven with the same identities."""


def identity_of(number: int) -> bytes:
    """The KmId of a client."""
    return f"client-{number:07d}@maf.example.com".encode()


class Handshake(asyncio.Protocol):
    """One connection; ``done`` tells whether its handshake completed."""

    def __init__(self, session: Session, *, keep: bool) -> None:
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._session = session
        self._keep = keep
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.write(self._session.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._session.receive(data):
            if isinstance(event, HandshakeCompleted | SessionEnded):
                self._finish(completed=isinstance(event, HandshakeCompleted))
        if octets := self._session.data_to_send():
            self._transport.write(octets)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._finish(completed=False)

    def _finish(self, *, completed: bool) -> None:
        if self.done.done():
            return
        self.done.set_result(completed)
        if not self._keep:
            self.close()

    def close(self) -> None:
        self._session.close()
        self._transport.write(self._session.data_to_send())
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Load:
    """What to do to a server.

    Attributes:
        suite: The only suite to offer, by its OpenSSL name.
        clients: Identities are taken at random from so many.
        at_once: Connections at the same time.
    """

    suite: str
    clients: int
    at_once: int

    def _session(self, endpoint: Endpoint) -> Session:
        return Session(endpoint, offer=PskOffer(identity_of(random.randrange(self.clients)), KM))

    async def connect(self, address: Address, endpoint: Endpoint, *, keep: bool = False) -> Handshake:
        loop = asyncio.get_running_loop()
        session = self._session(endpoint)
        _, handshake = await loop.create_connection(
            lambda: Handshake(session, keep=keep), address.host, address.port
        )
        if not await handshake.done:
            raise RuntimeError("a handshake failed: is the server provisioned?")
        return handshake

    async def run(self, address: Address, seconds: float) -> tuple[int, float]:
        """Drive the server for so long: completed handshakes, and the seconds that it took."""
        endpoint = self.endpoint()
        begin = time.perf_counter()
        count = 0

        async def one_after_the_other() -> None:
            nonlocal count
            while time.perf_counter() - begin < seconds:
                await self.connect(address, endpoint)
                count += 1

        await asyncio.gather(*(one_after_the_other() for _ in range(self.at_once)))
        return count, time.perf_counter() - begin

    def endpoint(self) -> Endpoint:
        return Endpoint(server=False, suites=(BY_OPENSSL_NAME[self.suite],))
