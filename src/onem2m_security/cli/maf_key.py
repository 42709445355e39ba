"""``m2msec maf key``: a MAF client that registers, retrieves, updates and withdraws keys (8.8.2.7 to 10)."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..clock import CLOCK
from ..durations import parse_duration
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..net.address import Address, Transport
from .common import (
    KEY_FORMAT,
    RevealOption,
    TransportOption,
    entity_parser,
    log_to_stderr,
    parsed,
    read_key,
)
from .options.grouping import OptionGroup, grouped

if TYPE_CHECKING:
    from ..clients.distributed_keys import DistributedKey, KeyClient

app = typer.Typer(help="Keys that the MAF distributes, as its client.", no_args_is_help=True)


def _suid(text: str) -> Suid:
    try:
        return Suid(int(text))
    except ValueError:
        raise ConfigurationError(f"{text[:20]!r} is not a Security Usage Identifier: 32 to 35") from None


MafAddress = Annotated[
    Address,
    typer.Argument(parser=Address.parse, metavar="HOST:PORT", help="Where the MAF listens."),
]
KeyIdArgument = Annotated[
    KeyIdentifier,
    typer.Argument(parser=KeyIdentifier.parse, metavar="KEYID", help="The key: RelativeKeyID@MAF-FQDN."),
]
SuidOption = Annotated[
    Suid,
    parsed(
        _suid, "--suid", metavar="SUID", help="32 association, 33 ESPrim, 34 and 35 ESData: what it is for."
    ),
]
TargetsOption = Annotated[
    list[EntityId] | None,
    parsed(
        entity_parser,
        "--target",
        metavar="ID",
        help="Who may retrieve it, an absolute CSE-ID or AE-ID; repeat for several (34, 35).",
    ),
]
LifetimeOption = Annotated[
    timedelta | None,
    parsed(parse_duration, "--expires-in", metavar="DURATION", help="When it is to end; the MAF decides."),
]
LabelsOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="TEXT", help="A free text; repeat for several.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions(OptionGroup):
    """Who we are to the MAF."""

    km_id: Annotated[
        KeyIdentifier,
        parsed(KeyIdentifier.parse_km_id, "--km-id", metavar="KMID", help="Our KmId: relative@MAF-FQDN."),
    ]
    km_file: Annotated[
        str, typer.Option("--km-file", metavar="FILE|-", help=f"Our Master Credential: {KEY_FORMAT}.")
    ]
    entity: Annotated[
        EntityId, parsed(entity_parser, "--entity", metavar="ID", help="Our CSE-ID or AE-ID, as it knows us.")
    ]
    transport: TransportOption = Transport.TLS

    def run(self, address: Address, work: Callable[[KeyClient, Fqdn], Coroutine[Any, Any, None]]) -> None:
        """Do this as a client of the MAF there."""
        import asyncio

        from ..clients.maf import MafClient
        from ..frameworks import maf_handshake
        from ..net.link import Link

        log_to_stderr(verbose=False)
        km = maf_handshake.credential(self.km_id, read_key(self.km_file))
        maf = self.km_id.fqdn
        how = maf_handshake.initiate(self.entity, maf, km)

        async def do() -> None:
            client = MafClient(maf, Link(address, self.transport), how)
            try:
                await work(client.keys, maf)
            finally:
                await client.close()

        asyncio.run(do())


@app.command()
@grouped
def register(
    address: MafAddress,
    client: ClientOptions,
    suid: SuidOption,
    target: TargetsOption = None,
    admin: Annotated[
        Fqdn | None,
        parsed(Fqdn.parse, "--admin", metavar="FQDN", help="The stakeholder, adminFQDN; default: the MAF."),
    ] = None,
    expires_in: LifetimeOption = None,
    key_file: Annotated[
        str | None,
        typer.Option(
            "--key-file", metavar="FILE|-", help=f"A key of our own: {KEY_FORMAT}. Default: the session's."
        ),
    ] = None,
    label: LabelsOption = None,
    reveal: RevealOption = False,
) -> None:
    """Register a key for these targets, and as a client for the stakeholder first; prints the key as JSON."""
    from ..clients.maf import PROPOSED_LIFETIME

    own = None if key_file is None else read_key(key_file)

    async def work(keys: KeyClient, maf: Fqdn) -> None:
        made = await keys.register(
            expires=CLOCK.now() + (expires_in or PROPOSED_LIFETIME),
            targets=tuple(target or ()),
            admin=admin or maf,
            suid=suid,
            key=own,
            labels=tuple(label or ()),
        )
        _show(made, reveal=reveal)

    client.run(address, work)


@app.command()
@grouped
def retrieve(
    address: MafAddress, key_id: KeyIdArgument, client: ClientOptions, reveal: RevealOption = False
) -> None:
    """Retrieve a key of which we are a target; prints it as JSON."""

    async def work(keys: KeyClient, _: Fqdn) -> None:
        found = await keys.retrieve(key_id)
        if found is None:
            raise ConfigurationError(f"{key_id}: the MAF has no such key for {client.entity}")
        _show(found, reveal=reveal)

    client.run(address, work)


@app.command()
@grouped
def update(
    address: MafAddress,
    key_id: KeyIdArgument,
    client: ClientOptions,
    target: TargetsOption = None,
    expires_in: LifetimeOption = None,
    label: LabelsOption = None,
) -> None:
    """Change the targets, the end or the labels of a key of ours."""

    async def work(keys: KeyClient, _: Fqdn) -> None:
        await keys.update(
            key_id,
            expires=None if expires_in is None else CLOCK.now() + expires_in,
            labels=None if label is None else tuple(label),
            targets=None if target is None else tuple(target),
        )

    client.run(address, work)


@app.command()
@grouped
def deregister(address: MafAddress, key_id: KeyIdArgument, client: ClientOptions) -> None:
    """Have a key of ours distributed no more."""

    async def work(keys: KeyClient, _: Fqdn) -> None:
        await keys.deregister(key_id)

    client.run(address, work)


def _show(key: DistributedKey, *, reveal: bool) -> None:
    shown = {
        "key_id": key.key_id.hex,
        "credential_id": str(key.credential_id),
        "suid": int(key.suid),
        "source": None if key.source is None else str(key.source),
        "targets": [str(target) for target in key.targets],
        "admin": None if key.admin is None else str(key.admin),
        "labels": list(key.labels),
        "expires": None if key.expires is None else key.expires.isoformat(),
        "fingerprint": key.key.fingerprint,
    }
    if reveal:
        shown["key"] = key.key.reveal().hex()
    print(json.dumps(shown, indent=2))
