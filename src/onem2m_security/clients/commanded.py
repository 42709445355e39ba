"""An Enrolee that its MEF steers: it asks for commands, carries them out, and asks again when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from ..errors import HandshakeError, PeerRefusedError, ResolverUnavailableError, StoreError
from ..identifiers import EntityId
from ..onem2m.commands import CommandClass
from ..telemetry import LOG
from .commands import DEFAULT_RETRY, Carry, CommandClient, Obedience
from .enrolee import RETRY_INTERVAL, Enrolee

LEAST_REST: Final = timedelta(minutes=1)
"""However soon an MEF wants to be asked again."""

_FAILED: Final = (HandshakeError, PeerRefusedError, ResolverUnavailableError, StoreError)


class CommandedEnrolee:
    """An Enrolee, and what it can be commanded to do."""

    def __init__(
        self,
        enrolee: Enrolee,
        carry: Mapping[CommandClass, Carry],
        *,
        entities: frozenset[EntityId] = frozenset(),
    ) -> None:
        """Let its MEF command this Enrolee.

        Args:
            enrolee: The Enrolee.
            carry: What carries out the commands of each class (``command_classes``); what is not supplied
                is answered with CLASS_NOT_SUPPORTED.
            entities: For whom it acts beside itself: a node's CSE and AEs.
        """
        self._enrolee = enrolee
        self._obedience = Obedience(
            enrolee.mef, entities | {enrolee.local}, carry, memory=enrolee.last_command
        )

    async def obey(self) -> timedelta:
        """Carry out what the MEF commands, in one Enrolment Exchange; returns when to ask again.

        The exchange is a bootstrap: Ke is a new one afterwards.

        Raises:
            ConfigurationError: How the MEF is met is not known here.
            HandshakeError: The MEF cannot be reached, or does not know us.
            PeerRefusedError: It refused.
            ResolverUnavailableError: It gave no usable answer.
            StoreError: Ke, or what was carried out, could not be kept.
        """
        async with self._enrolee.exchange() as exchange:
            if exchange.registered.commands is None:
                return DEFAULT_RETRY
            return await self._obedience.follow(CommandClient(exchange.client, exchange.registered.commands))

    async def keep_obeying(self, *, rest: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Obey whenever the MEF wants to be asked; runs until it is cancelled.

        Args:
            rest: Waits for so many seconds.
        """
        while True:
            try:
                retry = max(await self.obey(), LEAST_REST)
            except _FAILED as error:
                LOG.warning("commands could not be followed", mef=str(self._enrolee.mef), error=str(error))
                retry = RETRY_INTERVAL
            await rest(retry.total_seconds())
