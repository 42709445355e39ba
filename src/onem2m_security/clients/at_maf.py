"""How an Enrolee proves itself to a MAF: by the Km of its newest Ke, in Release 3 after it has registered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey
from ..frameworks import maf_handshake
from ..frameworks.instructions import DEFAULT_ENROLMENT_EXPIRY
from ..frameworks.steps import Initiator
from ..identifiers import EntityId, Fqdn
from ..net.link import Link
from ..net.ports import request_client
from ..release import Release
from .registration import RegistrationClient


class AtMaf:
    """Shows KeId, and changes to a new Km when the Enrolee has bootstrapped again.

    In Release 3 it registers first, and then shows the KmId that the MAF assigned (8.8.2.3).
    """

    def __init__(
        self,
        enrolee: EntityId,
        release: Release,
        maf: Fqdn,
        link: Link,
        credential: Callable[[], Awaitable[ResolvedKey]],
        *,
        clock: Clock = CLOCK,
    ) -> None:
        """An Enrolee at this MAF.

        Args:
            enrolee: Enrolee-ID.
            release: Whose identifiers to show.
            maf: The MAF-ID.
            link: Where the MAF listens.
            credential: Km of the newest Ke, named by KeId.
            clock: From when the lifetime of our registration counts, where Km has no end.
        """
        self._enrolee = enrolee
        self._release = release
        self._maf = maf
        self._link = link
        self._credential = credential
        self._clock = clock
        self._km: ResolvedKey | None = None
        self._initiator: Initiator | None = None
        self._turn = asyncio.Lock()

    async def __call__(self) -> Initiator:
        """The initiator of now; the same one for as long as Km is.

        Raises:
            HandshakeError: There is no usable Ke, and the MEF cannot be reached or does not know us.
            ResolverUnavailableError: The same in Release 3; or the MAF cannot be reached to register.
            PeerRefusedError: Release 3: the MEF or the MAF refused to register us.
        """
        async with self._turn:
            km = await self._credential()
            if self._initiator is None or self._km is None or km.key_id != self._km.key_id:
                self._initiator = await self._show(km)
                self._km = km
            return self._initiator

    async def _show(self, km: ResolvedKey) -> Initiator:
        by_ke_id = maf_handshake.initiate(self._enrolee, self._maf, km, self._release.wire(km.key_id))
        if self._release is Release.R1:
            return by_ke_id
        client = request_client(self._link, by_ke_id)
        try:
            registration = RegistrationClient(client, self._maf, at_maf=True)
            expires = km.expires or self._clock.now() + DEFAULT_ENROLMENT_EXPIRY
            assigned = (await registration.register(expires=expires, admin=self._maf)).assigned_key_id
        finally:
            await client.close()
        if assigned is None:
            return by_ke_id
        return maf_handshake.initiate(self._enrolee, self._maf, km, str(assigned))
