"""How a UE proves itself to a NAF: by the bootstrapping that it keeps; without one, by a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ..alerts import Alert
from ..errors import HandshakeError, HandshakeTimeoutError
from ..frameworks.steps import Initiator
from ..gba.context import BootstrappedContext
from ..identifiers import KeyIdentifier
from ..telemetry import LOG
from .through_maf import REFUSALS

_REFUSALS: Final = REFUSALS | {Alert.internal_error}
"""A NAF over DTLS says nothing to an unknown identity; internal_error may end its wait."""


class Bootstraps(Protocol):
    """Who bootstraps with a BSF: see ``Ue``."""

    async def kept(self) -> BootstrappedContext | None:
        """The bootstrapping that is kept, unless it has ended."""

    async def context(self) -> BootstrappedContext:
        """The same or, if there is none, a new one."""

    async def renewed(self, refused: KeyIdentifier) -> BootstrappedContext:
        """A new one in the place of one that was refused."""

    async def bootstrap(self) -> BootstrappedContext:
        """A new one in the place of the one that is kept."""


class ByBootstrapping:
    """The way to one NAF.

    A bootstrapping is used until it ends. When the NAF refuses one that was kept (its BSF knows it no more),
    the UE bootstraps once more. Where one must be made, the NAF must answer before.
    """

    def __init__(self, ue: Bootstraps, initiate: Callable[[BootstrappedContext], Initiator]) -> None:
        """The way to the NAF that ``initiate`` begins with.

        Args:
            ue: Who bootstraps.
            initiate: What a bootstrapping gives for this NAF.
        """
        self._ue = ue
        self._initiate = initiate
        self._made: dict[KeyIdentifier, Initiator] = {}  # one for as long as the bootstrapping is kept
        self._new: KeyIdentifier | None = None
        """The B-TID of a bootstrapping that was made for this way and never served."""

    async def is_at_hand(self) -> bool:
        """Whether there is a bootstrapping, so that the BSF need not be met."""
        return await self._ue.kept() is not None

    async def __call__(self) -> Initiator:
        """By the bootstrapping that is kept, or by a new one.

        Raises:
            SecurityFrameworkError: As for ``Ue.bootstrap``.
        """
        known = await self._ue.kept()
        context = await self._ue.context()
        if known is None or known.b_tid != context.b_tid:
            self._new = context.b_tid
        return self._by(context)

    async def served(self, initiator: Initiator) -> None:
        """The NAF took it."""
        del initiator
        self._new = None

    async def failed(self, initiator: Initiator, error: HandshakeError) -> bool:
        """Whether the NAF may have refused one that was kept; over DTLS it does so by silence."""
        if initiator.credential is None or initiator.credential.key_id == self._new:
            return False
        return error.alert in _REFUSALS or isinstance(error, HandshakeTimeoutError)

    async def renewed(self, refused: Initiator) -> Initiator:
        """Bootstrap anew; raises as a call does."""
        if refused.credential is None:
            return await self()
        b_tid = refused.credential.key_id
        LOG.info("B-TID is refused: bootstrapping anew", peer=str(refused.peer), b_tid=b_tid.base64)
        context = await self._ue.renewed(b_tid)
        self._new = context.b_tid
        return self._by(context)

    def explained(self, refused: Initiator, error: HandshakeError) -> HandshakeError:
        """The error with what it means: the BSF gave the NAF no key for a new bootstrapping, or another."""
        if error.alert not in _REFUSALS or refused.credential is None:
            return error
        b_tid = refused.credential.key_id
        return HandshakeError(
            f"{error}; B-TID {b_tid.base64} is new, of {b_tid.fqdn}: let {refused.peer} ask this BSF, and "
            "the BSF have it as a NAF of ours (m2msec bsf subscribers)",
            alert=error.alert,
        )

    async def afresh(self) -> Initiator:
        """By a new bootstrapping, which takes the place of the one that is kept; raises as a call does."""
        context = await self._ue.bootstrap()
        self._new = context.b_tid
        return self._by(context)

    def _by(self, context: BootstrappedContext) -> Initiator:
        if context.b_tid not in self._made:
            initiator = self._initiate(context)
            self._made.clear()
            self._made[context.b_tid] = initiator
        return self._made[context.b_tid]
