"""An entity whose certificate never ends: its MEF provisions the next one in time (TS-0003 8.3.6.2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from ..certificates.signing_requests import CertifiedName
from ..clock import CLOCK, Clock
from ..errors import CredentialError, HandshakeError, PeerRefusedError, ResolverUnavailableError
from ..telemetry import LOG
from .certificate_files import CertificateFiles
from .est import EstClient, ProvisionedCertificate, provision

RENEWAL_PART: Final = 2 / 3
"""The part of a certificate's life after which it is to be renewed."""

RETRY_INTERVAL: Final = timedelta(minutes=5)
"""Between attempts while the MEF does not provision one."""

LONGEST_SLEEP: Final = timedelta(hours=1)
"""The wall clock may be set: it is looked at as often as this."""

Meet = Callable[[], AbstractAsyncContextManager[EstClient]]
"""How we meet the MEF without a certificate of its: by a pre-provisioned key or by our factory's."""

MeetAgain = Callable[[ProvisionedCertificate], AbstractAsyncContextManager[EstClient]]
"""How we meet it by the certificate that it provisioned."""

_UNREACHED: Final = (HandshakeError, ResolverUnavailableError, PeerRefusedError)


def renewal_due(certificate: x509.Certificate) -> datetime:
    """From when on a certificate is to be renewed (UTC)."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins + RENEWAL_PART * (ends - begins)


@dataclass(frozen=True, slots=True)
class RenewedCertificate:
    """The certificate of one entity, from its MEF.

    Attributes:
        name: The name that it holds.
        files: Where it is kept.
        first: How we meet the MEF for the first one, and whenever ours has ended.
        again: How we meet it with ours, to renew it; None to meet it each time as for the first one.
        clock: Where the time comes from.
    """

    name: CertifiedName
    files: CertificateFiles
    first: Meet
    again: MeetAgain | None = None
    clock: Clock = CLOCK

    async def current(self) -> ProvisionedCertificate:
        """The certificate that is kept; a new one if there is none or it is time to renew it.

        While the MEF does not provision another, the one that is kept serves until it ends.

        Raises:
            ConfigurationError: A file cannot be read or written.
            CredentialError: What is kept cannot be used, or what the MEF sent is not what we asked for.
            HandshakeError: There is no live one, and the MEF cannot be reached or does not know us.
            PeerRefusedError: The same, when it refused.
            ResolverUnavailableError: The same, when it gave no usable answer.
        """
        kept = await asyncio.to_thread(self.files.load)
        now = self.clock.now()
        if kept is not None and now < renewal_due(kept.certificate) and self.name.is_all_of(kept.certificate):
            return kept
        is_live = kept is not None and now < kept.certificate.not_valid_after_utc
        is_ours = kept is not None and self.name.is_all_of(kept.certificate)
        try:
            fresh = await self._provision(kept if is_live and is_ours else None)
        except (*_UNREACHED, CredentialError) as error:
            if kept is None or not (is_live and is_ours):
                raise
            LOG.warning("a certificate is about to end and could not be renewed", error=str(error))
            return kept
        await asyncio.to_thread(self.files.save, fresh)
        LOG.info(
            "certificate provisioned",
            name=f"{self.name.flavour.value} {self.name.identifier}",
            serial=f"{fresh.certificate.serial_number:x}",
            expires=fresh.certificate.not_valid_after_utc.isoformat(),
        )
        return fresh

    async def _provision(self, kept: ProvisionedCertificate | None) -> ProvisionedCertificate:
        if kept is not None and self.again is not None:
            async with self.again(kept) as client:
                return await provision(client, self.name, renewing=True)
        async with self.first() as client:
            return await provision(client, self.name)

    async def keep(
        self,
        *,
        retry: timedelta = RETRY_INTERVAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Renew the certificate whenever it is time; runs until it is cancelled.

        Args:
            retry: Between attempts while the MEF does not provision one.
            sleep: Waits for so many seconds.

        Raises:
            ConfigurationError: A file cannot be read or written.
        """
        while True:
            due = retry
            try:
                kept = await self.current()
                due = renewal_due(kept.certificate) - self.clock.now()
            except (*_UNREACHED, CredentialError) as error:
                LOG.warning("no certificate", error=str(error))
            await sleep(min(due if due > timedelta() else retry, LONGEST_SLEEP).total_seconds())
