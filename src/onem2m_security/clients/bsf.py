"""A NAF's client of a BSF: asks over Zn for the key of a B-TID (TS 33.220 clause 4.5.3), in our own form."""

from __future__ import annotations

from typing import Protocol

from ..errors import (
    PeerRefusedError,
    ResolverUnavailableError,
)
from ..frameworks.checked_way import meeting
from ..frameworks.steps import How
from ..gba.context import NafKey
from ..identifiers import Fqdn, KeyIdentifier
from ..net.link import Link
from ..net.ports import request_client
from ..onem2m.primitives import Operation, Rsc
from ..onem2m.resources import BootstrappingInfo
from .answers import answered


class BsfClient(Protocol):
    """What a NAF needs of a client of its BSF, whatever the form of Zn."""

    @property
    def bsf(self) -> Fqdn:
        """The BSF's FQDN."""
        ...

    async def fetch(self, b_tid: KeyIdentifier, ua_security_protocol_id: bytes) -> NafKey | None:
        """Our key for a bootstrapping; None when there is none for us."""
        ...

    async def close(self) -> None:
        """Close the kept connections."""
        ...


class NafClient:
    """A NAF as one BSF knows it.

    Attributes:
        bsf: The BSF's FQDN.
        naf: Our FQDN as a NAF.
    """

    def __init__(self, bsf: Fqdn, link: Link, how: How, *, naf: Fqdn) -> None:
        """A client of the BSF behind this link.

        Args:
            bsf: The BSF's FQDN.
            link: Where the BSF listens for Zn; TLS with HTTP, or DTLS with CoAP.
            how: How we prove ourselves: by the key that the BSF and we share (``saef_gba.initiate_zn``), or
                by certificate.
            naf: Our FQDN as a NAF: what UEs derive keys for.

        Raises:
            ConfigurationError: It is a credential for another BSF.
        """
        self.bsf = bsf
        self.naf = naf
        self._client = request_client(link, meeting(bsf, how))

    async def fetch(self, b_tid: KeyIdentifier, ua_security_protocol_id: bytes) -> NafKey | None:
        """Our key for a bootstrapping; None when there is none for us.

        Args:
            b_tid: The bootstrapping.
            ua_security_protocol_id: 5 octets; see ``gba.keys.ua_security_protocol``.

        Raises:
            ResolverUnavailableError: The BSF cannot be reached, or its answer cannot be used.
        """
        path = (*BootstrappingInfo.path, str(b_tid), str(self.naf), ua_security_protocol_id.hex())
        response = await self._client.request(Operation.RETRIEVE, path)
        if response.rsc in {Rsc.NOT_FOUND, Rsc.ORIGINATOR_HAS_NO_PRIVILEGE}:
            return None
        try:
            found = answered(response, BootstrappingInfo, Rsc.OK)
        except PeerRefusedError as error:
            raise ResolverUnavailableError(f"{self.bsf} answered with no usable key: {error}") from None
        return NafKey(
            b_tid,
            found.key_value,
            found.key_type,
            found.bootstrap_time,
            found.expiration_time,
            found.source_id,
            found.user_security_settings or (),
        )

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.close()


def naf_client(bsf: Fqdn, link: Link, how: How, *, naf: Fqdn, diameter: bool) -> BsfClient:
    """A NAF's client of a BSF, in the form of Zn that the BSF has.

    Args:
        bsf: The BSF's FQDN.
        link: Where it listens for that form.
        how: How we prove ourselves to it.
        naf: Our FQDN as a NAF.
        diameter: Whether it is asked over Diameter (TS 29.109), or in our own form.

    Raises:
        ConfigurationError: It is a credential for another BSF.
    """
    if not diameter:
        return NafClient(bsf, link, how, naf=naf)
    # Diameter's dictionary takes long to load: only who speaks Diameter waits for it.
    from .bsf_diameter import NafDiameterClient  # noqa: PLC0415

    return NafDiameterClient(bsf, link, how, naf=naf)
