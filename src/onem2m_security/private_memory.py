"""A process whose memory holds keys leaves no copy of it behind: no core dump, no debugger.

``keep_memory_private`` holds for the whole process and cannot be taken back, so the library never calls it by
itself.
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


def wipe(octets: bytes) -> None:
    """Overwrite octets in their place: those of a key that was written for one call of a C library.

    Nobody else may hold them: ``bytes`` are shared, and this changes them for everybody.
    """
    if len(octets) > 1:  # shorter ones are one object for the whole process
        ctypes.memset(ctypes.cast(ctypes.c_char_p(octets), ctypes.c_void_p), 0, len(octets))
