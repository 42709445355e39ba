"""Ub at a BSF: bootstrapping by HTTP Digest AKA (TS 33.220 clause 4.5.2, TS 24.109 clause 4).

Requests to responses, as values; the listener is in ``net``. Each challenge is good for one answer. A
bootstrapping is on the disk before the UE hears of it. An answer tells the UE no reason for a refusal; the
log does, without any key.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

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
from ..gba.bootstrap_info import MEDIA_TYPE, BootstrappingInfo
from ..gba.context import BootstrappedContext
from ..gba.digest_headers import AkaNonce, Challenge, Credentials, DigestAlgorithm
from ..gba.keys import Impi, b_tid_of, ks_of
from ..gba.subscriber import Guss, Hss
from ..identifiers import Fqdn
from ..store.gba import GbaStore
from ..store.gba_rows import Bootstrapping
from ..telemetry import BOOTSTRAPPINGS, LOG

DEFAULT_LIFETIME = timedelta(hours=24)
CHALLENGE_SECONDS = 60.0
CHALLENGES_MAX = 50_000
CHALLENGES_PER_SUBSCRIBER = 32

_NO_STORE = ("Cache-Control", "no-store")


@dataclass(frozen=True, slots=True)
class UbRequest:
    """An HTTP request on Ub.

    Attributes:
        method: The method.
        uri: The request target, as in the request line.
        authorization: The Authorization header; None without one.
        body: The entity body, which auth-int covers.
    """

    method: str
    uri: str
    authorization: str | None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class UbResponse:
    """An HTTP response on Ub.

    Attributes:
        status: The status code.
        headers: Names and values; a name may come twice.
        body: The entity body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = (_NO_STORE,)
    body: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class _Challenged:
    """A subscriber that was sent a challenge."""

    impi: Impi
    vector: AuthenticationVector = field(repr=False)
    gba_u: bool
    challenge: Challenge
    deadline: float

    def as_answered(self, credentials: Credentials, offered: tuple[DigestAlgorithm, ...]) -> Challenge:
        """The challenge in the version that the UE chose; in the first one where it names none or another."""
        chosen = credentials.algorithm
        return replace(self.challenge, algorithm=chosen if chosen in offered else offered[0])


class _Challenges:
    """The challenges that wait for an answer, oldest first; under pressure the oldest goes."""

    def __init__(self) -> None:
        self._by_nonce: OrderedDict[str, _Challenged] = OrderedDict()
        self._nonces: dict[Impi, OrderedDict[str, None]] = {}

    def add(self, challenged: _Challenged) -> None:
        nonce = challenged.challenge.nonce
        self._by_nonce[nonce] = challenged
        siblings = self._nonces.setdefault(challenged.impi, OrderedDict())
        siblings[nonce] = None
        if len(siblings) > CHALLENGES_PER_SUBSCRIBER:
            self.take(next(iter(siblings)), challenged.impi)
        if len(self._by_nonce) > CHALLENGES_MAX:
            oldest = next(iter(self._by_nonce.values()))
            self.take(oldest.challenge.nonce, oldest.impi)

    def take(self, nonce: str, impi: Impi) -> _Challenged | None:
        """Remove a challenge of this subscriber: it can be answered once."""
        found = self._by_nonce.get(nonce)
        if found is None or found.impi != impi:
            return None
        del self._by_nonce[nonce]
        siblings = self._nonces[impi]
        del siblings[nonce]
        if not siblings:
            del self._nonces[impi]
        return found

    def drop_older_than(self, moment: float) -> None:
        """Forget what nobody will answer any more."""
        while self._by_nonce:
            oldest = next(iter(self._by_nonce.values()))
            if oldest.deadline > moment:
                return
            self.take(oldest.challenge.nonce, oldest.impi)


