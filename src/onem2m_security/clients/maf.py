"""A MAF client: MAF Handshake, key registration and retrieval (TS-0003 clauses 8.8.2.2, 8.8.2.7 to 10)."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from ..credentials import ResolvedKey, Secret
from ..errors import (
    ConfigurationError,
    CredentialError,
    IdentifierError,
    PeerRefusedError,
    ResolverUnavailableError,
)
from ..frameworks.saef_maf import ConnectionKey, connection_key, export_connection_key, initiate_maf_handshake
from ..frameworks.steps import Initiator
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..net.address import Address, Transport
from ..net.channel import open_channel
from ..net.limits import Limits
from ..net.ports import RequestClient, expect, request_client
from ..onem2m.primitives import Operation, RefusedError, Rsc, parse_timestamp
from ..onem2m.resources import encode
from ..release import (
    MAF_BASE,
    RESOURCE_NAME_SYMM_KEY_REG,
    RESOURCE_TYPE_SYMM_KEY_REG,
    SHORT_NAMES,
    SYMM_KEY_REG,
)
from .registration import RegistrationClient

_PATH = (MAF_BASE.strip("/"), SYMM_KEY_REG)


class MafClient:
    """A client of one MAF, with the Master Credential that they share, or with a certificate."""

    def __init__(
        self,
        maf: Fqdn,
        address: Address,
        *,
        local: EntityId,
        km: ResolvedKey | None = None,
        identity: str | None = None,
        initiator: Initiator | None = None,
        transport: Transport = Transport.TLS,
        limits: Limits | None = None,
    ) -> None:
        """A client of the MAF at this address.

        Args:
            maf: The MAF-ID.
            address: Where the MAF listens.
            local: Our CSE-ID or AE-ID.
            km: The Master Credential.
            identity: The psk_identity to show instead of KmId: a KeId in its wire form.
            initiator: How we meet the MAF without a Master Credential: by certificate
                (``saef_certificate.initiate_with_function``).
            transport: TLS with HTTP, or DTLS with CoAP.
            limits: Bounds on time and size.

        Raises:
            ConfigurationError: Neither a Master Credential nor another way.
        """
        self.maf = maf
        self._transport = transport
        self._address = address
        self._limits = limits or Limits()
        if km is not None:
            initiator = initiate_maf_handshake(local, maf, km, identity)
        if initiator is None:
            raise ConfigurationError(f"a client of {maf} needs a Master Credential or a certificate")
        self._initiator = initiator
        self._client = self._new_client()

    async def handshake(self) -> ConnectionKey:
        """The MAF Handshake of Release 1: afterwards we and the MAF hold a new Kc.

        The MAF registers it for the one target that it has configured for us.

        Raises:
            HandshakeError: The MAF cannot be reached, or it does not know us by this key.
        """
        await self._ready()
        async with await open_channel(
            self._initiator, self._address, transport=self._transport, limits=self._limits
        ) as channel:
            return export_connection_key(channel.established, self.maf)

    async def register_key(
        self,
        *,
        expires: datetime,
        target: EntityId,
        admin: Fqdn,
        suid: Suid = Suid.MAF_SAEF,
        key: Secret | None = None,
    ) -> ConnectionKey:
        """MAF Key Registration (8.8.2.7): the MAF names the key and says until when it lives.

        Args:
            expires: Proposed end (UTC).
            target: Who may retrieve the key.
            admin: FQDN of the administrating stakeholder.
            suid: What the key is for.
            key: A key of our own making; without one, the key is exported from the session, in a new session.

        Raises:
            PeerRefusedError: The MAF refused.
            ResolverUnavailableError: The MAF cannot be reached.
            HandshakeError: The MAF does not know us by this key.
        """
        content = encode(
            RESOURCE_NAME_SYMM_KEY_REG,
            fqdn=self.maf,
            expirationTime=expires,
            adminFQDN=admin,
            SUID=suid,
            targetIDs=(target,),
            keyValue=key,
        )
        await self._ready()
        client = self._new_client()
        try:
            response = await client.request(
                Operation.CREATE, _PATH, content=content, resource_type=RESOURCE_TYPE_SYMM_KEY_REG
            )
            if key is None:
                key = export_connection_key(client.established, self.maf).kc
        finally:
            await client.close()
        body = _body(expect(response, Rsc.CREATED))
        kc_id = self._kc_id(body)
        return ConnectionKey(kc_id, key, _expires(body), _targets(body))

    async def retrieve(self, kc_id: KeyIdentifier) -> ResolvedKey | None:
        """MAF Key Retrieval (8.8.2.8); None when there is no such key for us.

        Raises:
            ResolverUnavailableError: The MAF cannot be reached, or its answer cannot be used.
        """
        await self._ready()
        response = await self._client.request(Operation.RETRIEVE, (*_PATH, kc_id.relative))
        if response.rsc is Rsc.NOT_FOUND:
            return None
        try:
            body = _body(expect(response, Rsc.OK))
            kc = Secret(base64.b64decode(_field(body, "keyValue"), validate=True))
            source = body.get(SHORT_NAMES["sourceID"])
            peer = None if source is None else EntityId.parse(source)
            suid = Suid(body[SHORT_NAMES["SUID"]])
        except (
            PeerRefusedError,
            CredentialError,
            IdentifierError,
            binascii.Error,
            ValueError,
            KeyError,
        ) as error:
            raise ResolverUnavailableError(f"{self.maf} answered with no usable key: {error}") from None
        if suid is not Suid.MAF_SAEF:
            raise ResolverUnavailableError(
                f"{kc_id}: the key is for SUID {int(suid)}, not for an association"
            )
        return connection_key(kc_id, kc, peer=peer, expires=_expires(body), suid=suid)

    async def deregister_key(self, kc_id: KeyIdentifier) -> None:
        """MAF Key De-Registration (8.8.2.10).

        Raises:
            PeerRefusedError: The MAF refused: the key is not ours, or not there.
        """
        await self._ready()
        expect(await self._client.request(Operation.DELETE, (*_PATH, kc_id.relative)), Rsc.DELETED)

    async def registration(self) -> RegistrationClient:
        """What registers us as a client of the MAF (8.8.2.3 to 6)."""
        await self._ready()
        return RegistrationClient(self._client, self.maf, at_maf=True)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.close()

    async def _ready(self) -> None:
        """Awaited before each operation; where the Master Credential can change, it is renewed here."""

    def _new_client(self) -> RequestClient:
        return request_client(self._transport, self._initiator, self._address, limits=self._limits)

    def _kc_id(self, body: dict[str, Any]) -> KeyIdentifier:
        try:
            return KeyIdentifier.parse(f"{_field(body, 'relativeKeyID')}@{self.maf}")
        except (IdentifierError, ValueError) as error:
            raise ResolverUnavailableError(
                f"{self.maf} answered with no usable RelativeKeyID: {error}"
            ) from None


def _body(content: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    body = content.get(RESOURCE_NAME_SYMM_KEY_REG)
    if not isinstance(body, dict):
        raise ResolverUnavailableError(f"the answer is no {RESOURCE_NAME_SYMM_KEY_REG}")
    return body


def _field(body: dict[str, Any], name: str) -> str:
    value = body.get(SHORT_NAMES[name])
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing")  # noqa: TRY004 - a malformed message, not a type of ours
    return value


def _targets(body: dict[str, Any]) -> tuple[EntityId, ...]:
    value = body.get(SHORT_NAMES["targetIDs"], [])
    try:
        return tuple(EntityId.parse(text) for text in value)
    except (IdentifierError, TypeError, AttributeError):
        raise ResolverUnavailableError("the answer's targetIDs are no list of identifiers") from None


def _expires(body: dict[str, Any]) -> datetime | None:
    value = body.get(SHORT_NAMES["expirationTime"])
    try:
        return None if value is None else parse_timestamp(value)
    except RefusedError as error:
        raise ResolverUnavailableError(f"the answer's {error}") from None
