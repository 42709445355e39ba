"""``m2msec mef``: run an MEF, configure its Enrolees and Enrolment Targets, look at the keys that it made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ..clock import CLOCK
from ..defaults import ENROLMENT_EXPIRY
from ..durations import parse_duration, show_duration
from ..errors import ConfigurationError
from ..identifiers import EntityId, KeyIdentifier
from ..net.address import Address
from ..release import DEFAULT_RELEASE, Release
from ..user_settings import Uss, as_list, require_few
from . import mef_command
from .common import (
    KEY_FORMAT,
    DataOption,
    ListenOption,
    OutOption,
    ReleaseOption,
    RevealOption,
    entity_parser,
    given_or_new,
    log_to_stderr,
    open_store,
    parsed,
    run_services,
)
from .options.certificates import ServerCertificateOptions
from .options.grouping import OptionGroup, grouped
from .options.listing import ListOptions
from .options.serving import BsfServingOptions, ServingOptions, StakeholdersOption
from .options.steering import SteeringOptions
from .tables import Row, add_record, list_keys

if TYPE_CHECKING:
    from ..frameworks.instructions import BootstrapInstruction
    from ..store.records import KeyRecord

app = typer.Typer(help="The M2M Enrolment Function.", no_args_is_help=True)
app.add_typer(mef_command.app, name="command")

KpmId = Annotated[
    KeyIdentifier,
    parsed(
        KeyIdentifier.parse,
        "--kpm-id",
        metavar="KPMID",
        help="Pre-Provisioned Symmetric Enrolee Key Identifier: relative@MEF-FQDN.",
    ),
]
ExpiryOption = Annotated[
    timedelta,
    parsed(
        parse_duration,
        "--expires-in",
        metavar="DURATION",
        help="Enrolment Expiry: how long Ke, and every key that comes from it, may be used.",
    ),
]
ReplaceOption = Annotated[
    bool,
    typer.Option("--replace", help="Replace what has this identifier; what came of another key ends."),
]


@app.command()
@grouped
def serve(
    serving: ServingOptions,
    listen: ListenOption,
    certificates: ServerCertificateOptions,
    steering: SteeringOptions,
    bsf: BsfServingOptions,
    listen_ub: Annotated[
        Address | None,
        parsed(
            Address.parse,
            "--listen-ub",
            metavar="HOST:PORT",
            help="Be a BSF too (8.3.2.3): where UEs bootstrap, over plain HTTP.",
        ),
    ] = None,
    release: ReleaseOption = DEFAULT_RELEASE,
    stakeholder: StakeholdersOption = None,
) -> None:
    """Run an MEF until SIGTERM or SIGINT; prints one line when it accepts clients.

    With --cert, --key and --associations it accepts clients with certificates too: an association's peer is
    the Enrolee-ID, its targets are the Enrolment Targets, and --release says how their keys are derived.
    Without targets the client is an Enrolment Target itself.

    With --listen-ub it is a BSF too, on the same data directory: NAFs ask it where its other clients do.
    """
    from ..servers.mef_gba import MefGbaService
    from ..servers.service import MefService

    log_to_stderr(verbose=serving.verbose)
    service: Callable[..., MefService] = MefService
    if listen_ub is not None:
        service = partial(MefGbaService, listen_ub=listen_ub, **bsf.parts())
    elif bsf != BsfServingOptions():
        raise ConfigurationError("--listen-diameter, --lifetime and --ub-rate are of a BSF: give --listen-ub")
    to_run = service(
        serving.fqdn,
        serving.data,
        listen,
        endpoint=certificates.bootstrap_endpoint(release),
        release=release,
        steering=steering.steering,
        stakeholders=tuple(stakeholder or ()),
        transports=serving.transport,
    )
    run_services([to_run], limits=serving.limits, metrics=serving.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionOptions(OptionGroup):
    """How Ke may be used, and what is told with the keys that come from it."""

    expires_in: ExpiryOption = ENROLMENT_EXPIRY
    release: ReleaseOption = DEFAULT_RELEASE
    uss: Annotated[
        list[Uss] | None,
        parsed(
            Uss.parse,
            "--uss",
            metavar="USS",
            help="User security settings, told to the Enrolment Targets: "
            "GSID[,type=N][,group=NAME][,uid=TEXT]…[,flag=N]…; repeat for several.",
        ),
    ] = None

    def instruction(self, enrolee: EntityId, targets: list[EntityId]) -> BootstrapInstruction:
        """The instructions for this Enrolee.

        Raises:
            ConfigurationError: Too much is told.
        """
        from ..frameworks.instructions import BootstrapInstruction

        told = require_few(self.uss or ())
        return BootstrapInstruction(enrolee, tuple(targets), self.expires_in, self.release, told)


@app.command("add-enrolee")
@grouped
def add_enrolee(
    data: DataOption,
    kpm_id: KpmId,
    enrolee_id: Annotated[
        EntityId,
        parsed(entity_parser, "--enrolee-id", metavar="ID", help="The CSE-ID or AE-ID of the Enrolee."),
    ],
    target: Annotated[
        list[EntityId],
        parsed(
            entity_parser,
            "--target",
            metavar="ID",
            help="An Enrolment Target, a MAF-ID, CSE-ID or AE-ID; repeat for several.",
        ),
    ],
    told: InstructionOptions,
    kpm_file: Annotated[
        str | None,
        typer.Option(
            "--kpm-file", metavar="FILE|-", help=f"Kpm: {KEY_FORMAT}. Default: made, and printed once."
        ),
    ] = None,
    kpm_expires_in: Annotated[
        timedelta | None,
        parsed(parse_duration, "--kpm-expires-in", metavar="DURATION", help="When Kpm itself ends."),
    ] = None,
    out: OutOption = None,
    replace: ReplaceOption = False,
) -> None:
    """Configure an Enrolee: its Kpm, and the instructions for its bootstrap."""
    from ..frameworks.instructions import enrolee_record

    log_to_stderr(verbose=False)
    instruction = told.instruction(enrolee_id, target)
    with given_or_new(kpm_file, out) as kpm:
        record = enrolee_record(kpm_id, kpm, instruction, expires=_end(kpm_expires_in))
        add_record(data, record, replace=replace)


@app.command("add-target")
def add_target(
    data: DataOption,
    key_id: Annotated[
        KeyIdentifier,
        parsed(
            KeyIdentifier.parse, "--key-id", metavar="KEYID", help="The key's identifier: relative@MEF-FQDN."
        ),
    ],
    target: Annotated[
        EntityId,
        parsed(
            entity_parser, "--target", metavar="ID", help="The Enrolment Target: a MAF-ID, CSE-ID or AE-ID."
        ),
    ],
    key_file: Annotated[
        str | None,
        typer.Option(
            "--key-file", metavar="FILE|-", help=f"The key: {KEY_FORMAT}. Default: made, and printed once."
        ),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        parsed(parse_duration, "--expires-in", metavar="DURATION", help="When the key ends."),
    ] = None,
    out: OutOption = None,
    replace: ReplaceOption = False,
) -> None:
    """Give an Enrolment Target the key by which it fetches the credentials of its Enrolees."""
    from ..frameworks.instructions import target_record

    log_to_stderr(verbose=False)
    with given_or_new(key_file, out) as key:
        record = target_record(key_id, key, target, expires=_end(expires_in))
        add_record(data, record, replace=replace)


@app.command()
@grouped
def enrolees(wanted: ListOptions) -> None:
    """List the Enrolees with their instructions; Kpm appears as a fingerprint."""
    from ..store.records import KeyKind

    log_to_stderr(verbose=False)
    list_keys(KeyKind.KPM, _enrolee_row, wanted)


@app.command()
@grouped
def targets(wanted: ListOptions) -> None:
    """List the Enrolment Targets that have a key here; it appears as a fingerprint."""
    from ..store.records import KeyKind

    log_to_stderr(verbose=False)
    list_keys(KeyKind.KPM, _target_row, wanted)


@app.command()
def revoke(data: DataOption, kpm_id: KpmId) -> None:
    """Remove an Enrolee's Kpm and every Ke that came from it, or an Enrolment Target's key.

    Open sessions with a running MEF end at once. Credentials that an Enrolment Target has fetched end when it
    asks again (--remember there, by default within five minutes), at the latest with their Enrolment Expiry.
    """
    import asyncio

    from ..store.records import KeyKind

    log_to_stderr(verbose=False)

    async def remove() -> bool:
        async with await open_store(data) as store:
            return await store.remove(KeyKind.KPM, kpm_id, descendants=True)

    if not asyncio.run(remove()):
        raise ConfigurationError(f"{kpm_id} is neither an Enrolee's nor an Enrolment Target's")


@app.command()
@grouped
def keys(wanted: ListOptions, reveal: RevealOption = False) -> None:
    """List the Ke that the MEF holds, in the order of their KeId."""
    from ..store.records import KeyKind

    log_to_stderr(verbose=False)
    list_keys(KeyKind.KE, partial(_ke_row, reveal=reveal), wanted)


def _end(lifetime: timedelta | None) -> datetime | None:
    return None if lifetime is None else CLOCK.now() + lifetime


def _target_row(record: KeyRecord) -> Row | None:
    if record.targets:  # an Enrolee
        return None
    return {
        "key_id": str(record.key_id),
        "target": None if record.source is None else str(record.source),
        "expires": None if record.expires is None else record.expires.isoformat(),
        "fingerprint": record.key.fingerprint,
    }


def _enrolee_row(record: KeyRecord) -> Row | None:
    from ..frameworks.instructions import BootstrapInstruction

    instruction = BootstrapInstruction.of(record)
    if instruction is None:  # an Enrolment Target
        return None
    return {
        "kpm_id": str(record.key_id),
        "enrolee": str(instruction.enrolee),
        "targets": [str(target) for target in instruction.targets],
        "enrolment_expiry": show_duration(instruction.enrolment_expiry),
        "release": instruction.release.value,
        "uss": as_list(instruction.uss),
        "expires": None if record.expires is None else record.expires.isoformat(),
        "fingerprint": record.key.fingerprint,
    }


def _ke_row(record: KeyRecord, *, reveal: bool) -> Row:
    row: Row = {
        "ke_id": Release.R1.wire(record.key_id),
        "relative_ke_id": record.key_id.relative,
        "enrolee": None if record.source is None else str(record.source),
        "targets": [str(target) for target in record.targets],
        "issued": record.issued.isoformat(),
        "expires": None if record.expires is None else record.expires.isoformat(),
        "fingerprint": record.key.fingerprint,
    }
    if reveal:
        row["ke"] = record.key.reveal().hex()
    return row
