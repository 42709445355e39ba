"""What whoever accepts certificates has: its own, and whose it accepts (TS-0003 clause 8.1.2)."""

from __future__ import annotations

from pathlib import Path

from ..certificates.associations import load_associations
from ..certificates.crl import CrlSource
from ..certificates.local import LocalCertificate
from ..certificates.trust import Trust
from ..errors import ConfigurationError
from .values import FileSetting, Table


class CertifiedSettings(Table):
    """An own certificate or raw public key, and whose are accepted.

    Attributes:
        certificate: The own certificate, then its issuers, PEM; peers with certificates are accepted then
            too. Without it, the key pair of ``private-key`` is a raw public key.
        private_key: The own private signing key, PEM or DER; mode 0600.
        associations: Whose certificates and raw public keys are accepted: TOML, ``[[association]]``.
        crl: A CRL, or a directory of them; read again when they change.
        require_crl: Refuse a certificate for which there is no valid CRL.
    """

    certificate: FileSetting | None = None
    private_key: FileSetting | None = None
    associations: FileSetting | None = None
    crl: FileSetting | None = None
    require_crl: bool = False

    def own_certificate(self, here: Path) -> LocalCertificate | None:
        """The own certificate or raw public key; None when there is none.

        Raises:
            ConfigurationError: Only a part of what certificates take is given, or a file cannot be read.
            CredentialError: They cannot be used.
        """
        if self.private_key is not None:
            certificate = None if self.certificate is None else here / self.certificate
            return LocalCertificate.load(certificate, here / self.private_key)
        if self.certificate is not None or self.associations is not None:
            raise ConfigurationError(
                "certificates take certificate and private-key, both; a raw public key takes the last alone"
            )
        return None

    def trust(self, here: Path) -> Trust:
        """Whose certificates are accepted.

        Raises:
            ConfigurationError: A file cannot be used.
        """
        configurations = () if self.associations is None else load_associations(here / self.associations)
        crls = None if self.crl is None else CrlSource(here / self.crl)
        return Trust(configurations, crls=crls, require_crl=self.require_crl)
