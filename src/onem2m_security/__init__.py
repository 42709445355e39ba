"""The oneM2M security frameworks (TS-0003): who is at the other end, proven inside the handshake.

What a device or a CSE imports is here; everything else is reached through its module.
"""

from .association import Association, Role
from .certificates.configuration import AssociationConfiguration
from .certificates.local import LocalCertificate
from .credentials import Framework, ResolvedKey, Secret
from .entities.entity_a import associate, associate_by_certificate, associate_through_maf
from .entities.entity_b import EntityB
from .entities.maf_client import MafClient
from .errors import HandshakeError, SecurityFrameworkError
from .frameworks.saef_maf import master_credential
from .frameworks.saef_psk import provisioned_key
from .identifiers import CredentialId, EntityId, Fqdn, KeyIdentifier
from .net.address import Address
from .net.channel import Channel
from .net.limits import Limits
from .release import Release
from .version import __version__

__all__ = [
    "Address",
    "Association",
    "AssociationConfiguration",
    "Channel",
    "CredentialId",
    "EntityB",
    "EntityId",
    "Fqdn",
    "Framework",
    "HandshakeError",
    "KeyIdentifier",
    "Limits",
    "LocalCertificate",
    "MafClient",
    "Release",
    "ResolvedKey",
    "Role",
    "Secret",
    "SecurityFrameworkError",
    "__version__",
    "associate",
    "associate_by_certificate",
    "associate_through_maf",
    "master_credential",
    "provisioned_key",
]
