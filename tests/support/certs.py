"""Certificates for tests: an authority in one line, and a forge for certificates that no authority makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from onem2m_security.certificates.authority import Authority, Issued, self_signed
from onem2m_security.certificates.flavours import Flavour
from onem2m_security.certificates.issued_names import common_name, permitted_names

__all__ = [
    "P256",
    "Authority",
    "Flavour",
    "Issued",
    "chain_of",
    "common_name",
    "constrained",
    "der",
    "forge",
    "key_pem",
    "permitted_names",
    "self_signed",
    "usage",
]


def P256():  # noqa: N802 - named after the curve
    return ec.generate_private_key(ec.SECP256R1())


def constrained(root: Authority) -> Authority:
    """An intermediate with name constraints for sp.example, wide enough for every flavour of the tests."""
    permitted = permitted_names(dns=["sp.example"], uri_hosts=["sp.example"], devices=["0.2.481.1.100"])
    return root.intermediate(permitted=permitted)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def chain_of(issued: Issued, *, with_root: bool) -> list[bytes]:
    """What TLS hands to the verifier: DER, leaf first."""
    chain = issued.chain if with_root else issued.chain[:-1]
    return [der(certificate) for certificate in chain]


def key_pem(key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def usage(**granted: bool) -> x509.KeyUsage:
    every = dict.fromkeys(
        [
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    return x509.KeyUsage(**every | granted)


def forge(
    issuer: tuple[x509.Name, object],
    *,
    subject: str = "leaf",
    key=None,
    names: list[x509.GeneralName] | None = None,
    ca: bool | None = False,
    path_length: int | None = None,
    key_usage: x509.KeyUsage | None = usage(digital_signature=True),  # noqa: B008
    days: tuple[int, int] = (-1, 1),
    digest: hashes.HashAlgorithm | None = None,
    extensions: list[tuple[x509.ExtensionType, bool]] | None = None,
) -> tuple[x509.Certificate, object]:
    """A certificate as wrong as one likes: (certificate, key). The issuer is (name, signing key)."""
    key = key or P256()
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name(subject))
        .issuer_name(issuer[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in extensions or []:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer[1], digest or hashes.SHA256()), key
