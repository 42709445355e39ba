"""By whose word a peer is taken for who it is: at an Entity B whose peers are described (8.1, 8.2.1).

A MAF, an MEF or a BSF says for whom a key is, a certificate configuration says whom a certificate
authenticates. Where a peer's description says what it must prove, nothing else will do: a MAF that is broken
into cannot pass others for a peer that has a certificate, nor one MAF for the clients of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..alerts import Alert
from ..certificates.configuration import AssociationConfiguration
from ..certificates.verification import PeerVerifier
from ..certificates.verified_peer import VerifiedPeer
from ..credentials import ResolvedKey
from ..errors import CertificateRejectedError, ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..tls.engine import CertificateType
from ..tls.suites import Suite
from .resolvers import Asking
from .steps import Pending, Resolver, resolve_now

Word = Fqdn | AssociationConfiguration
"""Who says it: a MAF, MEF or BSF by its FQDN, or the configuration that a certificate matched."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whose word counts for whom.

    A peer is the same in each form of its identifier that means it where we are (TS-0001 clause 7.2): nobody
    evades a description by the absolute form of what is described in the SP-relative one.

    Attributes:
        local: Where we are: the identity that we assume.
        general: Those who are believed about every peer that ``particular`` does not have, and about clients
            of whom only the credential is known.
        particular: For a peer: those who are believed about it, and nobody else.
    """

    local: EntityId
    general: frozenset[Word] = frozenset()
    particular: Mapping[EntityId, frozenset[Word]] = field(default_factory=dict)
    _seen: dict[EntityId, frozenset[Word]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Know each peer by its longest form.

        Raises:
            ConfigurationError: One peer is described twice, in two forms of its identifier.
        """
        for peer, words in self.particular.items():
            seen = peer.seen_from(self.local)
            if seen in self._seen:
                raise ConfigurationError(f"{peer} is here twice, in two forms of its identifier")
            self._seen[seen] = words

    def admits(self, word: Word, peer: EntityId | None) -> bool:
        """Whether it is this peer if these say so."""
        if peer is None:
            return word in self.general
        return word in self._seen.get(peer.seen_from(self.local), self.general)


class AdmittedKeys:
    """A resolver: another one's keys, where whoever the identifier names is believed about their peer."""

    def __init__(self, resolver: Resolver, admission: Admission) -> None:
        self._resolver = resolver
        self._admission = admission

    async def resolve(self, identity: bytes, suite: Suite) -> ResolvedKey | None:
        """The key; None for one of a peer about whom its source is not believed."""
        return self._admitted(await self._resolver.resolve(identity, suite))

    def resolve_now(self, identity: bytes, suite: Suite) -> ResolvedKey | Pending | None:
        """The same, if the other knows it at once."""
        found = resolve_now(self._resolver, identity, suite)
        return found if isinstance(found, Pending) else self._admitted(found)

    def _admitted(self, found: ResolvedKey | None) -> ResolvedKey | None:
        if found is None or not self._admission.admits(found.key_id.fqdn, found.peer):
            return None
        return found

    async def stop(self) -> None:
        """Stop the other, if it asks others."""
        if isinstance(self._resolver, Asking):
            await self._resolver.stop()


class AdmittedCertificates:
    """A verifier: the first of several that accepts a certificate, where its word counts for the peer."""

    def __init__(self, verifiers: Sequence[PeerVerifier], admission: Admission) -> None:
        """Ask these in turn.

        Args:
            verifiers: At least one; they differ in their rules, or in the CRLs that they obey.
            admission: Which configurations are believed about whom.
        """
        self._verifiers = tuple(verifiers)
        self._admission = admission

    def verify(self, chain: Sequence[bytes], *, server: bool) -> VerifiedPeer:
        """Accept the certificates and say who it is, as for ``PeerVerifier.verify``.

        Raises:
            CertificateRejectedError: Nobody accepts them; the error is the first one's.
        """
        first: CertificateRejectedError | None = None
        for verifier in self._verifiers:
            try:
                return self._admitted(verifier.verify(chain, server=server))
            except CertificateRejectedError as rejection:
                first = first or rejection
        raise first or CertificateRejectedError(
            "nobody judges certificates here", alert=Alert.certificate_unknown
        )

    @property
    def certificate_types(self) -> frozenset[CertificateType]:
        """What any of them takes."""
        return frozenset[CertificateType]().union(*(one.certificate_types for one in self._verifiers))

    @property
    def revision(self) -> object:
        """What verdicts rest on beside the clock."""
        return tuple(verifier.revision for verifier in self._verifiers)

    def _admitted(self, verified: VerifiedPeer) -> VerifiedPeer:
        if not self._admission.admits(verified.configuration, verified.peer):
            raise CertificateRejectedError(
                f"{verified.peer} must prove something else than this certificate",
                alert=Alert.certificate_unknown,
            )
        return verified
