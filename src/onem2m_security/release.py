"""What differs between Release 1 and Release 3, and what neither fixes of the key derivations (marked OURS).

Release 1 is the 2014-2016 contributions to TS-0003; Release 3 is the published TS-0003 V3.18.0. This module
holds values only: change one here and it changes everywhere. How requests look is in ``onem2m/``.
"""

from __future__ import annotations

import enum
from typing import Final, Self

from .errors import ConfigurationError
from .identifiers import KeyIdentifier


class Release(enum.Enum):
    """The profile that an entity follows. A server accepts the identifiers of both."""

    R1 = 1
    R3 = 3

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``1`` or ``3``.

        Raises:
            ConfigurationError: It is neither.
        """
        try:
            return cls(int(text))
        except ValueError:
            raise ConfigurationError(f"{text[:20]!r} is not a release: 1 or 3 is expected") from None

    def wire(self, key_id: KeyIdentifier) -> str:
        """KeId or KcId as this release writes it: base64 (10.3.4, Release 1) or hexBinary (Release 3)."""
        return key_id.base64 if self is Release.R1 else key_id.hex


DEFAULT_RELEASE: Final = Release.R1

# --- key derivation ---

KM_ID_DERIVATION: Final = b"oneM2M Master Credential Identifier derivation"
"""OURS: the clause 9.1 to which 8.3.1.2 refers was never published; see keys.km_id_of."""
