"""``m2msec bsf``: run a BSF, provision its subscribers and the NAFs that it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ..clock import CLOCK
from ..durations import parse_duration
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address
from ..user_settings import as_list
from .common import (
    KEY_FORMAT,
    DataOption,
    OutOption,
    entity_parser,
    given_or_new,
    log_to_stderr,
    open_store,
    parsed,
    run_services,
)
from .options.grouping import grouped
from .options.listing import ListOptions
from .options.serving import BsfServingOptions, ServingOptions
from .options.subscribers import ImpiOption, SettingsOptions, SubscriberOptions
from .tables import Row, add_record, list_keys, list_pages

if TYPE_CHECKING:
    from ..store.records import KeyRecord, Subscription
    from ..store.store import Store

app = typer.Typer(help="The Bootstrapping Server Function of GBA.", no_args_is_help=True)

_T = TypeVar("_T")

NafKeyIdOption = Annotated[
    KeyIdentifier,
    parsed(
        KeyIdentifier.parse,
        "--key-id",
        metavar="KEYID",
        help="Identifier of its key here: relative@BSF-FQDN.",
    ),
]


@app.command()
@grouped
def serve(
    serving: ServingOptions,
    listen_ub: Annotated[
        Address,
        parsed(
            Address.parse, "--listen-ub", metavar="HOST:PORT", help="Where UEs bootstrap, over plain HTTP."
        ),
    ],
    listen_zn: Annotated[
        Address,
        parsed(Address.parse, "--listen-zn", metavar="HOST:PORT", help="Where NAFs ask for keys."),
    ],
    bsf: BsfServingOptions,
) -> None:
    """Run a BSF until SIGTERM or SIGINT; prints a line for each port when it accepts clients."""
    from ..servers.service import BsfService

    log_to_stderr(verbose=serving.verbose)
    service = BsfService(
        serving.fqdn,
        serving.data,
        listen_zn,
        listen_ub=listen_ub,
        **bsf.parts(),
        transports=serving.transport,
    )
    run_services([service], limits=serving.limits, metrics=serving.metrics)


@app.command("add-subscriber")
@grouped
def add_subscriber(
    data: DataOption,
    card: SubscriberOptions,
    settings: SettingsOptions,
    entity: Annotated[
        EntityId | None,
        parsed(
            entity_parser, "--entity", metavar="ID", help="The subscriber's CSE-ID or AE-ID, told to NAFs."
        ),
    ] = None,
    replace_existing: Annotated[
        bool,
        typer.Option("--replace", help="Replace a subscriber that has this IMPI; its bootstrappings end."),
    ] = False,
) -> None:
    """Provision a subscriber, and its GBA user security settings: a NAF that is not named gets no key."""
    from ..store.records import Subscription

    log_to_stderr(verbose=False)
    subscriber, gba_u = card.provisioned()
    subscription = Subscription(subscriber, settings.guss(gba_u=gba_u), entity)
    _on_store(
        data, lambda store: store.subscribers.add(subscription, replace_existing=replace_existing), make=True
    )


@app.command("remove-subscriber")
def remove_subscriber(data: DataOption, impi: ImpiOption) -> None:
    """Remove a subscriber; its bootstrappings end."""
    log_to_stderr(verbose=False)
    _require(_on_store(data, lambda store: store.subscribers.remove(impi)), impi)


@app.command()
def bar(data: DataOption, impi: ImpiOption) -> None:
    """Bar a subscriber from bootstrapping; the bootstrappings that it has end."""
    log_to_stderr(verbose=False)
    _require(_on_store(data, lambda store: store.subscribers.set_barred(impi, barred=True)), impi)


@app.command()
def unbar(data: DataOption, impi: ImpiOption) -> None:
    """Lift the bar from a subscriber."""
    log_to_stderr(verbose=False)
    _require(_on_store(data, lambda store: store.subscribers.set_barred(impi, barred=False)), impi)


@app.command()
@grouped
def subscribers(wanted: ListOptions) -> None:
    """List the subscribers; their keys appear as fingerprints."""
    log_to_stderr(verbose=False)
    list_pages(lambda store: store.subscribers.pages(), _subscriber, wanted)


def _subscriber(found: Subscription) -> Row:
    return {
        "impi": str(found.subscriber.impi),
        "entity": None if found.entity is None else str(found.entity),
        "algorithm": found.subscriber.algorithm.value,
        "gba_u": found.guss.gba_u,
        "nafs": [f"{naf.naf}={naf.key_choice.value}" for naf in found.guss.nafs if naf.allowed],
        "uss": {str(naf.naf): as_list(naf.uss) for naf in found.guss.nafs if naf.uss},
        "barred": found.subscriber.barred,
        "sqn": found.subscriber.sqn.octets.hex(),
        "fingerprint": found.subscriber.k.fingerprint,
    }


@app.command("add-naf")
def add_naf(
    data: DataOption,
    key_id: NafKeyIdOption,
    entity: Annotated[
        EntityId,
        parsed(
            entity_parser,
            "--entity",
            metavar="ID",
            help="The NAF's identity: a CSE-ID, or the FQDN of a MAF.",
        ),
    ],
    naf: Annotated[
        list[Fqdn],
        parsed(
            Fqdn.parse, "--naf", metavar="FQDN", help="Its own FQDN, for which it may have keys; repeatable."
        ),
    ],
    key_file: Annotated[
        str | None,
        typer.Option(
            "--key-file", metavar="FILE|-", help=f"Its key: {KEY_FORMAT}. Default: made, printed once."
        ),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        parsed(parse_duration, "--expires-in", metavar="DURATION", help="When that key ends."),
    ] = None,
    out: OutOption = None,
    replace_existing: Annotated[
        bool, typer.Option("--replace", help="Replace a NAF that has this KEYID.")
    ] = False,
) -> None:
    """Provision a NAF with the key by which it proves itself, and say for which FQDNs it may have keys."""
    from ..store.records import KeyKind, KeyRecord

    log_to_stderr(verbose=False)
    now = CLOCK.now()
    with given_or_new(key_file, out) as key:
        record = KeyRecord(
            KeyKind.ZN,
            key_id,
            key,
            now,
            source=entity,
            targets=tuple(EntityId(str(name)) for name in naf),
            expires=None if expires_in is None else now + expires_in,
        )
        add_record(data, record, replace=replace_existing)


@app.command("remove-naf")
def remove_naf(data: DataOption, key_id: NafKeyIdOption) -> None:
    """Remove a NAF: it gets no key any more."""
    import asyncio

    from ..store.records import KeyKind

    log_to_stderr(verbose=False)

    async def remove() -> bool:
        async with await open_store(data) as store:
            return await store.remove(KeyKind.ZN, key_id)

    _require(asyncio.run(remove()), key_id)


@app.command()
@grouped
def nafs(wanted: ListOptions) -> None:
    """List the NAFs; their keys appear as fingerprints."""
    from ..store.records import KeyKind

    log_to_stderr(verbose=False)
    list_keys(KeyKind.ZN, _naf, wanted)


def _naf(record: KeyRecord) -> Row:
    return {
        "key_id": str(record.key_id),
        "entity": str(record.source),
        "nafs": [str(target) for target in record.targets],
        "expires": None if record.expires is None else record.expires.isoformat(),
        "fingerprint": record.key.fingerprint,
    }


def _on_store(data: Path, action: Callable[[Store], Awaitable[_T]], *, make: bool = False) -> _T:
    import asyncio

    async def act() -> _T:
        async with await open_store(data, make=make) as store:
            return await action(store)

    return asyncio.run(act())


def _require(found: bool, name: object) -> None:
    if not found:
        raise ConfigurationError(f"there is no {name} here")
