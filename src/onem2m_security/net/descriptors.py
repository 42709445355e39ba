"""Open files: each TCP connection takes a descriptor, and a process that has none left serves nobody."""

from __future__ import annotations

from typing import Final

from ..telemetry import LOG
from .limits import Limits

try:
    import resource
except ImportError:  # not on every platform
    resource = None  # type: ignore[assignment]

UNLIMITED: Final = 1 << 20
"""What counts as no limit; more than this nobody needs, and some systems refuse."""


def open_files() -> int:
    """How many files this process may have open at most."""
    return UNLIMITED if resource is None else _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def raise_open_files() -> int:
    """Allow this process as many open files as the system lets it; returns how many that are."""
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if _number(soft) < _number(hard):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (_number(hard), hard))
            except (OSError, ValueError) as error:
                LOG.warning("the limit on open files cannot be raised", open_files=soft, error=str(error))
    return open_files()


def fitted(limits: Limits, descriptors: int, ports: int) -> Limits:
    """The limits of each of so many TCP ports, lowered to what the descriptors allow; the log says so.

    It is a warning where less than a quarter is left of the connections that were asked for.

    Raises:
        ConfigurationError: That is too few to serve anybody.
    """
    lowered = limits.fitted(descriptors, ports)
    is_lower = lowered.connections < limits.connections
    is_tight = lowered.connections < limits.connections // 4
    (LOG.warning if is_tight else LOG.info)(
        "limits lowered to the open files allowed" if is_lower else "limits fit the open files allowed",
        open_files=descriptors,
        ports=ports,
        connections=lowered.connections,
        half_open=lowered.half_open,
        half_open_per_address=lowered.half_open_per_address,
    )
    return lowered


def _number(limit: int) -> int:
    is_unlimited = resource is not None and limit == resource.RLIM_INFINITY
    return UNLIMITED if is_unlimited else min(limit, UNLIMITED)
