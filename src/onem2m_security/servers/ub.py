"""Ub at a BSF: bootstrapping by HTTP Digest AKA (TS 33.220 clause 4.5.2, TS 24.109 clause 4).

Requests to responses, as values; the listener is in ``net``. Anybody who knows an IMPI may ask for challenges
of it, so asking and answering wrongly take nothing away from its owner: a challenge is used up by the right
answer, or by AUTS, which its card alone can make, and by time. A bootstrapping is on the disk before the UE
hears of it. An answer tells the UE no reason for a refusal; the log does, without any key.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ..clock import CLOCK, Clock
from ..defaults import BOOTSTRAPPING_LIFETIME, UB_REQUESTS_PER_SECOND
from ..errors import (
    AuthenticationError,
    CredentialError,
    IdentifierError,
    MessageError,
    ResolverUnavailableError,
    StoreError,
)
from ..gba import digest
from ..gba.aka import AuthenticationVector
from ..gba.bootstrap_info import BootstrappingInfo
from ..gba.context import BootstrappedContext
from ..gba.digest_headers import AkaNonce, Challenge, Credentials, DigestAlgorithm
from ..gba.keys import Impi, b_tid_of, ks_of
from ..gba.subscriber import Guss, Hss
from ..gba.ub_messages import NO_STORE, UbRequest, UbResponse
from ..identifiers import Fqdn
from ..quotas import OverQuota, TokenBuckets
from ..store.records import Bootstrapping
from ..telemetry import BOOTSTRAPPINGS, LOG
from .ub_challenges import SECONDS, Challenged, Challenges

if TYPE_CHECKING:
    from ..store.store import Store

DEFAULT_LIFETIME: Final = BOOTSTRAPPING_LIFETIME
DEFAULT_REQUESTS_PER_SECOND: Final = UB_REQUESTS_PER_SECOND

_BURST_SECONDS: Final = 10.0
_ADDRESSES_MAX: Final = 50_000


class Ub:
    """Bootstraps UEs."""

    def __init__(
        self,
        hss: Hss,
        store: Store,
        fqdn: Fqdn,
        *,
        lifetime: timedelta = DEFAULT_LIFETIME,
        algorithms: tuple[DigestAlgorithm, ...] = (DigestAlgorithm.AKAV1_MD5, DigestAlgorithm.AKAV2_MD5),
        requests_per_second: float = DEFAULT_REQUESTS_PER_SECOND,
        clock: Clock = CLOCK,
    ) -> None:
        """Bootstrap subscribers of this HSS.

        Args:
            hss: Whom to ask for vectors and user security settings.
            store: Where bootstrappings are kept.
            fqdn: The BSF's FQDN: the realm, and part of every B-TID.
            lifetime: How long a bootstrapping lives at most.
            algorithms: The versions of Digest AKA that are offered, the first to those who know no other.
            requests_per_second: How often one address may ask, in the long run; at once ten times as often.
            clock: What ages challenges and fills quotas, and from when a bootstrapping lives.
        """
        self._hss = hss
        self._store = store
        self._fqdn = fqdn
        self._lifetime = lifetime
        self._algorithms = algorithms
        self._clock = clock
        self._challenges = Challenges()
        burst = max(1, math.ceil(_BURST_SECONDS * requests_per_second))
        self._requests = TokenBuckets(requests_per_second, burst, _ADDRESSES_MAX)
        self._over_quota = OverQuota("ub-requests")

    async def handle(self, request: UbRequest) -> UbResponse:
        """Answer one request; errors become statuses."""
        try:
            response = self._too_many(request) or await self._answer(request)
        except (MessageError, IdentifierError) as error:
            response = self._refuse(400, error)
        except (AuthenticationError, CredentialError) as error:
            response = self._refuse(403, error)
        except (StoreError, ResolverUnavailableError) as error:
            LOG.error("bootstrapping failed", bsf=str(self._fqdn), error=str(error))
            response = UbResponse(503)
        BOOTSTRAPPINGS.labels(str(self._fqdn), response.status).inc()
        return response

    def _refuse(self, status: int, error: Exception) -> UbResponse:
        LOG.info("bootstrapping refused", bsf=str(self._fqdn), status=status, reason=str(error))
        return UbResponse(status)

    def _too_many(self, request: UbRequest) -> UbResponse | None:
        """429 and how long to wait (RFC 6585 clause 4), if this address asks too often."""
        if request.network is None:
            return None
        now = self._clock.monotonic()
        wait = self._requests.take(request.network, now)
        if not wait:
            return None
        self._over_quota.note(request.network, now)
        return UbResponse(429, (("Retry-After", str(math.ceil(wait))), NO_STORE))

    async def _answer(self, request: UbRequest) -> UbResponse:
        if request.uri.partition("?")[0] != "/":
            return UbResponse(404)
        if request.method != "GET":
            return UbResponse(405, (("Allow", "GET"), NO_STORE))
        if request.authorization is None:
            raise MessageError("the Authorization header that names the subscriber is missing")
        credentials = Credentials.parse(request.authorization)
        impi = Impi.parse(credentials.username)
        if credentials.realm.lower() != str(self._fqdn):
            raise AuthenticationError(f"{impi} asked for another realm than {self._fqdn}")
        self._challenges.drop_older_than(self._clock.monotonic() - SECONDS)
        challenged = self._challenges.find(credentials.nonce, impi)
        if challenged is None or credentials.is_first_request:
            return await self._challenge(impi)
        if credentials.auts is not None:
            return await self._resynchronise(challenged, credentials.auts)
        return await self._finish(request, credentials, challenged)

    async def _challenge(self, impi: Impi, *, stale: bool = False) -> UbResponse:
        """401 with a challenge: a new one, or the newest again where too many wait for an answer."""
        guss = await self._hss.guss(impi)
        async with self._challenges.turn(impi):
            challenged = self._challenges.share(impi, guss, self._clock.monotonic())
            if challenged is None:
                (vector, *_) = await self._hss.vectors(impi)
                challenged = self._made(impi, vector, guss)
        return self._unauthorized(challenged, stale=stale)

    async def _resynchronise(self, refused: Challenged, auts: bytes) -> UbResponse:
        """401 with a new challenge, if AUTS is what the card said of the old one; it uses that one up."""
        impi = refused.impi
        guss = await self._hss.guss(impi)
        (vector, *_) = await self._hss.vectors(impi, auts=auts, rand=refused.vector.rand)
        if not self._challenges.remove(refused):
            return await self._challenge(impi)  # the same AUTS came twice
        LOG.info("sequence number resynchronised", bsf=str(self._fqdn), impi=str(impi))
        return self._unauthorized(self._made(impi, vector, guss))

    def _made(self, impi: Impi, vector: AuthenticationVector, guss: Guss | None) -> Challenged:
        """A new challenge, which waits for its answer from now on."""
        if guss is not None and guss.gba_u:
            vector = vector.for_gba_u()
        nonce = str(AkaNonce(vector.rand, vector.autn))
        challenge = Challenge(str(self._fqdn), nonce, self._algorithms[0], opaque=secrets.token_hex(16))
        now = self._clock.monotonic()
        challenged = Challenged(impi, vector, guss, challenge, now, now + SECONDS)
        self._challenges.add(challenged)
        return challenged

    def _unauthorized(self, challenged: Challenged, *, stale: bool = False) -> UbResponse:
        """401, with the challenge in each version of Digest AKA."""
        offered = (
            replace(challenged.challenge, algorithm=algorithm, stale=stale) for algorithm in self._algorithms
        )
        return UbResponse.challenging(offered)

    async def _finish(
        self, request: UbRequest, credentials: Credentials, challenged: Challenged
    ) -> UbResponse:
        """200 with B-TID and lifetime, and the BSF's own proof, if RES is right."""
        vector, impi = challenged.vector, challenged.impi
        challenge = challenged.as_answered(credentials, self._algorithms)
        password = challenge.algorithm.password(res=vector.xres, ck=vector.ck, ik=vector.ik)
        if not digest.verify(
            challenge,
            credentials,
            password=password,
            method=request.method,
            uri=request.uri,
            body=request.body,
        ):
            raise AuthenticationError(f"{impi} gave a wrong response")
        # Before anything is awaited: two right answers at once are one.
        self._challenges.remove(challenged)
        is_late = challenged.deadline <= self._clock.monotonic()
        guss = await self._hss.guss(impi)
        if is_late or guss != challenged.guss:
            return await self._challenge(impi, stale=True)
        context = await self._keep(challenged, guss or Guss())
        body = BootstrappingInfo(context.b_tid, context.expires).to_xml()
        info = digest.authentication_info(credentials, password=password, body=body)
        LOG.info(
            "bootstrapped",
            bsf=str(self._fqdn),
            impi=str(impi),
            b_tid=context.b_tid.base64,
            fingerprint=context.ks.fingerprint,
            expires=context.expires.isoformat(),
        )
        return UbResponse.finishing(info, body)

    async def _keep(self, challenged: Challenged, guss: Guss) -> BootstrappedContext:
        vector = challenged.vector
        # To the second, because that is what the UE is told.
        now = self._clock.now().replace(microsecond=0)
        lifetime = self._lifetime if guss.lifetime is None else min(self._lifetime, guss.lifetime)
        context = BootstrappedContext(
            b_tid_of(vector.rand, self._fqdn),
            ks_of(vector.ck, vector.ik),
            challenged.impi,
            now,
            now + lifetime,
            challenged.gba_u,
        )
        kept = Bootstrapping(context, guss, await self._hss.entity(challenged.impi))
        await self._store.bootstrappings.add(kept, is_ours=self._hss is self._store.subscribers)
        return context
