"""A subscriber as the HSS knows it, its GBA user security settings, and the HSS itself as an interface (Zh).

TS 33.102 clause 6.3 for the vectors, TS 29.109 for the settings (GUSS). Values are frozen: what changes a
subscriber gives a new one, and a store must keep it before the vector leaves. This module never performs I/O.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol, Self

from ..credentials import Secret
from ..errors import AuthenticationError, ConfigurationError
from ..identifiers import EntityId, Fqdn
from ..user_settings import Uss
from .aka import AuthenticationVector, SequenceNumber, authentication_vector, resynchronised
from .algorithm import AMF_OCTETS, AuthenticationFunctions, require_length
from .context import BootstrappedContext
from .keys import Impi, KeyChoice, ks_of


class AlgorithmSet(enum.Enum):
    """Which functions f1 to f5* a subscriber's USIM computes."""

    MILENAGE = "milenage"
    TUAK = "tuak"


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One subscription, with its secrets.

    Attributes:
        impi: The private identity.
        k: The subscriber key K: 16 octets, for TUAK also 32.
        opc: OPc of MILENAGE (16 octets) or TOPc of TUAK (32 octets).
        amf: The Authentication Management Field, 2 octets.
        sqn: The last sequence number used.
        barred: Whether the subscriber gets no vectors.
        algorithm: The algorithm set of the USIM.
    """

    impi: Impi
    k: Secret = field(repr=False)
    opc: Secret = field(repr=False)
    amf: bytes = b"\0\0"
    sqn: SequenceNumber = field(default_factory=SequenceNumber)
    barred: bool = False
    algorithm: AlgorithmSet = AlgorithmSet.MILENAGE

    def __post_init__(self) -> None:
        require_length("AMF", self.amf, AMF_OCTETS)
        _ = self.functions  # refuses keys of the wrong length here, not at the first bootstrapping

    @property
    def functions(self) -> AuthenticationFunctions:
        """The algorithm set with this subscriber's keys."""
        # The library of their ciphers is for who has a subscriber, not for who names an algorithm set.
        from .milenage import Milenage  # noqa: PLC0415
        from .tuak import Tuak  # noqa: PLC0415

        if self.algorithm is AlgorithmSet.TUAK:
            return Tuak(self.k, self.opc)
        return Milenage(self.k, self.opc)

    def next_vector(self, *, rand: bytes | None = None) -> tuple[Self, AuthenticationVector]:
        """A vector under the next sequence number, and the subscriber that used it.

        Keep the new subscriber before the vector is handed out: a number must never be used twice.

        Args:
            rand: RAND, 16 octets; None for a random one.

        Raises:
            AuthenticationError: The subscriber is barred.
            CredentialError: The sequence numbers are used up, or RAND has the wrong length.
        """
        self._refuse_barred()
        sqn = self.sqn.next()
        vector = authentication_vector(self.functions, sqn=sqn, amf=self.amf, rand=rand)
        return replace(self, sqn=sqn), vector

    def resynchronised(self, *, rand: bytes, auts: bytes) -> Self:
        """The subscriber after its USIM's AUTS for this RAND (TS 33.102 clause 6.3.5).

        Raises:
            MessageError: RAND or AUTS has the wrong length.
            AuthenticationError: AUTS does not verify, or the subscriber is barred.
        """
        self._refuse_barred()
        return replace(self, sqn=resynchronised(self.functions, sqn_he=self.sqn, rand=rand, auts=auts))

    def asked(
        self, *, auts: bytes | None = None, rand: bytes | None = None
    ) -> tuple[Self, AuthenticationVector]:
        """What an HSS answers: a fresh vector, after resynchronising if the USIM wants it, and who used it.

        Args:
            auts: AUTS of the USIM, 14 octets; None when it wants nothing.
            rand: The RAND that AUTS answers, 16 octets.

        Raises:
            AuthenticationError: The subscriber is barred, or AUTS does not verify.
            MessageError: AUTS or the RAND that it answers has the wrong length.
            CredentialError: The sequence numbers are used up.
        """
        known = self if auts is None else self.resynchronised(rand=rand or b"", auts=auts)
        return known.next_vector()

    def require_own(self, context: BootstrappedContext) -> None:
        """Check that a bootstrapping is one of this subscriber as it is now.

        Raises:
            AuthenticationError: The subscriber is barred, or has another key than the one that made it.
        """
        self._refuse_barred()
        outputs = self.functions.f2345(context.rand)
        if ks_of(outputs.ck, outputs.ik) != context.ks:
            raise AuthenticationError(f"{self.impi} has another key meanwhile")

    def _refuse_barred(self) -> None:
        if self.barred:
            raise AuthenticationError(f"{self.impi} is barred: let the operator lift it")


