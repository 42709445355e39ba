"""The Enrolee's Bootstrap Security Handshake with its MEF (TS-0003 clauses 8.3.2.1, 8.3.2.2), and its Ke.

Each handshake makes a Ke at the MEF, whatever the session is used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ..frameworks.bootstrap_psk import EnrolmentKey, export_enrolment_key
from ..frameworks.steps import Initiator
from ..identifiers import Fqdn
from ..net.link import Link
from ..net.ports import request_client
from ..release import Release
from ..store.records import KeyRecord
from .entity_a import associate
from .est import EstClient
from .registration import RegistrationClient

RENEWAL_MARGIN: Final = 0.1
"""The last part of Ke's life in which it counts as about to expire."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """How an Enrolee meets its MEF.

    Attributes:
        mef: The MEF-ID.
        link: Where it listens, over TLS or DTLS.
        initiator: How the Enrolee proves itself.
    """

    mef: Fqdn
    link: Link
    initiator: Initiator

    async def bootstrap(self, release: Release, expires: datetime) -> EnrolmentKey:
        """A handshake for the sake of Ke, which ends then (UTC) at the latest; in Release 3 a registration.

        Raises:
            HandshakeError: The MEF cannot be reached, or does not know us.
            ResolverUnavailableError: Release 3: the MEF gave no usable answer.
            PeerRefusedError: Release 3: the MEF refused to register us.
        """
        if release is Release.R1:
            async with await associate(self.link, self.initiator) as channel:
                return export_enrolment_key(channel.established, self.mef, expires=expires)
        client = request_client(self.link, self.initiator)
        try:
            registration = RegistrationClient(client, self.mef, at_maf=False)
            registered = await registration.register(expires=expires, admin=self.mef)
            expires = min(expires, registered.expires)
            return export_enrolment_key(client.established, self.mef, expires=expires)
        finally:
            await client.close()

    def est(self) -> EstClient:
        """A client of its certificate provisioning, over TLS (8.3.6.2)."""
        return EstClient(self.link, self.initiator)


def renewal(ke: KeyRecord) -> datetime:
    """From when on a Ke counts as about to expire (UTC)."""
    if ke.expires is None:
        return datetime.max.replace(tzinfo=UTC)
    return ke.expires - RENEWAL_MARGIN * (ke.expires - ke.issued)


def as_enrolment_key(record: KeyRecord) -> EnrolmentKey:
    """A Ke that is kept, as it was exported."""
    return EnrolmentKey(record.key_id, record.key, record.expires)
