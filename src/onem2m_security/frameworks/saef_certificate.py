"""Certificate-based security association (TS-0003 clause 8.2.2.2).

Entity A and Entity B do a (D)TLS handshake with mutual certificates. Each verifies the other's against its
Association Configuration, inside the handshake: A against the one of the B that it means to reach, B against
those of every A that it admits. A associates the session with IdB; B with IdA, the Credential-ID, or the list
of allowed AE-IDs.

The handshakes of a MAF client and of an Enrolee differ in their framework and in nothing else, so what is
here serves them too. Nothing here decides on a certificate: certificates/verification.py does.
"""

from __future__ import annotations

from pathlib import Path

from ..certificates.local import LocalCertificate
from ..certificates.trust import Trust
from ..credentials import Framework
from ..errors import ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..tls.endpoint import Endpoint
from .steps import Initiator


def credential(certificate: Path, key: Path) -> LocalCertificate:
    """Our certificate, its chain and our private signing key, from files.

    Args:
        certificate: Our certificate, then its issuers, PEM.
        key: The private key, PEM or DER; nobody else may read it.

    Raises:
        ConfigurationError: A file cannot be read, or others may read the key.
        CredentialError: They cannot be used.
    """
    return LocalCertificate.load(certificate, key)


def initiate(
    local: EntityId,
    certificate: LocalCertificate,
    trust: Trust,
    *,
    server_name: Fqdn | None = None,
    framework: Framework = Framework.SAEF_CERTIFICATE,
    exports: bool = False,
) -> Initiator:
    """The initiating side: show our certificate, accept the one configured peer and nobody else.

    Args:
        local: The identity that we assume.
        certificate: Our certificate, chain and private signing key.
        trust: What the peer's certificate must prove; names the peer.
        server_name: SNI host name; by default the FQDN representation of the peer's identity.
        framework: The framework that the session belongs to.
        exports: Whether keys are exported from the session: then it takes Extended Master Secret.

    Raises:
        ConfigurationError: The trust does not say who the peer is, or makes no verifier.
    """
    peer = trust.peer
    endpoint = Endpoint(
        server=False,
        psk=False,
        certificate=certificate,
        verifier=trust.verifier(),
        requires_extended_master_secret=exports,
    )
    return Initiator(framework, local, peer, endpoint, server_name=server_name)


def initiate_with_function(
    framework: Framework, local: EntityId, function: Fqdn, certificate: LocalCertificate, trust: Trust
) -> Initiator:
    """The client's side of a handshake with a MAF, an MEF or a BSF (8.8.2.2, 8.3.2.2).

    Args:
        framework: ``MAF_HANDSHAKE``, or a framework of the MEF's.
        local: The identity that we assume.
        function: MAF-ID, MEF-ID or the BSF's FQDN; also the SNI host name.
        certificate: Our certificate, chain and private signing key.
        trust: What the function's certificate must prove; its peer is the function.

    Raises:
        ConfigurationError: The trust is in another peer than this function.
    """
    if trust.peer != EntityId(str(function)):
        raise ConfigurationError(f"the association configuration is for {trust.peer}, not for {function}")
    return initiate(local, certificate, trust, server_name=function, framework=framework, exports=True)


def accept(certificate: LocalCertificate, trust: Trust, *, psk: bool = True) -> Endpoint:
    """The accepting side: clients with certificates and, on the same port, clients with pre-shared keys.

    Args:
        certificate: Our certificate, chain and private signing key.
        trust: Whom to accept.
        psk: Whether clients with pre-shared keys are accepted too (10.2: Infrastructure Domain servers do).

    Raises:
        ConfigurationError: No configuration, or one twice.
    """
    return Endpoint(server=True, psk=psk, certificate=certificate, verifier=trust.verifier())
