"""The agents that a file describes, and how each proves itself to its registrar."""

from __future__ import annotations

import contextlib

from ..frameworks.steps import How
from ..gateway.agent_back import BackPlan
from ..gateway.agent_plan import AgentPlan
from ..gateway.originators import Originators
from ..net.local_address import LocalAddress, UnixSocket
from .agent_settings import AgentSettings
from .description import Description


def plans(description: Description) -> list[AgentPlan]:
    """The agents that a file describes.

    Raises:
        ConfigurationError: One cannot be; or the file does not say who we are.
    """
    return [_plan(description, settings) for settings in description.settings.agent]


def _plan(description: Description, settings: AgentSettings) -> AgentPlan:
    Originators.of(settings.originator, description.local, settings.peer)
    link = description.meeting(settings.peer).link
    return AgentPlan(
        registrar=settings.peer,
        link=link,
        listen=tuple(_beside(description, address) for address in settings.listen),
        listen_coap=settings.listen_coap,
        originator=settings.originator,
        at_start=settings.at_start,
        answer=settings.answer,
        beyond_loopback=settings.beyond_loopback,
        back=BackPlan.of(settings.back_to, settings.back_listen, settings.back_at, link.transport),
    )


def _beside(description: Description, address: LocalAddress) -> LocalAddress:
    return UnixSocket(description.here / address.path) if isinstance(address, UnixSocket) else address


async def proofs(description: Description, closing: contextlib.AsyncExitStack) -> list[tuple[AgentPlan, How]]:
    """The agents, and how each proves itself to its registrar.

    Args:
        description: The file.
        closing: Closes what that takes when the agents have ended.

    Raises:
        ConfigurationError: As for ``plans``; or a file cannot be used.
        SecurityFrameworkError: As the framework says.
    """
    return [
        (plan, await description.meeting(plan.registrar, closing=closing).how())
        for plan in plans(description)
    ]


async def enrol(description: Description) -> None:
    """Bootstrap with every MEF of the file with which we are not enrolled yet.

    Raises:
        ConfigurationError: A file cannot be used.
        SecurityFrameworkError: An MEF cannot be reached, or refuses us.
    """
    for settings in description.settings.enrolment:
        async with description.enrolee(settings.mef) as enrolee:
            for target in enrolee.targets:
                await enrolee.credentials(target)
