"""Certificate Revocation Lists from files (TS-0003 clause 8.1.2.2, RFC 5280 clauses 5 and 6.3).

Full lists by the issuer of the certificates themselves; delta and indirect lists are refused, not guessed at.
Files are read again when they change. Nothing is fetched from a network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509

from onem2m_security.alerts import Alert
from onem2m_security.errors import CertificateRejectedError, ConfigurationError

from .profile import MALFORMED, key_usage

CRL_MAX_OCTETS = 8 * 1024 * 1024
"""The largest CRL file read, in octets."""

CRL_FILES_MAX = 256
"""The most CRL files read from one directory."""

_SUFFIXES = {".crl", ".pem", ".der"}
_Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A certificate of a path as lists name it: by its number, and by who issued it.

    Attributes:
        serial_number: Its serial number.
        issuer: The certificate of the authority above it.
    """

    serial_number: int
    issuer: x509.Certificate

    @staticmethod
    def all_of(path: Iterable[x509.Certificate]) -> tuple[Link, ...]:
        """Of a path from the end entity's certificate to the trust anchor's, which no list is about."""
        return tuple(Link(certificate.serial_number, issuer) for certificate, issuer in pairwise(path))


class CrlSource:
    """CRLs from a file, or from every ``.crl``, ``.pem`` and ``.der`` file of a directory, PEM or DER.

    Each look-up costs a ``stat`` per file; a change of size, time or inode makes it read the files again.
    Files that cannot be read after a change fail closed: until mended, every certificate that needs a list
    is refused.

    Attributes:
        path: The file or directory.
    """

    def __init__(self, path: Path | str) -> None:
        """Read the lists.

        Raises:
            ConfigurationError: Nothing there, unreadable, too large, or no CRL.
        """
        self.path = Path(path)
        self._stamp: _Stamp = ()
        self._by_issuer: dict[bytes, list[x509.CertificateRevocationList]] = {}
        self._signed: set[tuple[bytes, bytes]] = set()
        self._load(self._look())

    def covers(self, issuer: x509.Certificate) -> bool:
        """Whether there is a list by the name of this issuer.

        Raises:
            CertificateRejectedError: The files changed and cannot be read (``certificate_unknown``).
        """
        self._refresh()
        return self._covers(issuer)

    @property
    def revision(self) -> object:
        """Changes when the files do; None while they cannot be looked at."""
        try:
            return self._look()
        except ConfigurationError:
            return None

    def check(self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> None:
        """Refuse a certificate that its issuer has revoked, or for which no valid list is at hand.

        Raises:
            CertificateRejectedError: Revoked (``certificate_revoked``); no list, a stale one, or one that
                this issuer did not sign (``certificate_unknown``).
        """
        self._refresh()
        self._check(Link(certificate.serial_number, issuer), now)

    def check_path(self, links: Sequence[Link], now: datetime, *, every: bool) -> None:
        """Check the certificates of a path; the files are looked at once.

        Args:
            links: Of the path.
            now: The moment at which the lists must be valid.
            every: Whether each issuer must have a list; otherwise those that have one are obeyed.

        Raises:
            CertificateRejectedError: As for ``check``.
        """
        self._refresh()
        for link in links:
            if every or self._covers(link.issuer):
                self._check(link, now)

    def _covers(self, issuer: x509.Certificate) -> bool:
        return issuer.subject.public_bytes() in self._by_issuer

    def _check(self, link: Link, now: datetime) -> None:
        issuer = link.issuer
        lists = self._by_issuer.get(issuer.subject.public_bytes(), [])
        own = [crl for crl in lists if self._is_signed_by(crl, issuer)]
        if not own:
            raise _unknown("there is no CRL by the issuer of the certificate")
        latest = max(map(_age, own))
        for newest in (crl for crl in own if _age(crl) == latest):
            if newest.next_update_utc is None or not newest.last_update_utc <= now <= newest.next_update_utc:
                raise _unknown("the CRL by the issuer of the certificate is out of date")
            if newest.get_revoked_certificate_by_serial_number(link.serial_number) is not None:
                raise CertificateRejectedError(
                    "the certificate has been revoked", alert=Alert.certificate_revoked
                )

    def _is_signed_by(self, crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
        """Whether the issuer signed the list and may; the answer for a good signature is kept."""
        signed = (crl.signature, issuer.signature)
        if signed in self._signed:
            return True
        usage = key_usage(issuer)
        if usage is not None and not usage.crl_sign:
            return False
        try:
            valid = crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # an EC key: profile
        except (TypeError, ValueError):
            return False
        if valid:
            self._signed.add(signed)
        return valid

    def _refresh(self) -> None:
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._load(stamp)
        except ConfigurationError as error:
            self._stamp, self._by_issuer = (), {}
            raise _unknown("the CRLs cannot be read") from error

    def _look(self) -> _Stamp:
        try:
            if self.path.is_dir():
                paths = sorted(path for path in self.path.iterdir() if path.suffix.lower() in _SUFFIXES)
            else:
                paths = [self.path]
            found = [(path, path.stat()) for path in paths]
        except OSError as error:
            raise ConfigurationError(f"CRLs at {self.path}: {os.strerror(error.errno or 0)}") from error
        if not found or len(found) > CRL_FILES_MAX:
            raise ConfigurationError(f"CRLs at {self.path}: 1 to {CRL_FILES_MAX} files are expected")
        return tuple((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in found)

    def _load(self, stamp: _Stamp) -> None:
        by_issuer: dict[bytes, list[x509.CertificateRevocationList]] = {}
        for name, *_ in stamp:
            crl = load_crl(Path(name))
            by_issuer.setdefault(crl.issuer.public_bytes(), []).append(crl)
        self._stamp, self._by_issuer, self._signed = stamp, by_issuer, set()


def load_crl(path: Path) -> x509.CertificateRevocationList:
    """Read one CRL, PEM or DER.

    Raises:
        ConfigurationError: Unreadable, larger than CRL_MAX_OCTETS, no CRL, or a delta or indirect one.
    """
    try:
        with path.open("rb") as file:
            octets = file.read(CRL_MAX_OCTETS + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {os.strerror(error.errno or 0)}") from error
    if len(octets) > CRL_MAX_OCTETS:
        raise ConfigurationError(f"{path}: larger than {CRL_MAX_OCTETS} octets")
    try:
        pem = octets.lstrip().startswith(b"-----BEGIN")
        crl = x509.load_pem_x509_crl(octets) if pem else x509.load_der_x509_crl(octets)
        critical = [extension.oid.dotted_string for extension in crl.extensions if extension.critical]
    except MALFORMED as error:
        raise ConfigurationError(f"{path}: this is no CRL in PEM or DER form") from error
    if critical:
        raise ConfigurationError(
            f"{path}: only full CRLs by the issuer itself are supported (critical extension {critical[0]})"
        )
    return crl


def _age(crl: x509.CertificateRevocationList) -> tuple[datetime, int]:
    """What tells the newer list: when it was made and, of two of one second, its number (RFC 5280 5.2.3)."""
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (*MALFORMED, x509.ExtensionNotFound):
        number = -1
    return crl.last_update_utc, number


def _unknown(message: str) -> CertificateRejectedError:
    return CertificateRejectedError(message, alert=Alert.certificate_unknown)
