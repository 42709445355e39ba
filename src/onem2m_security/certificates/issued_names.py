"""The names in a certificate that is issued here: Subject, Subject Alternative Name, name constraints."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID

from ..defaults import DEVICE_INDICATION_ID
from ..errors import ConfigurationError, IdentifierError
from ..identifiers import Fqdn
from .flavours import AE_ID_URI_SCHEME, Flavour, parse_identifier
from .names import CertificateNames, encode_device_id

_COMMON_NAME_MAX = 64


def alternative_names(
    flavour: Flavour | None, identifier: str, *, indication_id: str = DEVICE_INDICATION_ID
) -> list[x509.GeneralName]:
    """The Subject Alternative Name of a flavour (10.1.1.4 to 10.1.1.8); for Release 1 a dNSName if it is one.

    Raises:
        ConfigurationError: Raw public keys were asked for.
        IdentifierError: The identifier has not the form of the flavour.
    """
    if flavour is None:
        return _release1_names(identifier)
    if flavour is Flavour.RAW_PUBLIC_KEY:
        raise ConfigurationError(
            "a raw public key (RFC 7250) has no certificate: make a key pair by m2msec pki raw-public-key"
        )
    canonical = parse_identifier(flavour, identifier)
    match flavour:
        case Flavour.CSE_ID | Flavour.FQDN:
            return [x509.DNSName(canonical)]
        case Flavour.AE_ID:
            return [x509.UniformResourceIdentifier(f"{AE_ID_URI_SCHEME}:{canonical}")]
        case Flavour.DEVICE:
            return [encode_device_id(canonical, indication_id)]
        case Flavour.NODE_ID:
            is_uri = ":" in canonical
            uri, oid = x509.UniformResourceIdentifier, x509.ObjectIdentifier
            return [uri(canonical) if is_uri else x509.RegisteredID(oid(canonical))]


def _release1_names(certificate_name: str) -> list[x509.GeneralName]:
    try:
        return [x509.DNSName(Fqdn.parse(certificate_name).ascii)]
    except IdentifierError:
        if len(certificate_name) <= _COMMON_NAME_MAX:  # the Subject holds it whole
            return []
        raise


def permitted_names(
    *,
    dns: Iterable[str] = (),
    uri_hosts: Iterable[str] = (),
    devices: Iterable[str] = (),
    indication_id: str = DEVICE_INDICATION_ID,
) -> list[x509.GeneralName]:
    """Name constraint subtrees (8.1.2.2) of domain names, URI hosts and M2M Device IDs.

    A URI host is one host, or all below it with a dot before it: ``.sp.example``.

    Raises:
        IdentifierError: A device prefix that is not under the indication id.
    """
    names: list[x509.GeneralName] = [x509.DNSName(Fqdn.parse(name).ascii) for name in dns]
    for host in uri_hosts:
        dot = "." if host.startswith(".") else ""
        names.append(x509.UniformResourceIdentifier(dot + Fqdn.parse(host.removeprefix(".")).ascii))
    names += [encode_device_id(prefix, indication_id) for prefix in devices]
    return names


def common_name(text: str) -> x509.Name:
    """A Subject with one common name, cut to the 64 characters that X.520 allows."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_COMMON_NAME_MAX])])


def identifies(name: x509.GeneralName, flavour: Flavour, identifier: str) -> bool:
    """Is it the one by which a certificate of this flavour names this identifier?"""
    return identifier in CertificateNames.of_general_names([name]).identifiers(flavour)


def subject_for(flavour: Flavour | None, identifier: str) -> x509.Name:
    """A Subject for people; a dotted OID by itself would pass for a domain name in name constraints."""
    if flavour is Flavour.DEVICE or flavour is Flavour.NODE_ID:
        return common_name(f"{flavour.value} {identifier}")
    return common_name(identifier)
