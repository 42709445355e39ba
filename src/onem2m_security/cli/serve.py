"""``m2msec serve``: run MAFs and MEFs, together or apart, from one configuration file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..clients.mef import MefClient
from ..errors import ConfigurationError
from ..frameworks.bootstrap_psk import target_key
from ..identifiers import EntityId
from ..net.limits import Limits
from ..peer_quotas import PeerQuotas
from ..servers.enrolees import AssociationPolicy
from ..servers.service import MafService, MefService, Service
from ..servers.settings import MafSettings, MefPeerSettings, MefSettings, load
from .common import VerboseOption, log_to_stderr, read_key, run_services


def serve(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration, in TOML.")],
    check: Annotated[bool, typer.Option("--check", help="Only read the configuration and its keys.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Run the MAFs and MEFs of a configuration file until SIGTERM or SIGINT.

    Prints one line for each when all of them accept clients.
    """
    log_to_stderr(verbose=verbose)
    settings = load(config)
    quotas = settings.quotas.quotas()
    limits = replace(settings.limits.limits(), quotas=quotas)
    here = config.absolute().parent
    services = [
        *(_maf(maf, here, limits) for maf in settings.maf),
        *(_mef(mef, here, quotas) for mef in settings.mef),
    ]
    if not check:
        run_services(services, limits=limits, metrics=settings.metrics)


def _maf(settings: MafSettings, here: Path, limits: Limits) -> Service[Any]:
    names = [mef.fqdn for mef in settings.mefs]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"maf {settings.fqdn}: an MEF is given twice among maf.mefs")
    return MafService(
        settings.fqdn,
        here / settings.data,
        settings.listen,
        kc_lifetime=settings.kc_lifetime,
        mefs=[_mef_client(mef, EntityId(str(settings.fqdn)), here, limits) for mef in settings.mefs],
        policy=AssociationPolicy.of(settings.enrolee_targets),
        remembered=settings.remember,
        quotas=limits.quotas,
        transports=settings.transports,
    )


def _mef_client(settings: MefPeerSettings, local: EntityId, here: Path, limits: Limits) -> MefClient:
    return MefClient(
        settings.fqdn,
        settings.address,
        local=local,
        key=target_key(settings.key_id, read_key(str(here / settings.key_file))),
        transport=settings.transport,
        limits=limits,
    )


def _mef(settings: MefSettings, here: Path, quotas: PeerQuotas) -> Service[Any]:
    return MefService(
        settings.fqdn,
        here / settings.data,
        settings.listen,
        enrolment_expiry=settings.enrolment_expiry,
        quotas=quotas,
        transports=settings.transports,
    )
