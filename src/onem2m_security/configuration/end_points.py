"""The end-points of ESCertKE, as the file describes them (8.7.2.2, step B).

Certificates are mutual, so a peer is one of them when ``prove`` has a certificate and ``trust`` says what its
own must prove. The messages travel any way the application likes: such a peer needs no address.
"""

from __future__ import annotations

from .. import escertke
from ..certificates.trust import by_rules
from ..errors import ConfigurationError
from ..frameworks.admission import Admission, AdmittedCertificates
from ..frameworks.steps import Acceptor, Initiator
from ..identifiers import EntityId, EntityKind
from .accepting import Accepted
from .description import Description
from .peers import PeerSettings
from .prove import Certificate
from .trust import CertificateTrust, trust_in


def initiating(description: Description, peer: EntityId) -> Initiator:
    """The Initiating End-Point that begins with this peer.

    Raises:
        ConfigurationError: The file does not describe both ends of it, or one of its files cannot be used.
        CredentialError: Our certificate cannot be used.
    """
    settings = description.peer(peer)
    own = _own(peer, settings).load(description.here)
    verifier = trust_in(peer, settings.trust, description.here).verifier()
    return escertke.initiator(description.local, peer, certificate=own, verifier=verifier)


def terminating(description: Description, peer: EntityId | None = None) -> Acceptor:
    """The Terminating End-Point that answers this peer or, if none is named, each that is described.

    Raises:
        ConfigurationError: As for ``initiating``; or there is no such peer; or we prove ourselves to them by
            different certificates.
        CredentialError: Our certificate cannot be used.
    """
    here = description.here
    peers = _all(description) if peer is None else {peer: description.peer(peer)}
    shown = {_own(name, settings) for name, settings in peers.items()}
    if len(shown) != 1:
        # Who begins is not known before its certificate is, and ours has been shown by then.
        raise ConfigurationError(
            f"{description.file}: to whoever may begin we show one certificate of ours, and here it is not "
            "the same for all: name one of them"
        )
    trusts = [
        trust.trust(name, here)
        for name, settings in peers.items()
        for trust in settings.trust
        if isinstance(trust, CertificateTrust)
    ]
    verifiers = [trust.verifier() for trust in by_rules(trusts)]
    admission = Admission(description.local, Accepted(trusts=tuple(trusts)).words)
    return escertke.acceptor(
        description.local,
        certificate=shown.pop().load(here),
        verifier=AdmittedCertificates(verifiers, admission),
    )


def _all(description: Description) -> dict[EntityId, PeerSettings]:
    """Whoever may begin: functions do not agree on end-to-end keys."""
    found = {
        peer: settings
        for peer, settings in description.settings.peers.items()
        if _is_end_point(settings) and peer.kind is not EntityKind.FUNCTION
    }
    if not found:
        raise ConfigurationError(
            f"{description.file}: nobody could begin: no peer has certificates and trust"
        )
    return found


def _own(peer: EntityId, settings: PeerSettings) -> Certificate:
    if not isinstance(settings.prove, Certificate) or not _is_end_point(settings):
        raise ConfigurationError(
            f"peer {peer}: end-to-end keys take certificates at both ends: give certificate and private-key "
            "in prove, and say in trust what its own must prove"
        )
    return settings.prove


def _is_end_point(settings: PeerSettings) -> bool:
    shows_one = any(isinstance(trust, CertificateTrust) for trust in settings.trust)
    return shows_one and isinstance(settings.prove, Certificate)
