"""``m2msec agent``: Entity A beside an AE or a CSE that knows nothing of security."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ..defaults import AGENT_ANSWER
from ..durations import parse_duration
from ..errors import ConfigurationError
from ..gateway.originators import OriginatorRule
from ..gateway.upstream_terms import UpstreamAddress
from ..identifiers import EntityId
from ..net.address import Address
from ..net.local_address import parse_local
from .common import VerboseOption, entity_parser, log_to_stderr, parsed
from .options.credentials import SessionOptions
from .options.described import ConfigOption, described
from .options.factory import FactoryOptions
from .options.grouping import OptionGroup, grouped
from .options.who import WhoOptions

if TYPE_CHECKING:
    from ..frameworks.steps import How
    from ..gateway.agent_plan import AgentPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions(OptionGroup):
    """Where an agent listens, and the registrar that it leads to."""

    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT|unix:PATH",
            help="Where the AE asks over plain HTTP: loopback, or a Unix socket; repeat for several.",
        ),
    ] = None
    listen_coap: Annotated[
        list[Address] | None,
        parsed(
            Address.parse,
            "--listen-coap",
            metavar="HOST:PORT",
            help="Where the AE asks over plain CoAP; repeat for several.",
        ),
    ] = None
    peer: Annotated[
        EntityId | None, parsed(entity_parser, "--peer", metavar="IDB", help="The registrar's CSE-ID.")
    ] = None
    to: Annotated[
        Address | None,
        parsed(Address.parse, "--to", metavar="HOST:PORT", help="Where the registrar listens."),
    ] = None
    originator: Annotated[
        OriginatorRule | None,
        typer.Option(
            "--from",
            help="Pass From as it is, fill it in where it is missing (default for an AE), or insist on it.",
        ),
    ] = None
    at_first_use: Annotated[
        bool, typer.Option("--at-first-use", help="Associate at the first request, not at the start.")
    ] = False
    answer: Annotated[
        timedelta,
        parsed(
            parse_duration,
            "--answer",
            metavar="DURATION",
            help="How long an answer of the registrar is waited for.",
        ),
    ] = AGENT_ANSWER
    beyond_loopback: Annotated[
        bool, typer.Option("--beyond-loopback", help="Let other machines ask too, in the clear.")
    ] = False

    back_to: Annotated[
        UpstreamAddress | None,
        parsed(
            UpstreamAddress.parse,
            "--back-to",
            metavar="URL",
            help="The AE's own pointOfAccess, http://HOST:PORT: the registrar reaches it by us.",
        ),
    ] = None
    back_listen: Annotated[
        Address | None,
        parsed(
            Address.parse, "--back-listen", metavar="HOST:PORT", help="Where we listen for the registrar."
        ),
    ] = None
    back_at: Annotated[
        Address | None,
        parsed(
            Address.parse, "--back-at", metavar="HOST:PORT", help="Where it finds that; default: the same."
        ),
    ] = None

    def plan(self, session: SessionOptions) -> AgentPlan:
        """The agent that the options say.

        Raises:
            ConfigurationError: They do not say where it listens or who the registrar is, or it cannot be.
        """
        from ..gateway.agent_back import BackPlan
        from ..gateway.agent_plan import AgentPlan

        if self.peer is None or self.to is None or not (self.listen or self.listen_coap):
            raise ConfigurationError(
                "give --listen HOST:PORT, --peer IDB and --to HOST:PORT, or --config FILE"
            )
        return AgentPlan(
            registrar=self.peer,
            link=session.link(self.to),
            listen=tuple(map(parse_local, self.listen or ())),
            listen_coap=tuple(self.listen_coap or ()),
            originator=self.originator,
            at_start=not self.at_first_use,
            answer=self.answer,
            beyond_loopback=self.beyond_loopback,
            back=BackPlan.of(self.back_to, self.back_listen, self.back_at, session.transport),
        )


@grouped
def agent(
    being: AgentOptions,
    who: WhoOptions,
    session: SessionOptions,
    factory: FactoryOptions,
    config: ConfigOption = None,
    enrol: Annotated[
        bool,
        typer.Option("--enrol", help="Enrol first, unless we are: from a factory key to a working port."),
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Be Entity A beside an AE or a CSE that knows nothing of security.

    What it asks in the clear at --listen goes through one association to the registrar --peer, and the
    answer comes back. The association is opened by whatever credential is given, as for m2msec connect; Kc
    is kept and used again, and renewed before it ends. With --config the file says it all: m2msec agent
    --config device.toml. Whoever may open the port acts as this entity: only this machine may, unless
    --beyond-loopback is given. Prints one line when it serves,
    and ends with SIGTERM or SIGINT.
    """
    from ..net.descriptors import raise_open_files
    from ..net.loop import run

    log_to_stderr(verbose=verbose)
    raise_open_files()

    async def main() -> None:
        async with contextlib.AsyncExitStack() as closing:
            if config is not None:
                await _serve(await _by_file(closing))
                return
            plan = being.plan(session)
            if enrol:
                await factory.enrol(who.enrolled.credentials, plan.registrar, session, who.release)
            await _serve([(plan, await who.how(plan.registrar, plan.link, closing))])

    async def _by_file(closing: contextlib.AsyncExitStack) -> list[tuple[AgentPlan, How]]:
        assert config is not None  # noqa: S101 - it was asked before
        description = described(config, being, who, session, factory)
        # pydantic takes long to load: only who has such a file waits for it.
        from ..configuration import agents

        if not description.settings.agent:
            raise ConfigurationError(f"{config}: there is no agent to run: give [agent] with peer and listen")
        if enrol:
            await agents.enrol(description)
        return await agents.proofs(description, closing)

    run(main())


async def _serve(agents: Iterable[tuple[AgentPlan, How]]) -> None:
    from ..gateway.agent_plan import running
    from ..net.loop import until_signalled

    async with contextlib.AsyncExitStack() as serving:
        started = [await serving.enter_async_context(running(plan, how)) for plan, how in agents]
        signalled = until_signalled()
        for one in started:
            print(one, flush=True)
        await signalled
