"""``m2msec maf``: run a MAF, provision its clients, look at the keys that it distributes."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ..clock import CLOCK
from ..defaults import KC_LIFETIME, WORD_REMEMBERED
from ..durations import parse_duration
from ..errors import ConfigurationError
from ..identifiers import EntityId, KeyIdentifier
from ..release import Release
from . import maf_key
from .common import (
    KEY_FORMAT,
    DataOption,
    ListenOption,
    OutOption,
    RememberOption,
    RevealOption,
    entity_parser,
    given_or_new,
    log_to_stderr,
    open_store,
    parsed,
    run_services,
)
from .options.certificates import ServerCertificateOptions
from .options.gba import NafOptions
from .options.grouping import grouped, without
from .options.listing import ListOptions
from .options.mefs import EnroleeTargetsOption, MefOptions
from .options.serving import ServingOptions, StakeholdersOption
from .tables import Row, add_record, list_keys

if TYPE_CHECKING:
    from ..store.records import KeyRecord, Revocation

app = typer.Typer(help="The M2M Authentication Function.", no_args_is_help=True)
app.add_typer(maf_key.app, name="key")

_SEVERAL_TARGETS = (
    "m2msec: with several targets, no handshake makes Kc by itself: in Release 3 (--release 3) the client "
    "names one of them; for Release 1, add it once for each target, under a KmId of its own, with the same "
    "Km if you like."
)

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
@grouped
def serve(
    serving: ServingOptions,
    listen: ListenOption,
    mefs: MefOptions,
    bsfs: Annotated[NafOptions, without("naf")],
    certificates: ServerCertificateOptions,
    kc_lifetime: Annotated[
        timedelta,
        parsed(parse_duration, "--kc-lifetime", metavar="DURATION", help="How long Kc may be used."),
    ] = KC_LIFETIME,
    enrolee_target: EnroleeTargetsOption = None,
    remember: RememberOption = WORD_REMEMBERED,
    stakeholder: StakeholdersOption = None,
) -> None:
    """Run a MAF until SIGTERM or SIGINT; prints one line when it accepts clients.

    With --mef, --mef-key-id and --mef-key-file, once for each MEF, it asks that MEF for the Master Credential
    of a client that shows a KeId, and with --bsf, --bsf-key-id and --bsf-key-file that BSF for those of its
    subscribers; --enrolee-target says whom such clients may have keys for. With --cert,
    --key and --associations it accepts clients with certificates too; an association's targets say whom its
    client may have keys for.
    """
    from ..servers.association_policy import AssociationPolicy
    from ..servers.service import MafService

    log_to_stderr(verbose=serving.verbose)
    fqdn, local = serving.fqdn, EntityId(str(serving.fqdn))
    service = MafService(
        fqdn,
        serving.data,
        listen,
        kc_lifetime=kc_lifetime,
        mefs=mefs.clients(local),
        bsfs=replace(bsfs, naf=fqdn).clients(local),
        policy=AssociationPolicy.of(enrolee_target or ()),
        remembered=remember,
        stakeholders=tuple(stakeholder or ()),
        endpoint=certificates.accepting_endpoint(),
        transports=serving.transport,
    )
    run_services([service], limits=serving.limits, metrics=serving.metrics)


@app.command("add-client")
def add_client(
    data: DataOption,
    km_id: KmId,
    entity: Annotated[
        EntityId | None,
        parsed(
            entity_parser,
            "--entity",
            metavar="ID",
            help="The client's CSE-ID or AE-ID; without, Entity B is told its KmId only.",
        ),
    ] = None,
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
            help="An Entity B that the client may have keys for; with exactly one, each handshake makes Kc.",
        ),
    ] = None,
    expires_in: Annotated[
        timedelta | None, parsed(parse_duration, "--expires-in", metavar="DURATION", help="When Km ends.")
    ] = None,
    out: OutOption = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace a client that has this KmId; what came of another Km ends."),
    ] = False,
) -> None:
    """Provision a client of the MAF with its Master Credential.

    A client that was removed under this KmId, or under this KeId, may come back from then on. A client of
    Release 1 that has several targets takes one KmId for each, since its handshake says nothing but KmId.
    """
    from ..store.records import KeyKind, KeyRecord

    log_to_stderr(verbose=False)
    if len(target or ()) > 1:
        print(_SEVERAL_TARGETS, file=sys.stderr)
    now = CLOCK.now()
    with given_or_new(km_file, out) as km:
        record = KeyRecord(
            kind=KeyKind.KM,
            key_id=km_id,
            key=km,
            issued=now,
            source=entity,
            targets=tuple(target or ()),
            expires=None if expires_in is None else now + expires_in,
        )
        add_record(data, record, replace=replace)


@app.command("remove-client")
def remove_client(data: DataOption, km_id: KmId) -> None:
    """Remove a client and every key that came from its Master Credential.

    Its open sessions with a running MAF end at once, its associations when Entity B asks about their keys
    again (m2msec listen --remember). A client that an MEF provided does not come back by its KeId.
    """
    import asyncio

    from ..store.records import KeyKind

    log_to_stderr(verbose=False)

    async def remove() -> Revocation | None:
        async with await open_store(data) as store:
            return await store.trust.revoke(KeyKind.KM, km_id)

    revoked = asyncio.run(remove())
    if revoked is None:
        raise ConfigurationError(f"{km_id} is not a client")
    if revoked.alias is not None:
        print(_left_to_the_mef(revoked.alias, revoked.ends))


def _left_to_the_mef(ke_id: KeyIdentifier, ends: datetime | None) -> str:
    until = "" if ends is None else f" until {ends.isoformat(timespec='seconds')}"
    return (
        f"The MEF {ke_id.fqdn} provided this client. Here it is refused under its KeId {ke_id}{until}, "
        "but it may bootstrap again and come back under another: ask the operator of the MEF to revoke it "
        "(m2msec mef revoke --kpm-id KPMID), or to take this MAF out of its targets."
    )


@app.command()
@grouped
def clients(wanted: ListOptions) -> None:
    """List the clients in the order of their KmId; their Master Credentials appear as fingerprints."""
    from ..store.records import KeyKind

    log_to_stderr(verbose=False)
    list_keys(KeyKind.KM, _client_row, wanted)


@app.command()
@grouped
def keys(wanted: ListOptions, reveal: RevealOption = False) -> None:
    """List the Kc that the MAF holds, in the order of their KcId."""
    from ..store.records import KeyKind

    log_to_stderr(verbose=False)
    list_keys(KeyKind.KC, partial(_kc_row, reveal=reveal), wanted)


def _client_row(record: KeyRecord) -> Row:
    return {
        "km_id": str(record.key_id),
        "entity": None if record.source is None else str(record.source),
        "targets": [str(target) for target in record.targets],
        "expires": None if record.expires is None else record.expires.isoformat(),
        "fingerprint": record.key.fingerprint,
    }


def _kc_row(record: KeyRecord, *, reveal: bool) -> Row:
    targets = [str(target) for target in record.targets]
    row: Row = {
        "kc_id": Release.R1.wire(record.key_id),
        "relative_kc_id": record.key_id.relative,
        "source": None if record.source is None else str(record.source),
        "target": targets[0] if len(targets) == 1 else targets,
        "issued": record.issued.isoformat(),
        "suid": None if record.suid is None else int(record.suid),
        "expires": None if record.expires is None else record.expires.isoformat(),
        "fingerprint": record.key.fingerprint,
    }
    if reveal:
        row["kc"] = record.key.reveal().hex()
    return row
