"""A NAF's client of a BSF in the form of TS 29.109: for an operator's BSF at the other end."""

from __future__ import annotations

import secrets

from ..credentials import Secret
from ..diameter import messages as dm
from ..diameter.messages import DiameterMessage
from ..errors import CredentialError, MessageError, ResolverUnavailableError
from ..frameworks.steps import How, meeting
from ..gba.context import NafKey
from ..gba.keys import KeyChoice, naf_id
from ..identifiers import Fqdn, KeyIdentifier
from ..net.diameter import DiameterClient
from ..net.link import Link

_NO_KEY = {dm.NOT_AUTHORIZED, dm.TRANSACTION_IDENTIFIER_INVALID}
_GBA_U_AWARE = 1


class NafDiameterClient:
    """A NAF as one BSF knows it, over Diameter; it can stand wherever a ``NafClient`` can.

    Attributes:
        bsf: The BSF's FQDN.
        naf: Our FQDN as a NAF.
    """

    def __init__(self, bsf: Fqdn, link: Link, how: How, *, naf: Fqdn) -> None:
        """A client of the BSF behind this link.

        Args:
            bsf: The BSF's FQDN.
            link: Where the BSF listens for Diameter, over TLS.
            how: How we prove ourselves: by the key that the BSF and we share (``saef_gba.initiate_zn``), or
                by certificate.
            naf: Our FQDN as a NAF, and our Origin-Host.

        Raises:
            ConfigurationError: It is a credential for another BSF.
        """
        self.bsf = bsf
        self.naf = naf
        self._client = DiameterClient(link, meeting(bsf, how), self._hello)

    async def fetch(self, b_tid: KeyIdentifier, ua_security_protocol_id: bytes) -> NafKey | None:
        """Our key for a bootstrapping; None when there is none for us. As ``NafClient.fetch``.

        Raises:
            ResolverUnavailableError: The BSF cannot be reached, or its answer cannot be used.
        """
        request = DiameterMessage.request(
            dm.BOOTSTRAPPING_INFO,
            dm.APPLICATION_ZN,
            [
                (dm.SESSION_ID, f"{self.naf};{secrets.randbits(32)};{secrets.randbits(32)}"),
                *dm.zn_application(),
                (dm.ORIGIN_HOST, str(self.naf)),
                (dm.ORIGIN_REALM, _realm(self.naf)),
                (dm.DESTINATION_REALM, _realm(self.bsf)),
                (dm.DESTINATION_HOST, str(self.bsf)),
                (dm.TRANSACTION_IDENTIFIER, b_tid.base64),
                (dm.NAF_ID, naf_id(self.naf, ua_security_protocol_id)),
                (dm.GBA_U_AWARENESS_INDICATOR, _GBA_U_AWARE),
            ],
        )
        answer = await self._client.request(request)
        try:
            if answer.result in _NO_KEY:
                return None
            if answer.result != dm.SUCCESS:
                raise ResolverUnavailableError(f"{self.bsf} answered with the result {answer.result}")
            return _naf_key(b_tid, answer)
        except (MessageError, CredentialError) as error:
            raise ResolverUnavailableError(f"{self.bsf} answered with no usable key: {error}") from None

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def _hello(self) -> DiameterMessage:
        own = dm.capabilities(str(self.naf), _realm(self.naf))
        return DiameterMessage.request(dm.CAPABILITIES_EXCHANGE, dm.APPLICATION_BASE, own)


def _realm(name: Fqdn) -> str:
    return str(name).partition(".")[2] or str(name)


def _naf_key(b_tid: KeyIdentifier, answer: DiameterMessage) -> NafKey:
    """The key of the ME where there is one; a BSF does not say whether it is Ks_NAF or Ks_ext_NAF."""
    of_me = answer.optional(dm.ME_KEY_MATERIAL)
    of_uicc = answer.optional(dm.UICC_KEY_MATERIAL)
    if of_me is None:
        key, choice = answer.octets_of(dm.UICC_KEY_MATERIAL), KeyChoice.KS_INT_NAF
    else:
        key, choice = of_me, KeyChoice.KS_NAF if of_uicc is None else KeyChoice.KS_EXT_NAF
    settings = answer.optional(dm.GBA_USER_SEC_SETTINGS)
    return NafKey(
        b_tid,
        Secret(key),
        choice,
        answer.time_of(dm.BOOTSTRAP_INFO_CREATION_TIME),
        answer.time_of(dm.KEY_EXPIRY_TIME),
        None if settings is None else dm.entity_in(settings),
    )
