"""Who may come to an Entity B, and by what: the parts that a description comes to, added up."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ..certificates.local import LocalCertificate
from ..certificates.trust import Trust, by_rules
from ..credentials import ResolvedKey
from ..errors import ConfigurationError
from ..frameworks.admission import Admission, AdmittedCertificates, Word
from ..identifiers import EntityId, Fqdn
from ..tls.endpoint import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """By what one peer, or anybody, may prove itself to us.

    Attributes:
        keys: Keys that we share with the peer.
        trusts: What certificates must prove.
        mafs: MAFs to ask for Kc.
        mefs: MEFs to ask for Kpsa.
        bsfs: BSFs to ask for NAF keys.
    """

    keys: tuple[ResolvedKey, ...] = ()
    trusts: tuple[Trust, ...] = ()
    mafs: tuple[Fqdn, ...] = ()
    mefs: tuple[Fqdn, ...] = ()
    bsfs: tuple[Fqdn, ...] = ()

    def __or__(self, other: Accepted) -> Accepted:
        """Either."""
        return Accepted(
            keys=self.keys + other.keys,
            trusts=self.trusts + other.trusts,
            mafs=_each_once(self.mafs + other.mafs),
            mefs=_each_once(self.mefs + other.mefs),
            bsfs=_each_once(self.bsfs + other.bsfs),
        )

    @property
    def words(self) -> frozenset[Word]:
        """Whose word is asked for."""
        configured = (one for trust in self.trusts for one in trust.configurations)
        return frozenset((*self.mafs, *self.mefs, *self.bsfs, *configured))


@dataclass(frozen=True, slots=True)
class Accepting:
    """By what everybody may prove itself to us.

    Attributes:
        accepted: All ways together.
        admission: Whose word counts for whom.
        endpoint: The (D)TLS configuration for clients with certificates; None for pre-shared keys only.
    """

    accepted: Accepted
    admission: Admission
    endpoint: Endpoint | None

    @property
    def accepts_nobody(self) -> bool:
        """Whether nobody could associate."""
        by_key = (self.accepted.keys, self.accepted.mafs, self.accepted.mefs, self.accepted.bsfs)
        return self.endpoint is None and not any(by_key)

    @classmethod
    def of(
        cls, general: Accepted, particular: Mapping[EntityId, Accepted], certificate: LocalCertificate | None
    ) -> Self:
        """Add up what is accepted.

        Args:
            general: Of those whom nothing describes.
            particular: Of each peer that is described.
            certificate: Ours, if we have one.

        Raises:
            ConfigurationError: A certificate configuration, or the identifier of a key, is there twice.
        """
        everything = functools.reduce(operator.or_, particular.values(), general)
        by_peer = {peer: accepted.words for peer, accepted in particular.items()}
        admission = Admission(general.words, by_peer)
        shown = [key.key_id for key in everything.keys]
        if len(set(shown)) != len(shown):
            raise ConfigurationError("two peers show one kpsa-id: give each a key of its own")
        return cls(everything, admission, _endpoint(certificate, everything.trusts, admission))


def _endpoint(
    certificate: LocalCertificate | None, trusts: tuple[Trust, ...], admission: Admission
) -> Endpoint | None:
    if certificate is None or not trusts:
        return None
    verifiers = [trust.verifier() for trust in by_rules(trusts)]
    return Endpoint(server=True, certificate=certificate, verifier=AdmittedCertificates(verifiers, admission))


def _each_once(names: tuple[Fqdn, ...]) -> tuple[Fqdn, ...]:
    return tuple(dict.fromkeys(names))
