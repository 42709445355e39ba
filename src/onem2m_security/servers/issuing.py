"""Who issues the certificates that an MEF provisions: the MEF CA (TS-0003 8.3.6.1), ours or another's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography import x509

from ..certificates.authority import Authority
from ..certificates.files import read_private, read_public
from ..certificates.local import parse_certificates, parse_private_key
from ..certificates.signing_requests import CertifiedName
from ..clients.est import EstClient
from ..clock import CLOCK, Clock
from ..errors import ConfigurationError, CredentialError

DEFAULT_CERTIFICATE_LIFETIME: Final = timedelta(days=90)


class IssuingAuthority(Protocol):
    """Issues what a registration authority has looked at."""

    async def certificates(self) -> Sequence[x509.Certificate]:
        """Its own certificates up to the root, in any order.

        Raises:
            PeerRefusedError: It refused.
            ResolverUnavailableError: It cannot be asked.
        """

    async def issue(self, request: x509.CertificateSigningRequest, name: CertifiedName) -> x509.Certificate:
        """A certificate for a request that asks for this name and nothing more.

        Raises:
            CredentialError: It cannot be issued.
            PeerRefusedError: It refused.
            ResolverUnavailableError: It cannot be asked, or not yet.
        """

    async def close(self) -> None:
        """Close the kept connections."""


class OwnAuthority:
    """An authority whose key is here; made by ``m2msec pki``."""

    def __init__(
        self,
        authority: Authority,
        *,
        lifetime: timedelta = DEFAULT_CERTIFICATE_LIFETIME,
        clock: Clock = CLOCK,
    ) -> None:
        """Issue by this authority.

        Args:
            authority: The certificate authority.
            lifetime: How long a certificate is valid, in whole days; no longer than the authority's own.
            clock: Where the time comes from.

        Raises:
            ConfigurationError: The lifetime is less than a day.
        """
        if lifetime < timedelta(days=1):
            raise ConfigurationError("a provisioned certificate is valid for at least one day")
        self._authority = authority
        self._lifetime = lifetime
        self._clock = clock

    @classmethod
    def load(
        cls, certificate: Path, private_key: Path, *, lifetime: timedelta = DEFAULT_CERTIFICATE_LIFETIME
    ) -> Self:
        """The authority of these files.

        Args:
            certificate: Its certificate, then its issuers up to the root, PEM.
            private_key: Its private key, PEM or DER; nobody else may read it.
            lifetime: How long a certificate is valid.

        Raises:
            ConfigurationError: A file cannot be read.
            CredentialError: They are no authority's by the profile, or others may read the key.
        """
        chain = parse_certificates(read_public(certificate))
        if chain[-1].issuer != chain[-1].subject:
            raise CredentialError(f"{certificate}: give the authority's issuers too, up to the root")
        return cls(Authority(chain, parse_private_key(read_private(private_key))), lifetime=lifetime)

    async def certificates(self) -> Sequence[x509.Certificate]:
        """The authority's own certificate and those above."""
        return self._authority.chain

    async def issue(self, request: x509.CertificateSigningRequest, name: CertifiedName) -> x509.Certificate:
        """A certificate, by our own key.

        Raises:
            CredentialError: The authority itself ends within a day.
        """
        ends = min(one.not_valid_after_utc for one in self._authority.chain)
        days = min(self._lifetime, ends - self._clock.now()).days
        if days < 1:
            raise CredentialError("the certificate authority itself ends within a day: renew it")
        return self._authority.issue_for_request(request, name.flavour, days=days).certificate

    async def close(self) -> None:
        """Nothing is kept open."""


class OutsideAuthority:
    """An EST server outside, which we ask as a registration authority."""

    def __init__(self, client: EstClient) -> None:
        self._client = client

    async def certificates(self) -> Sequence[x509.Certificate]:
        """What the server says of itself."""
        return await self._client.ca_certificates()

    async def issue(self, request: x509.CertificateSigningRequest, name: CertifiedName) -> x509.Certificate:
        """What the server issues; that it is what was asked for is still to be seen."""
        del name
        return await self._client.request(request)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.close()
