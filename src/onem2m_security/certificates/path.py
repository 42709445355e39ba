"""Certification path validation (RFC 5280 clause 6.1, TS-0003 clause 8.1.2.2), by OpenSSL's X509_verify_cert.

A chain must be exactly the path: each certificate certifies the one before it, and nothing else is there
(RFC 5246 clause 7.4.2). Names of peers, profiles and revocation are not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Self

from cryptography import x509
from OpenSSL import crypto

from onem2m_security.alerts import Alert
from onem2m_security.errors import CertificateRejectedError

from ..clock import CLOCK
from . import constraints
from .kept import Kept
from .profile import MALFORMED

# X509_V_ERR_… of openssl/x509_vfy.h: what the binding has no names for.
_UNSUPPORTED_CONSTRAINT_TYPE = 51
_NAME_CONSTRAINTS = {47, 48, 49, _UNSUPPORTED_CONSTRAINT_TYPE, 52, 53}

_AUTHORITIES_MAX_OCTETS = 64 * 1024

_FLAGS = crypto.X509StoreFlags.PARTIAL_CHAIN


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """A certificate as a peer sent it, parsed once for both libraries.

    Attributes:
        der: The octets.
        parsed: For reading names and extensions.
        native: For path validation.
    """

    der: bytes
    parsed: x509.Certificate
    native: crypto.X509

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Parse one DER certificate.

        Raises:
            CertificateRejectedError: It is none, or has a malformed extension (``bad_certificate``).
        """
        try:
            parsed = x509.load_der_x509_certificate(der)
            _ = parsed.extensions, parsed.subject, parsed.issuer, parsed.not_valid_after_utc  # lazy in part
            native = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
        except (*MALFORMED, crypto.Error) as error:
            raise CertificateRejectedError(
                "a certificate is malformed", alert=Alert.bad_certificate
            ) from error
        if parsed.serial_number <= 0:  # RFC 5280 clause 4.1.2.2
            raise CertificateRejectedError(
                "a certificate's serial number is not positive", alert=Alert.bad_certificate
            )
        return cls(der, parsed, native)

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """The same for a certificate that is parsed already."""
        native = crypto.X509.from_cryptography(certificate)
        return cls(crypto.dump_certificate(crypto.FILETYPE_ASN1, native), certificate, native)


@dataclass(frozen=True, slots=True)
class _Authorities:
    """The authorities of a path that was valid, of which the issuer alone has a say about what is below it.

    Attributes:
        path: The authorities' certificates, from the issuer's to the trust anchor's.
        issuer: Trusts the issuer alone.
        begins: The latest beginning of a validity period among them (UTC).
        ends: The earliest end of one.
    """

    path: tuple[x509.Certificate, ...]
    issuer: crypto.X509Store
    begins: datetime
    ends: datetime


class PathValidator:
    """Validates chains against one set of trust anchors.

    A trust anchor is a certificate that was configured, a root's or any other authority's; its validity
    period and its name constraints count too.
    """

    def __init__(self, anchors: Sequence[PresentedCertificate]) -> None:
        self._anchors = {anchor.der: anchor for anchor in anchors}
        self._store = _store(anchors)
        self._authorities: Kept[tuple[bytes, ...], _Authorities] = Kept(_AUTHORITIES_MAX_OCTETS)

    def validate(
        self, chain: Sequence[PresentedCertificate], *, now: datetime | None = None
    ) -> list[x509.Certificate]:
        """Validate a chain, end entity first; the trust anchor itself may be left out of it.

        Args:
            chain: One certificate or more, in the order received.
            now: The moment at which it must be valid; the present if None.

        Returns:
            The path: the chain with the trust anchor at its end. Of length 1 only if the single certificate
            is itself a trust anchor, which the caller decides about.

        Raises:
            CertificateRejectedError: No valid path, or certificates that are no part of it.
        """
        if (path := self._by_known_authorities(chain, now)) is not None:
            return path
        store = self._store if now is None else _store(self._anchors.values(), now)
        try:
            verified = _verify(store, chain[0], chain[1:])
        except crypto.X509StoreContextError as error:
            if error.errors[0] == _UNSUPPORTED_CONSTRAINT_TYPE:
                return self._validate_by_link(chain, now)
            raise _rejection(error) from None
        presented = [certificate.der for certificate in chain]
        if presented not in (verified, verified[:-1]):
            raise _foreign()
        anchor = self._anchors[verified[-1]].parsed
        path = [certificate.parsed for certificate in chain[: len(verified) - 1]] + [anchor]
        self._remember(chain[1:], path[1:])
        return path

    def _by_known_authorities(
        self, chain: Sequence[PresentedCertificate], now: datetime | None
    ) -> list[x509.Certificate] | None:
        """The path, if the authorities' part of it is known and the issuer alone makes the rest valid.

        None is no verdict: whatever is not valid by this is judged as a whole.
        """
        known = self._authorities.get(tuple(certificate.der for certificate in chain[1:]))
        if known is None or now is not None or chain[0].der in self._anchors:
            return None
        if not known.begins <= CLOCK.now() < known.ends:
            return None
        try:
            verified = _verify(known.issuer, chain[0], [])
        except crypto.X509StoreContextError:
            return None
        return [chain[0].parsed, *known.path] if verified == [chain[0].der, chain[1].der] else None

    def _remember(self, presented: Sequence[PresentedCertificate], path: Sequence[x509.Certificate]) -> None:
        """Keep the authorities of a valid path if any other certificate of their issuer has the same path.

        So nobody above the issuer may constrain names, and no other trust anchor may have the issuer's name.
        """
        if not presented or any(constraints.name_constraints_of(above) for above in path[1:]):
            return
        issuer = presented[0]
        if any(
            anchor.der != issuer.der and anchor.parsed.subject == issuer.parsed.subject
            for anchor in self._anchors.values()
        ):
            return
        known = _Authorities(
            path=tuple(path),
            issuer=_store([issuer]),
            begins=max(certificate.not_valid_before_utc for certificate in path),
            ends=min(certificate.not_valid_after_utc for certificate in path),
        )
        octets = tuple(certificate.der for certificate in presented)
        self._authorities.keep(octets, known, sum(map(len, octets)))

    def _validate_by_link(
        self, chain: Sequence[PresentedCertificate], now: datetime | None
    ) -> list[x509.Certificate]:
        """Validate a path on which an otherName or registeredID is constrained.

        OpenSSL names its path only when it accepts it. So each link is given to it by itself, where only one
        path is possible; what spans several links (path lengths, name constraints) is checked here.
        """
        last = chain[-1]
        if last.der in self._anchors:
            paths = [list(chain)]
        else:
            above = [
                anchor for anchor in self._anchors.values() if anchor.parsed.subject == last.parsed.issuer
            ]
            paths = [[*chain, anchor] for anchor in above]
        rejection = CertificateRejectedError("the issuer of the chain is not trusted", alert=Alert.unknown_ca)
        for path in paths:
            try:
                for certificate, issuer in pairwise(path):
                    _validate_link(certificate, issuer, now)
                parsed = [certificate.parsed for certificate in path]
                _check_path_lengths(parsed)
            except CertificateRejectedError as error:
                rejection = error
                continue
            forbidden = constraints.violation(parsed)
            if forbidden is None:
                return parsed
            rejection = CertificateRejectedError(
                f"the name constraints do not permit {forbidden}", alert=Alert.bad_certificate
            )
        raise rejection


