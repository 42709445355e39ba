"""A BSF's client of an operator's HSS: Zh in the form of TS 29.109 clause 4.2, over Diameter and TLS.

An HSS answers with a vector and with the subscriber's user security settings in one message. Which NAFs may
have keys of a subscriber these settings say by application and NAF group, and not by FQDN: the BSF's own
configuration says which application a NAF is (TS 33.220 clause 4.4.6).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from ..clock import CLOCK
from ..diameter import messages as dm
from ..diameter.messages import DiameterMessage
from ..diameter.multimedia_auth import MultimediaAuthAnswer, MultimediaAuthRequest
from ..diameter.user_settings import UserSecuritySettings
from ..errors import AuthenticationError, MessageError, ResolverUnavailableError
from ..frameworks.checked_way import meeting
from ..frameworks.steps import How
from ..gba.aka import AuthenticationVector
from ..gba.keys import Impi, KeyChoice
from ..gba.subscriber import Guss, NafSettings
from ..identifiers import EntityId, Fqdn
from ..net.diameter import DiameterClient
from ..net.link import Link
from ..user_settings import AUTHENTICATION_ALLOWED, MAX_SETTINGS, Uss

SECONDS: Final = 60.0
"""How long an answer counts; as long as a challenge can be answered."""

CAPACITY: Final = 50_000
"""Of how many subscribers answers are remembered."""

_UNKNOWN = frozenset({dm.IDENTITY_UNKNOWN, dm.USER_UNKNOWN})


@dataclass(frozen=True, slots=True)
class NafOfOperator:
    """A NAF as the configuration of a BSF knows it, beside what an HSS says of each subscriber.

    Attributes:
        naf: The NAF's FQDN.
        gsid: The GAA Service Identifier of its application: a subscriber needs settings for it that allow
            authentication. None: the NAF may have keys of every subscriber.
        naf_group: The NAF group that it is in; settings for another group are not for it.
        on_uicc: With GBA_U, whether it shares Ks_int_NAF, which never leaves the card, and not Ks_ext_NAF.
        lifetime: How long its keys may live at most; None for no bound beyond that of Ks.
    """

    naf: Fqdn
    gsid: str | None = None
    naf_group: str | None = None
    on_uicc: bool = False
    lifetime: timedelta | None = None

    def settings(self, told: UserSecuritySettings) -> NafSettings:
        """What these user security settings say of this NAF."""
        choice = KeyChoice.KS_NAF
        if told.gba_u:
            choice = KeyChoice.KS_INT_NAF if self.on_uicc else KeyChoice.KS_EXT_NAF
        return NafSettings(self.naf, self._is_allowed(told), choice, self.lifetime, self._uss(told))

    def _is_allowed(self, told: UserSecuritySettings) -> bool:
        return self.gsid is None or any(AUTHENTICATION_ALLOWED in uss.flags for uss in self._ours(told))

    def _uss(self, told: UserSecuritySettings) -> tuple[Uss, ...]:
        """What it is told of them, as far as that can travel."""
        return tuple(uss for uss in self._ours(told) if uss.can_travel)[:MAX_SETTINGS]

    def _ours(self, told: UserSecuritySettings) -> list[Uss]:
        """The settings for its application and its group; it hears of no other."""
        return [uss for uss in told.uss if uss.gsid == self.gsid and uss.naf_group in {None, self.naf_group}]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the HSS said of one subscriber.

    Attributes:
        until: When it counts no more, in seconds that never go back.
        guss: The user security settings; None for a subscriber that the HSS does not know.
        entity: The subscriber's CSE-ID or AE-ID.
        spare: The vector that came with them, until it is used.
    """

    until: float
    guss: Guss | None = None
    entity: EntityId | None = None
    spare: AuthenticationVector | None = None


