"""How Entity A proves itself through a MAF: by the Kc that it keeps or, where there is none, by a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ..alerts import Alert
from ..errors import HandshakeError, HandshakeTimeoutError
from ..frameworks import saef_maf
from ..frameworks.maf_handshake import ConnectionKey
from ..frameworks.steps import How, Initiator, initiator_of
from ..identifiers import EntityId, Fqdn
from ..release import Release
from ..telemetry import LOG
from .connection_keys import ConnectionKeys

REFUSALS: Final = frozenset(
    {
        Alert.bad_record_mac,
        Alert.decrypt_error,
        Alert.unknown_psk_identity,
        Alert.handshake_failure,
        Alert.illegal_parameter,
    }
)
"""The alerts of a peer that has no such key, or has another one under its identifier."""


class ThroughMaf:
    """The way to one Entity B through one MAF.

    Kc is used for handshakes until it ends (8.2.2.3). When Entity B refuses one that was kept, it is
    forgotten, and one new one is made. No Kc is made before Entity B answers.
    """

    def __init__(
        self,
        peer: EntityId,
        maf: Fqdn,
        at_maf: How,
        make: Callable[[], Awaitable[ConnectionKey]],
        kept: ConnectionKeys,
        *,
        release: Release,
        server_name: Fqdn | None = None,
    ) -> None:
        """The way to this peer.

        Args:
            peer: IdB.
            maf: The MAF-ID.
            at_maf: How we prove ourselves to the MAF; it says who we are.
            make: Has the MAF and us make a new Kc.
            kept: Where Kc is kept.
            release: Whose messages and identifiers to use.
            server_name: SNI host name; by default the FQDN representation of an absolute IdB.
        """
        self._peer = peer
        self._maf = maf
        self._at_maf = at_maf
        self._make = make
        self._kept = kept
        self._release = release
        self._server_name = server_name
        self._new: set[str] = set()
        """KcIds that were made for this way and never served."""
        self._turn = asyncio.Lock()

    async def is_at_hand(self) -> bool:
        """Whether there is a Kc, so that the MAF need not be met."""
        return await self._find() is not None

    async def __call__(self) -> Initiator:
        """By the Kc that is kept, or by a new one.

        Raises:
            HandshakeError: The MAF cannot be reached, or does not know us.
            PeerRefusedError: Release 3: the MAF does not allow us this peer.
            StoreError: Kc could not be read, or not kept.
        """
        async with self._turn:
            local = (await initiator_of(self._at_maf)).local
            key = await self._kept.find(local, self._peer, self._maf)
            if key is None:
                key = await self._made(local)
        return self._by(local, key)

    async def served(self, initiator: Initiator) -> None:
        """Entity B took it."""
        if initiator.credential is not None:
            self._new.discard(str(initiator.credential.key_id))

    async def failed(self, initiator: Initiator, error: HandshakeError) -> bool:
        """Whether Entity B may have refused a Kc that was kept; over DTLS it does so by silence.

        Who refuses one that was just made refuses the next one too: it is forgotten, none is made now.
        """
        if initiator.credential is None:
            return False
        kc_id, refused = initiator.credential.key_id, error.alert in REFUSALS
        if str(kc_id) not in self._new:
            return refused or isinstance(error, HandshakeTimeoutError)
        self._new.discard(str(kc_id))
        if refused:
            await self._kept.forget(kc_id)
        return False

    async def renewed(self, refused: Initiator) -> Initiator:
        """Forget the Kc that was refused, and make one new one; raises as a call does."""
        if refused.credential is not None:
            await self._kept.forget(refused.credential.key_id)
            LOG.info(
                "Kc is refused: a new one is made", peer=str(self._peer), kc_id=str(refused.credential.key_id)
            )
        return await self()

    def explained(self, refused: Initiator, error: HandshakeError) -> HandshakeError:
        """The error with what it means: Entity B found no Kc at the MAF, or another one."""
        if error.alert not in REFUSALS or refused.credential is None:
            return error
        return HandshakeError(
            f"{error}; Kc {refused.credential.key_id} is new, of {self._maf}: let {self._peer} ask this MAF, "
            f"and the MAF have us with {self._peer} as a target (m2msec maf clients)",
            alert=error.alert,
        )

    async def afresh(self) -> Initiator:
        """By a new Kc, which takes the place of the one that is kept; raises as a call does."""
        async with self._turn:
            local = (await initiator_of(self._at_maf)).local
            return self._by(local, await self._made(local))

    async def _made(self, local: EntityId) -> ConnectionKey:
        key = await self._make()
        self._new.add(str(key.kc_id))
        await self._kept.keep(local, self._peer, key)
        return key

    def _by(self, local: EntityId, key: ConnectionKey) -> Initiator:
        return saef_maf.initiate(local, self._peer, key, release=self._release, server_name=self._server_name)

    async def _find(self) -> ConnectionKey | None:
        local = (await initiator_of(self._at_maf)).local
        return await self._kept.find(local, self._peer, self._maf)
