"""A finished bootstrapping, as UE and BSF both hold it, and the NAF keys that come from it.

TS 33.220 clauses 4.5.2 and 4.5.3; in the bootstrap framework Ks is Ke and B-TID is KeId (TS-0003 clause
8.3.2.3). A value without I/O: the store keeps it at the BSF, the UE keeps it in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..credentials import Secret
from ..errors import CredentialError
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..user_settings import Uss
from .algorithm import require_length
from .keys import KS_OCTETS, Impi, KeyChoice, naf_id, naf_key


@dataclass(frozen=True, slots=True)
class BootstrappedContext:
    """What UE and BSF share after a bootstrapping.

    Attributes:
        b_tid: The Bootstrapping Transaction Identifier; its relative part is RAND.
        ks: Ks, 32 octets.
        impi: The subscriber's private identity.
        issued: When it was made (UTC).
        expires: When Ks ends (UTC).
        gba_u: Whether the keys live on the UICC.
    """

    b_tid: KeyIdentifier
    ks: Secret = field(repr=False)
    impi: Impi
    issued: datetime
    expires: datetime
    gba_u: bool = False

    def __post_init__(self) -> None:
        require_length("Ks", self.ks, KS_OCTETS)
        if self.b_tid.octets is None:
            raise CredentialError(f"{self.b_tid} is not a B-TID: base64 of a 16-octet RAND is expected")
        if self.issued.tzinfo is None or self.expires.tzinfo is None:
            raise CredentialError("the times of a bootstrapping need a time zone")

    @property
    def rand(self) -> bytes:
        """RAND, 16 octets."""
        octets = self.b_tid.octets
        assert octets is not None  # noqa: S101 - checked when the value was made
        return octets

    @property
    def default_choice(self) -> KeyChoice:
        """The key that the ME uses unless something else was agreed: Ks_NAF, or Ks_ext_NAF with GBA_U."""
        return KeyChoice.KS_EXT_NAF if self.gba_u else KeyChoice.KS_NAF

    def naf_key(self, naf: Fqdn, ua_security_protocol_id: bytes, choice: KeyChoice | None = None) -> Secret:
        """The key for one NAF and one Ua security protocol, 32 octets (clause 4.5.3, Annex B.3).

        Args:
            naf: The NAF's FQDN.
            ua_security_protocol_id: 5 octets; see ``keys.ua_security_protocol``.
            choice: Which key; None for the default one.

        Raises:
            CredentialError: The choice needs GBA_U and this was GBA_ME, or the other way round.
        """
        choice = choice or self.default_choice
        if choice.is_gba_u is not self.gba_u:
            mode = "GBA_U" if self.gba_u else "GBA_ME"
            raise CredentialError(f"{choice.value} does not come from a bootstrapping with {mode}")
        name = naf_id(naf, ua_security_protocol_id)
        return naf_key(choice, self.ks, rand=self.rand, impi=self.impi, naf_id=name)


@dataclass(frozen=True, slots=True)
class NafKey:
    """What a NAF learns of one bootstrapping over Zn (TS 33.220 clause 4.5.3).

    Attributes:
        b_tid: The bootstrapping.
        key: Ks_NAF, Ks_ext_NAF or Ks_int_NAF, 32 octets.
        choice: Which of them.
        issued: When the bootstrapping was made (UTC).
        expires: When the key ends (UTC).
        entity: The subscriber's CSE-ID or AE-ID, out of the user security settings; None when not configured.
        uss: Its user security settings for this NAF.
    """

    b_tid: KeyIdentifier
    key: Secret = field(repr=False)
    choice: KeyChoice
    issued: datetime
    expires: datetime
    entity: EntityId | None = None
    uss: tuple[Uss, ...] = ()
