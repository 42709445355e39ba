"""What an MEF has provisioned: each certificate as a file, so that it can be listed and revoked.

A client has a directory, which is named by the SHA-256 of its identity, and in it one PEM file for each
certificate, which is named by its serial number in hex. They are public; ``m2msec pki revoke`` takes them.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ..certificates.files import FILE_MAX_OCTETS
from ..certificates.local import parse_certificates
from ..clock import CLOCK, Clock
from ..errors import CredentialError, StoreUnavailableError
from ..files import PUBLIC_MODE, create, read_bounded, sync_directory
from ..identifiers import EntityId
from ..telemetry import LOG

ENDED_MAX: Final = 100
"""How many certificates of one client that have ended are kept; of more the oldest go."""


class IssuedCertificates:
    """The certificates that one MEF provisioned."""

    def __init__(self, directory: Path, *, clock: Clock = CLOCK) -> None:
        """Keep them below this directory, which is made when the first one is issued."""
        self._directory = directory
        self._clock = clock

    async def keep(self, holder: EntityId, certificate: x509.Certificate) -> None:
        """Make it durable that this client has this certificate.

        Raises:
            StoreUnavailableError: It cannot be written, or one with this serial number is there.
        """
        try:
            await asyncio.to_thread(self._keep, self._place(holder), certificate)
        except OSError as error:
            raise StoreUnavailableError(f"{self._directory}: {error.strerror}") from error

    async def live(self, holder: EntityId) -> list[x509.Certificate]:
        """The certificates of this client that have not ended.

        Raises:
            StoreUnavailableError: They cannot be read.
        """
        try:
            kept = await asyncio.to_thread(self._kept, self._place(holder))
        except OSError as error:
            raise StoreUnavailableError(f"{self._directory}: {error.strerror}") from error
        return [one for one in kept.values() if not self._has_ended(one)]

    def _place(self, holder: EntityId) -> Path:
        return self._directory / hashlib.sha256(holder.text.encode()).hexdigest()

    def _has_ended(self, certificate: x509.Certificate) -> bool:
        return certificate.not_valid_after_utc <= self._clock.now()

    def _keep(self, place: Path, certificate: x509.Certificate) -> None:
        if not place.is_dir():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(self._directory)
            sync_directory(self._directory.parent)
        name = f"{certificate.serial_number:x}.pem"
        create(place / name, certificate.public_bytes(Encoding.PEM), mode=PUBLIC_MODE)
        sync_directory(place)
        ended = [
            (one.not_valid_after_utc, path) for path, one in self._kept(place).items() if self._has_ended(one)
        ]
        for _, path in sorted(ended)[:-ENDED_MAX]:
            path.unlink(missing_ok=True)

    @staticmethod
    def _kept(place: Path) -> dict[Path, x509.Certificate]:
        kept = {}
        for path in sorted(place.glob("*.pem")):
            try:
                [kept[path]] = parse_certificates(read_bounded(path, FILE_MAX_OCTETS).octets)
            except (CredentialError, ValueError):
                LOG.error("what was provisioned cannot be read", file=str(path))
        return kept