class HssClient:
    """An HSS as a BSF asks it; it is an ``Hss``.

    Attributes:
        hss: The HSS's FQDN.
    """

    def __init__(
        self,
        hss: Fqdn,
        link: Link,
        how: How,
        *,
        bsf: Fqdn,
        nafs: Iterable[NafOfOperator],
        clock: Callable[[], float] = CLOCK.monotonic,
    ) -> None:
        """A client of the HSS behind this link.

        Args:
            hss: The HSS's FQDN, its Destination-Host.
            link: Where it listens for Diameter, over TLS.
            how: How we prove ourselves to it.
            bsf: Our FQDN, our Origin-Host.
            nafs: The NAFs that may have keys at all.
            clock: Seconds, never going back; it ages answers.

        Raises:
            ConfigurationError: It is a credential for another peer.
        """
        self.hss = hss
        self._bsf = bsf
        self._nafs = tuple(nafs)
        self._clock = clock
        self._known: OrderedDict[Impi, _Known] = OrderedDict()
        self._client = DiameterClient(link, meeting(hss, how), partial(dm.hello, bsf, dm.APPLICATION_ZH))

    async def vectors(
        self, impi: Impi, *, auts: bytes | None = None, rand: bytes | None = None
    ) -> tuple[AuthenticationVector, ...]:
        """One fresh vector; see ``Hss.vectors``."""
        known = self._fresh(impi)
        if known is not None and known.guss is None:
            raise self._unknown(impi)
        if auts is None and known is not None and known.spare is not None:
            self._known[impi] = replace(known, spare=None)  # a vector is used once
            return (known.spare,)
        return (await self._ask(MultimediaAuthRequest(impi, rand, auts)),)

    async def guss(self, impi: Impi) -> Guss | None:
        """The user security settings; see ``Hss.guss``."""
        return (await self._of(impi)).guss

    async def entity(self, impi: Impi) -> EntityId | None:
        """The subscriber's CSE-ID or AE-ID; see ``Hss.entity``."""
        return (await self._of(impi)).entity

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _of(self, impi: Impi) -> _Known:
        """What the HSS says of a subscriber; it is asked if that was too long ago."""
        known = self._fresh(impi)
        if known is not None:
            return known
        try:
            vector = await self._ask(MultimediaAuthRequest(impi))
        except AuthenticationError:
            return self._remember(impi, _Known(self._clock() + SECONDS))
        return self._remember(impi, replace(self._known[impi], spare=vector))

    def _fresh(self, impi: Impi) -> _Known | None:
        known = self._known.get(impi)
        return known if known is not None and self._clock() < known.until else None

    def _remember(self, impi: Impi, known: _Known) -> _Known:
        self._known[impi] = known
        self._known.move_to_end(impi)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return known

    async def _ask(self, asked: MultimediaAuthRequest) -> AuthenticationVector:
        """A vector, while what else was said is remembered.

        Raises:
            AuthenticationError: The HSS knows no such subscriber.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
        """
        answer = await self._client.request(self._request(asked))
        try:
            if answer.result in _UNKNOWN:
                raise self._unknown(asked.impi)
            if answer.result != dm.SUCCESS:
                raise ResolverUnavailableError(f"{self.hss} answered with the result {answer.result}")
            told = MultimediaAuthAnswer.decode(answer)
        except MessageError as error:
            raise ResolverUnavailableError(f"{self.hss} answered with no usable vector: {error}") from None
        if told.impi not in {None, asked.impi}:
            raise ResolverUnavailableError(f"{self.hss} answered for another subscriber than {asked.impi}")
        settings = told.settings or UserSecuritySettings()
        guss = Guss(tuple(naf.settings(settings) for naf in self._nafs), settings.gba_u, settings.lifetime)
        self._remember(asked.impi, _Known(self._clock() + SECONDS, guss, settings.entity))
        return told.vector

    def _unknown(self, impi: Impi) -> AuthenticationError:
        return AuthenticationError(f"{impi} is not a subscriber of {self.hss}")

    def _request(self, asked: MultimediaAuthRequest) -> DiameterMessage:
        return DiameterMessage.request(
            dm.MULTIMEDIA_AUTH,
            dm.APPLICATION_ZH,
            [*dm.addressed(dm.APPLICATION_ZH, self._bsf, self.hss), *asked.encode()],
        )
