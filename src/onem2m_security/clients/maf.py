"""A MAF client: MAF Handshake, key registration and retrieval (TS-0003 clauses 8.8.2.2, 8.8.2.7 to 10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey, Secret
from ..errors import ResolverUnavailableError
from ..frameworks import saef_maf
from ..frameworks.checked_way import meeting
from ..frameworks.maf_handshake import ConnectionKey, export_connection_key
from ..frameworks.steps import How
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..net.link import Link
from ..net.ports import request_client
from ..release import DEFAULT_RELEASE, Release
from .connection_keys import ConnectionKeys, KeysInMemory
from .distributed_keys import KeyClient
from .entity_a import associate
from .registration import RegistrationClient
from .through_maf import ThroughMaf

KC_LIFETIME: Final = timedelta(hours=24)
"""How long we use Kc in Release 1, where no message says when it ends: as long as a MAF of ours keeps it."""

PROPOSED_LIFETIME: Final = timedelta(hours=24)
"""What Release 3 proposes to the MAF as the lifetime of Kc; the MAF decides."""


class MafClient:
    """A client of one MAF.

    Attributes:
        maf: The MAF-ID.
        keys: The keys that the MAF distributes, for every usage.
    """

    def __init__(
        self,
        maf: Fqdn,
        link: Link,
        how: How,
        *,
        kept: ConnectionKeys | None = None,
        kc_lifetime: timedelta = KC_LIFETIME,
        clock: Clock = CLOCK,
    ) -> None:
        """A client of the MAF behind this link.

        Args:
            maf: The MAF-ID.
            link: Where the MAF listens; TLS with HTTP, or DTLS with CoAP.
            how: How we prove ourselves: by the Master Credential (``maf_handshake.initiate``), by what an
                Enrolee got of its MEF (``Enrolee.at_maf``), by certificate, or by GBA.
            kept: Where the Kc of ``initiator`` are kept; by default in memory.
            kc_lifetime: How long we use Kc in Release 1; in Release 3 the MAF says when it ends.
            clock: From when the lifetimes that we propose count.

        Raises:
            ConfigurationError: It is a credential for another MAF.
        """
        self.maf = maf
        self._clock = clock
        self._link = link
        self._kept: ConnectionKeys = kept or KeysInMemory(clock=clock)
        self._kc_lifetime = kc_lifetime
        self._how = meeting(maf, how)
        self._client = request_client(link, self._how)
        self.keys = KeyClient(maf, lambda: request_client(link, self._how), self._client, clock=clock)

    def keep_in(self, kept: ConnectionKeys) -> None:
        """Keep the Kc of ``initiator`` here from now on."""
        self._kept = kept

    def initiator(
        self, peer: EntityId, *, release: Release = DEFAULT_RELEASE, server_name: Fqdn | None = None
    ) -> ThroughMaf:
        """How Entity A proves itself to this Entity B through the MAF (8.2.2.3), by one Kc until it ends.

        Args:
            peer: IdB, whom we mean to reach.
            release: Whose messages and identifiers to use.
            server_name: SNI host name; by default the FQDN representation of an absolute IdB.
        """
        return ThroughMaf(
            peer,
            self.maf,
            self._how,
            partial(self.connection_key, peer, release=release),
            self._kept,
            release=release,
            server_name=server_name,
        )

    async def connection_key(self, peer: EntityId, *, release: Release) -> ConnectionKey:
        """A new Kc for this peer: Release 1 by the handshake alone, Release 3 by registration (8.8.2.7).

        When it ends, in Release 3 the MAF says; in Release 1 our configuration: no message does.

        Raises:
            HandshakeError: The MAF cannot be reached, or does not know us.
            PeerRefusedError: Release 3: the MAF does not allow us this peer.
        """
        now = self._clock.now()  # before the handshake: our Kc must not seem to live longer than the MAF's
        if release is Release.R1:
            return replace(await self.handshake(), expires=now + self._kc_lifetime)
        expires = now + PROPOSED_LIFETIME
        return await self.register_key(expires=expires, target=peer, admin=self.maf)

    async def handshake(self) -> ConnectionKey:
        """The MAF Handshake of Release 1: afterwards we and the MAF hold a new Kc.

        The MAF registers it for the one target that it has configured for us.

        Raises:
            HandshakeError: The MAF cannot be reached, or it does not know us by this key.
        """
        async with await associate(self._link, self._how) as channel:
            return export_connection_key(channel.established, self.maf)

    async def register_key(
        self,
        *,
        expires: datetime,
        target: EntityId,
        admin: Fqdn,
        suid: Suid = Suid.MAF_SAEF,
        key: Secret | None = None,
    ) -> ConnectionKey:
        """MAF Key Registration (8.8.2.7): the MAF names the key and says until when it lives.

        We register as a client for the stakeholder first, when we have not done so yet.

        Args:
            expires: Proposed end (UTC).
            target: Who may retrieve the key.
            admin: FQDN of the administrating stakeholder.
            suid: What the key is for.
            key: A key of our own making; without one, the key is exported from the session, in a new session.

        Raises:
            PeerRefusedError: The MAF refused.
            ResolverUnavailableError: The MAF cannot be reached.
            HandshakeError: The MAF does not know us by this key.
        """
        made = await self.keys.register(expires=expires, targets=(target,), admin=admin, suid=suid, key=key)
        return ConnectionKey(made.key_id, made.key, made.expires, made.targets)

    async def retrieve(self, kc_id: KeyIdentifier) -> ResolvedKey | None:
        """MAF Key Retrieval (8.8.2.8) of a Kc; None when there is no such key for us.

        Raises:
            ResolverUnavailableError: The MAF cannot be reached, or its answer cannot be used.
        """
        found = await self.keys.retrieve(kc_id)
        if found is None:
            return None
        if found.suid is not Suid.MAF_SAEF:
            raise ResolverUnavailableError(
                f"{kc_id}: the key is for SUID {int(found.suid)}, not for an association"
            )
        return saef_maf.credential(
            kc_id, found.key, peer=found.source, expires=found.expires, suid=found.suid
        )

    async def deregister_key(self, kc_id: KeyIdentifier) -> None:
        """MAF Key De-Registration (8.8.2.10).

        Raises:
            PeerRefusedError: The MAF refused: the key is not ours, or not there.
        """
        await self.keys.deregister(kc_id)

    def registration(self) -> RegistrationClient:
        """What registers us as a client of the MAF (8.8.2.3 to 6)."""
        return RegistrationClient(self._client, self.maf, at_maf=True)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.close()
