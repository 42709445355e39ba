"""Whether a session still stands: the step *resolve*, taken again.

What authenticated a session may be removed, replaced or revoked while the session is open. Whoever accepted
it knows how to find out: the same resolver, asked for the same psk_identity, or the same verifier, shown the
same certificates, answers as it would answer a new handshake at this moment. So this holds for every
framework, and what a framework supplies for its handshakes serves its open sessions too.
"""

from __future__ import annotations

from ..alerts import Alert
from ..credentials import ResolvedKey
from ..errors import CertificateRejectedError
from ..tls.endpoint import PeerIdentity
from ..tls.session import Party, Session
from ..tls.suites import Suite
from .steps import Acceptor, Established, Pending, resolve_now

_CANNOT_TELL = Alert.certificate_unknown
"""The alert for a certificate of which, for want of a valid list, nobody can say whether it is revoked."""


async def renewed(acceptor: Acceptor, established: Established) -> Established | None:
    """What the session means now: until when, and for whom keys derived from it may be.

    Returns:
        None when a new handshake would not be accepted, or would authenticate somebody else.

    Raises:
        ResolverUnavailableError: Whoever knows the key could not be asked.
        StoreError: The store could not be read.
        CertificateRejectedError: Nobody can say whether the certificate is revoked.
    """
    session, was = established.session, established.credential
    if isinstance(was, ResolvedKey):
        identity = session.psk_identity
        key = None if identity is None else await _resolved(acceptor, identity, session.suite)
        return acceptor.establish(session, key) if key is not None and _is_same_key(key, was) else None
    if not verify_again(session):
        return None
    now = acceptor.establish(session, None)
    return now if _is_same_peer(now.credential, was) else None


async def _resolved(acceptor: Acceptor, identity: bytes, suite: Suite) -> ResolvedKey | None:
    found = resolve_now(acceptor.resolver, identity, suite)
    return await acceptor.resolver.resolve(identity, suite) if isinstance(found, Pending) else found


def verify_again(session: Session[Party]) -> bool:
    """Whether the peer's certificates would be accepted at this moment; true for a session without.

    Raises:
        CertificateRejectedError: Nobody can say.
    """
    try:
        session.verify_again()
    except CertificateRejectedError as rejection:
        if rejection.alert is _CANNOT_TELL:
            raise
        return False
    return True


def _is_same_key(now: ResolvedKey, was: ResolvedKey) -> bool:
    return now.key == was.key and _is_same_peer(now, was)


def _is_same_peer(now: ResolvedKey | PeerIdentity | None, was: ResolvedKey | PeerIdentity | None) -> bool:
    if now is None or was is None:
        return now is was
    return (now.peer, now.credential_id) == (was.peer, was.credential_id)
