"""The ports of a function beside the one for its clients' requests, and what is closed with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..net.address import Address, Transport
from ..net.ports import Port

if TYPE_CHECKING:
    from ..net.ub import UbListener


class Closable(Protocol):
    """A client of another function, which a function keeps connections of."""

    async def close(self) -> None:
        """Close the kept connections."""


@dataclass(frozen=True, slots=True)
class FurtherPort:
    """A port of a function beside the one for its clients' requests.

    Attributes:
        name: What it is, for people: ``BSF bsf.example.com, Ub,``.
        transports: Over what it is secured; empty for plain HTTP.
        port: The port, not started yet.
        listen: Where it will listen.
    """

    name: str
    transports: Sequence[Transport]
    port: UbListener | Port
    listen: Address
