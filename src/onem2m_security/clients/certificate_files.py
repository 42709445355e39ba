"""Where an entity keeps the certificate that its MEF provisions: three files, which change together.

At any moment the key in the one file belongs to the certificate in the other, or is beside it and takes its
place when the files are read: a device may lose its power between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509

from ..certificates.files import FILE_MAX_OCTETS, read_private, read_public
from ..certificates.local import LocalCertificate, parse_certificates, parse_private_key
from ..errors import ConfigurationError, CredentialError
from ..files import read_bounded, replace_durably, sync_directory
from .est import ProvisionedCertificate


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The files, all of them readable by their owner only.

    Attributes:
        certificate: The certificate, then its issuers without the root, PEM.
        private_key: Its private key, PEM, not encrypted.
        trust_anchor: The root, PEM: for what others show that its authorities issued.
    """

    certificate: Path
    private_key: Path
    trust_anchor: Path

    @classmethod
    def at(cls, prefix: Path) -> Self:
        """``PREFIX.crt``, ``PREFIX.key`` and ``PREFIX.anchor.crt``."""
        return cls(*(prefix.with_name(prefix.name + kind) for kind in (".crt", ".key", ".anchor.crt")))

    @property
    def _next_key(self) -> Path:
        return self.private_key.with_name(self.private_key.name + ".next")

    def save(self, provisioned: ProvisionedCertificate) -> None:
        """Put a new certificate in the place of the one before.

        Raises:
            ConfigurationError: A file cannot be written; the certificate before is still there.
        """
        try:
            replace_durably(self._next_key, provisioned.key_pem)
            replace_durably(self.trust_anchor, provisioned.trust_anchor_pem)
            replace_durably(self.certificate, provisioned.chain_pem)
            self._complete()
        except OSError as error:
            raise ConfigurationError(f"{error.filename or self.certificate}: {error.strerror}") from error

    def load(self) -> ProvisionedCertificate | None:
        """The certificate that was saved last; None when there is none.

        Raises:
            ConfigurationError: A file cannot be read or written.
            CredentialError: They do not belong together, or others may read the key.
        """
        if not self.certificate.exists():
            return None
        self._recover()
        local = LocalCertificate.load(self.certificate, self.private_key)
        chain = [x509.load_der_x509_certificate(der) for der in local.certificate_chain]
        return ProvisionedCertificate(
            (*chain, *parse_certificates(read_public(self.trust_anchor))), local.private_key
        )

    def _recover(self) -> None:
        """Finish what a loss of power interrupted."""
        if not self._next_key.exists():
            return
        try:
            fresh = parse_private_key(read_private(self._next_key))
            [own, *_] = parse_certificates(read_bounded(self.certificate, FILE_MAX_OCTETS).octets)
            if fresh.public_key() == own.public_key():
                self._complete()
            else:
                self._next_key.unlink()
        except OSError as error:
            raise ConfigurationError(f"{self.private_key}: {error.strerror}") from error
        except CredentialError:
            self._next_key.unlink(missing_ok=True)

    def _complete(self) -> None:
        self._next_key.replace(self.private_key)
        sync_directory(self.private_key.parent)
