"""The oneM2M security frameworks (TS-0003): who is at the other end, proven inside the handshake.

What a device or a CSE imports is here; everything else is reached through its module.
"""

from .association import Association, Role
from .certificates.configuration import AssociationConfiguration
from .certificates.local import LocalCertificate
from .credentials import Framework, ResolvedKey, Secret
from .entities.enrolee import Enrolee
from .entities.entity_a import associate, associate_by_certificate, associate_through_maf
from .entities.entity_b import EntityB
from .entities.maf_client import MafClient
from .entities.mef_client import MefClient
from .errors import HandshakeError, SecurityFrameworkError
from .frameworks.bootstrap_psk import target_key
from .frameworks.saef_maf import master_credential
from .frameworks.saef_psk import provisioned_key
from .functions.instructions import BootstrapInstruction
from .identifiers import CredentialId, EntityId, Fqdn, KeyIdentifier
from .net.address import Address
from .net.channel import Channel
from .net.limits import Limits
from .release import Release
from .store.store import Store
from .version import __version__

__all__ = [
    "Address",
    "Association",
    "AssociationConfiguration",
    "BootstrapInstruction",
    "Channel",
    "CredentialId",
    "Enrolee",
    "EntityB",
    "EntityId",
    "Fqdn",
    "Framework",
    "HandshakeError",
    "KeyIdentifier",
    "Limits",
    "LocalCertificate",
    "MafClient",
    "MefClient",
    "Release",
    "ResolvedKey",
    "Role",
    "Secret",
    "SecurityFrameworkError",
    "Store",
    "__version__",
    "associate",
    "associate_by_certificate",
    "associate_through_maf",
    "master_credential",
    "provisioned_key",
    "target_key",
]
