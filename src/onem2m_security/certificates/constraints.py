"""Name constraints (RFC 5280 clause 4.2.1.10) for the one case in which the path validator gives up.

OpenSSL holds constraints on DNS names, URIs, directory names, e-mail and IP addresses, and refuses every
path in which an otherName or registeredID is constrained: the very form that clause 10.1.1.4.2 gives to the
constraints on M2M Device IDs. For those paths this module decides about all names. A constrained name of a
form that it does not know is refused. Requires a path that is valid in every other respect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from onem2m_security.errors import IdentifierError
from onem2m_security.identifiers import Fqdn

from .flavours import Flavour
from .names import relative_arcs, subject_alternative_names

COMPARISONS_MAX = 4096
"""The most name-with-subtree comparisons made for one path; more is refused."""


def name_constraints_of(certificate: x509.Certificate) -> x509.NameConstraints | None:
    """The name constraints extension; None if it is absent."""
    try:
        return certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None


def violation(path: Sequence[x509.Certificate]) -> str | None:
    """The first name in a path that the constraints above it forbid, in words; None if there is none.

    Args:
        path: Certificates from the end entity's to the trust anchor's.
    """
    constraints = [name_constraints_of(certificate) for certificate in path]
    comparisons = 0
    for depth, certificate in enumerate(path):
        if depth and certificate.subject == certificate.issuer:  # self-issued: RFC 5280 clause 6.1.3 b
            continue
        names = _names_of(certificate, is_end_entity=not depth)
        for constraint in constraints[depth + 1 :]:
            if constraint is None:
                continue
            permitted = constraint.permitted_subtrees or []
            excluded = constraint.excluded_subtrees or []
            comparisons += len(names) * (len(permitted) + len(excluded))
            if comparisons > COMPARISONS_MAX:
                return "too many names and constraints"
            for name in names:
                if not _allows(name, permitted, excluded):
                    return f"{type(name).__name__} {_text(name)}"
    return None


def permits_form(path: Iterable[x509.Certificate], form: type[x509.GeneralName]) -> bool:
    """Whether some certificate of a path names permitted subtrees of that form of name."""
    for certificate in path:
        constraint = name_constraints_of(certificate)
        if constraint is not None and any(
            isinstance(base, form) for base in constraint.permitted_subtrees or []
        ):
            return True
    return False


def is_constrained(path: Sequence[x509.Certificate], flavour: Flavour) -> bool:
    """Whether authorities constrain the names below them, as they shall for a flavour.

    Args:
        path: Certificates from the end entity's to the trust anchor's: any authority of them may do so
            (8.1.2.2), for an AE-ID the issuer itself has to (10.1.1.5).
        flavour: Of the name that matched.
    """
    match flavour:
        case Flavour.AE_ID:
            return permits_form(path[1:2], x509.UniformResourceIdentifier)
        case Flavour.CSE_ID | Flavour.FQDN:
            return permits_form(path[1:], x509.DNSName)
        case Flavour.NODE_ID:
            # A URN has no host and RFC 5280 no constraint for it: one can only ask that there are some.
            return any(name_constraints_of(authority) is not None for authority in path[1:])
        case _:
            return True


def _allows(
    name: x509.GeneralName, permitted: Sequence[x509.GeneralName], excluded: Sequence[x509.GeneralName]
) -> bool:
    applicable = [base for base in permitted if _same_form(name, base)]
    forbidden = [base for base in excluded if _same_form(name, base)]
    inside = not applicable or any(_within(name, base, unknown=False) for base in applicable)
    return inside and not any(_within(name, base, unknown=True) for base in forbidden)


def _same_form(name: x509.GeneralName, base: x509.GeneralName) -> bool:
    if isinstance(name, x509.OtherName) and isinstance(base, x509.OtherName):
        return name.type_id == base.type_id
    return type(name) is type(base)


def _within(  # noqa: PLR0911 - one answer for each form of name
    name: x509.GeneralName, base: x509.GeneralName, *, unknown: bool
) -> bool:
    """Whether a name lies in a subtree; ``unknown`` is the answer that refuses what cannot be compared."""
    match name, base:
        case (x509.DNSName(), x509.DNSName()):
            return _under(name.value, base.value.removeprefix(".") if base.value != "." else "")
        case (x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier()):
            host = _host(name.value)
            if host is None:
                return unknown
            if base.value.startswith("."):
                return host.endswith(base.value.lower())
            return host == base.value.lower()
        case (x509.DirectoryName(), x509.DirectoryName()):
            return list(name.value.rdns)[: len(base.value.rdns)] == list(base.value.rdns)
        case (x509.OtherName(), x509.OtherName()):
            arcs, prefix = relative_arcs(name.value), relative_arcs(base.value)
            return unknown if arcs is None or prefix is None else arcs[: len(prefix)] == prefix
        case (x509.RegisteredID(), x509.RegisteredID()):
            prefix_oid = base.value.dotted_string
            return name.value == base.value or name.value.dotted_string.startswith(f"{prefix_oid}.")
        case _:
            return unknown


def _under(domain_name: str, base: str) -> bool:
    domain_name, base = domain_name.lower(), base.lower()
    return not base or domain_name == base or domain_name.endswith(f".{base}")


def _host(uri: str) -> str | None:
    """The host of a URI, or None when there is none or it is no domain name (RFC 5280: refuse)."""
    scheme, colon, rest = uri.partition(":")
    if not colon or not scheme or not rest.startswith("//"):
        return None
    authority = rest[2:].partition("/")[0].partition("?")[0].partition("#")[0]
    host = authority.rpartition("@")[2].partition(":")[0]
    try:
        return Fqdn.parse(host).ascii
    except IdentifierError:
        return None


def _names_of(certificate: x509.Certificate, *, is_end_entity: bool) -> list[x509.GeneralName]:
    """Every name that constraints apply to: subject, alternative names and what stands in for them."""
    names = subject_alternative_names(certificate)
    if certificate.subject.rdns:
        names.append(x509.DirectoryName(certificate.subject))
    addresses = certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)
    names += [x509.RFC822Name(str(address.value)) for address in addresses]
    if is_end_entity and not any(isinstance(name, x509.DNSName) for name in names):
        names += [x509.DNSName(text) for text in map(_as_domain_name, _common_names(certificate)) if text]
    return names


def _common_names(certificate: x509.Certificate) -> list[str]:
    return [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _as_domain_name(text: str) -> str | None:
    try:
        return Fqdn.parse(text).ascii if "." in text else None
    except IdentifierError:
        return None


def _text(name: x509.GeneralName) -> str:
    return repr(name)[:120]
