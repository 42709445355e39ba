"""Certificate-based security association (TS-0003 clause 8.2.2.2).

Entity A and Entity B do a (D)TLS handshake with mutual certificates. Each verifies the other's against its
Association Configuration, inside the handshake: A against the one of the B that it means to reach, B against
those of every A that it admits. A associates the session with IdB; B with IdA, the Credential-ID, or the list
of allowed AE-IDs.

The handshakes of a MAF client and of an Enrolee differ in their framework and in nothing else, so what is
here serves them too. Nothing here decides on a certificate: certificates/verification.py does.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..certificates.configuration import AssociationConfiguration
from ..certificates.crl import CrlSource
from ..certificates.local import LocalCertificate
from ..certificates.verification import PeerVerifier
from ..credentials import Framework
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..release import DEFAULT_RELEASE, Release
from ..tls.endpoint import Endpoint
from .steps import Initiator


def initiate(
    local: EntityId,
    certificate: LocalCertificate,
    configuration: AssociationConfiguration,
    *,
    release: Release = DEFAULT_RELEASE,
    crls: CrlSource | None = None,
    require_crl: bool = False,
    server_name: Fqdn | None = None,
    framework: Framework = Framework.SAEF_CERTIFICATE,
    exports: bool = False,
) -> Initiator:
    """The initiating side: show our certificate, accept the one configured peer and nobody else.

    Args:
        local: The identity that we assume.
        certificate: Our certificate, chain and private signing key.
        configuration: What the peer's certificate must prove; names the peer.
        release: Whose rules to hold the certificate to.
        crls: Where Certificate Revocation Lists are.
        require_crl: Refuse a peer for which no list is at hand (8.1.2.2: an MEF's, in the Infrastructure
            Domain).
        server_name: SNI host name; by default the FQDN representation of the peer's identity.
        framework: The framework that the session belongs to.
        exports: Whether keys are exported from the session: then it takes Extended Master Secret.

    Raises:
        ConfigurationError: The configuration does not say who the peer is.
    """
    if configuration.peer is None:
        raise ConfigurationError(
            "whoever initiates knows whom it means to reach: give the association configuration a peer"
        )
    verifier = PeerVerifier([configuration], release=release, crls=crls, require_crl=require_crl)
    endpoint = Endpoint(
        server=False,
        psk=False,
        certificate=certificate,
        verifier=verifier,
        requires_extended_master_secret=exports,
    )
    return Initiator(framework, local, configuration.peer, endpoint, server_name=server_name)


def initiate_with_function(
    framework: Framework,
    local: EntityId,
    function: Fqdn,
    certificate: LocalCertificate,
    configuration: AssociationConfiguration,
    *,
    release: Release = DEFAULT_RELEASE,
    crls: CrlSource | None = None,
    require_crl: bool = False,
) -> Initiator:
    """The client's side of a handshake with a MAF or an MEF (8.8.2.2, 8.3.2.2).

    Args:
        framework: ``MAF_HANDSHAKE``, or a framework of the MEF's.
        local: The identity that we assume.
        function: MAF-ID or MEF-ID; also the SNI host name.
        certificate: Our certificate, chain and private signing key.
        configuration: What the function's certificate must prove; its peer is the function.
        release: Whose rules to hold the certificate to.
        crls: Where Certificate Revocation Lists are.
        require_crl: Refuse a function for which no list is at hand.

    Raises:
        ConfigurationError: The configuration is for another peer than this function.
    """
    if configuration.peer != EntityId(str(function)):
        raise ConfigurationError(
            f"the association configuration is for {configuration.peer}, not for {function}"
        )
    return initiate(
        local,
        certificate,
        configuration,
        release=release,
        crls=crls,
        require_crl=require_crl,
        server_name=function,
        framework=framework,
        exports=True,
    )


def accept(
    certificate: LocalCertificate,
    configurations: Sequence[AssociationConfiguration],
    *,
    release: Release = DEFAULT_RELEASE,
    crls: CrlSource | None = None,
    require_crl: bool = False,
    psk: bool = True,
) -> Endpoint:
    """The accepting side: clients with certificates and, on the same port, clients with pre-shared keys.

    Args:
        certificate: Our certificate, chain and private signing key.
        configurations: Whom to accept; where several match, the first counts.
        release: Whose rules to hold certificates to.
        crls: Where Certificate Revocation Lists are.
        require_crl: Refuse a client for which no list is at hand.
        psk: Whether clients with pre-shared keys are accepted too (10.2: Infrastructure Domain servers do).

    Raises:
        ConfigurationError: No configuration, or one twice.
    """
    verifier = PeerVerifier(configurations, release=release, crls=crls, require_crl=require_crl)
    return Endpoint(server=True, psk=psk, certificate=certificate, verifier=verifier)
