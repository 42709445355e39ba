"""A NAF's client of a BSF in the form of TS 29.109: for an operator's BSF at the other end."""

from __future__ import annotations

from functools import partial

from ..diameter import messages as dm
from ..diameter.bootstrapping_info import BootstrappingInfoRequest, decode_naf_key
from ..diameter.messages import DiameterMessage
from ..errors import MessageError, ResolverUnavailableError
from ..frameworks.checked_way import meeting
from ..frameworks.steps import How
from ..gba.context import NafKey
from ..identifiers import Fqdn, KeyIdentifier
from ..net.diameter import DiameterClient
from ..net.link import Link

_NO_KEY = {dm.NOT_AUTHORIZED, dm.TRANSACTION_IDENTIFIER_INVALID}


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
        self._client = DiameterClient(link, meeting(bsf, how), partial(dm.hello, naf, dm.APPLICATION_ZN))

    async def fetch(self, b_tid: KeyIdentifier, ua_security_protocol_id: bytes) -> NafKey | None:
        """Our key for a bootstrapping; None when there is none for us. As ``NafClient.fetch``.

        Raises:
            ResolverUnavailableError: The BSF cannot be reached, or its answer cannot be used.
        """
        request = DiameterMessage.request(
            dm.BOOTSTRAPPING_INFO,
            dm.APPLICATION_ZN,
            [
                *dm.addressed(dm.APPLICATION_ZN, self.naf, self.bsf),
                *BootstrappingInfoRequest(b_tid, self.naf, ua_security_protocol_id).encode(),
            ],
        )
        answer = await self._client.request(request)
        try:
            if answer.result in _NO_KEY:
                return None
            if answer.result != dm.SUCCESS:
                raise ResolverUnavailableError(f"{self.bsf} answered with the result {answer.result}")
            return decode_naf_key(b_tid, answer)
        except MessageError as error:
            raise ResolverUnavailableError(f"{self.bsf} answered with no usable key: {error}") from None

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()
