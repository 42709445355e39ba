"""``m2msec serve``: run MAFs, MEFs and BSFs, together or apart, from one configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import VerboseOption, log_to_stderr, run_services


def serve(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration, in TOML.")],
    check: Annotated[bool, typer.Option("--check", help="Only read the configuration and its keys.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Run the MAFs, MEFs and BSFs of a configuration file until SIGTERM or SIGINT.

    Prints one line for each port when all of them accept clients.
    """
    from ..configuration.description import Description

    log_to_stderr(verbose=verbose)
    description = Description.read(config)
    services = description.services()
    if not check:
        run_services(services, limits=description.limits, metrics=description.settings.metrics)
