"""``m2msec maf``: run a MAF, provision its clients, look at the keys that it distributes."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..credentials import Secret
from ..functions.maf import DEFAULT_KC_LIFETIME
from ..identifiers import EntityId, KeyIdentifier
from ..net.address import Address
from ..release import Release
from ..servers import run, serve_maf
from ..store.records import KeyKind, KeyRecord
from ..store.store import Store
from .common import (
    ALL_TRANSPORTS,
    KEY_FORMAT,
    DataOption,
    FqdnOption,
    JsonOption,
    ListenOption,
    RevealOption,
    TransportsOption,
    VerboseOption,
    entity_parser,
    log_to_stderr,
    over,
    parse_duration,
    parsed,
    read_key,
)

app = typer.Typer(help="The M2M Authentication Function.", no_args_is_help=True)

KmId = Annotated[
    KeyIdentifier,
    parsed(
        KeyIdentifier.parse_km_id,
        "--km-id",
        metavar="KMID",
        help="Master Credential Identifier: relative@MAF-FQDN.",
    ),
]


@app.command()
def serve(
    data: DataOption,
    fqdn: FqdnOption,
    listen: ListenOption,
    kc_lifetime: Annotated[
        timedelta,
        parsed(parse_duration, "--kc-lifetime", metavar="DURATION", help="How long Kc may be used."),
    ] = DEFAULT_KC_LIFETIME,
    metrics: Annotated[
        Address | None,
        parsed(
            Address.parse,
            "--metrics",
            metavar="HOST:PORT",
            help="Offer Prometheus metrics here, in the clear.",
        ),
    ] = None,
    transport: TransportsOption = ALL_TRANSPORTS,
    verbose: VerboseOption = False,
) -> None:
    """Run a MAF until SIGTERM or SIGINT; prints one line when it accepts clients."""
    log_to_stderr(verbose=verbose)

    def ready(address: Address) -> None:
        print(f"MAF {fqdn} listening on {address} ({over(transport)})", flush=True)

    run(
        serve_maf(
            data, fqdn, listen, ready=ready, kc_lifetime=kc_lifetime, transports=transport, metrics=metrics
        )
    )


@app.command("add-client")
def add_client(
    data: DataOption,
    km_id: KmId,
    entity: Annotated[
        EntityId, parsed(entity_parser, "--entity", metavar="ID", help="The client's CSE-ID or AE-ID.")
    ],
    km_file: Annotated[
        str | None,
        typer.Option(
            "--km-file", metavar="FILE|-", help=f"Km: {KEY_FORMAT}. Default: made, and printed once."
        ),
    ] = None,
    target: Annotated[
        list[EntityId] | None,
        parsed(
            entity_parser,
            "--target",
            metavar="IDB",
            help="An Entity B that the client may have keys for; with one, each handshake makes Kc.",
        ),
    ] = None,
    expires_in: Annotated[
        timedelta | None, parsed(parse_duration, "--expires-in", metavar="DURATION", help="When Km ends.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a client that has this KmId.")] = False,
) -> None:
    """Provision a client of the MAF with its Master Credential."""
    log_to_stderr(verbose=False)
    km = Secret.generate() if km_file is None else read_key(km_file)
    now = datetime.now(UTC)
    record = KeyRecord(
        kind=KeyKind.KM,
        key_id=km_id,
        key=km,
        issued=now,
        source=entity,
        targets=tuple(target or ()),
        expires=None if expires_in is None else now + expires_in,
    )

    async def add() -> None:
        async with await Store.open(data) as store:
            await store.add(record, replace=replace)

    asyncio.run(add())
    if km_file is None:
        print(km.reveal().hex())


@app.command("remove-client")
def remove_client(data: DataOption, km_id: KmId) -> None:
    """Remove a client and every key that came from its Master Credential."""
    log_to_stderr(verbose=False)

    async def remove() -> bool:
        async with await Store.open(data) as store:
            return await store.remove(KeyKind.KM, km_id, descendants=True)

    if not asyncio.run(remove()):
        raise typer.BadParameter(f"{km_id} is not a client")


@app.command()
def clients(data: DataOption, as_json: JsonOption = False) -> None:
    """List the clients; their Master Credentials appear as fingerprints."""
    log_to_stderr(verbose=False)
    rows = [
        {
            "km_id": str(record.key_id),
            "entity": None if record.source is None else str(record.source),
            "targets": [str(target) for target in record.targets],
            "expires": None if record.expires is None else record.expires.isoformat(),
            "fingerprint": record.key.fingerprint,
        }
        for record in _records(data, KeyKind.KM)
    ]
    _print(rows, as_json=as_json)


@app.command()
def keys(data: DataOption, as_json: JsonOption = False, reveal: RevealOption = False) -> None:
    """List the Kc that the MAF holds, oldest first."""
    log_to_stderr(verbose=False)
    _print([_kc_row(record, reveal=reveal) for record in _records(data, KeyKind.KC)], as_json=as_json)


def _kc_row(record: KeyRecord, *, reveal: bool) -> dict[str, Any]:
    targets = [str(target) for target in record.targets]
    row: dict[str, Any] = {
        "kc_id": Release.R1.wire(record.key_id),
        "relative_kc_id": record.key_id.relative,
        "source": None if record.source is None else str(record.source),
        "target": targets[0] if len(targets) == 1 else targets,
        "suid": None if record.suid is None else int(record.suid),
        "expires": None if record.expires is None else record.expires.isoformat(),
        "fingerprint": record.key.fingerprint,
    }
    if reveal:
        row["kc"] = record.key.reveal().hex()
    return row


def _records(data: Path, kind: KeyKind) -> list[KeyRecord]:
    async def read() -> list[KeyRecord]:
        async with await Store.open(data) as store:
            return await store.records(kind)

    return asyncio.run(read())


def _print(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(box=None)
    for name in rows[0] if rows else ["nothing"]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            *(" ".join(v) if isinstance(v, list) else "" if v is None else str(v) for v in row.values())
        )
    console = Console()
    Console(width=console.width if console.is_terminal else 250).print(table)
