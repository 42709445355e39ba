"""A NAF's client of a BSF: asks over Zn for the key of a B-TID (TS 33.220 clause 4.5.3), in our own form."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Protocol

from ..credentials import ResolvedKey, Secret
from ..errors import (
    ConfigurationError,
    CredentialError,
    IdentifierError,
    PeerRefusedError,
    ResolverUnavailableError,
)
from ..frameworks.saef_psk import initiate
from ..frameworks.steps import Initiator
from ..gba.context import NafKey
from ..gba.keys import KeyChoice
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Address, Transport
from ..net.limits import Limits
from ..net.ports import expect, request_client
from ..onem2m.primitives import Operation, RefusedError, Rsc, parse_timestamp
from ..release import BOOTSTRAPPING_INFO, RESOURCE_NAME_BOOTSTRAPPING_INFO, SHORT_NAMES, ZN_BASE

_PATH = (ZN_BASE.strip("/"), BOOTSTRAPPING_INFO)


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
        path = (*_PATH, str(b_tid), str(self.naf), ua_security_protocol_id.hex())
        response = await self._client.request(Operation.RETRIEVE, path)
        if response.rsc in {Rsc.NOT_FOUND, Rsc.ORIGINATOR_HAS_NO_PRIVILEGE}:
            return None
        try:
            return _naf_key(b_tid, expect(response, Rsc.OK)[RESOURCE_NAME_BOOTSTRAPPING_INFO])
        except (PeerRefusedError, CredentialError, IdentifierError, RefusedError) as error:
            raise ResolverUnavailableError(f"{self.bsf} answered with no usable key: {error}") from None
        except (binascii.Error, ValueError, KeyError, TypeError):
            raise ResolverUnavailableError(f"{self.bsf} answered with no usable key") from None

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.close()


def _naf_key(b_tid: KeyIdentifier, body: object) -> NafKey:
    if not isinstance(body, dict):
        raise TypeError("an object is expected")

    def field(name: str) -> Any:  # noqa: ANN401 - JSON
        return body[SHORT_NAMES[name]]

    source = body.get(SHORT_NAMES["sourceID"])
    return NafKey(
        b_tid,
        Secret(base64.b64decode(field("keyValue"), validate=True)),
        KeyChoice(field("keyType")),
        parse_timestamp(field("bootstrapTime")),
        parse_timestamp(field("expirationTime")),
        None if source is None else EntityId.parse(source),
    )
