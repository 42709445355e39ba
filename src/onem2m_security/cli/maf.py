"""``m2msec maf``: run a MAF, provision its clients, look at the keys that it distributes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from ..configuration.key_files import KEY_FORMAT
from ..durations import parse_duration
from ..frameworks.steps import REMEMBERED
from ..identifiers import EntityId, KeyIdentifier
from ..net.limits import Limits
from ..release import Release
from ..servers.enrolees import AssociationPolicy
from ..servers.maf import DEFAULT_KC_LIFETIME
from ..servers.service import MafService
from ..store.records import KeyKind, KeyRecord, Revocation
from ..tls.framing import DEFAULT_MTU
from .bsf_options import (
    BsfDiameterOption,
    BsfKeyFilesOption,
    BsfKeyIdsOption,
    BsfsOption,
    naf_clients,
)
from .certificate_options import (
    AssociationsOption,
    CertificateOptions,
    CertOption,
    CrlOption,
    KeyOption,
    RequireCrlOption,
)
from .common import (
    ALL_TRANSPORTS,
    DataOption,
    FqdnOption,
    JsonOption,
    ListenOption,
    MetricsOption,
    MtuOption,
    OutOption,
    RememberOption,
    RevealOption,
    TransportsOption,
    VerboseOption,
    entity_parser,
    given_or_new,
    log_to_stderr,
    open_store,
    parsed,
    run_services,
)
from .mef_options import (
    EnroleeTargetsOption,
    MefKeyFilesOption,
    MefKeyIdsOption,
    MefsOption,
    mef_clients,
)
from .tables import add_record, print_rows, read_records

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
    metrics: MetricsOption = None,
    mef: MefsOption = None,
    mef_key_id: MefKeyIdsOption = None,
    mef_key_file: MefKeyFilesOption = None,
    bsf: BsfsOption = None,
    bsf_key_id: BsfKeyIdsOption = None,
    bsf_key_file: BsfKeyFilesOption = None,
    bsf_diameter: BsfDiameterOption = False,
    enrolee_target: EnroleeTargetsOption = None,
    remember: RememberOption = REMEMBERED,
    cert: CertOption = None,
    key: KeyOption = None,
    associations: AssociationsOption = None,
    crl: CrlOption = None,
    require_crl: RequireCrlOption = False,
    transport: TransportsOption = ALL_TRANSPORTS,
    mtu: MtuOption = DEFAULT_MTU,
    verbose: VerboseOption = False,
) -> None:
    """Run a MAF until SIGTERM or SIGINT; prints one line when it accepts clients.

    With --mef, --mef-key-id and --mef-key-file, once for each MEF, it asks that MEF for the Master Credential
    of a client that shows a KeId, and with --bsf, --bsf-key-id and --bsf-key-file that BSF for those of its
    subscribers; --enrolee-target says whom such clients may have keys for. With --cert,
    --key and --associations it accepts clients with certificates too; an association's targets say whom its
    client may have keys for.
    """
    log_to_stderr(verbose=verbose)
    certificates = CertificateOptions(
        cert=cert, key=key, associations=associations, crl=crl, require_crl=require_crl
    )
    service = MafService(
        fqdn,
        data,
        listen,
        kc_lifetime=kc_lifetime,
        mefs=mef_clients(EntityId(str(fqdn)), mef, mef_key_id, mef_key_file),
        bsfs=naf_clients(EntityId(str(fqdn)), fqdn, bsf, bsf_key_id, bsf_key_file, diameter=bsf_diameter),
        policy=AssociationPolicy.of(enrolee_target or ()),
        remembered=remember,
        endpoint=certificates.accepting_endpoint(),
        transports=transport,
    )
    run_services([service], limits=Limits(datagram_octets=mtu), metrics=metrics)


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
    out: OutOption = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace a client that has this KmId; what came of another Km ends."),
    ] = False,
) -> None:
    """Provision a client of the MAF with its Master Credential.

    A client that was removed under this KmId, or under this KeId, may come back from then on.
    """
    log_to_stderr(verbose=False)
    now = datetime.now(UTC)
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
    log_to_stderr(verbose=False)

    async def remove() -> Revocation | None:
        async with await open_store(data) as store:
            return await store.trust.revoke(KeyKind.KM, km_id)

    revoked = asyncio.run(remove())
    if revoked is None:
        raise typer.BadParameter(f"{km_id} is not a client")
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
        for record in read_records(data, KeyKind.KM)
    ]
    print_rows(rows, as_json=as_json)


@app.command()
def keys(data: DataOption, as_json: JsonOption = False, reveal: RevealOption = False) -> None:
    """List the Kc that the MAF holds, oldest first."""
    log_to_stderr(verbose=False)
    print_rows([_kc_row(record, reveal=reveal) for record in read_records(data, KeyKind.KC)], as_json=as_json)


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
