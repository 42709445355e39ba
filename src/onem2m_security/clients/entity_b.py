"""Entity B: the accepting side of associations (TS-0003 clause 8.2.2).

Keys come from what was provisioned, and from the MAFs that a client's KcId may name; those are asked in the
middle of the handshake.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from ..credentials import ResolvedKey
from ..frameworks import saef_gba, saef_maf, saef_psk
from ..frameworks.admission import Admission, AdmittedKeys
from ..frameworks.resolvers import REMEMBERED, ResolverChain
from ..frameworks.steps import Acceptor, Authorities, Resolver
from ..identifiers import EntityId, KeyIdentifier
from ..net.address import Address, Transport
from ..net.binding import CarriedHandler, RequestHandler
from ..net.channel import ChannelHandler
from ..net.descriptors import open_files
from ..net.limits import Limits
from ..net.ports import Port, carrying_port, channel_port, request_port, start_together
from ..tasks import together
from ..tls.endpoint import Endpoint
from .bsf import BsfClient
from .maf import MafClient
from .mef import MefClient
from .mef import resolver as mef_resolver


class EntityB:
    """A CSE that accepts associations; an asynchronous context manager that stops listening.

    Attributes:
        acceptor: What a client meets.
    """

    def __init__(
        self,
        local: EntityId,
        *,
        keys: Iterable[ResolvedKey] = (),
        mafs: Iterable[MafClient] = (),
        mefs: Iterable[MefClient] = (),
        bsfs: Iterable[BsfClient] = (),
        resolvers: Iterable[Resolver] = (),
        endpoint: Endpoint | None = None,
        admission: Admission | None = None,
        remembered: timedelta = REMEMBERED,
        limits: Limits | None = None,
    ) -> None:
        """An Entity B with this identity.

        Args:
            local: IdB, our CSE-ID.
            keys: Provisioned keys (Kpsa), each with the peer that it authenticates.
            mafs: Our clients of the MAFs that may be asked for Kc.
            mefs: Our clients of the MEFs that may be asked for Kpsa of their Enrolees.
            bsfs: Our clients of the BSFs that may be asked for the NAF keys of their subscribers.
            resolvers: Further places where keys come from, such as a BSF.
            endpoint: The (D)TLS configuration; by default pre-shared keys only.
            admission: About whom these MAFs, MEFs, BSFs and resolvers are believed; by default about all.
            remembered: How long what a MAF, MEF or BSF said of a key counts, before it is asked again; if it
                has revoked the key, the sessions made with it end. If it cannot be asked, open sessions go on
                until the key ends.
            limits: Bounds on time, size and number, for each port; those of a TCP port are lowered to half of
                the open files that the process may have, those of the next one to half of the rest.
        """
        self._limits = limits or Limits()
        self._mafs = {maf.maf: maf for maf in mafs}
        self._mefs = tuple(mefs)
        self._bsfs = tuple(bsfs)
        self._provisioned = saef_psk.accept(keys)
        self._through_mafs = saef_maf.accept(
            {fqdn: maf.retrieve for fqdn, maf in self._mafs.items()}, remembered=remembered
        )
        through_bsfs = saef_gba.accept({bsf.bsf: bsf.fetch for bsf in self._bsfs}, remembered=remembered)
        others: Resolver = ResolverChain(
            [
                self._through_mafs,
                mef_resolver(self._mefs, remembered=remembered),
                through_bsfs,
                *resolvers,
            ]
        )
        if admission is not None:
            others = AdmittedKeys(others, admission)
        self._resolvers = ResolverChain([self._provisioned, others])
        self.acceptor = Acceptor(local, endpoint or Endpoint(server=True), self._resolvers)
        self._authorities = Authorities({}, default=self.acceptor)
        self._ports: list[Port] = []
        self._tcp_ports = 0

    async def listen(
        self,
        address: Address,
        handler: ChannelHandler,
        *,
        transport: Transport = Transport.TLS,
    ) -> Address:
        """Accept associations here; the handler runs for each. Returns the address in use."""
        return await self.listen_over((transport,), address, handler)

    async def listen_over(
        self, transports: Sequence[Transport], address: Address, handler: ChannelHandler
    ) -> Address:
        """The same over several transports at once, on one port number."""
        limits = {transport: self._limits_over(transport) for transport in transports}

        async def port(transport: Transport) -> Port:
            return channel_port(transport, self._authorities, handler, limits[transport])

        started, address = await start_together(port, address, transports)
        self._ports += started
        return address

    async def listen_requests(
        self, address: Address, handler: RequestHandler, *, transport: Transport = Transport.TLS
    ) -> Address:
        """Accept associations here and answer oneM2M requests: HTTP over TLS, CoAP over DTLS.

        Returns:
            The address in use.
        """
        port = await request_port(transport, self._authorities, handler, self._limits_over(transport))
        return await self._start(address, port)

    async def carry_over(
        self, transports: Sequence[Transport], address: Address, handler: CarriedHandler
    ) -> Address:
        """The same for a handler that carries primitives on, over several transports on one port number."""
        limits = {transport: self._limits_over(transport) for transport in transports}

        async def port(transport: Transport) -> Port:
            return await carrying_port(transport, self._authorities, handler, limits[transport])

        started, address = await start_together(port, address, transports)
        self._ports += started
        return address

    def _limits_over(self, transport: Transport) -> Limits:
        if transport is Transport.DTLS:  # all its peers share one descriptor
            return self._limits
        self._tcp_ports += 1
        return self._limits.fitted(open_files(), ports=2**self._tcp_ports)

    async def _start(self, address: Address, port: Port) -> Address:
        self._ports.append(port)
        return await port.start(address)

    async def forget(self, key_id: KeyIdentifier) -> None:
        """Trust a provisioned key no more, and ask the MAF again about a Kc; the sessions made with it end.

        For a Kc that the MAF still has for us, they go on.
        """
        self._provisioned.forget(key_id)
        self._through_mafs.forget(key_id)
        for port in self._ports:
            await port.open_sessions.look(at_all=True)

    async def stop(self) -> None:
        """Accept nobody more, let what is under way finish, all ports within one grace period, and close."""
        await together(*(port.stop() for port in self._ports))
        await self._resolvers.stop()
        clients: list[MafClient | MefClient | BsfClient] = [*self._mafs.values(), *self._mefs, *self._bsfs]
        await together(*(client.close() for client in clients))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
