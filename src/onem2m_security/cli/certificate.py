"""``m2msec certificate``: what an Enrolee's MEF provisions, kept in files and renewed in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import DataOption, log_to_stderr, open_store
from .options.credentials import ReportOptions
from .options.grouping import grouped

if TYPE_CHECKING:
    from ..certificates.signing_requests import CertifiedName
    from ..clients.est import ProvisionedCertificate


@grouped
def certificate(
    data: DataOption,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Path prefix: PREFIX.crt, PREFIX.key and PREFIX.anchor.crt."),
    ],
    report: ReportOptions,
) -> None:
    """Get an Enrolee's certificate from its MEF by EST.

    The Enrolee is the one that m2msec enrol keeps in the data directory. What is in the files stays until two
    thirds of its life are over; then the MEF is asked for the next one, with a new key.
    """
    from ..certificates.signing_requests import CertifiedName
    from ..clients.certificate_files import CertificateFiles
    from ..clients.certificate_renewal import RenewedCertificate
    from ..clients.enrolee import Enrolee
    from ..net.loop import run

    log_to_stderr(verbose=report.verbose)

    async def main() -> None:
        async with await open_store(data) as store:
            enrolee = await Enrolee.load(store)
            name = CertifiedName.of(enrolee.local)
            own = RenewedCertificate(name, CertificateFiles.at(out), first=enrolee.est)
            _print(name, await own.current(), as_json=report.as_json)

    run(main())


def _print(name: CertifiedName, provisioned: ProvisionedCertificate, *, as_json: bool) -> None:
    from cryptography.hazmat.primitives import hashes

    row = {
        "flavour": name.flavour.value,
        "identifier": name.identifier,
        "serial": f"{provisioned.certificate.serial_number:x}",
        "fingerprint": provisioned.certificate.fingerprint(hashes.SHA256()).hex(),
        "expires": provisioned.certificate.not_valid_after_utc.isoformat(),
    }
    if as_json:
        print(json.dumps(row, indent=2))
    else:
        print(f"{row['flavour']} {row['identifier']} until {row['expires']} (serial {row['serial']})")
