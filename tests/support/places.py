"""Where the parts of the repository are, for tests that read or run them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent


def importing_support() -> dict[str, str]:
    """The environment in which a process of its own imports what the tests import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
