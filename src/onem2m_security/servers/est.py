"""EST at an MEF (RFC 7030, TS-0003 clause 8.3.6.2): the registration authority before an issuing authority.

Who asks is authenticated by its session, with whatever credential it has here, and gets a certificate of its
own name and of no other. A certificate is handed out only when it is what was asked for, when peers would
accept it, and when it is on record. OURS: no server-side key generation (/serverkeygen), because a private
key that leaves its device is known to two; the procedures of 8.3.6.2.2 and 8.3.6.2.3 do not use it.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ..certificates.est_messages import (
    ATTRIBUTES,
    CERTIFICATES,
    REQUEST,
    CsrAttributes,
    challenge_of,
    decode_body,
    decode_request,
    encode_body,
    encode_certificates,
)
from ..certificates.signing_requests import CertifiedName, chain_of, require_answers, require_within
from ..clock import CLOCK, Clock
from ..credentials import Secret
from ..errors import (
    CredentialError,
    IdentifierError,
    MessageError,
    PeerRefusedError,
    ResolverUnavailableError,
    StoreError,
)
from ..frameworks.steps import Established
from ..identifiers import EntityId, Fqdn
from ..net.plain import PlainAnswer, PlainRequest
from ..onem2m.primitives import RefusedError, Rsc
from ..peer_quotas import Ceiling, Rate
from ..telemetry import LOG
from .issued import IssuedCertificates
from .issuing import IssuingAuthority

CHALLENGE_LIFETIME: Final = timedelta(minutes=10)
"""How long a challengePassword is good for, once."""

RETRY_SECONDS: Final = 60
"""After how long a client may ask again, where the authority behind cannot be asked."""

_CHALLENGES_MAX: Final = 100_000
_CHALLENGE_OCTETS: Final = 16


@dataclass(frozen=True, slots=True)
class EstPolicy:
    """Who may have which certificates, and how many.

    Attributes:
        names: For clients that may have other names than their own CSE-ID or AE-ID: which, the first of which
            is what they are told to ask for.
        live_certificates: What one client may have at once; a further one is refused.
        requests_per_second: How often one client may ask for a certificate.
    """

    names: Mapping[EntityId, tuple[CertifiedName, ...]] = field(default_factory=dict)
    live_certificates: int = 20
    requests_per_second: float = 0.5

    def allowed(self, client: EntityId) -> tuple[CertifiedName, ...]:
        """The names that a certificate of this client may hold, one of them at a time; empty for none."""
        if client in self.names:
            return self.names[client]
        try:
            return (CertifiedName.of(client),)
        except CredentialError:
            return ()


class _Challenges:
    """The challengePasswords that were given out: one for each client, for one use."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._given: OrderedDict[EntityId, tuple[Secret, float]] = OrderedDict()

    def give(self, client: EntityId) -> Secret:
        challenge = Secret(secrets.token_hex(_CHALLENGE_OCTETS).encode())
        self._given[client] = challenge, self._clock.monotonic() + CHALLENGE_LIFETIME.total_seconds()
        self._given.move_to_end(client)
        while len(self._given) > _CHALLENGES_MAX:
            self._given.popitem(last=False)
        return challenge

    def take(self, client: EntityId, shown: Secret | None) -> None:
        """Take back what the client was given: it is good for nothing any more.

        Raises:
            CredentialError: This is not it.
        """
        given, until = self._given.pop(client, (None, 0.0))
        if given is None or given != shown or self._clock.monotonic() >= until:
            raise CredentialError("the challengePassword is not that of /csrattrs, or was used")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and who sent it over which session."""

    request: PlainRequest
    client: EntityId
    established: Established


_Operation = Callable[[_Asked], Awaitable[PlainAnswer]]


class Est:
    """The EST server of one MEF."""

    def __init__(
        self,
        fqdn: Fqdn,
        authority: IssuingAuthority,
        issued: IssuedCertificates,
        *,
        policy: EstPolicy | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        """Serve EST.

        Args:
            fqdn: The MEF-ID.
            authority: Who issues.
            issued: Where what was issued is on record.
            policy: Who may have which certificates.
            clock: Where the time comes from.
        """
        self._fqdn = fqdn
        self._authority = authority
        self._issued = issued
        self._policy = policy or EstPolicy()
        self._challenges = _Challenges(clock)
        self._rate = Rate("certificates", self._policy.requests_per_second, clock=clock.monotonic)
        self._ceiling = Ceiling("live certificates", self._policy.live_certificates, clock=clock.monotonic)

    async def handle(self, request: PlainRequest, established: Established) -> PlainAnswer:
        """Answer a request that came over this session.

        Raises:
            RefusedError: It is refused.
        """
        client = established.association.peer
        try:
            operation = self._operation(request)
            return await operation(_Asked(request, _known(client), established))
        except RefusedError as refused:
            LOG.info("certificate refused", mef=str(self._fqdn), client=str(client), reason=str(refused))
            raise
        except ResolverUnavailableError as error:
            LOG.warning("the issuing authority cannot be asked", mef=str(self._fqdn), error=str(error))
            text = "the issuing authority cannot be asked now"
            return PlainAnswer.refusal(503, text, **{"retry-after": str(RETRY_SECONDS)})
        except (StoreError, CredentialError, IdentifierError, PeerRefusedError) as error:
            LOG.error("no certificate can be issued", mef=str(self._fqdn), error=str(error))
            raise RefusedError(Rsc.INTERNAL_SERVER_ERROR, "the request could not be carried out") from error

    def _operation(self, request: PlainRequest) -> _Operation:
        operations: dict[str, tuple[str, _Operation]] = {
            "cacerts": ("GET", self._ca_certificates),
            "csrattrs": ("GET", self._attributes),
            "simpleenroll": ("POST", self._enrol),
            "simplereenroll": ("POST", self._renew),
        }
        method, operation = operations.get("/".join(request.path), (None, None))
        if operation is None:
            raise RefusedError(Rsc.NOT_FOUND, f"nothing is found here: {', '.join(operations)} are")
        if request.method != method:
            raise RefusedError(Rsc.OPERATION_NOT_ALLOWED, f"this takes {method}")
        return operation

    async def _ca_certificates(self, _: _Asked) -> PlainAnswer:
        return _certificates(await self._authority.certificates(), CERTIFICATES)

    async def _attributes(self, asked: _Asked) -> PlainAnswer:
        name = self._names(asked.client)[0]
        attributes = CsrAttributes(self._challenges.give(asked.client), name.extension)
        return _base64(attributes.encode(), ATTRIBUTES)

    async def _enrol(self, asked: _Asked) -> PlainAnswer:
        signing_request, name = self._signing_request(asked)
        return await self._issue(signing_request, name, asked.client, await self._issued.live(asked.client))

    async def _renew(self, asked: _Asked) -> PlainAnswer:
        signing_request, name = self._signing_request(asked)
        live = await self._issued.live(asked.client)
        if not _is_renewal(asked.established, live, name):
            raise RefusedError(
                Rsc.ORIGINATOR_HAS_NO_PRIVILEGE,
                "what is renewed is the certificate that was provisioned here and authenticates the session",
            )
        return await self._issue(signing_request, name, asked.client, live)

    def _names(self, client: EntityId) -> tuple[CertifiedName, ...]:
        names = self._policy.allowed(client)
        if not names:
            text = f"{client} is no name that a certificate can hold: an absolute CSE-ID or AE-ID is"
            raise RefusedError(Rsc.ORIGINATOR_HAS_NO_PRIVILEGE, text)
        return names

    def _signing_request(self, asked: _Asked) -> tuple[x509.CertificateSigningRequest, CertifiedName]:
        """What is asked for, and which of the names that the client may have it is within.

        Raises:
            RefusedError: It is within none, or cannot be read; or it is not the time for it.
        """
        names = self._names(asked.client)
        if asked.request.media_type != REQUEST:
            raise RefusedError(Rsc.UNSUPPORTED_MEDIA_TYPE, f"the body is not {REQUEST}")
        if self._rate.wait(str(asked.client)):
            raise RefusedError(Rsc.TOO_MANY_REQUESTS, "too many certificates are asked for: wait a minute")
        try:
            signing_request = decode_request(decode_body(asked.request.body))
            self._challenges.take(asked.client, challenge_of(signing_request))
            name = next((one for one in names if one.is_all_of(signing_request)), names[0])
            require_within(signing_request, name)
        except (MessageError, CredentialError) as error:
            raise RefusedError(Rsc.BAD_REQUEST, str(error)) from None
        return signing_request, name

    async def _issue(
        self,
        asked: x509.CertificateSigningRequest,
        name: CertifiedName,
        client: EntityId,
        live: Sequence[x509.Certificate],
    ) -> PlainAnswer:
        if self._ceiling.is_reached(str(client), len(live)):
            text = f"{len(live)} certificates of {client} are live: wait until some end"
            raise RefusedError(Rsc.TOO_MANY_REQUESTS, text)
        certificate = await self._authority.issue(asked, name)
        require_answers(chain_of(certificate, await self._authority.certificates()), asked, name)
        await self._issued.keep(client, certificate)
        LOG.info(
            "certificate issued",
            mef=str(self._fqdn),
            client=str(client),
            name=f"{name.flavour.value} {name.identifier}",
            serial=f"{certificate.serial_number:x}",
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            expires=certificate.not_valid_after_utc.isoformat(),
        )
        return _certificates([certificate], f"{CERTIFICATES}; smime-type=certs-only")

    async def stop(self) -> None:
        """Close the connections to the authority."""
        await self._authority.close()


def _known(client: EntityId | None) -> EntityId:
    if client is None:
        raise RefusedError(Rsc.ORIGINATOR_NOT_AUTHENTICATED, "nobody knows whose session this is")
    return client


def _is_renewal(established: Established, live: Sequence[x509.Certificate], name: CertifiedName) -> bool:
    """Whether the session is authenticated by a live certificate of ours with this name (RFC 7030 4.2.2)."""
    fingerprint = getattr(established.credential, "fingerprint", None)
    return any(one.fingerprint(hashes.SHA256()).hex() == fingerprint and name.is_all_of(one) for one in live)


def _base64(der: bytes, media_type: str) -> PlainAnswer:
    return PlainAnswer(200, encode_body(der), media_type, {"content-transfer-encoding": "base64"})


def _certificates(certificates: Sequence[x509.Certificate], media_type: str) -> PlainAnswer:
    return _base64(encode_certificates(certificates), media_type)
