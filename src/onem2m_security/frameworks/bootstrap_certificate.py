"""Certificate-based security bootstrap (TS-0003 clause 8.3.2.2).

Enrolee and MEF do a (D)TLS handshake with mutual certificates, and both export Ke and KeId from it exactly
as in the framework with a pre-provisioned key (NOTE 2 of the clause). What is particular: the Enrolee accepts
the certificate of the one MEF that its Bootstrap Instruction Configuration names; the MEF accepts those of
its Enrolees, and the matching configuration says who the Enrolee is and for whom it may be enrolled.
"""

from __future__ import annotations

from ..certificates.local import LocalCertificate
from ..certificates.trust import Trust
from ..credentials import Framework
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..tls.endpoint import Endpoint
from . import saef_certificate
from .instructions import BootstrapInstruction, require_derivable
from .steps import Initiator


def initiate(enrolee: EntityId, mef: Fqdn, certificate: LocalCertificate, trust: Trust) -> Initiator:
    """The Enrolee's side of the Bootstrap Security Handshake.

    Args:
        enrolee: Enrolee-ID, the identity that we shall use with the Enrolment Targets.
        mef: MEF-ID; also the SNI host name.
        certificate: Our certificate, chain and private signing key.
        trust: What the MEF's certificate must prove; its peer is the MEF-ID.

    Raises:
        ConfigurationError: The trust is in another peer than this MEF.
    """
    return saef_certificate.initiate_with_function(
        Framework.BOOTSTRAP_CERTIFICATE, enrolee, mef, certificate, trust
    )


def accept(certificate: LocalCertificate, clients: Trust) -> Endpoint:
    """The MEF's side: clients with certificates and, on the same port, with pre-provisioned keys.

    Args:
        certificate: The MEF's certificate, chain and private signing key.
        clients: One configuration for each: what its certificate must prove, and who it is (``peer``). With
            ``targets`` it is an Enrolee, to be provisioned for these; without, an Enrolment Target.

    Raises:
        ConfigurationError: A configuration does not say who the client is, or names a target for which no key
            can be derived.
    """
    for configuration in clients.configurations:
        if configuration.peer is None:
            called = configuration.name or configuration.peer_id or "without a name"
            raise ConfigurationError(
                f"the MEF's client {called!r} has no identity: give its configuration a peer (the Enrolee-ID)"
            )
        if configuration.targets:
            require_derivable(
                BootstrapInstruction(configuration.peer, configuration.targets, release=clients.release)
            )
    return saef_certificate.accept(certificate, clients)
