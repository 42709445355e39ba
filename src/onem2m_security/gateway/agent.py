"""Entity A beside an AE or a CSE that knows nothing of security: ports on this machine, and the association.

What comes to a port in the clear goes to the registrar through one association that is kept, and the answer
comes back; of either, nothing but From is looked at.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol, Self

from ..clients.kept_association import KeptAssociation
from ..errors import AnswerTimeoutError, SecurityFrameworkError
from ..identifiers import EntityId
from ..onem2m.carried import CarriedRequest, CarriedResponse
from ..onem2m.primitives import RefusedError, Rsc
from ..tasks import GRACE_SECONDS, Tasks, together
from ..telemetry import LOG
from .agent_back import WayBack
from .carriers import Carrier
from .originators import OriginatorRule, Originators


class LocalPort(Protocol):
    """A port for the entities of this machine."""

    async def listen(self, address: Any) -> Any:  # noqa: ANN401 - each kind of port has its own addresses
        """Listen; returns the address in use."""

    async def stop(self, *, grace: float = GRACE_SECONDS) -> None:
        """Accept nobody more, and let what is under way finish."""


class Agent:
    """One association and the ports through which it is used; an asynchronous context manager that ends both.

    Attributes:
        kept: The association.
        registrar: IdB.
    """

    def __init__(
        self,
        kept: KeptAssociation,
        carrier: Carrier,
        registrar: EntityId,
        *,
        rule: OriginatorRule | None = None,
        at_start: bool = False,
        back: WayBack | None = None,
    ) -> None:
        """An agent that does not listen yet.

        Args:
            kept: The association.
            carrier: What carries requests over it.
            registrar: IdB.
            rule: What is done about From; None for what is usual for an AE or a CSE.
            at_start: Associate when it is entered, not at the first request.
            back: How the registrar reaches the entity beside us; None for not at all.
        """
        self.kept = kept
        self.registrar = registrar
        self._carrier = carrier
        self._rule = rule
        self._at_start = at_start
        self._back = back
        self._originators: Originators | None = None
        self._turn = asyncio.Lock()
        self._is_away = False
        self._ports: list[LocalPort] = []
        self._tasks = Tasks()

    async def handle(self, request: CarriedRequest, _: object = None) -> CarriedResponse:
        """Carry a request on, and give the answer back.

        Raises:
            RefusedError: It is somebody else's; or the binding to the registrar cannot carry what it says.
        """
        try:
            originators = await self._known_originators()
            asked = originators.applied(request)
            if self._back is None:
                response = await self._carrier.carry(asked)
            else:
                response = self._back.inward(asked, await self._carrier.carry(self._back.outward(asked)))
        except RefusedError:
            raise
        except AnswerTimeoutError as error:
            return self._failed(request, Rsc.REQUEST_TIMEOUT, "the registrar gave no answer in time", error)
        except SecurityFrameworkError as error:
            return self._failed(request, Rsc.TARGET_NOT_REACHABLE, "the registrar cannot be reached", error)
        if self._is_away:
            self._is_away = False
            LOG.info("the registrar is reached again", registrar=str(self.registrar))
        return response

    async def _known_originators(self) -> Originators:
        """The association says who we are."""
        async with self._turn:
            if self._originators is None:
                if self.kept.association is None:
                    await self._carrier.open_another()
                association = self.kept.association
                assert association is not None  # noqa: S101 - a session was opened
                self._originators = Originators.of(self._rule, association.local, self.registrar)
            return self._originators

    def _failed(
        self, request: CarriedRequest, rsc: Rsc, told: str, error: SecurityFrameworkError
    ) -> CarriedResponse:
        """The answer, without internals; the log tells once what it is, until it is over."""
        if not self._is_away:
            self._is_away = True
            LOG.warning("a request is not carried", registrar=str(self.registrar), error=str(error))
        return CarriedResponse.refusal(RefusedError(rsc, told), request.request_id, request.release_version)

    async def listen(self, port: LocalPort, address: object) -> Any:  # noqa: ANN401 - as the port says
        """Serve the entities of this machine here; returns the address in use.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        self._ports.append(port)
        return await port.listen(address)

    async def stop(self) -> None:
        """Let what is under way finish, then end the association."""
        await together(*(port.stop() for port in self._ports))
        await self._tasks.stop(0)
        if self._back is not None:
            await self._back.stop()
        await self._carrier.close()

    async def __aenter__(self) -> Self:
        keeping = self.kept.keep(self._carrier.open_another, at_start=self._at_start)
        self._tasks.start(keeping, _not_kept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _not_kept(error: BaseException) -> None:
    LOG.error("the association is not renewed any more", error=repr(error))
