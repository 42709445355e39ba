"""What an agent is to be, by flags or by a file, as one frozen value; and the agent that it comes to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from ..clients.kept_association import KeptAssociation
from ..defaults import AGENT_ANSWER
from ..errors import ConfigurationError
from ..extras import require
from ..frameworks.steps import How, Initiator
from ..identifiers import EntityId
from ..net.address import Address
from ..net.coap import CoapServer
from ..net.http import http_answer
from ..net.limits import Limits
from ..net.link import Link
from ..net.local_address import LocalAddress, is_loopback, require_loopback
from ..net.plain_port import PlainHttpPort, for_programs
from .agent import Agent
from .agent_back import BackPlan, WayBack
from .carriers import carrier
from .originators import OriginatorRule


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """An agent to run.

    Attributes:
        registrar: IdB.
        link: Where it listens, over what.
        listen: Where entities of this machine ask over HTTP, in the clear.
        listen_coap: The same over CoAP.
        originator: What is done about From; None for what is usual for an AE or a CSE.
        at_start: Associate at the start, not at the first request.
        answer: How long an answer is waited for.
        beyond_loopback: Other machines may ask too.
        back: How the registrar reaches the entity beside us; None for not at all.

    Raises:
        ConfigurationError: It listens nowhere; or other machines would reach it, and may not.
    """

    registrar: EntityId
    link: Link
    listen: tuple[LocalAddress, ...] = ()
    listen_coap: tuple[Address, ...] = ()
    originator: OriginatorRule | None = None
    at_start: bool = True
    answer: timedelta = AGENT_ANSWER
    beyond_loopback: bool = False
    back: BackPlan | None = None

    def __post_init__(self) -> None:
        if not self.listen and not self.listen_coap:
            raise ConfigurationError("an agent listens somewhere: give a place for HTTP or for CoAP")
        for address in () if self.beyond_loopback else (*self.listen, *self.listen_coap):
            require_loopback(address)

    def __str__(self) -> str:
        """The agent, for people."""
        return f"agent for {self.registrar}, on {' and '.join(map(str, (*self.listen, *self.listen_coap)))}"

    @property
    def limits(self) -> Limits:
        """Bounds on time, size and number, at its ports and towards the registrar."""
        return replace(self.link.limits or Limits(), request_seconds=self.answer.total_seconds())


@dataclass(frozen=True, slots=True)
class Running:
    """An agent that listens.

    Attributes:
        agent: The agent.
        listening: Where, as it is told to people.
    """

    agent: Agent
    listening: tuple[str, ...]

    def __str__(self) -> str:
        """The one line that is printed when it serves."""
        return f"agent for {self.agent.registrar} listening on {' and '.join(self.listening)}"


@contextlib.asynccontextmanager
async def running(plan: AgentPlan, how: How) -> AsyncIterator[Running]:
    """An agent that listens, until it is left.

    Args:
        plan: What it is to be.
        how: How we prove ourselves to the registrar.

    Raises:
        ConfigurationError: An address cannot be listened on, or the extra ``server`` is missing.
    """
    require("server")
    back = None if plan.back is None else WayBack(plan.back, plan.limits)
    opened: Callable[[Initiator], None] = (lambda _: None) if back is None else back.opened
    kept = KeptAssociation(replace(plan.link, limits=plan.limits), how, opened=opened)
    agent = Agent(
        kept,
        carrier(kept, plan.link.address.host),
        plan.registrar,
        rule=plan.originator,
        at_start=plan.at_start,
        back=back,
    )
    listening = []
    async with agent:
        for local in plan.listen:
            by_name = isinstance(local, Address) and is_loopback(local.host)
            answer = for_programs(http_answer(agent.handle, plan.limits), hosts=by_name)
            port = PlainHttpPort(answer, limits=plan.limits)
            listening.append(f"{await agent.listen(port, local)} (HTTP)")
        for address in plan.listen_coap:
            from ..net.coap_plain import PlainCoapPort  # noqa: PLC0415 - for who listens there

            server = await CoapServer.carrying(agent.handle, plan.limits)
            listening.append(f"{await agent.listen(PlainCoapPort(server), address)} (CoAP)")
        yield Running(agent, tuple(listening))
