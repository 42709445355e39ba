"""``[peers."IDENTITY"]``: where a peer is, how we prove ourselves to it, and what it must prove (8.1)."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from ..net.address import Binding, Transport
from ..release import DEFAULT_RELEASE
from .key_proofs import AskingKey
from .prove import ProveSetting
from .trust import TrustsSetting
from .values import (
    AddressSetting,
    FileSetting,
    FqdnSetting,
    KeyIdSetting,
    ReleaseSetting,
    Table,
)


class PeerSettings(Table):
    """``[peers."IDENTITY"]``: a peer by its identity: a CSE-ID or AE-ID, or the FQDN of a MAF, MEF or BSF.

    Attributes:
        address: Where it listens, if we connect to it, which we do not to an end-point of ESCertKE; for a BSF
            to whom we prove ourselves by a card, where it listens for UEs.
        transport: ``tls`` or ``dtls``.
        binding: What carries requests to it: ``http`` or ``websocket`` over TLS, ``coap`` over DTLS; default:
            ``http`` or ``coap``.
        diameter: Ask it, a BSF, over Diameter (TS 29.109), with TLS.
        release: Whose messages and identifiers to use with it: ``"1"`` or ``"3"``.
        server_name: SNI host name to send to it; default: its own.
        prove: How we prove ourselves to it, if we meet it.
        trust: What it must prove to us: one way, or an array of several. Who is an Entity A of ours and has
            this is taken by nothing else.
    """

    address: AddressSetting | None = None
    transport: Transport = Transport.TLS
    binding: Binding | None = None
    diameter: bool = False
    release: ReleaseSetting = DEFAULT_RELEASE
    server_name: FqdnSetting | None = None
    prove: ProveSetting | None = None
    trust: TrustsSetting = ()

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.prove is None and not self.trust:
            raise ValueError(
                "say how we prove ourselves to it (address and prove), or what it must prove to us (trust)"
            )
        return self

    @model_validator(mode="after")
    def _is_asked_in_one_way(self) -> Self:
        if self.binding is not None and self.diameter:
            raise ValueError("a BSF is asked over Diameter or by requests: leave out binding or diameter")
        if self.binding is not None and self.binding.transport is not self.transport:
            raise ValueError(
                f"{self.binding.value} goes over {self.binding.transport.value}: set transport = "
                f'"{self.binding.transport.value}", or leave out binding'
            )
        return self

    @model_validator(mode="after")
    def _is_where_we_connect_to(self) -> Self:
        """Most proofs are made to a peer that listens: to forget where is noticed when the file is read."""
        if self.address is None and self.prove is not None and self.prove.needs_address:
            raise ValueError('say where it listens: address = "HOST:PORT"')
        return self


class MefPeerSettings(Table):
    """``[[maf.mefs]]``: an MEF, in the place where it is named, for one MAF.

    Attributes:
        fqdn: The MEF-ID.
        address: Where it listens.
        key_id: Identifier of the key that the MAF shares with it.
        key_file: The file that holds the key.
        transport: ``tls`` or ``dtls``.
    """

    fqdn: FqdnSetting
    address: AddressSetting
    key_id: KeyIdSetting
    key_file: FileSetting
    transport: Transport = Transport.TLS

    def peer(self) -> PeerSettings:
        """The same as a peer."""
        proof = AskingKey.model_construct(key_id=self.key_id, key_file=self.key_file)
        return PeerSettings.model_construct(address=self.address, transport=self.transport, prove=proof)