@dataclass(frozen=True, slots=True)
class NafSettings:
    """What a subscription says of one NAF (a USS of TS 29.109).

    Attributes:
        naf: The NAF's FQDN.
        allowed: Whether the NAF may have a key of this subscriber.
        key_choice: Which key it gets.
        lifetime: How long that key may live at most; None for no bound beyond that of Ks.
        uss: The user security settings that the NAF is told, and no other NAF is.
    """

    naf: Fqdn
    allowed: bool = True
    key_choice: KeyChoice = KeyChoice.KS_NAF
    lifetime: timedelta | None = None
    uss: tuple[Uss, ...] = ()

    def __post_init__(self) -> None:
        _require_positive(f"the settings for {self.naf}", self.lifetime)


@dataclass(frozen=True, slots=True)
class Guss:
    """GBA User Security Settings of one subscriber (TS 29.109). A NAF that is not named gets no key.

    Attributes:
        nafs: The settings, one for each NAF.
        gba_u: Whether the bootstrapping runs on the UICC.
        lifetime: How long Ks may live at most; None for the BSF's own bound.
    """

    nafs: tuple[NafSettings, ...] = ()
    gba_u: bool = False
    lifetime: timedelta | None = None

    def __post_init__(self) -> None:
        _require_positive("the user security settings", self.lifetime)
        names = [settings.naf for settings in self.nafs]
        for settings in self.nafs:
            if names.count(settings.naf) > 1:
                raise ConfigurationError(f"{settings.naf} has more than one setting: keep one")
            if settings.key_choice.is_gba_u is not self.gba_u:
                raise ConfigurationError(
                    f"{settings.naf}: {settings.key_choice.value} needs gba_u to be "
                    f"{settings.key_choice.is_gba_u}"
                )

    def for_naf(self, naf: Fqdn) -> NafSettings | None:
        """The settings of a NAF that may have a key; None for any other."""
        return next((settings for settings in self.nafs if settings.naf == naf and settings.allowed), None)


def _require_positive(what: str, lifetime: timedelta | None) -> None:
    if lifetime is not None and lifetime <= timedelta():
        raise ConfigurationError(f"{what}: a lifetime is longer than nothing")


class Hss(Protocol):
    """The home subscriber server, as a BSF sees it over Zh (TS 33.220 clause 4.4.5)."""

    async def vectors(
        self, impi: Impi, *, auts: bytes | None = None, rand: bytes | None = None
    ) -> tuple[AuthenticationVector, ...]:
        """Fresh authentication vectors, at least one, to be used in this order.

        Args:
            impi: The subscriber.
            auts: AUTS of the USIM, 14 octets, to resynchronise first; then ``rand`` is needed too.
            rand: The RAND that AUTS answers, 16 octets.

        Raises:
            AuthenticationError: Unknown or barred subscriber, or an AUTS that does not verify.
            ResolverUnavailableError: The HSS cannot be asked now.
        """
        ...

    async def guss(self, impi: Impi) -> Guss | None:
        """The subscriber's GBA user security settings; None when there are none, and then no NAF gets a key.

        Raises:
            ResolverUnavailableError: The HSS cannot be asked now.
        """
        ...

    async def entity(self, impi: Impi) -> EntityId | None:
        """The subscriber's CSE-ID or AE-ID, out of its user security settings; None when they name none.

        Raises:
            ResolverUnavailableError: The HSS cannot be asked now.
        """
        ...
