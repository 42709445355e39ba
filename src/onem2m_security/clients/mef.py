"""An Enrolment Target's side of the MEF: fetching Km or Kpsa for a KeId (TS-0003 clause 8.3.2.1).

A MAF or a CSE asks in the middle of an Enrolee's handshake, over an MEF Handshake of its own (8.3.5.2.2),
whose connection is kept for the next question. What is no KeId may name a key that a client registered with
the MEF for us (8.3.5.2.7): then that is retrieved (8.3.5.2.8).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey, Secret
from ..errors import MessageError, ResolverUnavailableError
from ..frameworks import maf_handshake, saef_psk
from ..frameworks.checked_way import meeting
from ..frameworks.resolvers import REMEMBERED, RemoteKeys, ResolverChain
from ..frameworks.steps import How
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..net.limits import Limits
from ..net.link import Link
from ..net.ports import request_client
from ..onem2m.fetch_credentials import FetchedCredential
from ..onem2m.paths import FETCH_CREDENTIALS
from ..onem2m.primitives import Operation, Rsc
from ..onem2m.resources import MefSymmetricKeyRegistration
from .distributed_keys import DistributedKey, KeyClient

FETCH_SECONDS: Final = 8.0
"""For an MEF to answer, waiting for our other questions included; below the time that a handshake has."""


_Registered = tuple[Secret, EntityId, datetime | None]


class MefClient:
    """An Enrolment Target's client of one MEF.

    Attributes:
        mef: The MEF-ID.
        keys: The keys that the MEF distributes for its clients (8.3.5.2.7 to 10).
    """

    def __init__(self, mef: Fqdn, link: Link, how: How, *, clock: Clock = CLOCK) -> None:
        """A client of the MEF behind this link.

        Args:
            mef: The MEF-ID.
            link: Where the MEF listens; TLS with HTTP, or DTLS with CoAP.
            how: How we prove ourselves: by the key that we and the MEF share (``mef_handshake.initiate``), or
                by certificate.
            clock: From when the lifetimes in its answers count.

        Raises:
            ConfigurationError: It is a credential for another MEF.
        """
        self.mef = mef
        self._clock = clock
        limits = link.limits or Limits(request_seconds=FETCH_SECONDS)
        link, how = replace(link, limits=limits), meeting(mef, how)
        self._client = request_client(link, how)
        self.keys = KeyClient(
            mef,
            lambda: request_client(link, how),
            self._client,
            resource=MefSymmetricKeyRegistration,
            at_maf=False,
            clock=clock,
        )

    async def fetch_km(self, ke_id: KeyIdentifier) -> ResolvedKey | None:
        """Km for a MAF, with the Enrolee that it authenticates; None when the MEF has none for us.

        It is derived from Ke, or an Enrolee registered it for us with the SUID 21.

        Raises:
            ResolverUnavailableError: The MEF cannot be reached, or its answer cannot be used.
        """
        fetched, expires = await self._fetch(ke_id, Suid.PROVISIONED_MAF)
        if fetched is None:
            found = await self._retrieve(ke_id, Suid.PROVISIONED_MAF)
            if found is None:
                return None
            key, enrolee, ends = found
            return maf_handshake.credential(
                ke_id, key, client=enrolee, expires=ends, suid=Suid.PROVISIONED_MAF
            )
        km = maf_handshake.credential(
            ke_id, fetched.credential, client=fetched.enrolee, expires=expires, suid=Suid.PROVISIONED_MAF
        )
        return replace(km, user_settings=fetched.uss)

    async def fetch_kpsa(self, ke_id: KeyIdentifier) -> ResolvedKey | None:
        """Kpsa for a CSE or an AE, with the Enrolee that it authenticates; None when the MEF has none for us.

        It is derived from Ke, or an Enrolee registered it for us with the SUID 22.

        Raises:
            ResolverUnavailableError: The MEF cannot be reached, or its answer cannot be used.
        """
        fetched, expires = await self._fetch(ke_id, Suid.PROVISIONED_SAEF)
        if fetched is None:
            found = await self._retrieve(ke_id, Suid.PROVISIONED_SAEF)
            if found is None:
                return None
            key, enrolee, ends = found
            return saef_psk.credential(ke_id, key, peer=enrolee, expires=ends, suid=Suid.PROVISIONED_SAEF)
        kpsa = saef_psk.credential(
            ke_id, fetched.credential, peer=fetched.enrolee, expires=expires, suid=Suid.PROVISIONED_SAEF
        )
        return replace(kpsa, user_settings=fetched.uss)

    async def fetch_key(self, ke_id: KeyIdentifier, suid: Suid) -> DistributedKey | None:
        """The key that an Enrolee shares with us for one usage; None when the MEF has none for us.

        Args:
            ke_id: KeId, as the Enrolee named it.
            suid: 23 for primitives, 24 and 25 for data, end to end (10.3.7).

        Raises:
            ResolverUnavailableError: The MEF cannot be reached, or its answer cannot be used.
        """
        fetched, expires = await self._fetch(ke_id, suid)
        if fetched is None:
            return None
        return DistributedKey(
            key_id=ke_id, key=fetched.credential, suid=suid, source=fetched.enrolee, expires=expires
        )

    async def _retrieve(self, key_id: KeyIdentifier, suid: Suid) -> _Registered | None:
        """A key that was registered for us with this SUID, whose, and its end; None when there is none."""
        found = await self.keys.retrieve(key_id)
        if found is None or found.suid is not suid or not isinstance(found.source, EntityId):
            return None
        return found.key, found.source, found.expires

    async def _fetch(self, ke_id: KeyIdentifier, suid: Suid) -> tuple[FetchedCredential | None, datetime]:
        # Lifetime counts from before the MEF read its clock: so nothing outlives Ke, whatever our clock says.
        asked = self._clock.now()
        path = (*FETCH_CREDENTIALS, ke_id.hex, str(int(suid)))
        response = await self._client.request(Operation.RETRIEVE, path)
        try:
            fetched = FetchedCredential.decode(response.content)
        except MessageError as error:
            raise ResolverUnavailableError(
                f"{self.mef} gave no usable answer ({response.rsc.name}): {error}"
            ) from None
        if fetched is not None and response.rsc is not Rsc.OK:
            raise ResolverUnavailableError(f"{self.mef} sent a credential with {response.rsc.name}")
        return fetched, asked if fetched is None else asked + fetched.lifetime

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.close()


class EnroleeKeys:
    """The Kpsa of a CSE's Enrolees, fetched from one MEF when they first show their KeId.

    An Enrolee's newer key takes the place of its older one.
    """

    def __init__(
        self, client: MefClient, *, timeout: float = FETCH_SECONDS, remembered: timedelta = REMEMBERED
    ) -> None:
        self._client = client
        self._newest: dict[EntityId, KeyIdentifier] = {}
        self._keys = RemoteKeys({client.mef: self._fetch}, timeout=timeout, remembered=remembered)
        self.resolve = self._keys.resolve
        self.stop = self._keys.stop

    async def _fetch(self, ke_id: KeyIdentifier) -> ResolvedKey | None:
        found = await self._client.fetch_kpsa(ke_id)
        if found is not None and found.peer is not None:
            older = self._newest.get(found.peer)
            self._newest[found.peer] = ke_id
            if older not in {None, ke_id}:
                self._keys.forget(older)
        return found


def resolver(
    mefs: Iterable[MefClient], *, timeout: float = FETCH_SECONDS, remembered: timedelta = REMEMBERED
) -> ResolverChain:
    """A CSE's side: the MEF at the FQDN of a KeId is asked for Kpsa; each MEF has its own places."""
    return ResolverChain(EnroleeKeys(client, timeout=timeout, remembered=remembered) for client in mefs)
