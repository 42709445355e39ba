"""What counts unless told otherwise, the same in an option, in the configuration file and in the library.

Values only, so that the help of a command that shows one waits for nothing that uses it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

WORD_REMEMBERED: Final = timedelta(minutes=5)
"""How long what another party said of a key counts."""

ENROLMENT_EXPIRY: Final = timedelta(days=30)
"""How long Ke lives, and what is derived from it."""

KC_LIFETIME: Final = timedelta(hours=24)
"""How long a MAF keeps Kc."""

COMMAND_RETRY: Final = timedelta(days=1)
"""After what time a client of an MEF without commands is to ask again."""

AGENT_ANSWER: Final = timedelta(seconds=60)
"""How long an agent waits for an answer of the registrar: a polling channel answers when it has something."""

BOOTSTRAPPING_LIFETIME: Final = timedelta(hours=24)
"""How long a BSF keeps Ks."""

UB_REQUESTS_PER_SECOND: Final = 20.0
"""Of one address at a BSF. A bootstrapping takes two, and behind one IPv4 address there may be many UEs."""

DEVICE_INDICATION_ID: Final = "0.2.481.1"
"""The M2M Device Indication ID of the example in TS-0001 annex H; the default higher arc of device ids."""
