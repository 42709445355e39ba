"""What was found out about certificates and is asked for again with each handshake, within a bound in octets.

Whoever can show a certificate that is accepted makes us remember it, be it somebody else's: so each thing
weighs as much as what it was made from, and what was not asked for longest goes first. Knows no rules.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Values by key, of which the last used are kept."""

    def __init__(self, most: int) -> None:
        """Keep values made from at most so many octets; with 0, none."""
        self._most = most
        self._octets = 0
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """What is kept for a key, which counts as used; None if nothing is."""
        kept = self._values.get(key)
        if kept is None:
            return None
        self._values.move_to_end(key)
        return kept[0]

    def keep(self, key: Key, value: Value, octets: int) -> None:
        """Keep a value that was made from so many octets."""
        self.forget(key)
        self._values[key] = value, octets
        self._octets += octets
        while self._octets > self._most:
            self._octets -= self._values.popitem(last=False)[1][1]

    def forget(self, key: Key) -> None:
        """Let a value go, if it is kept."""
        if (kept := self._values.pop(key, None)) is not None:
            self._octets -= kept[1]


def chain_digest(chain: Sequence[bytes], *, server: bool | None) -> bytes:
    """SHA-256 of the peer's role and of a chain: how long each certificate is, and all the octets."""
    lengths = ",".join(str(len(der)) for der in chain)
    return hashlib.sha256(b"".join((f"{server} {lengths};".encode("ascii"), *chain))).digest()
