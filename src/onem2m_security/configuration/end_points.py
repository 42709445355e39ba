"""The end-points of ESCertKE, as the file describes them (8.7.2.2, step B).

Certificates are mutual, so a peer is one of them when ``prove`` has a certificate and ``trust`` says what its
own must prove. The messages travel any way the application likes: such a peer needs no address.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from .. import escertke
from ..certificates.crl import CrlSource
from ..certificates.trust import Trust
from ..errors import ConfigurationError
from ..frameworks.steps import Acceptor, Initiator
from ..identifiers import EntityId
from .description import Description
from .prove import Certificate
from .trust import TrustSetting

_T = TypeVar("_T")


def initiating(description: Description, peer: EntityId) -> Initiator:
    """The Initiating End-Point that begins with this peer.

    Raises:
        ConfigurationError: The file does not describe both ends of it, or one of its files cannot be used.
        CredentialError: Our certificate cannot be used.
    """
    other, here = _other_end(description, peer), description.here
    verifier = other.trust.trust(peer, here).verifier()
    return escertke.initiator(description.local, peer, certificate=other.own.load(here), verifier=verifier)


def terminating(description: Description, peer: EntityId | None = None) -> Acceptor:
    """The Terminating End-Point that answers this peer or, if none is named, each that is described.

    Raises:
        ConfigurationError: As for ``initiating``; or there is no such peer; or we prove ourselves to them by
            different certificates, or look for revoked ones in different places.
        CredentialError: Our certificate cannot be used.
    """
    others = _all_others(description) if peer is None else [_other_end(description, peer)]
    own = _the_only({other.own for other in others}, "certificate and private-key")
    return escertke.acceptor(
        description.local,
        certificate=own.load(description.here),
        verifier=_trust_in(others, description).verifier(),
    )


@dataclass(frozen=True, slots=True)
class _OtherEnd:
    peer: EntityId
    own: Certificate
    trust: TrustSetting


def _other_end(description: Description, peer: EntityId) -> _OtherEnd:
    settings = description.peer(peer)
    if not isinstance(settings.prove, Certificate) or settings.trust is None:
        raise ConfigurationError(
            f"peer {peer}: end-to-end keys take certificates at both ends: give certificate and private-key "
            "in prove, and say in trust what its own must prove"
        )
    return _OtherEnd(peer, settings.prove, settings.trust)


def _all_others(description: Description) -> list[_OtherEnd]:
    found = [
        _OtherEnd(peer, settings.prove, settings.trust)
        for peer, settings in description.settings.peers.items()
        if isinstance(settings.prove, Certificate) and settings.trust is not None
    ]
    if not found:
        raise ConfigurationError(
            f"{description.file}: nobody could begin: no peer has certificates and trust"
        )
    return found


def _trust_in(others: list[_OtherEnd], description: Description) -> Trust:
    """One verifier for all: it finds out from the certificate who is there."""
    here = description.here
    revoked = {(other.trust.crl, other.trust.require_crl) for other in others}
    crl, require_crl = _the_only(revoked, "crl and require-crl")
    return Trust(
        tuple(other.trust.configuration(other.peer, here) for other in others),
        # Peers of the Release 1 form are held to its rules, whoever stands beside them.
        min((other.trust.release for other in others), key=lambda release: release.value),
        None if crl is None else CrlSource(here / crl),
        require_crl,
    )


def _the_only(found: Collection[_T], called: str) -> _T:
    """Who begins is not known before its certificate is: until then all are met in one way."""
    if len(found) != 1:
        raise ConfigurationError(
            f"the peers who may begin have not the same {called}: name one of them, or make them the same"
        )
    return next(iter(found))
