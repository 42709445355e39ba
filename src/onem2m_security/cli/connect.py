"""``m2msec connect``: to the frameworks what s_client is to TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError
from ..identifiers import EntityId
from ..net.address import Address
from .associations import report as report_on
from .common import entity_parser, log_to_stderr, parsed
from .options.credentials import ReportOptions, SessionOptions
from .options.described import ConfigOption, described
from .options.grouping import grouped
from .options.who import WhoOptions
from .peer_data import print_data
from .standard_input import standard_input

if TYPE_CHECKING:
    from ..net.channel import Channel
    from ..net.link import Link


def _named(address: str, peer: EntityId | None, session: SessionOptions) -> tuple[EntityId, Link]:
    """Who Entity B is and the way to it, without a configuration file."""
    if peer is None:
        raise ConfigurationError("give --peer IDB: whom we mean to reach; or --config FILE with this peer")
    return peer, session.link(Address.parse(address))


@grouped
def connect(
    where: Annotated[
        str, typer.Argument(metavar="HOST:PORT|IDB", help="Entity B; with --config, by its identity.")
    ],
    who: WhoOptions,
    session: SessionOptions,
    report: ReportOptions,
    peer: Annotated[
        EntityId | None, parsed(entity_parser, "--peer", metavar="IDB", help="Entity B's CSE-ID.")
    ] = None,
    config: ConfigOption = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for answers after input ends.")
    ] = 1.0,
) -> None:
    """Be Entity A: associate with Entity B, then carry standard input and output through the session.

    With --config the file says where Entity B is and how we prove ourselves: m2msec connect /in-cse --config
    device.toml. Without it give --maf, --km-id and --km-file for the MAF-based framework, --kpsa-id and
    --kpsa-file for a provisioned key, --credentials for what m2msec enrol keeps, or --entity, --cert, --key
    and what Entity B's certificate must prove: --peer-name and --root-of-trust, or --flavour, --peer-id and
    --trust-anchor, or --entity, --card and --bsf for GBA (with --maf and --maf-id: through a MAF). With
    --json the first line of output is the association; otherwise it goes to standard error.
    """
    from ..net.loop import run

    log_to_stderr(verbose=report.verbose)

    async def main() -> None:
        if config is None:
            channel = await who.associate(*_named(where, peer, session))
        else:
            channel = await described(config, peer, who, session).associate(EntityId.parse(where))
        report_on(channel.established, as_json=report.as_json)
        await _carry(channel, wait)

    run(main())


async def _carry(channel: Channel, wait: float) -> None:
    """Standard input to the peer, the peer to standard output, until either ends."""
    import asyncio

    from ..tasks import until_first

    async def outward() -> None:
        source = await standard_input()
        while data := await source.read(channel.max_write):
            await channel.write(data)
        await asyncio.sleep(wait)  # for what the peer still answers

    async def inward() -> None:
        while data := await channel.read():
            print_data(data, channel.association, as_json=False)

    async with channel:
        await until_first(outward(), inward())
