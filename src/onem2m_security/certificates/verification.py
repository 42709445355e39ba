"""Certificate Verification (seed clause 8.1.1.2.2, TS-0003 clauses 8.1.2.2 and 8.1.2.5).

Takes the certificates of a peer's Certificate message in the middle of a handshake and says which Association
Configuration they prove, or with which alert to abort. Both releases' rules; many configurations at a time.
What does not depend on the peer is computed once. Opens no socket; proves nothing about possession of the
private key, which is the handshake's part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from onem2m_security.alerts import Alert
from onem2m_security.errors import CertificateRejectedError, ConfigurationError, IdentifierError
from onem2m_security.identifiers import EntityId, EntityKind
from onem2m_security.release import Release
from onem2m_security.tls.engine import CertificateType

from ..clock import CLOCK
from .configuration import AssociationConfiguration, peer_of
from .constraints import is_constrained
from .crl import CrlSource, Link
from .flavours import Flavour, credential_id
from .kept import Kept, chain_digest
from .names import CertificateNames
from .path import Paths, PathValidator, PresentedCertificate
from .profile import (
    CLIENT_AUTH,
    MALFORMED,
    SERVER_AUTH,
    algorithm_findings,
    constraint_findings,
    purpose_findings,
    usage_findings,
)
from .raw_public_keys import RawPublicKeys, is_public_key
from .roots_of_trust import RootsOfTrust
from .verified_peer import VerifiedPeer

CHAIN_MAX_CERTIFICATES = 5
"""The default for the most certificates in a chain."""

CHAIN_MAX_OCTETS = 16 * 1024
"""The default for the size of a chain in octets: one TLS record's worth, several times what P-256 needs."""

REMEMBERED_MAX_OCTETS = 4 * 1024 * 1024
"""The default for the size of all chains whose verdict is remembered: some 3,000 of three certificates."""

_ISSUERS_MAX_OCTETS = 128 * 1024


