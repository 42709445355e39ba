"""Running MAFs, MEFs and BSFs: their stores, ports and housekeeping, until a signal ends them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from prometheus_client import start_http_server

from ..clients.bsf import BsfClient
from ..clients.mef import MefClient
from ..errors import ConfigurationError
from ..frameworks import bootstrap_gba
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY
from ..frameworks.resolvers import REMEMBERED
from ..frameworks.steps import Authorities, Established
from ..identifiers import EntityId, Fqdn
from ..net.address import Address, Transport
from ..net.descriptors import fitted, raise_open_files
from ..net.limits import Limits
from ..net.ports import Port, request_port
from ..net.ub import UbListener
from ..onem2m.primitives import Request, Response
from ..peer_quotas import DEFAULT_QUOTAS, PeerQuotas
from ..release import DEFAULT_RELEASE, Release
from ..store.store import Store
from ..tls.endpoint import Endpoint
from .bsf import Bsf
from .enrolees import AssociationPolicy
from .function import Function
from .housekeeping import Housekeeping
from .maf import DEFAULT_KC_LIFETIME, Maf
from .mef import Mef
from .ub import DEFAULT_LIFETIME as DEFAULT_KS_LIFETIME
from .ub import DEFAULT_REQUESTS_PER_SECOND

PORT_ATTEMPTS = 10
ALL_TRANSPORTS = (Transport.TLS, Transport.DTLS)

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
        self._ports: list[Port] = []
        self._housekeeping: asyncio.Task[None] | None = None

    async def _handle(self, request: Request, established: Established) -> Response:
        return await self._functions[established.association.local].handle(request, established)

    async def start(self, address: Address, transports: Iterable[Transport] = ALL_TRANSPORTS) -> Address:
        """Listen over these transports, on the same port number; returns the address in use.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        if self._housekeeping is None:
            self._housekeeping = asyncio.create_task(Housekeeping(self._stores).run())
        chosen = tuple(transports)
        # The port that the system finds free for TCP may be taken for UDP: then it finds another.
        for _ in range(PORT_ATTEMPTS if address.port == 0 else 0):
            with contextlib.suppress(ConfigurationError):
                return await self._start(address, chosen)
        return await self._start(address, chosen)

    async def _start(self, address: Address, transports: tuple[Transport, ...]) -> Address:
        started: list[Port] = []
        try:
            for transport in transports:
                port = await request_port(transport, self._authorities, self._handle, self._limits[transport])
                started.append(port)
                address = await port.start(address)
        except ConfigurationError:
            for port in started:
                await port.stop()
            raise
        self._ports += started
        return address

    async def stop(self) -> None:
        """Let what is under way finish, then close ports and stores."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._housekeeping
        for port in self._ports:
            await port.stop()
        for store in self._stores:
            await store.close()

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


class Closable(Protocol):
    """A client of another function, which a function keeps connections of."""

    async def close(self) -> None:
        """Close the kept connections."""


@dataclass(frozen=True, slots=True)
class Service:
    """One function to run.

    Attributes:
        name: What it is, for people: ``MAF maf.example.com``.
        data: Its data directory; made when it is not there.
        listen: Where it listens; services that name the same address and port share it by SNI.
        make: Makes the function over its store.
        transports: Over what to listen; services that share a port share these.
        clients: Its clients of other functions, closed after it.
        ub: For a BSF: where UEs meet it, over plain HTTP.
        diameter: For a BSF: where NAFs meet it that speak Diameter, over TLS.
    """

    name: str
    data: Path
    listen: Address
    make: Callable[[Store], Function]
    transports: Sequence[Transport] = ALL_TRANSPORTS
    clients: Sequence[Closable] = ()
    ub: Address | None = None
    diameter: Address | None = None


async def serve(
    services: Iterable[Service],
    *,
    ready: Callable[[Service, Address], None],
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
        until: Awaited before stopping.

    Raises:
        ConfigurationError: An address or a data directory cannot be used.
        StoreError: A store cannot be opened.
    """
    limits = limits or Limits()
    ports = _by_port(services)
    tcp_limits = fitted(limits, raise_open_files(), _tcp_ports(ports))
    async with contextlib.AsyncExitStack() as running:
        bound: list[tuple[Service, Address]] = []
        for sharing in ports:
            for service in sharing:
                for client in service.clients:
                    running.push_async_callback(client.close)
            stores: dict[Path, Store] = {}
            for service in sharing:
                if service.data not in stores:
                    stores[service.data] = await Store.open(service.data)
                    running.push_async_callback(stores[service.data].close)
            functions = [service.make(stores[service.data]) for service in sharing]
            first, *more = stores.values()
            server = Server(first, functions, more_stores=more, limits=limits, tcp_limits=tcp_limits)
            await running.enter_async_context(server)
            address = await server.start(sharing[0].listen, sharing[0].transports)
            bound += [(service, address) for service in sharing]
            for service, function in zip(sharing, functions, strict=True):
                for extra, port, wanted in _bsf_ports(service, function, tcp_limits):
                    running.push_async_callback(port.stop)
                    bound.append((extra, await port.start(wanted)))
        if metrics is not None:
            start_http_server(metrics.port, metrics.host)
        for service, address in bound:
            ready(service, address)
        await until()


