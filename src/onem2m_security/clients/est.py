"""The client of an EST server (RFC 7030): an MEF client that gets a certificate (TS-0003 clause 8.3.6.2).

What the server sends is looked at before it is used: a certificate that is not for our key and our name, or
that no peer would accept, is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..certificates.est_messages import (
    REQUEST,
    CsrAttributes,
    decode_body,
    decode_certificates,
    encode_body,
)
from ..certificates.local import LocalCertificate
from ..certificates.signing_requests import CertifiedName, chain_of, make_request, require_answers
from ..errors import CredentialError, MessageError, PeerRefusedError, ResolverUnavailableError
from ..frameworks.steps import Established, Initiator
from ..net.http_client import HttpConnections
from ..net.http_pool import HttpAnswer
from ..net.limits import Limits
from ..net.link import Link

EST_PATH: Final = "/.well-known/est"
"""The path of the estBaseURI (RFC 7030 clause 3.2.2)."""

REQUEST_SECONDS: Final = 30.0
"""For an answer: a registration authority may have to ask an authority behind it."""

_TOLD_MAX: Final = 200


class EstClient:
    """A client of one EST server."""

    def __init__(self, link: Link, initiator: Initiator, *, path: str = EST_PATH) -> None:
        """A client of the server behind this link, over TLS.

        Args:
            link: Where the server listens.
            initiator: How we prove ourselves, and to whom: by a pre-provisioned key (RFC 7030 clause 3.3.3)
                or by a certificate (clause 3.3.2).
            path: The path of the estBaseURI.
        """
        limits = link.limits or Limits(request_seconds=REQUEST_SECONDS)
        self._connections = HttpConnections(Link(link.address, limits=limits), initiator)
        self._path = path.rstrip("/")

    async def ca_certificates(self) -> tuple[x509.Certificate, ...]:
        """The certificates of the authority, in any order (clause 4.1).

        Raises:
            PeerRefusedError: The server refused.
            ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
        """
        return tuple(self._certificates(await self._ask("GET", "cacerts")))

    async def attributes(self) -> CsrAttributes:
        """What a request is to hold (clause 4.5); nothing in particular where the server does not say.

        Errors as for ``ca_certificates``.
        """
        answer = await self._exchange("GET", "csrattrs")
        if answer.status in {204, 404, 501}:
            return CsrAttributes()
        body = self._body(answer)
        try:
            return CsrAttributes.decode(decode_body(body)) if body else CsrAttributes()
        except MessageError as error:
            raise self._unusable(error) from None

    async def request(
        self, request: x509.CertificateSigningRequest, *, renewing: bool = False
    ) -> x509.Certificate:
        """The certificate for a request (clause 4.2).

        Args:
            request: What is asked for.
            renewing: Whether the certificate that authenticates this session is to be followed by another
                (/simplereenroll).

        Raises:
            PeerRefusedError: The server refused.
            ResolverUnavailableError: It cannot be reached, its answer cannot be used, or it has to be asked
                again later, which the text says.
        """
        der = request.public_bytes(Encoding.DER)
        body = await self._ask("POST", "simplereenroll" if renewing else "simpleenroll", der)
        for certificate in self._certificates(body):
            if certificate.public_key() == request.public_key():
                return certificate
        raise ResolverUnavailableError(f"{self._connections.authority} sent no certificate for our key")

    async def _ask(self, method: str, operation: str, der: bytes | None = None) -> bytes:
        return self._body(await self._exchange(method, operation, der))

    async def _exchange(self, method: str, operation: str, der: bytes | None = None) -> HttpAnswer:
        headers, body = [("Accept", "*/*")], None
        if der is not None:
            headers += [("Content-Type", REQUEST), ("Content-Transfer-Encoding", "base64")]
            body = encode_body(der)
        return await self._connections.exchange(method, f"{self._path}/{operation}", headers, body)

    def _body(self, answer: HttpAnswer) -> bytes:
        who = self._connections.authority
        if answer.status == 202:
            seconds = answer.headers.get("retry-after", "")[:_TOLD_MAX]
            raise ResolverUnavailableError(f"{who} has not decided yet: ask again (Retry-After: {seconds!r})")
        if not 200 <= answer.status < 300:
            told = (answer.body or b"")[:_TOLD_MAX].decode("utf-8", "replace").strip()
            raise PeerRefusedError(f"{who} answered {answer.status}: {told!r}", rsc=answer.status)
        if answer.body is None:
            raise ResolverUnavailableError(f"{who}: the answer is too long")
        return answer.body

    def _certificates(self, body: bytes) -> list[x509.Certificate]:
        try:
            return decode_certificates(decode_body(body))
        except MessageError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: MessageError) -> ResolverUnavailableError:
        return ResolverUnavailableError(f"{self._connections.authority} gave no usable answer: {error}")

    @property
    def established(self) -> Established:
        """What the newest connection's handshake established.

        Raises:
            HandshakeError: No connection was made yet.
        """
        return self._connections.established

    async def close(self) -> None:
        """Close the kept connections."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@dataclass(frozen=True, slots=True)
class ProvisionedCertificate:
    """A certificate that an MEF provisioned.

    Attributes:
        chain: The certificate, then its issuers up to and with the root.
        private_key: Its key, which was made here.
    """

    chain: tuple[x509.Certificate, ...]
    private_key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its issuers without the root, PEM."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain[:-1])

    @property
    def trust_anchor_pem(self) -> bytes:
        """The root, PEM."""
        return self.chain[-1].public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key in PKCS #8, PEM, not encrypted."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def local(self) -> LocalCertificate:
        """The same as the TLS floor takes it."""
        return LocalCertificate.from_octets(self.chain_pem, self.key_pem)


async def provision(
    client: EstClient, name: CertifiedName, *, renewing: bool = False
) -> ProvisionedCertificate:
    """Get a certificate with a new key (TS-0003 clause 8.3.6.2.2, or 8.3.6.2.3 for a further one).

    Args:
        client: The MEF, by which we are known under this name.
        name: The name that the certificate is to hold.
        renewing: Whether the session is authenticated by the certificate that this one follows.

    Raises:
        CredentialError: The MEF would certify another name, or what it sent is not what we asked for.
        PeerRefusedError: It refused.
        ResolverUnavailableError: It cannot be reached, or its answer cannot be used.
    """
    authorities = await client.ca_certificates()
    asked = await client.attributes()
    if asked.names is not None and asked.names != name.extension:
        raise CredentialError(f"the MEF knows us by another name than {name.flavour.value} {name.identifier}")
    key = ec.generate_private_key(ec.SECP256R1())
    request = make_request(name, key, asked.challenge)
    chain = chain_of(await client.request(request, renewing=renewing), authorities)
    require_answers(chain, request, name)
    return ProvisionedCertificate(chain, key)
