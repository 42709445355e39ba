"""Running MAFs, MEFs and BSFs: their stores, ports and housekeeping, until a signal ends them."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from ..extras import require
from ..frameworks.steps import Authorities, Established
from ..identifiers import EntityId
from ..net.address import Address, Transport
from ..net.descriptors import fitted, raise_open_files
from ..net.limits import Limits
from ..net.loop import until_signalled
from ..net.plain import PlainAnswer, PlainHandler, PlainRequest
from ..net.ports import Port, request_port, start_together
from ..onem2m.primitives import Request, Response
from ..tasks import Tasks, together
from ..telemetry import LOG
from .function import Function
from .housekeeping import Housekeeping
from .ports import FurtherPort
from .service import ALL_TRANSPORTS, Service

if TYPE_CHECKING:
    from ..net.ub import UbListener
    from ..store.store import Store


class Server:
    """Functions that share one port; the client's SNI chooses among them. They may have further ports."""

    def __init__(
        self,
        store: Store,
        functions: list[Function],
        *,
        more_stores: Iterable[Store] = (),
        limits: Limits | None = None,
        tcp_limits: Limits | None = None,
    ) -> None:
        """Serve these functions; a client without a known SNI host name gets the first.

        Args:
            store: The store of the functions; it is kept tidy, and closed at the end.
            functions: What is served.
            more_stores: Further stores, for functions that do not share theirs.
            limits: Bounds on time, size and number.
            tcp_limits: The same for a TCP port, whose connections take a descriptor each; None for the same.
        """
        limits = limits or Limits()
        self._stores = (store, *more_stores)
        self._functions: dict[EntityId, Function] = {
            function.acceptor.local: function for function in functions
        }
        by_name = {function.fqdn: function.acceptor for function in functions}
        self._authorities = Authorities(by_name, default=functions[0].acceptor)
        self._limits = {Transport.TLS: tcp_limits or limits, Transport.DTLS: limits}
        self._ports: list[Port | UbListener] = []
        self._housekeeping = Tasks()

    async def _handle(self, request: Request, established: Established) -> Response:
        return await self._functions[established.association.local].handle(request, established)

    def _well_known(self) -> dict[str, PlainHandler]:
        """The protocols that the functions speak beside their own, for the port that they share."""

        async def handle(name: str, request: PlainRequest, established: Established) -> PlainAnswer:
            handler = self._functions[established.association.local].well_known.get(name)
            if handler is None:
                return PlainAnswer.refusal(404, "nothing is found here")
            return await handler(request, established)

        names = {name for function in self._functions.values() for name in function.well_known}
        return {name: partial(handle, name) for name in names}

    async def start(self, address: Address, transports: Iterable[Transport] = ALL_TRANSPORTS) -> Address:
        """Listen over these transports, on the same port number; returns the address in use.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        if not self._housekeeping:
            self._housekeeping.start(Housekeeping(self._stores).run(), _housekeeping_failed)
        started, address = await start_together(self._port, address, tuple(transports))
        self._ports += started
        return address

    async def _port(self, transport: Transport) -> Port:
        limits = self._limits[transport]
        return await request_port(transport, self._authorities, self._handle, limits, self._well_known())

    async def open(self, further: FurtherPort) -> Address:
        """Open a further port of one of the functions; returns the address in use.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        self._ports.append(further.port)
        return await further.port.start(further.listen)

    async def stop(self) -> None:
        """Let what is under way finish, on all ports within one grace period, then close the stores."""
        await self._housekeeping.stop(0)
        await together(*(port.stop() for port in self._ports))
        await together(*(function.stop() for function in self._functions.values()))
        await together(*(store.close() for store in self._stores))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.stop()


def _housekeeping_failed(error: BaseException) -> None:
    LOG.error("stores are not kept tidy any more", error=repr(error))


class Announced(Protocol):
    """What listens somewhere, for people."""

    @property
    def name(self) -> str:
        """What it is: ``MAF maf.example.com``."""

    @property
    def transports(self) -> Sequence[Transport]:
        """Over what it is secured; empty for plain HTTP."""


async def serve(
    services: Iterable[Service[Any]],
    *,
    ready: Callable[[Announced, Address], None],
    limits: Limits | None = None,
    metrics: Address | None = None,
    until: Callable[[], Awaitable[None]] = until_signalled,
) -> None:
    """Run services together in this process until a signal.

    Args:
        services: What to run.
        ready: Told of each service and the address in use, once all of them accept clients.
        limits: Bounds on time, size and number, for each port; those of TCP ports are lowered to what the
            open files allow that the process may have, which are first made as many as the system lets it.
        metrics: Where to offer Prometheus metrics, in the clear; None for nowhere.
        until: Called before anybody is told; what it returns is awaited before stopping.

    Raises:
        ConfigurationError: An address or a data directory cannot be used, or the extra ``server`` is missing.
        StoreError: A store cannot be opened.
    """
    require("server")
    limits = limits or Limits()
    ports = _by_port(services)
    tcp_limits = fitted(limits, raise_open_files(), _tcp_ports(ports))
    servers: list[Server] = []
    bound: list[tuple[Announced, Address]] = []
    async with contextlib.AsyncExitStack() as used:
        for service in (one for sharing in ports for one in sharing):
            for client in service.clients:
                used.push_async_callback(client.close)
        try:
            for sharing in ports:
                stores = await _open_stores(sharing, used)
                functions = [service.build(stores[service.data]) for service in sharing]
                first, *more = stores.values()
                server = Server(first, functions, more_stores=more, limits=limits, tcp_limits=tcp_limits)
                servers.append(server)
                address = await server.start(sharing[0].listen, sharing[0].transports)
                bound += [(service, address) for service in sharing]
                for service, function in zip(sharing, functions, strict=True):
                    for further in service.ports(function, tcp_limits):
                        bound.append((further, await server.open(further)))
            if metrics is not None:
                from prometheus_client import start_http_server  # noqa: PLC0415 - a device has no metrics to offer

                start_http_server(metrics.port, metrics.host)
            stopping = until()
            for listening, address in bound:
                ready(listening, address)
            await stopping
        finally:
            await together(*(server.stop() for server in servers))


async def _open_stores(sharing: Iterable[Service[Any]], used: contextlib.AsyncExitStack) -> dict[Path, Store]:
    """The stores of services that share a port, by data directory, to be closed in any case."""
    from ..store.store import Store  # noqa: PLC0415 - the database's library, for who opens one

    stores: dict[Path, Store] = {}
    for service in sharing:
        if service.data not in stores:
            stores[service.data] = await Store.open(service.data)
            used.push_async_callback(stores[service.data].close)
    return stores


def _by_port(services: Iterable[Service[Any]]) -> list[list[Service[Any]]]:
    """Services by the port that they share; port 0 is another one each time."""
    sharing: dict[object, list[Service[Any]]] = {}
    for service in services:
        key = service.listen if service.listen.port else object()
        sharing.setdefault(key, []).append(service)
    return list(sharing.values())


def _tcp_ports(ports: Iterable[list[Service[Any]]]) -> int:
    """How many of the ports are TCP ports, further ones of a function included."""
    return sum(
        (Transport.TLS in sharing[0].transports) + sum(service.further_tcp_ports for service in sharing)
        for sharing in ports
    )
