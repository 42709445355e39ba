"""A UE: bootstraps with a BSF over Ub (TS 33.220 clause 4.5.2), with a USIM that is software or a real card.

The BSF must prove itself twice, by AUTN and by its Authentication-Info, before a key is believed in.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from ..clock import CLOCK, Clock
from ..credentials import Secret
from ..errors import AuthenticationError, MessageError, ResolverUnavailableError
from ..frameworks import bootstrap_gba, saef_gba
from ..gba import digest
from ..gba.aka import AkaResult, MacFailure, Success, SynchronisationFailure
from ..gba.bootstrap_info import BootstrappingInfo
from ..gba.context import BootstrappedContext
from ..gba.digest_headers import Challenge, Credentials, DigestAlgorithm
from ..gba.keys import Impi, KeyChoice, b_tid_of, ks_of
from ..gba.ub_messages import UbResponse
from ..identifiers import EntityId, Fqdn, KeyIdentifier
from ..net.address import Transport
from ..net.link import Link
from ..net.ub_client import UbClient
from ..tls.suites import Suite
from .by_bootstrapping import ByBootstrapping
from .kept_bootstrapping import BootstrappingInMemory, KeptBootstrapping

_CHALLENGES_MAX = 3
"""Challenges answered in one bootstrapping: the first, one to resynchronise, one for a stale nonce."""

_PREFERRED = (DigestAlgorithm.AKAV2_MD5, DigestAlgorithm.AKAV1_MD5)


class Card(Protocol):
    """What a bootstrapping needs of a USIM: TS 31.102 AUTHENTICATE in the GBA or 3G context."""

    @property
    def impi(self) -> Impi:
        """The private identity."""
        ...

    @property
    def gba_u(self) -> bool:
        """Whether the card bootstraps by itself (GBA_U)."""
        ...

    def authenticate(self, rand: bytes, autn: bytes) -> AkaResult:
        """Answer a challenge; what it accepts, it never accepts again, not even after a restart."""
        ...


@dataclass(frozen=True, slots=True)
class NafChoice:
    """Which NAF key of a bootstrapping, and how it is shown.

    Attributes:
        suite: The one cipher suite to offer, on which the key depends; ``suite_over`` tells the default.
        fqdn: The peer's FQDN as a NAF; by default the FQDN representation of an absolute IdB.
        choice: Which key; by default Ks_NAF, or Ks_ext_NAF with GBA_U.
        provisions: Use the key as the Kpsa of the bootstrap framework, under B-TID as KpsaId (8.3.2.3).
        server_name: SNI host name; by default the NAF's FQDN.
    """

    suite: Suite = saef_gba.TLS_SUITE
    fqdn: Fqdn | None = None
    choice: KeyChoice | None = None
    provisions: bool = False
    server_name: Fqdn | None = None


DEFAULT_CHOICE: Final = NafChoice()


def suite_over(transport: Transport) -> Suite:
    """The one suite that an Entity A offers with a key from GBA, unless told otherwise (10.2.2)."""
    return saef_gba.DTLS_SUITE if transport is Transport.DTLS else saef_gba.TLS_SUITE


class Ue:
    """A UE with one card, and one BSF."""

    def __init__(
        self,
        card: Card,
        bsf: Fqdn,
        link: Link,
        *,
        kept: KeptBootstrapping | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        """A UE of the BSF behind this link.

        Args:
            card: The USIM.
            bsf: The BSF's FQDN.
            link: Where the BSF listens for Ub, which is HTTP over TCP.
            kept: Where the bootstrapping is kept; by default in memory.
            clock: What ends a bootstrapping.
        """
        self._card = card
        self._bsf = bsf
        self._link = link
        self._clock = clock
        self._kept = kept or BootstrappingInMemory()
        self._turn = asyncio.Lock()

    async def bootstrap(self) -> BootstrappedContext:
        """A new bootstrapping, in the place of the one that is kept.

        Raises:
            AuthenticationError: The BSF did not prove itself, or it refused us.
            MessageError: The BSF's answer is not what Ub prescribes.
            IdentifierError: The answer's B-TID is none.
            ResolverUnavailableError: The BSF cannot be reached.
            StoreError: What came of it could not be kept.
        """
        impi = self._card.impi
        async with UbClient(self._bsf, self._link) as client:
            answer = await client.get(str(digest.first_request(impi=impi, realm=str(self._bsf))))
            for _ in range(_CHALLENGES_MAX):
                challenge = self._chosen(answer)
                nonce = challenge.aka_nonce
                match self._card.authenticate(nonce.rand, nonce.autn):
                    case Success(res, ck, ik):
                        password = challenge.algorithm.password(res=res, ck=ck, ik=ik)
                        credentials = digest.answer(
                            challenge, impi=impi, password=password, cnonce=secrets.token_hex(16)
                        )
                        answer = await client.get(str(credentials))
                        if answer.status != 401:
                            info = self._verified(answer, credentials, password)
                            b_tid = b_tid_of(nonce.rand, self._bsf)
                            if info.b_tid != b_tid:
                                raise MessageError(
                                    f"{self._bsf} named another B-TID than that of its challenge"
                                )
                            return await self._kept.put(
                                BootstrappedContext(
                                    b_tid,
                                    ks_of(ck, ik),
                                    impi,
                                    self._clock.now(),
                                    info.lifetime,
                                    self._card.gba_u,
                                )
                            )
                    case SynchronisationFailure(auts):
                        report = digest.report_synchronisation_failure(
                            challenge, impi=impi, auts=auts, cnonce=secrets.token_hex(16)
                        )
                        answer = await client.get(str(report))
                    case MacFailure():
                        raise AuthenticationError(
                            f"{self._bsf} does not hold the key of {impi}, or the card is of another GBA mode"
                        )
        raise AuthenticationError(f"{self._bsf} goes on challenging {impi}: bootstrapping given up")

    async def context(self) -> BootstrappedContext:
        """The bootstrapping that is kept or, if there is none or it has ended, a new one.

        Raises:
            SecurityFrameworkError: As for ``bootstrap``.
        """
        async with self._turn:
            return await self.kept() or await self.bootstrap()

    async def kept(self) -> BootstrappedContext | None:
        """The bootstrapping that is kept, unless it has ended.

        Raises:
            StoreError: It could not be read.
        """
        kept = await self._kept.find(self._card.impi, self._bsf)
        return None if kept is None or kept.expires <= self._clock.now() else kept

    async def renewed(self, refused: KeyIdentifier) -> BootstrappedContext:
        """A new bootstrapping in the place of a refused one, unless that has been replaced meanwhile.

        Args:
            refused: The B-TID that was refused.

        Raises:
            SecurityFrameworkError: As for ``bootstrap``.
        """
        async with self._turn:
            kept = await self.kept()
            return await self.bootstrap() if kept is None or kept.b_tid == refused else kept

    def initiator(self, local: EntityId, peer: EntityId, naf: NafChoice = DEFAULT_CHOICE) -> ByBootstrapping:
        """How we prove ourselves to an Entity B that is a NAF (8.2.3.2), by our newest bootstrapping.

        Args:
            local: IdA, the identity that we assume.
            peer: IdB, whom we mean to reach.
            naf: Which of the keys that a bootstrapping gives.
        """
        initiate = bootstrap_gba.initiate if naf.provisions else saef_gba.initiate
        return ByBootstrapping(
            self,
            lambda context: initiate(
                local,
                peer,
                context,
                suite=naf.suite,
                naf=naf.fqdn,
                choice=naf.choice,
                server_name=naf.server_name,
            ),
        )

    def at_maf(self, local: EntityId, maf: Fqdn, naf: NafChoice = DEFAULT_CHOICE) -> ByBootstrapping:
        """How we prove ourselves to a MAF that is a NAF (8.3.2.3), by our newest bootstrapping.

        Args:
            local: The identity that the MAF knows us by.
            maf: The MAF-ID.
            naf: Which of the keys that a bootstrapping gives.
        """
        return ByBootstrapping(
            self,
            lambda context: bootstrap_gba.initiate_at_maf(
                local, maf, context, suite=naf.suite, choice=naf.choice
            ),
        )

    def _chosen(self, answer: UbResponse) -> Challenge:
        """The strongest challenge of those that were offered."""
        if answer.status >= 500:
            raise ResolverUnavailableError(f"{self._bsf} cannot bootstrap anybody now: try again later")
        if answer.status != 401:
            refused = f"{self._bsf} refused {self._card.impi} (HTTP {answer.status})"
            raise AuthenticationError(f"{refused}: it is not subscribed there, or it is barred")
        offered = answer.challenges
        for algorithm in _PREFERRED:
            for challenge in offered:
                if challenge.algorithm is algorithm:
                    if challenge.realm.lower() != str(self._bsf):
                        raise MessageError(f"{self._bsf} challenged for another realm")
                    return challenge
        raise MessageError(f"{self._bsf} sent no challenge")

    def _verified(self, answer: UbResponse, credentials: Credentials, password: Secret) -> BootstrappingInfo:
        """B-TID and lifetime, once the BSF has proven that it sent them."""
        if answer.status != 200:
            raise AuthenticationError(
                f"{self._bsf} refused the response of {self._card.impi} (HTTP {answer.status})"
            )
        info = answer.authentication_info
        if info is None:
            raise AuthenticationError(f"{self._bsf} did not prove itself: no Authentication-Info")
        if not digest.verify_server(info, credentials, password=password, body=answer.body):
            raise AuthenticationError(f"{self._bsf} did not prove itself: a wrong Authentication-Info")
        return BootstrappingInfo.parse(answer.body)
