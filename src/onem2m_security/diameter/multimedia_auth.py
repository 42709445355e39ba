"""The Multimedia-Auth command of Zh: what a BSF asks an HSS, and what it is told (TS 29.109 clause 4.2).

Each has its AVPs written and read here, for both ends. This module decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from ..credentials import Secret
from ..errors import CredentialError, IdentifierError, MessageError
from ..gba.aka import AUTN_OCTETS, AUTS_OCTETS, AuthenticationVector
from ..gba.algorithm import RAND_OCTETS
from ..gba.keys import Impi
from . import messages as dm
from .messages import Attribute, DiameterMessage
from .user_settings import UserSecuritySettings

SCHEME: Final = "Digest-AKAv1-MD5"
"""SIP-Authentication-Scheme, whichever version of Digest AKA is spoken on Ub."""

_KEY_OCTETS = 16
_RES_OCTETS = range(4, 17)


@dataclass(frozen=True, slots=True)
class MultimediaAuthRequest:
    """What a BSF asks.

    Attributes:
        impi: The subscriber.
        rand: The RAND that AUTS answers, 16 octets; None where there is no AUTS.
        auts: AUTS of the USIM, 14 octets; None when it wants nothing.
    """

    impi: Impi
    rand: bytes | None = None
    auts: bytes | None = None

    def encode(self) -> list[Attribute]:
        """The AVPs: User-Name and, to resynchronise, RAND and AUTS."""
        asked: list[Attribute] = [(dm.USER_NAME, self.impi.text)]
        if self.auts is not None:
            item: list[Attribute] = [
                (dm.SIP_AUTHENTICATION_SCHEME, SCHEME),
                (dm.SIP_AUTHORIZATION, (self.rand or b"") + self.auts),
            ]
            asked.append((dm.SIP_AUTH_DATA_ITEM, item))
        return asked

    @classmethod
    def decode(cls, message: DiameterMessage) -> Self:
        """Read the AVPs of a request.

        Raises:
            MessageError: One is missing, there twice, or not of its form.
        """
        impi = _impi(message.octets_of(dm.USER_NAME))
        if message.optional(dm.SIP_AUTH_DATA_ITEM) is None:
            return cls(impi)
        both = message.group_of(dm.SIP_AUTH_DATA_ITEM).octets_of(dm.SIP_AUTHORIZATION)
        if len(both) != RAND_OCTETS + AUTS_OCTETS:
            raise MessageError("RAND and AUTS have 30 octets together")
        return cls(impi, both[:RAND_OCTETS], both[RAND_OCTETS:])


@dataclass(frozen=True, slots=True)
class MultimediaAuthAnswer:
    """What an HSS tells.

    Attributes:
        impi: The subscriber; None where the HSS does not repeat it.
        vector: One authentication vector.
        settings: The GBA user security settings; None where it has none for this subscriber.
    """

    impi: Impi | None
    vector: AuthenticationVector
    settings: UserSecuritySettings | None = None

    def encode(self) -> list[Attribute]:
        """The AVPs; the caller adds the result."""
        vector = self.vector
        item: list[Attribute] = [
            (dm.SIP_AUTHENTICATION_SCHEME, SCHEME),
            (dm.SIP_AUTHENTICATE, vector.rand + vector.autn),
            (dm.SIP_AUTHORIZATION, vector.xres.reveal()),
            (dm.CONFIDENTIALITY_KEY, vector.ck.reveal()),
            (dm.INTEGRITY_KEY, vector.ik.reveal()),
        ]
        told: list[Attribute] = [(dm.SIP_AUTH_DATA_ITEM, item)]
        if self.impi is not None:
            told.append((dm.USER_NAME, self.impi.text))
            if self.settings is not None:
                told.append((dm.GBA_USER_SEC_SETTINGS, self.settings.encode_guss(self.impi.text)))
        return told

    @classmethod
    def decode(cls, message: DiameterMessage) -> Self:
        """Read the AVPs of an answer.

        Raises:
            MessageError: One is missing, there twice, or not of its form; the message shows no key.
        """
        named = message.optional(dm.USER_NAME)
        settings = message.optional(dm.GBA_USER_SEC_SETTINGS)
        return cls(
            None if named is None else _impi(named),
            _vector(message),
            None if settings is None else UserSecuritySettings.decode(settings),
        )


def _vector(message: DiameterMessage) -> AuthenticationVector:
    item = message.group_of(dm.SIP_AUTH_DATA_ITEM)
    challenge = item.octets_of(dm.SIP_AUTHENTICATE)
    if len(challenge) != RAND_OCTETS + AUTN_OCTETS:
        raise MessageError("RAND and AUTN have 32 octets together")
    xres, ck, ik = map(item.octets_of, (dm.SIP_AUTHORIZATION, dm.CONFIDENTIALITY_KEY, dm.INTEGRITY_KEY))
    if len(xres) not in _RES_OCTETS or len(ck) != _KEY_OCTETS or len(ik) != _KEY_OCTETS:
        raise MessageError("XRES has 4 to 16 octets, CK and IK have 16")
    try:
        return AuthenticationVector(
            challenge[:RAND_OCTETS], Secret(xres), Secret(ck), Secret(ik), challenge[RAND_OCTETS:]
        )
    except CredentialError as error:
        raise MessageError(f"the authentication vector: {error}") from None


def _impi(octets: bytes) -> Impi:
    try:
        return Impi.parse(octets.decode("utf-8"))
    except (UnicodeDecodeError, IdentifierError):
        raise MessageError("the User-Name is not an IMPI") from None
