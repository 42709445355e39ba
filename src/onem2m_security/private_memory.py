"""A process whose memory holds keys leaves no copy of it behind: no core dump, no debugger.

What this does holds for the whole process and cannot be taken back, so the library never does it by itself.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

from .telemetry import LOG

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def keep_memory_private() -> None:
    """Turn core dumps off and, on Linux, keep other processes of this user from reading our memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        LOG.warning("the process may be dumped", error=ctypes.get_errno())
