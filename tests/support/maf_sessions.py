"""MAF handshakes and requests without a socket: a real MAF over a real store, two sans-IO sessions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from maf_support import Client
from onem2m_security.credentials import Secret
from onem2m_security.frameworks.steps import Authorities, Established
from onem2m_security.onem2m.primitives import Operation, Request, Response
from onem2m_security.onem2m.resources import MafClientRegistration, SymmetricKeyRegistration
from onem2m_security.servers.maf import Maf
from onem2m_security.tls.events import HandshakeCompleted, PskIdentityOffered

TYPES = {one.path[-1]: one.resource_type for one in (SymmetricKeyRegistration, MafClientRegistration)}


@dataclass(frozen=True, slots=True)
class MafSession:
    """Both ends of a finished MAF Handshake."""

    maf: Maf
    client: Established
    here: Established

    async def request(
        self, operation: Operation, *path: str, content: object = None, originator: str | None = None
    ) -> Response:
        """Send a request over the session, as its client or under another name."""
        name = str(self.here.association.peer) if originator is None else originator
        resource_type = TYPES.get(path[0]) if operation is Operation.CREATE else None
        request = Request(operation, ("maf", *path), name, "1", content, resource_type)
        return await self.maf.handle(request, self.here)


async def shake_hands(
    maf: Maf, client: Client, *, km: Secret | None = None, identity: str | None = None
) -> MafSession | None:
    """The MAF Handshake; None when it fails. What the MAF makes durable is durable when this returns."""

    initiator = client.initiator(km)
    if identity is not None:
        initiator = dataclasses.replace(initiator, identity=identity.encode())
    a, b = initiator.session(), Authorities({maf.fqdn: maf.acceptor}, default=None).session()
    b.receive(a.data_to_send())
    a.receive(b.data_to_send())
    [offered] = b.receive(a.data_to_send())
    assert isinstance(offered, PskIdentityOffered)
    resolved = await maf.resolve(offered.identity, offered.suite)
    events = b.answer(None if resolved is None else resolved.key)
    if not any(isinstance(event, HandshakeCompleted) for event in events):
        return None
    here = maf.acceptor.establish(b, resolved)
    await maf.established(here)
    b.release()
    a.receive(b.data_to_send())
    return MafSession(maf, initiator.establish(a), here)
