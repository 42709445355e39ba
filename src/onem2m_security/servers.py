"""A running MAF: its store, its listener, its housekeeping, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from prometheus_client import start_http_server

from .errors import StoreError
from .frameworks.base import Authorities, Established
from .functions.function import Function
from .functions.maf import DEFAULT_KC_LIFETIME, Maf
from .functions.primitives import Request, Response
from .identifiers import EntityId, Fqdn
from .net.address import Address, Transport
from .net.limits import Limits
from .net.ports import Port, request_port
from .store.store import Store
from .telemetry import LOG

PURGE_INTERVAL = timedelta(minutes=1)

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end, on uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class Server:
    """Functions that share one port; the client's SNI chooses among them."""

    def __init__(self, store: Store, functions: list[Function], *, limits: Limits | None = None) -> None:
        """Serve these functions; a client without a known SNI host name gets the first."""
        limits = limits or Limits()
        self._store = store
        self._functions: dict[EntityId, Function] = {
            function.acceptor.local: function for function in functions
        }
        by_name = {function.fqdn: function.acceptor for function in functions}
        self._authorities = Authorities(by_name, default=functions[0].acceptor)
        self._limits = limits
        self._ports: list[Port] = []
        self._housekeeping: asyncio.Task[None] | None = None

    async def _handle(self, request: Request, established: Established) -> Response:
        return await self._functions[established.association.local].handle(request, established)

    async def start(
        self, address: Address, transports: Iterable[Transport] = (Transport.TLS, Transport.DTLS)
    ) -> Address:
        """Listen over these transports, on the same port number; returns the address in use."""
        if self._housekeeping is None:
            self._housekeeping = asyncio.create_task(self._purge())
        for transport in transports:
            port = await request_port(transport, self._authorities, self._handle, self._limits)
            self._ports.append(port)
            address = await port.start(address)
        return address

    async def _purge(self) -> None:
        """Remove what has expired, again and again."""
        while True:
            try:
                purged = await self._store.purge_expired(datetime.now(UTC))
                if purged:
                    LOG.info("expired records purged", records=purged)
            except StoreError as error:
                LOG.warning("expired records not purged", error=str(error))
            await asyncio.sleep(PURGE_INTERVAL.total_seconds())

    async def stop(self) -> None:
        """Let what is under way finish, then close port and store."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._housekeeping
        for port in self._ports:
            await port.stop()
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.stop()


async def until_signalled() -> None:
    """Wait for SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


async def serve_maf(
    data: Path,
    fqdn: Fqdn,
    address: Address,
    *,
    ready: Callable[[Address], None],
    kc_lifetime: timedelta = DEFAULT_KC_LIFETIME,
    limits: Limits | None = None,
    transports: Iterable[Transport] = (Transport.TLS, Transport.DTLS),
    metrics: Address | None = None,
    until: Callable[[], Awaitable[None]] = until_signalled,
) -> None:
    """Run a MAF until a signal.

    Args:
        data: The data directory; made when it is not there.
        fqdn: The MAF-ID.
        address: Where to listen.
        ready: Told the address in use once clients are accepted.
        kc_lifetime: How long Kc may be used.
        limits: Bounds on time, size and number.
        transports: Over what to listen.
        metrics: Where to offer Prometheus metrics, in the clear; None for nowhere.
        until: Awaited before stopping.

    Raises:
        ConfigurationError: The address or the data directory cannot be used.
        StoreError: The store cannot be opened.
    """
    store = await Store.open(data)
    async with Server(store, [Maf(store, fqdn, kc_lifetime=kc_lifetime)], limits=limits) as server:
        bound = await server.start(address, transports)
        if metrics is not None:
            start_http_server(metrics.port, metrics.host)
        ready(bound)
        await until()
