"""The second association, SA2, of an entity that receives requests (TS-0003 clause 8.2.1).

An Entity A whose pointOfAccess can be reached is the (D)TLS server of a second association, and Entity B its
client. Both use the credentials of the first, SA1, with the roles reversed: no MAF, MEF or BSF is met for it.
So what serves SA1 serves SA2, whatever the framework. It takes the suite of SA1, since the keys of GBA depend
on it (TS 33.220 annex H), and so the transport of SA1 too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..clock import CLOCK, Clock
from ..credentials import ResolvedKey
from ..errors import CredentialError
from ..identifiers import EntityId
from ..tls.endpoint import Endpoint
from ..tls.suites import Suite
from .steps import Acceptor, Established, Initiator

_KEYS_MAX: Final = 4
"""How many keys of SA1 count at once: the newest, and those before it that have not ended."""


class KeysOfSa1:
    """A resolver: the keys by which Entity A has proven itself to Entity B, until they end."""

    def __init__(self, *, clock: Clock = CLOCK) -> None:
        """None yet."""
        self._clock = clock
        self._keys: dict[bytes, ResolvedKey] = {}

    def add(self, initiator: Initiator) -> None:
        """Entity B has taken this; a way without a key, by certificate, adds nothing."""
        identity, key = initiator.identity, initiator.credential
        if identity is None or key is None:
            return
        self._keys.pop(identity, None)
        self._keys[identity] = replace(key, peer=initiator.peer)
        while len(self._keys) > _KEYS_MAX:
            del self._keys[next(iter(self._keys))]

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The key that Entity A has shown under this very identity."""
        del suite  # the endpoint takes that of SA1 alone, where the key depends on it
        key = self._keys.get(identity)
        ended = key is not None and key.expires is not None and key.expires <= self._clock.now()
        return None if ended else key


def acceptor(initiator: Initiator, keys: KeysOfSa1) -> Acceptor:
    """Entity A as the server of SA2.

    Args:
        initiator: How it proves itself in SA1.
        keys: The keys that it has shown there.
    """
    own = initiator.endpoint
    endpoint = Endpoint(
        server=True,
        psk=initiator.credential is not None,
        certificate=own.certificate,
        verifier=own.verifier,
        suites=own.suites,
    )
    return Acceptor(initiator.local, endpoint, keys, certificate_framework=initiator.framework)


def initiator(established: Established, peer: EntityId | None = None) -> Initiator:
    """Entity B as the client of SA2.

    Args:
        established: SA1, as Entity B sees it.
        peer: IdA; by default the identity that SA1 has proven.

    Raises:
        CredentialError: SA1 proves no identity and none is given; or its key had no psk_identity.
    """
    association, session = established.association, established.session
    peer = peer or association.peer
    if peer is None:
        raise CredentialError("whose association it is was not proven: there is nobody to associate with")
    key = established.credential if isinstance(established.credential, ResolvedKey) else None
    identity = session.psk_identity
    if key is not None and identity is None:
        raise CredentialError("the session has a key and showed no identity")
    own = session.owner.endpoint
    endpoint = Endpoint(
        server=False,
        psk=key is not None,
        certificate=None if key else own.certificate,
        verifier=None if key else own.verifier,
        suites=(session.suite,),
    )
    return Initiator(association.framework, association.local, peer, endpoint, key, identity)
