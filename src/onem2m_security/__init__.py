"""The oneM2M security frameworks (TS-0003): who is at the other end, proven inside the handshake.

What a device or a CSE imports is here; nothing deeper need be imported. Each name loads its own module when
it is first used: to name an ``EntityId`` costs neither a database nor a web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from .extras import require
from .version import __version__

if TYPE_CHECKING:
    from . import escertke as escertke
    from .alerts import Alert as Alert
    from .association import Association as Association
    from .association import Role as Role
    from .certificates.authority import Authority as Authority
    from .certificates.configuration import AssociationConfiguration as AssociationConfiguration
    from .certificates.flavours import Flavour as Flavour
    from .certificates.issued_names import permitted_names as permitted_names
    from .certificates.local import LocalCertificate as LocalCertificate
    from .certificates.trust import Trust as Trust
    from .certificates.verification import PeerVerifier as PeerVerifier
    from .clients import command_classes as command_classes
    from .clients.bsf import NafClient as NafClient
    from .clients.card import SoftwareCard as SoftwareCard
    from .clients.commanded import CommandedEnrolee as CommandedEnrolee
    from .clients.commands import NotCarriedOutError as NotCarriedOutError
    from .clients.distributed_keys import DistributedKey as DistributedKey
    from .clients.distributed_keys import KeyClient as KeyClient
    from .clients.enrolee import Enrolee as Enrolee
    from .clients.entity_a import associate as associate
    from .clients.entity_b import EntityB as EntityB
    from .clients.maf import MafClient as MafClient
    from .clients.mef import MefClient as MefClient
    from .clients.ue import NafChoice as NafChoice
    from .clients.ue import Ue as Ue
    from .clients.ue import suite_over as suite_over
    from .configuration.description import Description as Description
    from .credentials import Framework as Framework
    from .credentials import ResolvedKey as ResolvedKey
    from .credentials import Secret as Secret
    from .errors import ConfigurationError as ConfigurationError
    from .errors import CredentialError as CredentialError
    from .errors import HandshakeError as HandshakeError
    from .errors import HandshakeTimeoutError as HandshakeTimeoutError
    from .errors import IdentifierError as IdentifierError
    from .errors import MessageError as MessageError
    from .errors import PeerRefusedError as PeerRefusedError
    from .errors import ResolverUnavailableError as ResolverUnavailableError
    from .errors import SecurityFrameworkError as SecurityFrameworkError
    from .errors import StoreError as StoreError
    from .escertke.end_points import InitiatingEndPoint as InitiatingEndPoint
    from .escertke.end_points import PairwiseE2EKey as PairwiseE2EKey
    from .escertke.end_points import TerminatingEndPoint as TerminatingEndPoint
    from .escertke.exchanges import TerminatingExchanges as TerminatingExchanges
    from .escertke.notifications import EscertkeNotifications as EscertkeNotifications
    from .escertke.notifications import NotificationForm as NotificationForm
    from .frameworks import bootstrap_certificate as bootstrap_certificate
    from .frameworks import bootstrap_psk as bootstrap_psk
    from .frameworks import maf_handshake as maf_handshake
    from .frameworks import mef_handshake as mef_handshake
    from .frameworks import saef_certificate as saef_certificate
    from .frameworks import saef_gba as saef_gba
    from .frameworks import saef_maf as saef_maf
    from .frameworks import saef_psk as saef_psk
    from .frameworks.admission import Admission as Admission
    from .frameworks.instructions import BootstrapInstruction as BootstrapInstruction
    from .frameworks.maf_handshake import ConnectionKey as ConnectionKey
    from .frameworks.steps import Established as Established
    from .frameworks.steps import How as How
    from .frameworks.steps import Initiator as Initiator
    from .frameworks.steps import Resolver as Resolver
    from .identifiers import CredentialId as CredentialId
    from .identifiers import EntityId as EntityId
    from .identifiers import Fqdn as Fqdn
    from .identifiers import KeyIdentifier as KeyIdentifier
    from .identifiers import Suid as Suid
    from .net.address import Address as Address
    from .net.address import Binding as Binding
    from .net.address import Transport as Transport
    from .net.channel import Channel as Channel
    from .net.limits import Limits as Limits
    from .net.link import Link as Link
    from .net.ports import request_client as request_client
    from .net.request_client import RequestClient as RequestClient
    from .onem2m.commands import CertProvProtocol as CertProvProtocol
    from .onem2m.commands import CommandClass as CommandClass
    from .onem2m.commands import CommandStatus as CommandStatus
    from .onem2m.commands import DevMgmt as DevMgmt
    from .onem2m.primitives import Operation as Operation
    from .onem2m.primitives import Request as Request
    from .onem2m.primitives import Response as Response
    from .onem2m.primitives import Rsc as Rsc
    from .release import Release as Release
    from .store.store import Store as Store

_NAMES: Final = {
    "alerts": ("Alert",),
    "association": ("Association", "Role"),
    "certificates.authority": ("Authority",),
    "certificates.issued_names": ("permitted_names",),
    "certificates.configuration": ("AssociationConfiguration",),
    "certificates.flavours": ("Flavour",),
    "certificates.local": ("LocalCertificate",),
    "certificates.trust": ("Trust",),
    "certificates.verification": ("PeerVerifier",),
    "credentials": ("Framework", "ResolvedKey", "Secret"),
    "clients.bsf": ("NafClient",),
    "clients.card": ("SoftwareCard",),
    "clients.commanded": ("CommandedEnrolee",),
    "clients.commands": ("NotCarriedOutError",),
    "clients.distributed_keys": ("DistributedKey", "KeyClient"),
    "clients.enrolee": ("Enrolee",),
    "clients.entity_a": ("associate",),
    "clients.entity_b": ("EntityB",),
    "clients.maf": ("MafClient",),
    "clients.mef": ("MefClient",),
    "clients.ue": ("NafChoice", "Ue", "suite_over"),
    "errors": (
        "ConfigurationError",
        "CredentialError",
        "HandshakeError",
        "HandshakeTimeoutError",
        "IdentifierError",
        "MessageError",
        "PeerRefusedError",
        "ResolverUnavailableError",
        "SecurityFrameworkError",
        "StoreError",
    ),
    "frameworks.admission": ("Admission",),
    "frameworks.steps": ("Established", "How", "Initiator", "Resolver"),
    "escertke.end_points": ("InitiatingEndPoint", "PairwiseE2EKey", "TerminatingEndPoint"),
    "escertke.exchanges": ("TerminatingExchanges",),
    "frameworks.maf_handshake": ("ConnectionKey",),
    "escertke.notifications": ("EscertkeNotifications", "NotificationForm"),
    "frameworks.instructions": ("BootstrapInstruction",),
    "onem2m.commands": ("CertProvProtocol", "CommandClass", "CommandStatus", "DevMgmt"),
    "onem2m.primitives": ("Operation", "Request", "Response", "Rsc"),
    "identifiers": ("CredentialId", "EntityId", "Fqdn", "KeyIdentifier", "Suid"),
    "net.address": ("Address", "Binding", "Transport"),
    "net.channel": ("Channel",),
    "net.limits": ("Limits",),
    "net.link": ("Link",),
    "net.ports": ("request_client",),
    "net.request_client": ("RequestClient",),
    "release": ("Release",),
    "store.store": ("Store",),
}
"""Each module with the names that are public."""

_MODULES: Final = {
    "bootstrap_certificate": "frameworks.bootstrap_certificate",
    "bootstrap_psk": "frameworks.bootstrap_psk",
    "command_classes": "clients.command_classes",
    "escertke": "escertke",
    "maf_handshake": "frameworks.maf_handshake",
    "mef_handshake": "frameworks.mef_handshake",
    "saef_certificate": "frameworks.saef_certificate",
    "saef_gba": "frameworks.saef_gba",
    "saef_maf": "frameworks.saef_maf",
    "saef_psk": "frameworks.saef_psk",
}
"""Modules that are public as they are, by the name that they have here."""

_WITH_EXTRAS: Final = {"Description": ("configuration.description", "cli")}
"""Names whose module needs an extra: public too, but not for ``import *``, which every device can do."""

_MODULE_OF: Final = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_MODULE_OF, *_MODULES]  # noqa: PLE0604 - names, all of them


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    module = _MODULE_OF.get(name) or _MODULES.get(name)
    if name in _WITH_EXTRAS:
        module, extra = _WITH_EXTRAS[name]
        require(extra)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = importlib.import_module(f".{module}", __name__)
    value = globals()[name] = found if name in _MODULES else getattr(found, name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_WITH_EXTRAS])
