"""The four steps that every framework takes: offer, resolve, export, associate.

* offer: the initiating side shows an identity (``Initiator``);
* resolve: the accepting side turns it into a key, if need be by asking another party (``Resolver``);
* export: either side takes octets from the finished session (``Established.export``);
* associate: both sides end with an ``Association``.

A framework is a small file that supplies the parts; these are the contracts only. Nothing here performs I/O.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from ..association import Association, PeerProof, Role
from ..credentials import Framework, ResolvedKey
from ..errors import (
    CredentialError,
    HandshakeError,
    IdentifierError,
    SecurityFrameworkError,
)
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..keys import EXPORT_OCTETS, ExportedKey, ExportLabel
from ..tls.endpoint import Endpoint, PeerIdentity, PskOffer
from ..tls.framing import Framing
from ..tls.session import Party, Session
from ..tls.suites import Suite
from ..tls.trial import check_port


class Resolver(Protocol):
    """Turns the psk_identity that a client showed into a key; asked again while its session is open."""

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The key, or None when this resolver has none for the identity.

        Args:
            identity: The psk_identity, as the client sent it.
            suite: The negotiated cipher suite; the keys of GBA depend on it.

        Raises:
            ResolverUnavailableError: Whoever knows could not be asked.
            StoreError: The store could not be read.
        """


class Pending(enum.Enum):
    """In the place of an answer that is not there yet."""

    PENDING = "it has to be awaited"


PENDING: Final = Pending.PENDING

ResolveNow = Callable[[bytes, Suite], ResolvedKey | Pending | None]
"""How a prompt resolver is asked."""


class Prompt(Resolver, Protocol):
    """A resolver that has most of its answers at hand: those cost no task."""

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """What ``resolve`` would answer, if that needs no waiting; PENDING if it does.

        It runs on the event loop's thread, so it may read a page of a file, and never waits for anybody.

        Args:
            identity: The psk_identity, as the client sent it.
            suite: The negotiated cipher suite.

        Raises:
            StoreError: The store could not be read.
        """


