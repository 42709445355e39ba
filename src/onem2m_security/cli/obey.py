"""``m2msec obey``: an Enrolee carries out what its MEF commands (TS-0003 clause 8.3.9)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..durations import show_duration
from ..errors import ConfigurationError
from ..identifiers import Fqdn
from ..onem2m.commands import (
    CertificateProvisioning,
    CertProvProtocol,
    CommandClass,
    DeviceConfigUri,
    DevMgmt,
)
from .common import log_to_stderr, open_store
from .options.credentials import ReportOptions
from .options.described import ConfigOption, described
from .options.grouping import grouped

if TYPE_CHECKING:
    from ..clients.commands import Carry
    from ..clients.enrolee import Enrolee

_STANDARD_ERROR: Final = 2
"""Where a program of the operator's says what it does: standard output is ours."""


@grouped
def obey(
    report: ReportOptions,
    mef: Annotated[
        str | None, typer.Argument(metavar="MEF-ID", help="With --config: which MEF, where it has several.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="What m2msec enrol keeps.")
    ] = None,
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Get certificates (cert-prov, by EST): PREFIX.crt, PREFIX.key and PREFIX.anchor.crt.",
        ),
    ] = None,
    configure: Annotated[
        Path | None,
        typer.Option(
            "--configure",
            metavar="PROGRAM",
            help="Have the device configured (dev-cfg): run PROGRAM with the protocol's number and the URI.",
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Go on until SIGINT: ask again whenever the MEF wants it.")
    ] = False,
) -> None:
    """Carry out what an Enrolee's MEF commands, each command once, and say what came of it.

    The Enrolee is the one that m2msec enrol keeps in the data directory, or that of a configuration file.
    What is not supplied by --out or --configure is answered with CLASS_NOT_SUPPORTED. Each time is a
    bootstrap, after which Ke is a new one.
    """
    from ..clients.commanded import CommandedEnrolee
    from ..net.loop import run

    log_to_stderr(verbose=report.verbose)

    async def main() -> None:
        async with _enrolee(data, config, mef) as enrolee:
            commanded = CommandedEnrolee(enrolee, _carry(enrolee, out, configure))
            if keep:
                await commanded.keep_obeying()
            _print(enrolee.mef, await commanded.obey(), as_json=report.as_json)

    run(main())


@contextlib.asynccontextmanager
async def _enrolee(data: Path | None, config: Path | None, mef: str | None) -> AsyncIterator[Enrolee]:
    from ..clients.enrolee import Enrolee

    if config is not None:
        named = None if mef is None else Fqdn.parse(mef)
        async with described(config, data).enrolee(named) as enrolee:
            if not isinstance(enrolee, Enrolee):
                raise ConfigurationError(
                    f"{enrolee.mef} is met by card: it commands those that bootstrap with it"
                )
            yield enrolee
        return
    if data is None or mef is not None:
        raise ConfigurationError("give --data DIR, where the enrolment is kept; or --config FILE")
    async with await open_store(data) as store:
        yield await Enrolee.load(store)


def _carry(enrolee: Enrolee, out: Path | None, configure: Path | None) -> Mapping[CommandClass, Carry]:
    """What carries out the commands of each class that the options supply."""
    import asyncio

    from ..certificates.signing_requests import CertifiedName
    from ..clients.certificate_files import CertificateFiles
    from ..clients.command_classes import certificate_provisioning, device_configuration, subject_of
    from ..clients.est import EST_PATH, provision

    supplied: dict[CommandClass, Carry] = {}
    if out is not None:
        files = CertificateFiles.at(out)

        async def get(command: CertificateProvisioning) -> None:
            if not command.uri.text.endswith(EST_PATH):
                raise ConfigurationError(f"EST is at {EST_PATH} of an MEF, not at {command.uri}")
            name = CertifiedName.of(enrolee.local)
            async with enrolee.est() as client:
                fresh = await provision(client, name)
            await asyncio.to_thread(files.save, fresh)

        subjects = frozenset({subject_of(enrolee.local)})
        supplied[CommandClass.CERT_PROV] = certificate_provisioning(
            enrolee.mef, subjects, {CertProvProtocol.EST: get}
        )
    if configure is not None:
        program = str(configure.absolute())
        if not os.access(program, os.X_OK):
            raise ConfigurationError(f"{program} is no program that can be run")

        async def run_program(server: DeviceConfigUri) -> None:
            arguments = (str(int(server.management)), str(server.uri))
            started = await asyncio.create_subprocess_exec(
                program, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=_STANDARD_ERROR
            )
            if status := await started.wait():
                raise ConfigurationError(f"{program} ended with the status {status}")

        supplied[CommandClass.DEV_CFG] = device_configuration(
            enrolee.mef, dict.fromkeys(DevMgmt, run_program)
        )
    return supplied


def _print(mef: Fqdn, retry: timedelta, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"mef": str(mef), "retry_seconds": retry.total_seconds()}))
    else:
        print(f"{mef} has no more commands; it wants to be asked again in {show_duration(retry)}")
