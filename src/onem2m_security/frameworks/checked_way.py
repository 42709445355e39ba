"""A way to prove ourselves that is held to meet one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ConfigurationError, HandshakeError
from ..identifiers import EntityId, Fqdn
from .steps import How, Initiator, Renewing


def meeting(function: Fqdn, how: How) -> How:
    """The same way, held to meet this MAF, MEF or BSF: a key for another is not shown to it.

    Raises:
        ConfigurationError: It is one for good, and for another peer; one that is asked for raises it then.
    """

    def checked(initiator: Initiator) -> Initiator:
        if initiator.peer != EntityId(str(function)):
            raise ConfigurationError(f"the credential is for {initiator.peer}, not for {function}")
        return initiator

    if isinstance(how, Initiator):
        return checked(how)
    if isinstance(how, Renewing):
        return _CheckedWay(how, checked)

    async def ask() -> Initiator:
        return checked(await how())

    return ask


@dataclass(frozen=True, slots=True, eq=False)
class _CheckedWay:
    """A way that is made anew when it is refused, whose initiators are looked at before they are used."""

    way: Renewing
    checked: Callable[[Initiator], Initiator]

    async def __call__(self) -> Initiator:
        return self.checked(await self.way())

    async def is_at_hand(self) -> bool:
        return await self.way.is_at_hand()

    async def served(self, initiator: Initiator) -> None:
        await self.way.served(initiator)

    async def failed(self, initiator: Initiator, error: HandshakeError) -> bool:
        return await self.way.failed(initiator, error)

    async def renewed(self, refused: Initiator) -> Initiator:
        return self.checked(await self.way.renewed(refused))

    async def afresh(self) -> Initiator:
        return self.checked(await self.way.afresh())

    def explained(self, refused: Initiator, error: HandshakeError) -> HandshakeError:
        return self.way.explained(refused, error)
