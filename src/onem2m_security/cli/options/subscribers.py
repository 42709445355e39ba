"""The options for a subscriber of GBA: its card, and its GBA user security settings (TS 33.220)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from ...durations import parse_duration
from ...errors import ConfigurationError
from ...gba.keys import Impi, KeyChoice
from ...gba.subscriber import AlgorithmSet
from ...identifiers import Fqdn
from ...user_settings import Uss, require_few
from ..common import KEY_FORMAT, parsed, read_key
from .grouping import OptionGroup

if TYPE_CHECKING:
    from ...gba.subscriber import Guss, Subscriber

ImpiOption = Annotated[
    Impi, parsed(Impi.parse, "--impi", metavar="IMPI", help="The subscriber's private identity, user@realm.")
]
OptionalImpiOption = Annotated[
    Impi | None,
    parsed(Impi.parse, "--impi", metavar="IMPI", help="The subscriber's private identity, user@realm."),
]
KFileOption = Annotated[
    str | None, typer.Option("--k-file", metavar="FILE|-", help=f"The subscriber key K: {KEY_FORMAT}.")
]
OpcFileOption = Annotated[
    str | None,
    typer.Option("--opc-file", metavar="FILE|-", help=f"OPc of MILENAGE or TOPc of TUAK: {KEY_FORMAT}."),
]
AlgorithmOption = Annotated[AlgorithmSet, typer.Option("--algorithm", help="The algorithm set of the USIM.")]
GbaUOption = Annotated[bool, typer.Option("--gba-u", help="The card bootstraps by itself (GBA_U).")]


@dataclass(frozen=True, slots=True)
class AllowedNaf:
    """``FQDN`` or ``FQDN=KEY``: a NAF that may have keys of a subscriber, and which."""

    naf: Fqdn
    choice: KeyChoice | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``cse.sp.example`` or ``cse.sp.example=Ks_int_NAF``.

        Raises:
            ConfigurationError: There is no such key.
            IdentifierError: The FQDN is none.
        """
        naf, equals, key = text.partition("=")
        if not equals:
            return cls(Fqdn.parse(naf), None)
        try:
            return cls(Fqdn.parse(naf), KeyChoice(key))
        except ValueError:
            keys = ", ".join(choice.value for choice in KeyChoice)
            raise ConfigurationError(f"{key[:40]!r} is none of {keys}") from None


CardOption = Annotated[
    Path | None,
    typer.Option("--card", metavar="FILE", help="Take all these from a software card instead."),
]
NafsOption = Annotated[
    list[AllowedNaf] | None,
    parsed(
        AllowedNaf.parse,
        "--naf",
        metavar="FQDN[=KEY]",
        help="A NAF that may have keys of this subscriber, and which: Ks_NAF, Ks_ext_NAF or Ks_int_NAF.",
    ),
]


@dataclass(frozen=True, slots=True)
class NafUss:
    """``FQDN:USS``: user security settings that one NAF is told."""

    naf: Fqdn
    uss: Uss

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``cse.sp.example:1000001,uid=/meter,flag=1``.

        Raises:
            ConfigurationError: It is not of this form.
            IdentifierError: The FQDN is none.
        """
        naf, colon, uss = text.partition(":")
        if not colon:
            raise ConfigurationError(f"{text[:80]!r}: FQDN:USS is expected")
        return cls(Fqdn.parse(naf), Uss.parse(uss))


UssOption = Annotated[
    list[NafUss] | None,
    parsed(
        NafUss.parse,
        "--uss",
        metavar="FQDN:USS",
        help="User security settings that this --naf is told, and no other: "
        "FQDN:GSID[,type=N][,group=NAME][,uid=TEXT]…[,flag=N]…; repeat for several.",
    ),
]
NafLifetimeOption = Annotated[
    timedelta | None,
    parsed(parse_duration, "--naf-lifetime", metavar="DURATION", help="How long these keys live at most."),
]
LifetimeOption = Annotated[
    timedelta | None,
    parsed(parse_duration, "--lifetime", metavar="DURATION", help="How long a bootstrapping lives at most."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardOptions(OptionGroup):
    """What a card and its home network share, and what the card can do."""

    k_file: KFileOption = None
    opc_file: OpcFileOption = None
    algorithm: AlgorithmOption = AlgorithmSet.MILENAGE
    gba_u: GbaUOption = False

    @property
    def have_keys(self) -> bool:
        """Is there a file with a key?"""
        return self.k_file is not None or self.opc_file is not None

    def subscriber(self, impi: Impi | None) -> Subscriber:
        """The subscriber with this identity.

        Raises:
            ConfigurationError: An option is missing, or a file holds no key.
            CredentialError: K or OPc has the wrong length.
        """
        from ...gba.subscriber import Subscriber

        if impi is None or self.k_file is None or self.opc_file is None:
            raise ConfigurationError("give --impi, --k-file and --opc-file, all three")
        return Subscriber(impi, read_key(self.k_file), read_key(self.opc_file), algorithm=self.algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberOptions(OptionGroup):
    """A subscriber, by its identity and keys or by a file that is its card."""

    impi: OptionalImpiOption = None
    keys: CardOptions
    card: CardOption = None

    def provisioned(self) -> tuple[Subscriber, bool]:
        """The subscriber, and whether its card bootstraps by itself (GBA_U).

        Raises:
            ConfigurationError: An option is missing or too many, or a file cannot be used.
            CredentialError: K or OPc has the wrong length.
        """
        from ...clients.card import SoftwareCard

        if self.card is None:
            return self.keys.subscriber(self.impi), self.keys.gba_u
        if self.impi is not None or self.keys.have_keys:
            raise ConfigurationError("give --card alone, or --impi, --k-file and --opc-file")
        loaded = SoftwareCard.load(self.card)
        return loaded.subscriber, loaded.gba_u


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsOptions(OptionGroup):
    """The GBA user security settings: a NAF that is not named gets no key."""

    naf: NafsOption = None
    naf_lifetime: NafLifetimeOption = None
    lifetime: LifetimeOption = None
    uss: UssOption = None

    def guss(self, *, gba_u: bool) -> Guss:
        """The settings, for a card that bootstraps by itself or for one that does not.

        Raises:
            ConfigurationError: Something is told to a NAF that is not named, or too much.
        """
        from ...gba.subscriber import Guss, NafSettings

        default = KeyChoice.KS_EXT_NAF if gba_u else KeyChoice.KS_NAF
        named = {allowed.naf for allowed in self.naf or ()}
        for told in self.uss or ():
            if told.naf not in named:
                raise ConfigurationError(f"--uss is for {told.naf}: give --naf {told.naf} too")
        nafs = tuple(
            NafSettings(
                allowed.naf,
                key_choice=allowed.choice or default,
                lifetime=self.naf_lifetime,
                uss=require_few(told.uss for told in self.uss or () if told.naf == allowed.naf),
            )
            for allowed in self.naf or ()
        )
        return Guss(nafs, gba_u, self.lifetime)
