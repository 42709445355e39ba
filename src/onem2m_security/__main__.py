"""The ``m2msec`` command as it is installed: without its extra, one line says what to install."""

from __future__ import annotations

import sys

from .errors import ConfigurationError
from .extras import require


def main() -> None:
    """Run the command."""
    try:
        require("cli")
    except ConfigurationError as error:
        sys.exit(f"m2msec: {error}")
    from .cli import main as run  # noqa: PLC0415 - what is not there is not imported

    run()


if __name__ == "__main__":
    main()
