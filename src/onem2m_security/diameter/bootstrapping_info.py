"""The Bootstrapping-Info command of Zn: what a NAF asks, and what it is told (TS 29.109 clauses 5 and 6).

Each has its AVPs written and read here, for both ends. This module decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ..credentials import Secret
from ..errors import CredentialError, IdentifierError, MessageError
from ..gba.context import NafKey
from ..gba.keys import UA_SECURITY_PROTOCOL_OCTETS, KeyChoice, naf_id
from ..identifiers import Fqdn, KeyIdentifier
from ..user_settings import Uss
from . import messages as dm
from .messages import Attribute, DiameterMessage
from .user_settings import UserSecuritySettings

_GBA_U_AWARE = 1
_3G_GBA = 0


@dataclass(frozen=True, slots=True)
class BootstrappingInfoRequest:
    """What a NAF asks.

    Attributes:
        b_tid: The bootstrapping.
        naf: The FQDN that the UE knows the NAF by.
        ua_security_protocol_id: 5 octets; from a peer, whatever it sent, up to 5.
    """

    b_tid: KeyIdentifier
    naf: Fqdn
    ua_security_protocol_id: bytes

    def encode(self) -> list[Attribute]:
        """The AVPs: Transaction-Identifier, NAF-Id, and that we know of GBA_U."""
        return [
            (dm.TRANSACTION_IDENTIFIER, self.b_tid.base64),
            (dm.NAF_ID, naf_id(self.naf, self.ua_security_protocol_id)),
            (dm.GBA_U_AWARENESS_INDICATOR, _GBA_U_AWARE),
        ]

    @classmethod
    def decode(cls, message: DiameterMessage) -> Self:
        """Read the AVPs of a request.

        Raises:
            MessageError: One is missing, or there twice.
            IdentifierError: One has no B-TID or no FQDN.
        """
        b_tid = message.octets_of(dm.TRANSACTION_IDENTIFIER)
        name = message.octets_of(dm.NAF_ID)
        try:
            naf = name[:-UA_SECURITY_PROTOCOL_OCTETS].decode("ascii")
        except UnicodeDecodeError:
            raise IdentifierError("the NAF-Id does not begin with an FQDN in ASCII") from None
        return cls(KeyIdentifier.parse(b_tid), Fqdn.parse(naf), name[-UA_SECURITY_PROTOCOL_OCTETS:])


def encode_naf_key(found: NafKey) -> list[Attribute]:
    """The AVPs of the answer; the caller adds the result.

    Ks_int_NAF is UICC-Key-Material, the other two are ME-Key-Material (clauses 6.3.1.6 and 6.3.1.7).
    """
    code = dm.UICC_KEY_MATERIAL if found.choice is KeyChoice.KS_INT_NAF else dm.ME_KEY_MATERIAL
    settings: list[Attribute] = []
    told = (*([] if found.entity is None else [Uss.of(found.entity)]), *found.uss)
    if told:
        settings = [(dm.GBA_USER_SEC_SETTINGS, UserSecuritySettings(told).encode_uss_list())]
    return [
        (code, found.key.reveal()),
        (dm.KEY_EXPIRY_TIME, found.expires),
        (dm.BOOTSTRAP_INFO_CREATION_TIME, found.issued),
        *settings,
        (dm.GBA_TYPE, _3G_GBA),
    ]


def decode_naf_key(b_tid: KeyIdentifier, message: DiameterMessage) -> NafKey:
    """Read the AVPs of an answer.

    The key of the ME where there is one. A BSF does not say whether it is Ks_NAF or Ks_ext_NAF: it counts as
    Ks_NAF, unless there is one of the UICC besides.

    Raises:
        MessageError: One is missing, there twice, or not of its form; the message shows no key.
    """
    of_me = message.optional(dm.ME_KEY_MATERIAL)
    of_uicc = message.optional(dm.UICC_KEY_MATERIAL)
    if of_me is None:
        key, choice = message.octets_of(dm.UICC_KEY_MATERIAL), KeyChoice.KS_INT_NAF
    else:
        key, choice = of_me, KeyChoice.KS_NAF if of_uicc is None else KeyChoice.KS_EXT_NAF
    settings = message.optional(dm.GBA_USER_SEC_SETTINGS)
    told = UserSecuritySettings() if settings is None else UserSecuritySettings.decode(settings)
    entity = told.entity
    try:
        secret = Secret(key)
    except CredentialError as error:
        raise MessageError(f"the key material: {error}") from None
    return NafKey(
        b_tid,
        secret,
        choice,
        message.time_of(dm.BOOTSTRAP_INFO_CREATION_TIME),
        message.time_of(dm.KEY_EXPIRY_TIME),
        entity,
        tuple(uss for uss in told.uss if entity is None or uss != Uss.of(entity)),
    )
