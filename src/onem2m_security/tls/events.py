"""What a session tells its owner."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import HandshakeError
from .suites import Suite


@dataclass(frozen=True, slots=True)
class PskIdentityOffered:
    """The client showed this psk_identity, under this suite; the session waits for ``answer``."""

    identity: bytes
    suite: Suite


@dataclass(frozen=True, slots=True)
class HandshakeCompleted:
    """Both sides have proven themselves; a server session waits for ``release``."""


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Application data."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Nothing more will come. ``error`` is None after an orderly close."""

    error: HandshakeError | None


Event = PskIdentityOffered | HandshakeCompleted | DataReceived | SessionEnded