class Paths:
    """One chain's path for each set of trust anchors: validated once, however many names are configured."""

    def __init__(self, chain: list[PresentedCertificate], now: datetime | None) -> None:
        """Of this chain, at this moment; the present if None."""
        self._chain, self._now = chain, now
        self._results: dict[PathValidator, list[x509.Certificate] | CertificateRejectedError] = {}

    def by(self, validator: PathValidator) -> list[x509.Certificate]:
        """The path to the anchors of this validator.

        Raises:
            CertificateRejectedError: As for ``PathValidator.validate``.
        """
        if validator not in self._results:
            try:
                self._results[validator] = validator.validate(self._chain, now=self._now)
            except CertificateRejectedError as rejection:
                self._results[validator] = rejection
        result = self._results[validator]
        if isinstance(result, CertificateRejectedError):
            raise result
        return result


def _store(anchors: Iterable[PresentedCertificate], now: datetime | None = None) -> crypto.X509Store:
    store = crypto.X509Store()
    for anchor in anchors:
        store.add_cert(anchor.native)
    if now is not None:
        store.set_time(now.astimezone(UTC))
    store.set_flags(_FLAGS)
    return store


def _verify(
    store: crypto.X509Store, leaf: PresentedCertificate, others: Sequence[PresentedCertificate]
) -> list[bytes]:
    """The path that OpenSSL accepts, in DER, trust anchor last."""
    context = crypto.X509StoreContext(store, leaf.native, [other.native for other in others])
    path = context.get_verified_chain()
    return [crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in path]


def _validate_link(
    certificate: PresentedCertificate, issuer: PresentedCertificate, now: datetime | None
) -> None:
    """Signature, names, periods, critical extensions and authority of one link; not name constraints."""
    try:
        verified = _verify(_store([issuer], now), certificate, [])
    except crypto.X509StoreContextError as error:
        # Name constraints come after everything else; those of the whole path are checked by the caller.
        if error.errors[0] not in _NAME_CONSTRAINTS:
            raise _rejection(error) from None
    else:
        if verified != [certificate.der, issuer.der]:
            raise _foreign()


def _check_path_lengths(path: Sequence[x509.Certificate]) -> None:
    """RFC 5280 clause 6.1.4 l, m: how many authorities that are not self-issued may follow each authority."""
    below = 0
    for authority in path[1:]:
        try:
            limit = authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        except x509.ExtensionNotFound:
            limit = None
        if limit is not None and below > limit:
            raise CertificateRejectedError(
                "the path is longer than an authority on it allows", alert=Alert.unknown_ca
            )
        below += authority.subject != authority.issuer


def _rejection(error: crypto.X509StoreContextError) -> CertificateRejectedError:
    code, depth, reason = error.errors
    return CertificateRejectedError(
        f"no valid path to the trust anchor: {reason} (certificate {depth})",
        alert=Alert.for_x509_error(code),
    )


def _foreign() -> CertificateRejectedError:
    return CertificateRejectedError(
        "the chain holds certificates that are no part of the path to the trust anchor",
        alert=Alert.bad_certificate,
    )
