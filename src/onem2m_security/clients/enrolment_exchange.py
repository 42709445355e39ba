"""An Enrolment Exchange: an MEF Handshake, and the procedures over its session (TS-0003 clause 8.3.4)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

from ..clock import CLOCK, Clock
from ..errors import ConfigurationError, HandshakeError
from ..frameworks.bootstrap_psk import EnrolmentKey, export_enrolment_key
from ..frameworks.instructions import BootstrapInstruction
from ..frameworks.steps import Initiator
from ..net.link import Link
from ..net.ports import request_client
from ..net.request_client import RequestClient
from ..release import Release
from .at_mef import AtMef
from .entity_a import associate
from .est import EstClient
from .kept_key import KeptKey
from .registration import Registered, RegistrationClient


@dataclass(frozen=True, slots=True)
class EnrolmentExchange:
    """One that is under way; the Enrolee is registered with the MEF.

    Attributes:
        client: For further requests.
        registered: What the MEF keeps of us.
        key: The Ke of the session over which we registered.
    """

    client: RequestClient
    registered: Registered
    key: EnrolmentKey = field(repr=False)


class Bootstrap:
    """How one Enrolee bootstraps with its MEF, and keeps the Ke that comes of it."""

    def __init__(
        self,
        at_mef: AtMef,
        instruction: BootstrapInstruction,
        kept: KeptKey,
        clock: Clock = CLOCK,
    ) -> None:
        """Bootstrap with this MEF.

        Args:
            at_mef: How we meet it.
            instruction: Enrolee-ID, Enrolment Targets, Enrolment Expiry, release.
            kept: Where Ke is kept.
            clock: From when Ke lives.
        """
        self._at_mef = at_mef
        self._mef = at_mef.mef
        self._instruction = instruction
        self._kept = kept
        self._clock = clock

    @property
    def is_possible(self) -> bool:
        """Whether we know how to prove ourselves."""
        return self._at_mef.initiator is not None

    async def enrol(self) -> EnrolmentKey:
        """Bootstrap now: Release 1 by the handshake alone, Release 3 by registering too.

        Raises:
            ConfigurationError: We do not know how.
            HandshakeError: The MEF cannot be reached, or does not know us.
            PeerRefusedError: Release 3: it refused to register us.
            ResolverUnavailableError: Release 3: it gave no usable answer.
            StoreError: Ke could not be kept.
        """
        if self._instruction.release is Release.R3:
            async with self.exchange() as exchange:
                return exchange.key
        initiator, link, issued, expires = self._begin()
        async with await associate(link, initiator) as channel:
            exported = export_enrolment_key(channel.established, self._mef, expires=expires)
        return await self._kept.put(exported, issued=issued)

    @contextlib.asynccontextmanager
    async def exchange(self) -> AsyncIterator[EnrolmentExchange]:
        """Bootstrap and register, for the MEF itself as the administrating stakeholder, and go on.

        If the connection is lost and opened again, that is another bootstrap at the MEF: its Ke is kept.

        Raises:
            ConfigurationError, HandshakeError, PeerRefusedError, ResolverUnavailableError, StoreError: As
                for ``enrol``.
        """
        initiator, link, issued, expires = self._begin()
        client = request_client(link, initiator)
        try:
            registration = RegistrationClient(client, self._mef, at_maf=False)
            registered = await registration.register(expires=expires, admin=self._mef)
            expires = min(expires, registered.expires)
            key = export_enrolment_key(client.established, self._mef, expires=expires)
            await self._kept.put(key, issued=issued)
            try:
                yield EnrolmentExchange(client, registered, key)
            finally:
                newest = export_enrolment_key(client.established, self._mef, expires=expires)
                if newest.ke_id != key.ke_id:
                    await self._kept.put(newest, issued=issued)
        finally:
            await client.close()

    @contextlib.asynccontextmanager
    async def est(self) -> AsyncIterator[EstClient]:
        """A client of the MEF's certificate provisioning, over TLS (8.3.6.2); the Ke of its session is kept.

        Raises:
            ConfigurationError: We do not know how.
            StoreError: Ke could not be kept.
        """
        initiator, link, issued, expires = self._begin()
        async with EstClient(link, initiator) as client:
            try:
                yield client
            finally:
                with contextlib.suppress(HandshakeError):  # no connection was made
                    key = export_enrolment_key(client.established, self._mef, expires=expires)
                    await self._kept.put(key, issued=issued)

    def _begin(self) -> tuple[Initiator, Link, datetime, datetime]:
        """How we meet the MEF, and from when to when the next Ke lives."""
        at_mef = self._at_mef
        if at_mef.initiator is None or at_mef.link is None:
            raise ConfigurationError(
                f"{self._instruction.enrolee} has no Ke, and its certificate is not here: enrol it again "
                "(m2msec enrol)"
            )
        # From before the handshake: our Ke must not seem to live longer than the MEF's.
        issued = self._clock.now()
        expires = issued + self._instruction.enrolment_expiry
        if at_mef.ends is not None:
            expires = min(expires, at_mef.ends)
        return at_mef.initiator, at_mef.link, issued, expires
