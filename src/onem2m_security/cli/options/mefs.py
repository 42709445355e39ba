"""What ``m2msec maf serve`` and ``m2msec listen`` share: the MEFs that provide credentials of Enrolees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import typer

from ...clients.mef import MefClient
from ...errors import ConfigurationError
from ...frameworks import mef_handshake
from ...identifiers import EntityId, Fqdn, KeyIdentifier
from ...net.address import Address, Transport
from ...net.limits import Limits
from ...net.link import Link
from ...servers.enrolees import AssociationRule
from ..common import KEY_FORMAT, parsed, read_key
from .credentials import Being, Parts
from .grouping import OptionGroup


@dataclass(frozen=True, slots=True)
class MefAddress:
    """``FQDN=HOST:PORT``: an MEF and where it listens."""

    fqdn: Fqdn
    address: Address

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``mef.example.com=192.0.2.1:5684``.

        Raises:
            ConfigurationError: It is not of this form.
            IdentifierError: The FQDN is none.
        """
        fqdn, equals, address = text.partition("=")
        if not equals:
            raise ConfigurationError(f"{text[:80]!r}: FQDN=HOST:PORT is expected")
        return cls(Fqdn.parse(fqdn), Address.parse(address))


MefsOption = Annotated[
    list[MefAddress] | None,
    parsed(
        MefAddress.parse,
        "--mef",
        metavar="FQDN=HOST:PORT",
        help="An MEF that may be asked for the credentials of its Enrolees; repeat for several.",
    ),
]
MefKeyIdsOption = Annotated[
    list[KeyIdentifier] | None,
    parsed(
        KeyIdentifier.parse,
        "--mef-key-id",
        metavar="KEYID",
        help="Our own key's identifier at that MEF, relative@MEF-FQDN (see m2msec mef add-target).",
    ),
]
MefKeyFilesOption = Annotated[
    list[str] | None,
    typer.Option("--mef-key-file", metavar="FILE|-", help=f"The key of --mef-key-id: {KEY_FORMAT}."),
]
EnroleeTargetsOption = Annotated[
    list[AssociationRule] | None,
    parsed(
        AssociationRule.parse,
        "--enrolee-target",
        metavar="[ENROLEE=]IDB",
        help="An Entity B that clients provisioned by an MEF (or the one that is named) may have keys for; "
        "with exactly one, each handshake makes Kc.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MefOptions(OptionGroup):
    """The MEFs whose Enrolment Target an Entity B is."""

    panel: ClassVar = "By an MEF (8.3)"

    mef: MefsOption = None
    mef_key_id: MefKeyIdsOption = None
    mef_key_file: MefKeyFilesOption = None

    def parts(self, being: Being) -> Parts:
        """The MEFs, to be asked for Kpsa of their Enrolees."""
        return Parts(mefs=tuple(self.clients(being.local, being.link.transport, being.link.limits)))

    def clients(
        self, local: EntityId, transport: Transport = Transport.TLS, limits: Limits | None = None
    ) -> list[MefClient]:
        """Our clients of the MEFs; the FQDN of a key's identifier says whose it is.

        Raises:
            ConfigurationError: An MEF without a key, a key without an MEF, or one of them twice.
        """
        return mef_clients(
            local, self.mef, self.mef_key_id, self.mef_key_file, transport=transport, limits=limits
        )


def mef_clients(
    local: EntityId,
    mefs: list[MefAddress] | None,
    key_ids: list[KeyIdentifier] | None,
    key_files: list[str] | None,
    *,
    transport: Transport = Transport.TLS,
    limits: Limits | None = None,
) -> list[MefClient]:
    """Our clients of the MEFs that the options name; the FQDN of a key's identifier says whose it is.

    Raises:
        ConfigurationError: An MEF without a key, a key without an MEF, or one of them twice.
    """
    addresses = {mef.fqdn: mef.address for mef in mefs or ()}
    keys = dict(zip([key_id.fqdn for key_id in key_ids or ()], key_ids or (), strict=True))
    if len(key_ids or ()) != len(key_files or ()):
        raise ConfigurationError("give one --mef-key-file for each --mef-key-id, in the same order")
    if (
        len(addresses) != len(mefs or ())
        or len(keys) != len(key_ids or ())
        or addresses.keys() != keys.keys()
    ):
        raise ConfigurationError(
            "for each MEF give one --mef FQDN=HOST:PORT, one --mef-key-id relative@FQDN, one --mef-key-file"
        )
    return [
        MefClient(
            key_id.fqdn,
            Link(addresses[key_id.fqdn], transport, limits),
            mef_handshake.initiate(local, key_id.fqdn, mef_handshake.credential(key_id, read_key(file))),
        )
        for key_id, file in zip(key_ids or (), key_files or (), strict=True)
    ]