class Ub:
    """Bootstraps UEs."""

    def __init__(
        self,
        hss: Hss,
        store: GbaStore,
        fqdn: Fqdn,
        *,
        lifetime: timedelta = DEFAULT_LIFETIME,
        algorithms: tuple[DigestAlgorithm, ...] = (DigestAlgorithm.AKAV1_MD5, DigestAlgorithm.AKAV2_MD5),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bootstrap subscribers of this HSS.

        Args:
            hss: Whom to ask for vectors and user security settings.
            store: Where bootstrappings are kept.
            fqdn: The BSF's FQDN: the realm, and part of every B-TID.
            lifetime: How long a bootstrapping lives at most.
            algorithms: The versions of Digest AKA that are offered, the first to those who know no other.
            clock: Seconds, never going back; it ages challenges.
        """
        self._hss = hss
        self._store = store
        self._fqdn = fqdn
        self._lifetime = lifetime
        self._algorithms = algorithms
        self._clock = clock
        self._challenges = _Challenges()

    async def handle(self, request: UbRequest) -> UbResponse:
        """Answer one request; errors become statuses."""
        try:
            response = await self._answer(request)
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

    async def _answer(self, request: UbRequest) -> UbResponse:
        if request.uri.partition("?")[0] != "/":
            return UbResponse(404)
        if request.method != "GET":
            return UbResponse(405, (("Allow", "GET"), _NO_STORE))
        if request.authorization is None:
            raise MessageError("the Authorization header that names the subscriber is missing")
        credentials = Credentials.parse(request.authorization)
        impi = Impi.parse(credentials.username)
        if credentials.realm.lower() != str(self._fqdn):
            raise AuthenticationError(f"{impi} asked for another realm than {self._fqdn}")
        now = self._clock()
        self._challenges.drop_older_than(now - CHALLENGE_SECONDS)
        challenged = None
        if not credentials.is_first_request:
            challenged = self._challenges.take(credentials.nonce, impi)
        if challenged is None:
            return await self._challenge(impi)
        if credentials.auts is not None:
            response = await self._challenge(impi, auts=credentials.auts, rand=challenged.vector.rand)
            LOG.info("sequence number resynchronised", bsf=str(self._fqdn), impi=str(impi))
            return response
        return await self._finish(request, credentials, challenged, is_stale=challenged.deadline <= now)

    async def _challenge(
        self, impi: Impi, *, auts: bytes | None = None, rand: bytes | None = None, stale: bool = False
    ) -> UbResponse:
        """401 with a new challenge, in each version of Digest AKA; the first vector of the HSS is used."""
        vector = (await self._hss.vectors(impi, auts=auts, rand=rand))[0]
        guss = await self._hss.guss(impi)
        gba_u = guss is not None and guss.gba_u
        if gba_u:
            vector = vector.for_gba_u()
        nonce = str(AkaNonce(vector.rand, vector.autn))
        opaque = secrets.token_hex(16)
        offered = [
            Challenge(str(self._fqdn), nonce, algorithm, opaque=opaque, stale=stale)
            for algorithm in self._algorithms
        ]
        deadline = self._clock() + CHALLENGE_SECONDS
        self._challenges.add(_Challenged(impi, vector, gba_u, offered[0], deadline))
        headers = tuple(("WWW-Authenticate", str(challenge)) for challenge in offered)
        return UbResponse(401, (*headers, _NO_STORE))

    async def _finish(
        self, request: UbRequest, credentials: Credentials, challenged: _Challenged, *, is_stale: bool
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
        guss = await self._hss.guss(impi) or Guss()
        if is_stale or guss.gba_u is not challenged.gba_u:
            return await self._challenge(impi, stale=True)
        context = await self._keep(challenged, guss)
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
        headers = (("Content-Type", MEDIA_TYPE), ("Authentication-Info", str(info)), _NO_STORE)
        return UbResponse(200, headers, body)

    async def _keep(self, challenged: _Challenged, guss: Guss) -> BootstrappedContext:
        vector = challenged.vector
        # To the second, because that is what the UE is told.
        now = datetime.now(UTC).replace(microsecond=0)
        lifetime = self._lifetime if guss.lifetime is None else min(self._lifetime, guss.lifetime)
        context = BootstrappedContext(
            b_tid_of(vector.rand, self._fqdn),
            ks_of(vector.ck, vector.ik),
            challenged.impi,
            now,
            now + lifetime,
            challenged.gba_u,
        )
        known = await self._store.find_subscriber(challenged.impi)
        entity = None if known is None else known.entity
        await self._store.add_bootstrapping(Bootstrapping(context, guss, entity))
        return context
