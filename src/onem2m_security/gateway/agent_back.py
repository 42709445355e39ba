"""The way back at an agent: Entity A receives the registrar's requests over SA2 (TS-0003 clause 8.2.1).

The agent is the (D)TLS server of it, with the credential of SA1; what comes goes to the entity beside it, in
the clear, at the one address that was configured, and nowhere else on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import AnswerTimeoutError, ConfigurationError, ResolverUnavailableError, SecurityFrameworkError
from ..frameworks.request_reachable import KeysOfSa1, acceptor
from ..frameworks.steps import Authorities, Established, Initiator
from ..net.address import Address, Transport
from ..net.limits import Limits
from ..net.ports import Port, carrying_port
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import RefusedError, Rsc
from ..tasks import Tasks
from ..telemetry import LOG
from .points_of_access import mapped, may_register
from .upstream import upstream
from .upstream_terms import UpstreamAddress, UpstreamTerms

_SCHEMES = {Transport.TLS: "https", Transport.DTLS: "coaps"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackPlan:
    """How the registrar reaches the entity beside an agent.

    Attributes:
        to: Where the entity listens, in the clear: the authority of the pointOfAccess that it registers with.
        listen: Where the agent listens for the registrar.
        at: Where the registrar finds that; None for the same.
        transport: Over what: that of the association.

    Raises:
        ConfigurationError: Nobody could be told where it listens.
    """

    to: UpstreamAddress
    listen: Address
    at: Address | None = None
    transport: Transport = Transport.TLS

    def __post_init__(self) -> None:
        if self.at is None and self.listen.port == 0:
            raise ConfigurationError(
                "the registrar must find the way back: give a port to listen on, or where it is"
            )

    @classmethod
    def of(
        cls, to: UpstreamAddress | None, listen: Address | None, at: Address | None, transport: Transport
    ) -> BackPlan | None:
        """As settings say it; None where they say nothing.

        Raises:
            ConfigurationError: They say only a part of it.
        """
        if to is None and listen is None and at is None:
            return None
        if to is None or listen is None:
            raise ConfigurationError(
                "the way back takes where the entity listens (to) and where we do (listen)"
            )
        return cls(to=to, listen=listen, at=at, transport=transport)

    @property
    def own(self) -> str:
        """The authority of the pointOfAccess that the registrar is told, with its scheme."""
        return f"{_SCHEMES[self.transport]}://{self.at or self.listen}"

    @property
    def plain(self) -> str:
        """The same of the one that the entity registers with."""
        return str(self.to)


class WayBack:
    """The server of SA2, which listens as soon as SA1 has been there once."""

    def __init__(self, plan: BackPlan, limits: Limits) -> None:
        """Nothing is opened yet."""
        self._plan = plan
        self._limits = limits
        self._keys = KeysOfSa1()
        self._upstream = upstream(plan.to, limits, UpstreamTerms())
        self._tasks = Tasks()
        self._port: Port | None = None
        self._is_begun = False

    def opened(self, initiator: Initiator) -> None:
        """A session of SA1 was opened by this; the first one begins it."""
        self._keys.add(initiator)
        if not self._is_begun:
            self._is_begun = True
            self._tasks.start(self._listen(initiator), self._failed)

    async def _listen(self, initiator: Initiator) -> None:
        authorities = Authorities({}, default=acceptor(initiator, self._keys))
        self._port = await carrying_port(self._plan.transport, authorities, self._answer, self._limits)
        address = await self._port.start(self._plan.listen)
        LOG.info("reachable for the registrar", address=str(address), entity=self._plan.plain)

    def _failed(self, error: BaseException) -> None:
        self._is_begun = False  # with the next session of SA1 it is tried again
        LOG.error("not reachable for the registrar", error=str(error) or repr(error))

    def outward(self, request: CarriedRequest) -> CarriedRequest:
        """A registration as the registrar gets it."""
        if not may_register(request):
            return request
        return mapped(request, lambda uri: _moved(uri, self._plan.plain, self._plan.own))

    def inward(self, request: CarriedRequest, response: CarriedResponse) -> CarriedResponse:
        """The answer to it as the entity gets it."""
        if not may_register(request):
            return response
        return mapped(response, lambda uri: _moved(uri, self._plan.own, self._plan.plain))

    async def _answer(self, request: CarriedRequest, established: Established) -> CarriedResponse:
        del established  # whoever has a session here is the registrar: nobody else has the key
        try:
            return await self._upstream.carry(request)
        except AnswerTimeoutError as error:
            return self._refused(request, Rsc.REQUEST_TIMEOUT, error)
        except ResolverUnavailableError as error:
            return self._refused(request, Rsc.TARGET_NOT_REACHABLE, error)

    def _refused(self, request: CarriedRequest, rsc: Rsc, error: SecurityFrameworkError) -> CarriedResponse:
        LOG.warning("a request of the registrar is not delivered", entity=self._plan.plain, error=str(error))
        refused = RefusedError(rsc, "the entity cannot be reached")
        return CarriedResponse.refusal(refused, request.request_id, request.release_version)

    async def stop(self) -> None:
        """Accept nobody more, and let what is under way finish."""
        await self._tasks.stop(0)
        if self._port is not None:
            await self._port.stop()
        await self._upstream.close()


def _moved(uri: str, old: str, new: str) -> str:
    """A URI below one authority, below another."""
    rest = uri.removeprefix(old)
    return new + rest if rest != uri and rest[:1] in {"", "/", "?"} else uri
