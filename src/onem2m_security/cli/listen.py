"""``m2msec listen``: to the frameworks what s_server is to TLS."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Never

import typer

from ..defaults import WORD_REMEMBERED
from ..errors import ConfigurationError
from ..identifiers import EntityId
from ..net.address import Address, Transport
from .associations import report as report_on
from .common import RememberOption, entity_parser, log_to_stderr, over, parsed
from .options.credentials import ReportOptions, SessionOptions
from .options.described import ConfigOption, described
from .options.grouping import OptionGroup, grouped
from .options.sources import SourceOptions
from .peer_data import print_data
from .standard_input import standard_input

if TYPE_CHECKING:
    import asyncio

    from ..clients.entity_b import EntityB
    from ..net.channel import Channel


@dataclass(frozen=True, slots=True)
class Accepting:
    """An Entity B, not running yet, and where it is to listen."""

    entity_b: AbstractAsyncContextManager[EntityB]
    address: Address
    transports: Sequence[Transport]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityBOptions(OptionGroup):
    """Who an Entity B is, where it listens, and by what others prove themselves to it."""

    listen: Annotated[
        Address | None,
        parsed(
            Address.parse,
            "--listen",
            metavar="HOST:PORT",
            help="Where to listen; port 0 lets the system choose.",
        ),
    ] = None
    cse_id: Annotated[
        EntityId | None, parsed(entity_parser, "--cse-id", metavar="IDB", help="Our own CSE-ID.")
    ] = None
    sources: SourceOptions
    session: SessionOptions
    remember: RememberOption = WORD_REMEMBERED

    def accepting(self, *, body_octets: int | None = None) -> Accepting:
        """The Entity B that the options say.

        Args:
            body_octets: Longest body of a request; None for the usual.

        Raises:
            ConfigurationError: They do not say where or who it is, or nobody could associate with it.
        """
        from ..clients.entity_b import EntityB

        if self.listen is None or self.cse_id is None:
            raise ConfigurationError("give --listen HOST:PORT and --cse-id IDB, or --config FILE")
        parts, limits = self.sources.parts(self.cse_id, self.session.link), self.session.limits
        entity_b = EntityB(
            self.cse_id,
            keys=parts.keys,
            mafs=parts.mafs,
            mefs=parts.mefs,
            bsfs=parts.bsfs,
            endpoint=parts.endpoint,
            remembered=self.remember,
            limits=replace(limits, body_octets=body_octets or limits.body_octets),
        )
        return Accepting(entity_b, self.listen, (self.session.transport,))


@grouped
def listen(
    being: EntityBOptions,
    report: ReportOptions,
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first association.")] = False,
) -> None:
    """Be Entity B: accept associations, and carry standard input and output through the newest session.

    With --config the file says where we listen, who we are, and what each peer must prove: m2msec listen
    --config cse.toml. Without it give --maf, --km-id and --km-file to retrieve Kc from a MAF, --mef,
    --mef-key-id and --mef-key-file to fetch Kpsa of an Enrolee from an MEF, --bsf, --bsf-key-id and
    --bsf-key-file (and --naf) to fetch keys of subscribers from a BSF, --kpsa-id and --kpsa-file for a
    provisioned key, --cert and --key with whose certificates to accept (one peer by options, many by
    --associations), or several of these: one port serves all. Prints one line to standard error when it
    accepts clients. With --json each association is a line of output, and so is what a peer sends:
    {"from": IDA, "data": base64}; otherwise associations go to standard error, and what peers send to
    standard output as it is.
    """
    from ..net.descriptors import raise_open_files
    from ..net.loop import run

    log_to_stderr(verbose=report.verbose)
    raise_open_files()
    if config is None:
        accepting = being.accepting()
    else:
        description = described(config, being)
        settings = description.accepting
        accepting = Accepting(description.entity_b(), settings.listen, settings.transports)
    run(_accept(accepting, once=once, as_json=report.as_json))


async def _accept(accepting: Accepting, *, once: bool, as_json: bool) -> None:
    """Accept and carry until a signal or, if only one association is wanted, until its end."""
    import asyncio

    from ..net.loop import until_signalled
    from ..tasks import until_first

    finished = asyncio.Event()
    newest: list[Channel] = []

    async def accepted(channel: Channel) -> None:
        report_on(channel.established, as_json=as_json)
        newest[:] = [channel]
        with contextlib.suppress(OSError):
            while data := await channel.read():
                print_data(data, channel.association, as_json=as_json)
        finished.set()

    async with accepting.entity_b as entity_b:
        bound = await entity_b.listen_over(accepting.transports, accepting.address, accepted)
        where = f"{bound} ({over(accepting.transports)})"
        signalled = until_signalled()
        print(f"{entity_b.acceptor.local} listening on {where}", file=sys.stderr, flush=True)
        await until_first(signalled, _forward_to(newest), *([_wait_for(finished)] if once else []))


async def _wait_for(event: asyncio.Event) -> None:
    await event.wait()


async def _forward_to(newest: list[Channel]) -> Never:
    """Standard input to the newest session; the end of the one does not end the other."""
    import asyncio

    source = await standard_input()
    while data := await source.read(newest[0].max_write if newest else 1024):
        if newest and not newest[0].closing:
            for start in range(0, len(data), newest[0].max_write):
                await newest[0].write(data[start : start + newest[0].max_write])
    while True:
        await asyncio.Event().wait()
