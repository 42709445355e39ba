"""What is installed only on demand: a device needs neither the metrics of a server nor a command line."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from .errors import ConfigurationError

BRINGS: Final = {
    "cli": ("typer", "rich", "pydantic"),
    "server": ("prometheus_client", "cbor2"),
}
"""What only an extra of this package brings."""


def require(extra: str) -> None:
    """Make sure that what an extra brings is installed; nothing of it is loaded.

    Raises:
        ConfigurationError: It is not; says how it would be.
    """
    missing = [name for name in BRINGS[extra] if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"not installed: {', '.join(missing)}. This needs: pip install 'onem2m-security[{extra}]'"
        )
