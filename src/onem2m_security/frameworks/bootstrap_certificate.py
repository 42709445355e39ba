"""Certificate-based security bootstrap (TS-0003 clause 8.3.2.2).

Enrolee and MEF do a (D)TLS handshake with mutual certificates, and both export Ke and KeId from it exactly
as in the framework with a pre-provisioned key (NOTE 2 of the clause). What is particular: the Enrolee accepts
the certificate of the one MEF that its Bootstrap Instruction Configuration names; the MEF accepts those of
its Enrolees, and the matching configuration says who the Enrolee is and for whom it may be enrolled.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..certificates.configuration import AssociationConfiguration
from ..certificates.crl import CrlSource
from ..certificates.local import LocalCertificate
from ..credentials import Framework
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..release import DEFAULT_RELEASE, Release
from ..tls.endpoint import Endpoint
from . import saef_certificate
from .steps import Initiator


def initiate(
    enrolee: EntityId,
    mef: Fqdn,
    certificate: LocalCertificate,
    configuration: AssociationConfiguration,
    *,
    release: Release = DEFAULT_RELEASE,
    crls: CrlSource | None = None,
    require_crl: bool = False,
) -> Initiator:
    """The Enrolee's side of the Bootstrap Security Handshake.

    Args:
        enrolee: Enrolee-ID, the identity that we shall use with the Enrolment Targets.
        mef: MEF-ID; also the SNI host name.
        certificate: Our certificate, chain and private signing key.
        configuration: What the MEF's certificate must prove; its peer is the MEF-ID.
        release: Whose rules to hold the certificate to.
        crls: Where Certificate Revocation Lists are.
        require_crl: Refuse an MEF for which no list is at hand (8.1.2.2: in the Infrastructure Domain).

    Raises:
        ConfigurationError: The configuration is for another peer than this MEF.
    """
    return saef_certificate.initiate_with_function(
        Framework.BOOTSTRAP_CERTIFICATE,
        enrolee,
        mef,
        certificate,
        configuration,
        release=release,
        crls=crls,
        require_crl=require_crl,
    )


def accept(
    certificate: LocalCertificate,
    clients: Sequence[AssociationConfiguration],
    *,
    release: Release = DEFAULT_RELEASE,
    crls: CrlSource | None = None,
    require_crl: bool = False,
) -> Endpoint:
    """The MEF's side: clients with certificates and, on the same port, with pre-provisioned keys.

    Args:
        certificate: The MEF's certificate, chain and private signing key.
        clients: One configuration for each: what its certificate must prove, and who it is (``peer``). With
            ``targets`` it is an Enrolee, to be provisioned for these; without, an Enrolment Target.
        release: Whose rules to hold certificates to.
        crls: Where Certificate Revocation Lists are.
        require_crl: Refuse a client for which no list is at hand.

    Raises:
        ConfigurationError: A configuration does not say who the client is.
    """
    for configuration in clients:
        if configuration.peer is None:
            called = configuration.name or configuration.peer_id or "without a name"
            raise ConfigurationError(
                f"the MEF's client {called!r} has no identity: give its configuration a peer (the Enrolee-ID)"
            )
    return saef_certificate.accept(certificate, clients, release=release, crls=crls, require_crl=require_crl)