def resolve_now(resolver: Resolver, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
    """What any resolver can say at once; PENDING of one that always has to be awaited.

    Raises:
        StoreError: The store could not be read.
    """
    ask: ResolveNow | None = getattr(resolver, "resolve_now", None)
    return PENDING if ask is None else ask(identity, suite)


Done = Callable[[SecurityFrameworkError | None], None]
"""Told that something is durable, or why it is not; on the event loop's thread, once."""


@dataclass(frozen=True, slots=True, eq=False)
class Established:
    """A finished handshake: the association, what authenticated it, and the session to export from."""

    association: Association
    credential: ResolvedKey | PeerIdentity | None
    session: Session[Party] = field(repr=False)

    @property
    def holder(self) -> str:
        """Whose session it is, as a name for quotas: the identity, the credential, or its fingerprint."""
        known: object = self.association.peer or self.association.credential_id
        return str(known or getattr(self.credential, "fingerprint", "nobody known"))

    def export(self, label: ExportLabel) -> ExportedKey:
        """Export 48 octets and split them (TS-0003 clause 10.3.1).

        Raises:
            CredentialError: A certificate session without Extended Master Secret: its export could be made
                equal on two sessions by a man in the middle (RFC 7627).
        """
        if self.session.verified_peer is not None and not self.session.has_extended_master_secret:
            raise CredentialError(
                "no key is exported from a certificate session without Extended Master Secret"
            )
        return ExportedKey.split(self.session.export(label.value, EXPORT_OCTETS))


def _association(
    session: Session[Party],
    proven: ResolvedKey | PeerIdentity | None,
    *,
    role: Role,
    framework: Framework,
    local: EntityId,
    peer: EntityId | None,
    allowed_ae_ids: tuple[EntityId, ...] = (),
    peer_proof: PeerProof = PeerProof.AUTHENTICATED,
) -> Association:
    """What a finished session and what authenticated it come to, at either end."""
    return Association(
        role=role,
        framework=framework,
        local=local,
        peer=peer,
        credential_id=None if proven is None else proven.credential_id,
        cipher_suite=session.suite.openssl_name,
        protocol=session.protocol,
        expires=None if proven is None else proven.expires,
        server_name=session.server_name,
        allowed_ae_ids=allowed_ae_ids,
        peer_proof=peer_proof,
        user_settings=() if proven is None else proven.user_settings,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Initiator:
    """The initiating side of one handshake: Entity A, a MAF client or an Enrolee.

    Attributes:
        framework: The framework that the session will belong to.
        local: The identity that we assume.
        peer: Whom we mean to reach; the association carries it once the peer has proven itself.
        endpoint: Our (D)TLS configuration.
        credential: What we show: a key, or None when the endpoint's certificate is shown.
        identity: The psk_identity in its wire form; required with a key.
        server_name: The SNI host name: the peer's FQDN.
        peer_proof: How the peer's identity is known once the handshake is done.
    """

    framework: Framework
    local: EntityId
    peer: EntityId
    endpoint: Endpoint
    credential: ResolvedKey | None = None
    identity: bytes | None = None
    server_name: Fqdn | None = None
    peer_proof: PeerProof = PeerProof.AUTHENTICATED

    def session(self, host: str | None = None, *, framing: Framing | None = None) -> Session[Initiator]:
        """A client session that shows our credential; its first flight is ready to send.

        Args:
            host: Where the peer is reached: its name serves as SNI when the peer's identity gives none.
            framing: How octets travel; by default TLS.
        """
        offer = None
        if self.credential is not None and self.identity is not None:
            offer = PskOffer(self.identity, self.credential.key)
        name = self.server_name or self.peer.domain_name or _host_name(host)
        return Session(self, offer=offer, server_name=None if name is None else str(name), framing=framing)

    def establish(self, session: Session[Party]) -> Established:
        """What the finished session means to us."""
        verified = session.verified_peer
        association = _association(
            session,
            verified or self.credential,
            role=Role.ENTITY_A,
            framework=self.framework,
            local=self.local,
            peer=self.peer if verified is None else verified.peer,
            peer_proof=self.peer_proof,
        )
        return Established(association, verified or self.credential, session)


Ask = Callable[[], Awaitable[Initiator]]
"""Where a way to prove ourselves is to be had."""

How = Initiator | Ask
"""How we prove ourselves: one way for good, or where a way is to be had, which may change and must be cheap
to ask for: a client asks before each request, and opens new sessions when it gets another way."""


@runtime_checkable
class Renewing(Protocol):
    """A way whose credential is made together with somebody else, kept, and made anew when it is refused."""

    async def __call__(self) -> Initiator:
        """The initiator of now; it may be made for this call."""

    async def is_at_hand(self) -> bool:
        """Whether nobody else must be met for it."""

    async def served(self, initiator: Initiator) -> None:
        """The peer accepted it."""

    async def failed(self, initiator: Initiator, error: HandshakeError) -> bool:
        """The handshake failed; whether a credential that is made anew may do better."""

    async def renewed(self, refused: Initiator) -> Initiator:
        """A new one, in the place of one that the peer refused."""

    def explained(self, refused: Initiator, error: HandshakeError) -> HandshakeError:
        """The error when it is given up: what it means on this way, and what to do, for people."""

    async def afresh(self) -> Initiator:
        """A new one, in the place of one that is about to end, which stays where no new one is to be had."""


async def initiator_of(how: How) -> Initiator:
    """The initiator for a session that is opened now.

    Raises:
        HandshakeError: Whoever provides the credential cannot be reached, or does not know us.
        ResolverUnavailableError: It gave no usable answer.
    """
    return how if isinstance(how, Initiator) else await how()


def _host_name(host: str | None) -> Fqdn | None:
    """A host as an SNI host name; None for an IP address (RFC 6066 clause 3)."""
    if host is None or ":" in host or host.replace(".", "").isdigit():
        return None
    try:
        return Fqdn.parse(host)
    except IdentifierError:
        return None


def _later(established: Established, done: Done) -> bool:
    """Most frameworks export nothing, or await what they do with it."""
    del established, done
    return False


async def _no_revision() -> object:
    """Keys in memory, and those that others are asked for, have no common revision."""
    return None


@dataclass(eq=False, slots=True)
class Acceptor:
    """The accepting side under one name: Entity B, a MAF, an MEF or a BSF.

    Attributes:
        local: The identity that we assume.
        endpoint: Our (D)TLS configuration.
        resolver: Where keys come from.
        certificate_framework: The framework that a certificate session belongs to.
        established: Awaited after the handshake and before the last flight leaves: what it makes durable,
            the client may believe in. If it raises, the handshake fails. None where nothing is exported.
        commit: The same without a task, where that can be: asked first, it begins, and tells when it is done,
            at once or later; False, and then nothing was begun, if ``established`` is to be awaited.
        is_shown: Whether an identifier with our FQDN is one that clients show to us, not to others.
        revision: What the resolver's own answers rest on: a value that changes whenever one of its keys may
            have been removed or replaced. It is asked for again and again, so it must be cheap.
    """

    local: EntityId
    endpoint: Endpoint
    resolver: Resolver
    certificate_framework: Framework = Framework.SAEF_CERTIFICATE
    established: Callable[[Established], Awaitable[None]] | None = None
    commit: Callable[[Established, Done], bool] = _later
    revision: Callable[[], Awaitable[object]] = _no_revision
    is_shown: Callable[[KeyIdentifier], bool] = lambda _: True

    def establish(self, session: Session[Party], resolved: ResolvedKey | None) -> Established:
        """What the finished session means to us."""
        verified = session.verified_peer
        found = resolved or verified
        association = _association(
            session,
            found,
            role=Role.ENTITY_B,
            framework=resolved.framework if resolved else self.certificate_framework,
            local=self.local,
            peer=None if found is None else found.peer,
            allowed_ae_ids=() if verified is None else verified.allowed_ae_ids,
        )
        return Established(association, found, session)


class Authorities:
    """The names served on one port: the client's SNI chooses the acceptor (TS-0003 clause 10.2.1).

    Most devices with pre-shared keys send no SNI: then the FQDN in the identity that they show chooses.

    Attributes:
        acceptors: All that are served, each once.
    """

    def __init__(self, by_name: Mapping[Fqdn, Acceptor], *, default: Acceptor | None) -> None:
        """Serve these names; a client that sends another name, or none, gets the default.

        Without a default such a client is refused with unrecognized_name.

        Raises:
            ConfigurationError: The installed TLS engine does not do its part: nothing may be served over it.
        """
        self._by_name = {str(name): acceptor for name, acceptor in by_name.items()}
        self._default = default
        everyone = [*by_name.values(), *([default] if default else [])]
        self._first = default or everyone[0]
        self.acceptors = tuple(dict.fromkeys(everyone))
        self._is_one = self.acceptors == (default,)
        check_port([acceptor.endpoint for acceptor in self.acceptors])

    def session(self, framing: Framing | None = None) -> Session[Acceptor]:
        """A server session for a new client, over TLS or the given framing; it chooses the owner."""
        if self._is_one:  # whatever a client names, it gets the only one
            return Session(self._first, framing=framing)
        return Session(
            self._first, select=self._select, select_by_identity=self._select_by_identity, framing=framing
        )

    def _select_by_identity(self, identity: bytes, suite: Suite) -> Acceptor | None:
        try:
            key_id = KeyIdentifier.parse(identity)
        except IdentifierError:
            return None
        named = self._by_name.get(str(key_id.fqdn))
        if named is None or not named.is_shown(key_id) or suite not in named.endpoint.allowed_suites:
            return None
        return named

    def _select(self, name: str | None) -> Acceptor | None:
        try:
            named = None if name is None else self._by_name.get(str(Fqdn.parse(name)))
        except IdentifierError:
            named = None
        return named or self._default