class PeerVerifier:
    """Verifies peers' certificates against Association Configurations."""

    def __init__(
        self,
        configurations: Sequence[AssociationConfiguration],
        *,
        release: Release,
        crls: CrlSource | None = None,
        require_crl: bool = False,
        require_name_constraints: bool = True,
        chain_max_certificates: int = CHAIN_MAX_CERTIFICATES,
        chain_max_octets: int = CHAIN_MAX_OCTETS,
        remembered_max_octets: int = REMEMBERED_MAX_OCTETS,
    ) -> None:
        """Index the configurations and load their trust anchors.

        Args:
            configurations: Of either form, at least one. Where several match, the first counts; those for
                any peer of a flavour come after those for one.
            release: Release 3 holds peers of the Release 1 form to the key usage rule of 10.1.1.1 too.
            crls: Where the CRLs are; every issuer's list that is there is obeyed.
            require_crl: Refuse a chain unless each of its certificates has a valid list; for an
                Infrastructure Domain entity that receives an MEF's certificate (8.1.2.2). Self-signed
                certificates are exempt.
            require_name_constraints: Release 3 form: refuse a path whose authorities do not constrain the
                form of name that is matched (8.1.2.2, 10.1.1.5); device certificates are exempt (10.1.1.4.2).
            chain_max_certificates: The most certificates in a chain.
            chain_max_octets: The most octets in a chain, looked at before anything is parsed.
            remembered_max_octets: The most octets of all the chains of which it is remembered, until others
                come, that they were accepted; 0 to judge each from the beginning.

        Raises:
            ConfigurationError: No configuration; the same one twice; require_crl without CRLs.
        """
        if not configurations:
            raise ConfigurationError("a verifier needs at least one association configuration")
        if require_crl and crls is None:
            raise ConfigurationError("require_crl needs crls: say where the CRLs are")
        if len(set(configurations)) != len(configurations):
            raise ConfigurationError("an association configuration is given twice")
        self._release = release
        self._crls = crls
        self._require_crl = require_crl
        self._require_name_constraints = require_name_constraints
        self._chain_max = (chain_max_certificates, chain_max_octets)
        self._roots = RootsOfTrust()
        self._raw_public_keys = RawPublicKeys()
        self._by_identifier: dict[tuple[Flavour, str | None], list[_Candidate]] = {}
        self._validators: dict[frozenset[x509.Certificate], PathValidator] = {}
        self._issuers: Kept[bytes, PresentedCertificate] = Kept(_ISSUERS_MAX_OCTETS)
        self._accepted: Kept[bytes, _Accepted] = Kept(remembered_max_octets)
        for rank, configuration in enumerate(configurations):
            self._index(rank, configuration)
        self._flavours = tuple(dict.fromkeys(flavour for flavour, _ in self._by_identifier))

    def verify(
        self, chain: Sequence[bytes], *, server: bool | None = None, now: datetime | None = None
    ) -> VerifiedPeer:
        """Verify a peer's certificates.

        Args:
            chain: The DER certificates of its Certificate message, its own first, in the order received; or
                the one SubjectPublicKeyInfo of a raw public key.
            server: Whether the peer is the handshake's server or its client, which an extended key usage must
                allow; None outside a handshake: then either will do.
            now: The moment at which they must be valid; the present if None.

        Raises:
            CertificateRejectedError: Abort the handshake with the error's ``alert``.
        """
        if len(chain) == 1 and self._raw_public_keys and is_public_key(chain[0]):
            return self._raw_public_keys.verify(chain[0])
        self._check_size(chain)
        digest = chain_digest(chain, server=server)
        if (known := self._recall(digest, now)) is not None:
            return known
        presented = [self._issuers.get(der) or PresentedCertificate.parse(der) for der in chain]
        try:
            names = CertificateNames.of(presented[0].parsed)
        except MALFORMED as error:
            raise _bad("a name in the certificate is malformed") from error
        purpose = None if server is None else SERVER_AUTH if server else CLIENT_AUTH
        for certificate in presented:
            if self._issuers.get(certificate.der) is None:
                _refuse(algorithm_findings(certificate.parsed))
            _refuse(purpose_findings(certificate.parsed, purpose))
        accepted = self._match(presented, names, now)
        for issuer in presented[1:]:  # its other certificates come with it again
            self._issuers.keep(issuer.der, issuer, len(issuer.der))
        if accepted.is_first:
            self._accepted.keep(digest, accepted, sum(map(len, chain)))
        return accepted.peer

    @property
    def certificate_types(self) -> frozenset[CertificateType]:
        """What the configurations take: certificates, raw public keys, or both."""
        types = {CertificateType.RAW_PUBLIC_KEY} if self._raw_public_keys else set()
        if self._roots or self._by_identifier:
            types.add(CertificateType.X509)
        return frozenset(types)

    @property
    def revision(self) -> object:
        """What verdicts rest on beside the clock: it changes when a certificate may have been revoked."""
        return None if self._crls is None else self._crls.revision

    def _recall(self, digest: bytes, now: datetime | None) -> VerifiedPeer | None:
        """The verdict on these octets if it was to accept them, and what it rests on still holds.

        None is no verdict: whatever is not accepted from memory is judged from the beginning.
        """
        accepted = self._accepted.get(digest)
        if accepted is None:
            return None
        moment = CLOCK.now() if now is None else now
        ends = accepted.peer.expires
        if ends is None or not accepted.begins <= moment < ends:
            return None
        try:
            self._check_revocation(accepted.links, moment)
        except CertificateRejectedError:
            self._accepted.forget(digest)
            return None
        return accepted.peer

    def _match(
        self, presented: list[PresentedCertificate], names: CertificateNames, now: datetime | None
    ) -> _Accepted:
        first_rejection: CertificateRejectedError | None = None
        for way in self._ways(presented, names, now):
            try:
                accepted = way()
            except CertificateRejectedError as rejection:
                first_rejection = first_rejection or rejection
            else:
                return accepted if first_rejection is None else replace(accepted, is_first=False)
        raise first_rejection or _bad("the certificate holds no name that is configured")

    def _ways(
        self, presented: list[PresentedCertificate], names: CertificateNames, now: datetime | None
    ) -> Iterator[_Way]:
        """The ways to be accepted: by configurations for one peer, in their order, then by those for any."""
        paths = Paths(presented, now)
        found = {flavour: sorted(names.identifiers(flavour)) for flavour in self._flavours}
        ways: list[tuple[int, _Way]] = [
            (candidate.rank, partial(self._verify_flavoured, candidate, names, paths, now))
            for candidate in self._candidates(found)
        ]
        rooted = list(self._roots.chains(presented)) if self._roots else []
        for root_of_trust, chain in rooted:
            if own := self._roots.find(chain, root_of_trust, names):
                ways.append((own[0], partial(self._verify_named, chain, own[1], now)))
        yield from (way for _, way in sorted(ways, key=lambda way: way[0]))
        for candidate in self._general_candidates(found):
            yield partial(self._verify_flavoured, candidate, names, paths, now)
        if rooted:
            yield partial(self._refuse_named, [root_of_trust for root_of_trust, _ in rooted])

    # --- Release 1: Certificate Name and Root of Trust (seed clause 8.1.1.2.2) ---

    def _verify_named(
        self, chain: list[PresentedCertificate], configuration: AssociationConfiguration, now: datetime | None
    ) -> _Accepted:
        _refuse(usage_findings(chain[0].parsed, required=self._release is Release.R3))
        # Only the root's key is configured: its certificate is believed because that key signed it.
        path = self._roots.validator(chain[-1]).validate(chain, now=now)
        self._check_revocation(Link.all_of(path), now)
        return _accepted(configuration, path, peer=configuration.peer)

    def _refuse_named(self, roots_of_trust: list[bytes]) -> _Accepted:
        if not any(root_of_trust in self._roots for root_of_trust in roots_of_trust):
            raise CertificateRejectedError(
                "the chain does not end in a certificate whose key is a configured Root of Trust: for a peer "
                "that leaves its root out, give the association the root_certificate",
                alert=Alert.unknown_ca,
            )
        raise _bad("no name field of the certificate holds the Certificate Name configured for its root")

    # --- Release 3: flavours and trust anchors (8.1.2.5) ---

    def _candidates(self, found: Mapping[Flavour, Sequence[str]]) -> list[_Candidate]:
        """The configurations for an identifier that the certificate holds."""
        return [
            candidate
            for flavour, identifiers in found.items()
            for identifier in identifiers
            for candidate in self._by_identifier.get((flavour, identifier), ())
        ]

    def _general_candidates(self, found: Mapping[Flavour, Sequence[str]]) -> Iterator[_Candidate]:
        """The configurations without an identifier: the certificate must leave no choice."""
        for flavour, identifiers in found.items():
            if len(identifiers) == 1:
                for candidate in self._by_identifier.get((flavour, None), ()):
                    yield replace(candidate, identifier=identifiers[0])

    def _verify_flavoured(
        self, candidate: _Candidate, names: CertificateNames, paths: Paths, now: datetime | None
    ) -> _Accepted:
        configuration, flavour, identifier = candidate.configuration, candidate.flavour, candidate.identifier
        path = paths.by(candidate.validator)
        if len(path) == 1:
            raise CertificateRejectedError(
                "a trust anchor does not authenticate itself", alert=Alert.unknown_ca
            )
        if names.wildcards:
            raise _bad("a name in the certificate holds a wildcard")
        for certificate in path[:-1]:
            _refuse(usage_findings(certificate, required=True))
        for certificate in path:
            if findings := constraint_findings(certificate):
                raise _bad(f"a certificate does not meet the profile: {findings[0]}")
        if self._require_name_constraints and not is_constrained(path, flavour):
            raise _bad(
                f"no certificate authority on the path constrains the name {identifier!r} ({flavour.value})"
            )
        self._check_revocation(Link.all_of(path), now)
        try:
            peer = configuration.peer or peer_of(flavour, identifier)
        except IdentifierError as error:
            raise _bad("the certificate's name is no public domain name of a CSE") from error
        return _accepted(configuration, path, peer=peer, identifier=identifier)

    # --- both ---

    def _index(self, rank: int, configuration: AssociationConfiguration) -> None:
        flavour = configuration.flavour
        if flavour is None:
            self._roots.add(rank, configuration)
            return
        if flavour is Flavour.RAW_PUBLIC_KEY:
            self._raw_public_keys.add(configuration)
            return
        anchors = frozenset(configuration.trust_anchors)
        if anchors not in self._validators:
            self._validators[anchors] = PathValidator([PresentedCertificate.of(one) for one in anchors])
        candidate = _Candidate(
            rank, configuration, flavour, configuration.peer_id or "", self._validators[anchors]
        )
        self._by_identifier.setdefault((flavour, configuration.peer_id), []).append(candidate)

    def _check_size(self, chain: Sequence[bytes]) -> None:
        most, octets = self._chain_max
        if not chain:
            raise _bad("the peer sent no certificate")
        if len(chain) > most:
            raise _bad(f"the chain has {len(chain)} certificates: {most} are allowed")
        if sum(map(len, chain)) > octets:
            raise _bad(f"the chain is longer than {octets} octets")

    def _check_revocation(self, links: Sequence[Link], now: datetime | None) -> None:
        if self._crls is not None:
            self._crls.check_path(links, CLOCK.now() if now is None else now, every=self._require_crl)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A verdict, and what it rests on besides the octets and the configurations.

    Attributes:
        peer: The verdict, which says until when it holds.
        begins: The latest beginning of a validity period on the path (UTC).
        links: Of the path: none of them may be in a list.
        is_first: Whether no configuration refused before: one that did may accept at another moment.
    """

    peer: VerifiedPeer
    begins: datetime
    links: tuple[Link, ...]
    is_first: bool = True


_Way = Callable[[], _Accepted]


@dataclass(frozen=True, slots=True)
class _Candidate:
    rank: int
    configuration: AssociationConfiguration
    flavour: Flavour
    identifier: str
    validator: PathValidator


def _accepted(
    configuration: AssociationConfiguration,
    path: list[x509.Certificate],
    *,
    peer: EntityId | None,
    identifier: str | None = None,
) -> _Accepted:
    flavour = configuration.flavour
    allowed = configuration.allowed_ae_ids
    if flavour is Flavour.AE_ID and peer is not None:
        # //sp.example/Sstem reads like a CSE-ID, to which the registrar's check (7.2.1) would not apply.
        peer = peer.known_as(EntityKind.AE)
        allowed = (peer,)
    elif flavour is Flavour.CSE_ID and peer is not None:
        peer = peer.known_as(EntityKind.CSE)
    verified = VerifiedPeer(
        configuration=configuration,
        peer=peer,
        credential_id=None if flavour is None or identifier is None else credential_id(flavour, identifier),
        flavour=flavour,
        allowed_ae_ids=allowed,
        targets=configuration.targets,
        expires=min(certificate.not_valid_after_utc for certificate in path),
        fingerprint=hashlib.sha256(path[0].public_bytes(Encoding.DER)).hexdigest(),
    )
    begins = max(certificate.not_valid_before_utc for certificate in path)
    return _Accepted(verified, begins, Link.all_of(path))


def _refuse(findings: list[str]) -> None:
    if findings:
        raise CertificateRejectedError(
            f"a certificate does not meet the profile: {findings[0]}", alert=Alert.unsupported_certificate
        )


def _bad(message: str) -> CertificateRejectedError:
    return CertificateRejectedError(message, alert=Alert.bad_certificate)
