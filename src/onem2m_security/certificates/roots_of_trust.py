"""The Release 1 side of Certificate Verification: Certificate Names under Roots of Trust (seed 8.1.1.2.2).

A Root of Trust is the hash of a key. The certificate around that key is the one that the peer sends, or one
that was configured for peers that leave it out (RFC 5246 clause 7.4.2). Validates no path.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from onem2m_security.alerts import Alert
from onem2m_security.errors import CertificateRejectedError, ConfigurationError, IdentifierError
from onem2m_security.identifiers import Fqdn

from .configuration import AssociationConfiguration
from .flavours import nfc
from .names import CertificateNames
from .path import PathValidator, PresentedCertificate
from .public_key_id import key_hash

_VALIDATORS_KEPT = 32

Match = tuple[int, AssociationConfiguration]
"""A configuration and its place among all of them."""


class RootsOfTrust:
    """The configurations by Certificate Name and Root of Trust, and the certificates around the latter."""

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()
        self._certificates: dict[x509.Name, dict[bytes, PresentedCertificate]] = {}
        self._by_name: dict[tuple[bytes, str | Fqdn | bytes], Match] = {}
        self._validators: OrderedDict[bytes, PathValidator] = OrderedDict()

    def add(self, rank: int, configuration: AssociationConfiguration) -> None:
        """Index a configuration of the Release 1 form.

        Raises:
            ConfigurationError: Another one is for the same Certificate Name under the same root.
        """
        root_of_trust, name = configuration.root_of_trust or b"", configuration.certificate_name or ""
        self._hashes.add(root_of_trust)
        if configuration.root_certificate is not None:
            root = PresentedCertificate.of(configuration.root_certificate)
            self._certificates.setdefault(root.parsed.subject, {})[root_of_trust] = root
        names: list[str | Fqdn | bytes] = [nfc(name)]
        with contextlib.suppress(IdentifierError):
            names.append(Fqdn.parse(name))
        if configuration.key_hash == root_of_trust:
            names.append(root_of_trust)
        for one in names:
            if self._by_name.setdefault((root_of_trust, one), (rank, configuration))[0] != rank:
                raise ConfigurationError(
                    f"two associations for the Certificate Name {name!r} under one Root of Trust"
                )

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __contains__(self, root_of_trust: bytes) -> bool:
        return root_of_trust in self._hashes

    def chains(
        self, presented: Sequence[PresentedCertificate]
    ) -> Iterator[tuple[bytes, list[PresentedCertificate]]]:
        """The chain as it came and, if it lacks its root, with each configured one that it may lack.

        Yields:
            The key hash of the last certificate, and the chain.
        """
        last = presented[-1].parsed
        yield key_hash(last), list(presented)
        if last.issuer != last.subject:
            for root_of_trust, root in self._certificates.get(last.issuer, {}).items():
                yield root_of_trust, [*presented, root]

    def find(
        self, chain: Sequence[PresentedCertificate], root_of_trust: bytes, names: CertificateNames
    ) -> Match | None:
        """The first configuration with this root whose Certificate Name is identical to a name in a field."""
        if root_of_trust not in self._hashes:
            return None
        values: set[str | Fqdn | bytes] = {*names.domain_names, *names.texts}
        if len(chain) == 1:  # self-signed: its key hash is both Certificate Name and Root of Trust
            values = {root_of_trust} if root_of_trust in names.key_hashes() else set()
        keys = [(root_of_trust, value) for value in values]
        matches = [self._by_name[key] for key in keys if key in self._by_name]
        return min(matches, key=lambda match: match[0]) if matches else None

    def validator(self, root: PresentedCertificate) -> PathValidator:
        """A validator for a root's certificate, believed because its own key signed it; a few are kept.

        Raises:
            CertificateRejectedError: It is not self-signed (``unknown_ca``, ``bad_certificate``).
        """
        if root.parsed.issuer != root.parsed.subject:
            raise CertificateRejectedError(
                "the Root of Trust is no self-signed certificate", alert=Alert.unknown_ca
            )
        digest = hashlib.sha256(root.der).digest()
        validator = self._validators.get(digest)
        if validator is None:
            try:
                root.parsed.verify_directly_issued_by(root.parsed)
            except (InvalidSignature, ValueError, TypeError) as error:
                raise CertificateRejectedError(
                    "the root's certificate is not signed with its own key", alert=Alert.bad_certificate
                ) from error
            validator = self._validators[digest] = PathValidator([root])
            if len(self._validators) > _VALIDATORS_KEPT:
                self._validators.popitem(last=False)
        return validator
