"""Records, sealing at rest and the database: the only floor that touches SQL."""

from .records import Bootstrapping, ClientRegistration, KeyKind, KeyRecord, Subscription
from .sealing import KeyRing
from .store import Store

__all__ = [
    "Bootstrapping",
    "ClientRegistration",
    "KeyKind",
    "KeyRecord",
    "KeyRing",
    "Store",
    "Subscription",
]
