"""What is sealed under the key ring: every kind of record."""

from __future__ import annotations

from typing import Any, Final

from .bootstrappings import BOOTSTRAPPINGS
from .commands import COMMANDS, LAST_COMMAND
from .enrolment import ENROLMENT
from .keys import KEYS
from .registrations import REGISTRATIONS
from .sealed_table import SealedTable
from .subscribers import SUBSCRIBERS

SEALED: Final[tuple[SealedTable[Any], ...]] = (
    KEYS,
    REGISTRATIONS,
    SUBSCRIBERS,
    BOOTSTRAPPINGS,
    ENROLMENT,
    COMMANDS,
    LAST_COMMAND,
)
