"""Records, sealing at rest and the database: the only floor that touches SQL."""

from .records import ClientRegistration, KeyKind, KeyRecord
from .sealing import KeyRing
from .store import Store

__all__ = ["ClientRegistration", "KeyKind", "KeyRecord", "KeyRing", "Store"]
