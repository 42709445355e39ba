"""A NAF's client of a BSF: asks over Zn for the key of a B-TID (TS 33.220 clause 4.5.3), in our own form."""

from __future__ import annotations

from typing import Protocol

from ..credentials import ResolvedKey
from ..errors import ConfigurationError, PeerRefusedError, ResolverUnavailableError
from ..frameworks.saef_psk import initiate
from ..frameworks.steps import Initiator
from ..gba.context import NafKey
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..net.limits import Limits
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

    def __init__(
        self,
        bsf: Fqdn,
        address: Address,
        *,
        local: EntityId,
        naf: Fqdn,
        key: ResolvedKey | None = None,
        initiator: Initiator | None = None,
        transport: Transport = Transport.TLS,
        limits: Limits | None = None,
    ) -> None:
        """A client of the BSF at this address.

        Args:
            bsf: The BSF's FQDN.
            address: Where the BSF listens for Zn.
            local: Our identity, as the BSF knows it.
            naf: Our FQDN as a NAF: what UEs derive keys for.
            key: The key that the BSF and we share.
            initiator: How to authenticate in another way, instead of a key: with a certificate.
            transport: TLS with HTTP, or DTLS with CoAP.
            limits: Bounds on time and size.

        Raises:
            ConfigurationError: Neither a key nor an initiator is given.
        """
        if initiator is None:
            if key is None:
                raise ConfigurationError(f"a NAF of {bsf} needs a key or a certificate to authenticate by")
            initiator = initiate(local, EntityId(str(bsf)), key, server_name=bsf)
        self.bsf = bsf
        self.naf = naf
        self._client = request_client(transport, initiator, address, limits=limits)

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
        )

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.close()
