"""A MAF client: MAF Handshake, key registration and retrieval (TS-0003 clauses 8.8.2.2, 8.8.2.7 to 10)."""

from __future__ import annotations

from datetime import datetime

from ..credentials import ResolvedKey, Secret
from ..errors import ConfigurationError, IdentifierError, PeerRefusedError, ResolverUnavailableError
from ..frameworks.saef_maf import ConnectionKey, connection_key, export_connection_key, initiate_maf_handshake
from ..frameworks.steps import Initiator
from ..identifiers import EntityId, Fqdn, KeyIdentifier, Suid
from ..net.address import Address, Transport
from ..net.channel import open_channel
from ..net.limits import Limits
from ..net.ports import RequestClient, expect, request_client
from ..onem2m.primitives import Operation, Rsc
from ..onem2m.resources import SymmetricKeyRegistration
from .answers import answered
from .registration import RegistrationClient

_PATH = SymmetricKeyRegistration.path


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
        asked = SymmetricKeyRegistration(
            fqdn=self.maf,
            expiration_time=expires,
            admin_fqdn=admin,
            suid=suid,
            target_ids=(target,),
            key_value=key,
        )
        await self._ready()
        client = self._new_client()
        try:
            response = await client.request(
                Operation.CREATE, _PATH, content=asked.encode(), resource_type=asked.resource_type
            )
            if key is None:
                key = export_connection_key(client.established, self.maf).kc
        finally:
            await client.close()
        made = answered(response, SymmetricKeyRegistration, Rsc.CREATED)
        return ConnectionKey(self._kc_id(made), key, made.expiration_time, made.target_ids or ())

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
            found = answered(response, SymmetricKeyRegistration, Rsc.OK)
        except PeerRefusedError as error:
            raise ResolverUnavailableError(f"{self.maf} answered with no usable key: {error}") from None
        if found.key_value is None or found.suid is None:
            raise ResolverUnavailableError(
                f"{self.maf} answered with no usable key: keyValue or SUID is missing"
            )
        if found.suid is not Suid.MAF_SAEF:
            raise ResolverUnavailableError(
                f"{kc_id}: the key is for SUID {int(found.suid)}, not for an association"
            )
        return connection_key(
            kc_id, found.key_value, peer=found.source_id, expires=found.expiration_time, suid=found.suid
        )

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

    def _kc_id(self, made: SymmetricKeyRegistration) -> KeyIdentifier:
        try:
            return KeyIdentifier.parse(f"{made.relative_key_id or ''}@{self.maf}")
        except IdentifierError as error:
            raise ResolverUnavailableError(
                f"{self.maf} answered with no usable RelativeKeyID: {error}"
            ) from None
