"""Records, sealing at rest and the database: the only floor that touches SQL.

A record is a value and costs nothing to name; the database's library is loaded with ``Store``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .records import Bootstrapping, ClientRegistration, KeyKind, KeyRecord, Subscription
    from .sealing import KeyRing
    from .store import Store

_MODULE_OF: Final = {
    "Bootstrapping": "records",
    "ClientRegistration": "records",
    "KeyKind": "records",
    "KeyRecord": "records",
    "KeyRing": "sealing",
    "Store": "store",
    "Subscription": "records",
}

__all__ = [
    "Bootstrapping",
    "ClientRegistration",
    "KeyKind",
    "KeyRecord",
    "KeyRing",
    "Store",
    "Subscription",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
