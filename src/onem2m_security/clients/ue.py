"""A UE: bootstraps with a BSF over Ub (TS 33.220 clause 4.5.2), with a USIM that is software or a real card.

The BSF must prove itself twice, by AUTN and by its Authentication-Info, before a key is believed in.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Protocol

from ..credentials import Secret
from ..errors import AuthenticationError, MessageError, ResolverUnavailableError
from ..gba import digest
from ..gba.aka import AkaResult, MacFailure, Success, SynchronisationFailure
from ..gba.bootstrap_info import BootstrappingInfo
from ..gba.context import BootstrappedContext
from ..gba.digest_headers import Challenge, Credentials, DigestAlgorithm
from ..gba.keys import Impi, b_tid_of, ks_of
from ..gba.ub_messages import UbResponse
from ..identifiers import Fqdn
from ..net.address import Address
from ..net.limits import Limits
from ..net.ub import UbClient

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


class Ue:
    """A UE with one card, and one BSF."""

    def __init__(self, card: Card, bsf: Fqdn, address: Address, *, limits: Limits | None = None) -> None:
        """A UE of the BSF at this address.

        Args:
            card: The USIM.
            bsf: The BSF's FQDN.
            address: Where the BSF listens for Ub.
            limits: Bounds on time.
        """
        self._card = card
        self._bsf = bsf
        self._address = address
        self._limits = limits

    async def bootstrap(self) -> BootstrappedContext:
        """A new bootstrapping.

        Raises:
            AuthenticationError: The BSF did not prove itself, or it refused us.
            MessageError: The BSF's answer is not what Ub prescribes.
            IdentifierError: The answer's B-TID is none.
            ResolverUnavailableError: The BSF cannot be reached.
        """
        impi = self._card.impi
        async with UbClient(self._bsf, self._address, limits=self._limits) as client:
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
                            return BootstrappedContext(
                                b_tid,
                                ks_of(ck, ik),
                                impi,
                                datetime.now(UTC),
                                info.lifetime,
                                self._card.gba_u,
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
