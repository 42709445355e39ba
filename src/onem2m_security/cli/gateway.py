"""``m2msec gateway``: secure a CSE that knows nothing of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError
from ..extras import require
from ..gateway.upstream_terms import ANSWER_SECONDS, UpstreamAddress, UpstreamTerms
from ..identifiers import EntityId
from ..net.address import Address
from ..net.limits import Limits
from .common import ALL_TRANSPORTS, MetricsOption, VerboseOption, log_to_stderr, over, parsed
from .listen import EntityBOptions
from .options.described import ConfigOption, described
from .options.grouping import OptionGroup, grouped

if TYPE_CHECKING:
    from ..configuration.description import Description
    from ..gateway.running import GatewayService

_DATA = Path("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class BehindOptions(OptionGroup):
    """The CSE that is secured."""

    to: Annotated[
        UpstreamAddress | None,
        parsed(
            UpstreamAddress.parse,
            "--to",
            metavar="URL",
            help="The CSE, in the clear: http://HOST:PORT, coap://HOST:PORT or unix:PATH (HTTP).",
        ),
    ] = None
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Remember here whose an AE-ID is; default: ./gateway.",
        ),
    ] = None
    tell: Annotated[
        bool,
        typer.Option("--tell", help="Tell the CSE in X-Association headers what was proven."),
    ] = False
    answer_seconds: Annotated[
        float,
        typer.Option("--answer-seconds", min=0.1, help="How long the CSE may take for an answer."),
    ] = ANSWER_SECONDS
    back: Annotated[
        Address | None,
        parsed(
            Address.parse,
            "--back",
            metavar="HOST:PORT",
            help="Reach registrees at their pointOfAccess over SA2; the CSE asks for them here, on loopback.",
        ),
    ] = None
    body_octets: Annotated[
        int, typer.Option("--body-octets", min=1024, help="Longest content of a request or an answer.")
    ] = Limits().body_octets

    def service(self, being: EntityBOptions) -> GatewayService:
        """The gateway that the options say.

        Raises:
            ConfigurationError: They do not say where the CSE is, or who it is; or nobody could associate.
        """
        from ..gateway.running import GatewayService

        if self.to is None:
            raise ConfigurationError("give --to URL, where the CSE listens in the clear, or --config FILE")
        accepting = being.accepting(body_octets=self.body_octets)
        peer = being.sources.kpsa.kpsa_peer
        return GatewayService(
            entity_b=accepting.entity_b,
            listen=accepting.address,
            transports=ALL_TRANSPORTS,
            to=self.to,
            terms=UpstreamTerms(answer_seconds=self.answer_seconds),
            limits=replace(being.session.limits, body_octets=self.body_octets),
            data=self.data or _DATA,
            tells=self.tell,
            peers=() if peer is None else (peer,),
            back=self.back,
        )


@grouped
def gateway(
    being: EntityBOptions,
    behind: BehindOptions,
    config: ConfigOption = None,
    metrics: MetricsOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Be Entity B in front of a CSE: accept associations, and carry requests to it, if they may pass.

    HTTP over TLS and CoAP over DTLS, on one port number, by all frameworks; what an association does not
    prove, the CSE never sees (4106). --transport says how a MAF, an MEF or a BSF is asked. Prints one line
    when it accepts clients; with --verbose a line for each request goes to standard error. With --config the
    file says it all, for every [[gateway]] in it: m2msec gateway --config cse.toml.
    """
    from ..net.descriptors import raise_open_files
    from ..net.loop import run

    log_to_stderr(verbose=verbose)
    require("server")
    raise_open_files()
    if config is None:
        run(_serve([behind.service(being)], metrics))
    else:
        description = described(config, being, behind, metrics)
        run(_serve(list(_services(description)), description.settings.metrics))


def _services(description: Description) -> Iterable[GatewayService]:
    """The gateways of a file.

    Raises:
        ConfigurationError: There is none.
    """
    from ..gateway.running import GatewayService

    if not description.settings.gateway:
        raise ConfigurationError(
            f'{description.file}: there is no gateway to run: give [gateway] with listen and to = "URL"'
        )
    for settings in description.settings.gateway:
        local = settings.cse_id or description.local
        yield GatewayService(
            entity_b=description.entity_b(settings, local),
            listen=settings.listen,
            transports=settings.transports,
            to=settings.to,
            terms=settings.terms,
            limits=description.limits,
            data=description.here / settings.data,
            tells=settings.tell,
            peers=tuple(peer for peer, known in description.settings.peers.items() if known.trust),
            back=settings.back,
        )


async def _serve(services: list[GatewayService], metrics: Address | None) -> None:
    """Run gateways until a signal."""
    from ..net.loop import until_signalled

    async with contextlib.AsyncExitStack() as running:
        ready: list[tuple[EntityId, Address, GatewayService]] = []
        for service in services:
            local, address = await running.enter_async_context(service.running())
            ready.append((local, address, service))
        if metrics is not None:
            from prometheus_client import start_http_server

            start_http_server(metrics.port, metrics.host)
        signalled = until_signalled()
        for local, address, service in ready:
            where = f"{address} ({over(service.transports)})"
            print(f"gateway of {local} listening on {where}, to {service.to}", flush=True)
        await signalled
