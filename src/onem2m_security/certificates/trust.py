"""Whom we trust by certificate: one value for every framework in which the peer shows one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..errors import ConfigurationError
from ..identifiers import EntityId
from ..release import DEFAULT_RELEASE, Release
from .configuration import AssociationConfiguration
from .crl import CrlSource
from .verification import PeerVerifier


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificates are accepted, and by which rules.

    Attributes:
        configurations: What a peer's certificate must prove, at least one; where several match, the first
            counts.
        release: Whose rules to hold certificates to.
        crls: Where Certificate Revocation Lists are; every issuer's list that is there is obeyed.
        require_crl: Refuse a peer for which no list is at hand (8.1.2.2: an MEF's, in the Infrastructure
            Domain).
    """

    configurations: tuple[AssociationConfiguration, ...]
    release: Release = DEFAULT_RELEASE
    crls: CrlSource | None = None
    require_crl: bool = False

    @property
    def peer(self) -> EntityId:
        """The one peer that whoever initiates means to reach.

        Raises:
            ConfigurationError: The configurations do not say who it is, or name several.
        """
        peers = {configuration.peer for configuration in self.configurations}
        [peer] = peers if len(peers) == 1 else {None}
        if peer is None:
            raise ConfigurationError(
                "whoever initiates knows whom it means to reach: give the association configuration a peer"
            )
        return peer

    def verifier(self) -> PeerVerifier:
        """What judges peers' certificates in a handshake.

        Raises:
            ConfigurationError: No configuration; the same one twice; require_crl without CRLs.
        """
        return PeerVerifier(
            self.configurations, release=self.release, crls=self.crls, require_crl=self.require_crl
        )


def by_rules(trusts: Iterable[Trust]) -> list[Trust]:
    """Trusts that follow the same rules as one: who has many peers looks each up as fast as who has few."""
    found: dict[object, Trust] = {}
    for trust in trusts:
        rules = (trust.release, None if trust.crls is None else trust.crls.path, trust.require_crl)
        known = found.get(rules, replace(trust, configurations=()))
        found[rules] = replace(known, configurations=known.configurations + trust.configurations)
    return list(found.values())