def _bsf_ports(
    service: Service, function: Function, limits: Limits
) -> Iterator[tuple[Service, UbListener | Port, Address]]:
    """The further ports of a BSF: how each is named, the port, and where it listens."""
    if not isinstance(function, Bsf):
        return
    if service.ub is not None:
        over_http = replace(service, name=f"{service.name}, Ub,", transports=())
        yield over_http, UbListener(function.ub.handle, limits=limits), service.ub
    if service.diameter is not None:
        # Diameter's dictionary takes long to load: only who speaks Diameter waits for it.
        from ..net.diameter import diameter_port  # noqa: PLC0415
        from .zn_diameter import ZnDiameter  # noqa: PLC0415

        authorities = Authorities({function.fqdn: function.acceptor}, default=function.acceptor)
        port = diameter_port(authorities, partial(ZnDiameter, function), limits)
        over_tls = replace(service, name=f"{service.name}, Diameter,", transports=(Transport.TLS,))
        yield over_tls, port, service.diameter


def _by_port(services: Iterable[Service]) -> list[list[Service]]:
    """Services by the port that they share; port 0 is another one each time."""
    sharing: dict[object, list[Service]] = {}
    for service in services:
        key = service.listen if service.listen.port else object()
        sharing.setdefault(key, []).append(service)
    return list(sharing.values())


def _tcp_ports(ports: Iterable[list[Service]]) -> int:
    """How many of the ports are TCP ports, those of a BSF for UEs and for Diameter included."""
    return sum(
        (Transport.TLS in sharing[0].transports)
        + sum((service.ub is not None) + (service.diameter is not None) for service in sharing)
        for sharing in ports
    )


def maf_service(
    fqdn: Fqdn,
    data: Path,
    listen: Address,
    *,
    kc_lifetime: timedelta = DEFAULT_KC_LIFETIME,
    mefs: Sequence[MefClient] = (),
    bsfs: Sequence[BsfClient] = (),
    policy: AssociationPolicy | None = None,
    remembered: timedelta = REMEMBERED,
    quotas: PeerQuotas = DEFAULT_QUOTAS,
    endpoint: Endpoint | None = None,
    transports: Sequence[Transport] = ALL_TRANSPORTS,
) -> Service:
    """A MAF to run.

    Args:
        fqdn: The MAF-ID.
        data: The data directory.
        listen: Where to listen.
        kc_lifetime: How long Kc may be used.
        mefs: The MAF's clients of the MEFs that may provide its clients' Master Credentials.
        bsfs: The MAF's clients of the BSFs that may provide them: the MEFs of the GBA-based framework.
        policy: Whom the clients that these MEFs provide may have keys for.
        remembered: How long what an MEF or a BSF said of a client counts, before it is asked again.
        quotas: What one client may have and do; what its port counts is in the limits of ``serve``.
        endpoint: The (D)TLS configuration, for clients with certificates; by default pre-shared keys only.
        transports: Over what to listen.
    """
    fetches = {client.mef: client.fetch_km for client in mefs}
    policy = policy or AssociationPolicy()
    by_gba = bootstrap_gba.accept_at_maf(
        {client.bsf: client.fetch for client in bsfs}, policy.targets, remembered=remembered
    )

    def make(store: Store) -> Function:
        return Maf(
            store,
            fqdn,
            kc_lifetime=kc_lifetime,
            mefs=fetches,
            policy=policy,
            remembered=remembered,
            elsewhere=by_gba,
            quotas=quotas,
            endpoint=endpoint,
        )

    return Service(f"MAF {fqdn}", data, listen, make, transports, (*mefs, *bsfs))


def mef_service(
    fqdn: Fqdn,
    data: Path,
    listen: Address,
    *,
    endpoint: Endpoint | None = None,
    release: Release = DEFAULT_RELEASE,
    enrolment_expiry: timedelta = DEFAULT_ENROLMENT_EXPIRY,
    quotas: PeerQuotas = DEFAULT_QUOTAS,
    transports: Sequence[Transport] = ALL_TRANSPORTS,
) -> Service:
    """An MEF to run.

    Args:
        fqdn: The MEF-ID.
        data: The data directory.
        listen: Where to listen.
        endpoint: The (D)TLS configuration, for clients with certificates; by default pre-shared keys only.
        release: By which release keys are derived for Enrolees with certificates.
        enrolment_expiry: How long they may use Ke.
        quotas: What one client may have and do.
        transports: Over what to listen.
    """

    def make(store: Store) -> Function:
        return Mef(
            store,
            fqdn,
            enrolment_expiry=enrolment_expiry,
            endpoint=endpoint,
            release=release,
            quotas=quotas,
        )

    return Service(f"MEF {fqdn}", data, listen, make, transports)


def bsf_service(
    fqdn: Fqdn,
    data: Path,
    zn: Address,
    ub: Address,
    *,
    diameter: Address | None = None,
    lifetime: timedelta = DEFAULT_KS_LIFETIME,
    requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND,
    transports: Sequence[Transport] = ALL_TRANSPORTS,
) -> Service:
    """A BSF to run.

    Args:
        fqdn: The BSF's FQDN.
        data: The data directory.
        zn: Where to listen for NAFs.
        ub: Where to listen for UEs, over plain HTTP.
        diameter: Where to listen for NAFs that speak Diameter, over TLS; None for nowhere.
        lifetime: How long a bootstrapping lives at most.
        requests_per_second: How often one address may ask on Ub; see ``Ub``.
        transports: Over what to listen for NAFs.
    """

    def make(store: Store) -> Function:
        return Bsf(store, fqdn, lifetime=lifetime, requests_per_second=requests_per_second)

    return Service(f"BSF {fqdn}", data, zn, make, transports, ub=ub, diameter=diameter)
