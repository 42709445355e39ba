"""``m2msec pki``: a small issuing authority at the command line (TS-0003 clauses 8.1.2 and 10.1).

For tests, labs and small deployments. Private keys are written with mode 0600 from their first moment, no
file is overwritten, and no key is ever shown or taken as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..certificates.files import read_private, read_public, write_new
from ..certificates.flavours import Flavour
from ..defaults import DEVICE_INDICATION_ID
from ..errors import ConfigurationError, CredentialError, SecurityFrameworkError

if TYPE_CHECKING:
    from cryptography import x509

    from ..certificates.authority import Authority, Issued
    from ..certificates.names import CertificateNames

app = typer.Typer(
    help="Issue and check certificates: roots, intermediates, each flavour, self-signed, CSRs, CRLs.",
    no_args_is_help=True,
)

RELEASE1 = "release1"
_FLAVOURS = ", ".join(flavour.value for flavour in Flavour if flavour is not Flavour.RAW_PUBLIC_KEY)

Out = Annotated[Path, typer.Option("--out", "-o", help="Path prefix: writes PREFIX.crt and PREFIX.key.")]
File = Annotated[Path, typer.Option("--out", "-o", help="The file to write; it must not exist.")]
Ca = Annotated[Path, typer.Option("--ca", help="The authority's prefix: reads PREFIX.crt and PREFIX.key.")]
Days = Annotated[int, typer.Option("--days", min=1, max=36500, help="Days of validity.")]
Dns = Annotated[
    list[str] | None, typer.Option("--dns", metavar="NAME", help="Permit domain names at and below this one.")
]
UriHost = Annotated[
    list[str] | None,
    typer.Option(
        "--uri-host", metavar="HOST", help="Permit AE-IDs at this M2M-SP-ID (.sp.example: below it)."
    ),
]
Device = Annotated[
    list[str] | None, typer.Option("--device", metavar="OID", help="Permit M2M Device IDs below this OID.")
]
PathLength = Annotated[int | None, typer.Option("--path-length", min=0, help="Authorities allowed below.")]
Indication = Annotated[
    str, typer.Option("--indication-id", help="The M2M Device Indication ID (higher arc) of device ids.")
]
WithoutRoot = Annotated[
    bool, typer.Option("--without-root", help="Leave the root's certificate out: Release 3 peers have it.")
]
FlavourName = Annotated[str, typer.Argument(help=f"One of {_FLAVOURS}, {RELEASE1} (a Certificate Name).")]


@app.command()
def root(
    name: Annotated[str, typer.Argument(help="The root's common name.")],
    out: Out,
    days: Days = 3650,
    dns: Dns = None,
    uri_host: UriHost = None,
    device: Device = None,
    path_length: PathLength = None,
    indication_id: Indication = DEVICE_INDICATION_ID,
) -> None:
    """Make a root: the trust anchor of Release 3, the Root of Trust of Release 1."""
    from ..certificates.authority import Authority

    with _said_plainly():
        permitted = _permitted(dns, uri_host, device, indication_id)
        authority = Authority.root(name, days=days, path_length=path_length, permitted=permitted)
        _write(out, authority.issued)
        typer.echo(f"Root of Trust: {authority.root_of_trust.hex()}")


@app.command()
def intermediate(
    name: Annotated[str, typer.Argument(help="The authority's common name.")],
    ca: Ca,
    out: Out,
    days: Days = 1825,
    dns: Dns = None,
    uri_host: UriHost = None,
    device: Device = None,
    path_length: PathLength = 0,
    indication_id: Indication = DEVICE_INDICATION_ID,
) -> None:
    """Make an authority below another; it or one above has name constraints (8.1.2.2)."""
    from ..certificates.constraints import name_constraints_of

    with _said_plainly():
        above = _authority(ca)
        permitted = _permitted(dns, uri_host, device, indication_id)
        if not permitted and all(name_constraints_of(one) is None for one in above.chain):
            raise ConfigurationError(
                "an intermediate needs name constraints (8.1.2.2), unless an authority above it has them: "
                "give --dns, --uri-host or --device"
            )
        below = above.intermediate(name, days=days, path_length=path_length, permitted=permitted)
        _write(out, below.issued)


@app.command()
def issue(
    flavour: FlavourName,
    identifier: Annotated[str, typer.Argument(help="The identifier or Certificate Name to certify.")],
    ca: Ca,
    out: Out,
    days: Days = 365,
    indication_id: Indication = DEVICE_INDICATION_ID,
    without_root: WithoutRoot = False,
) -> None:
    """Make a key and a certificate of a flavour; PREFIX.crt holds the chain."""
    with _said_plainly():
        issued = _authority(ca).issue(_flavour(flavour), identifier, days=days, indication_id=indication_id)
        _write(out, issued, with_root=not without_root)


@app.command("self-signed")
def self_signed_certificate(out: Out, days: Days = 365) -> None:
    """Make a Release 1 self-signed certificate: its key hash is Certificate Name and Root of Trust."""
    from ..certificates.authority import self_signed
    from ..certificates.public_key_id import key_hash

    with _said_plainly():
        issued = self_signed(days=days)
        _write(out, issued)
        typer.echo(f"Certificate Name and Root of Trust: {key_hash(issued.certificate).hex()}")


@app.command("raw-public-key")
def raw_public_key(
    out: Annotated[Path, typer.Option("--out", "-o", help="Path prefix: writes PREFIX.pub and PREFIX.key.")],
) -> None:
    """Make a key pair for a raw public key (RFC 7250): peers are told its identifier, and there is no end."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    from ..certificates.local import LocalCertificate

    with _said_plainly():
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _write_pair(_suffixed(out, "key"), pem, _suffixed(out, "pub"), spki)
        typer.echo(f"Public key identifier: {LocalCertificate.raw_public_key(pem).public_key_id}")


@app.command()
def request(
    flavour: Annotated[str, typer.Argument(help=f"One of {_FLAVOURS}.")],
    identifier: Annotated[str, typer.Argument(help="The identifier to be certified.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Path prefix: writes PREFIX.csr and PREFIX.key.")],
    indication_id: Indication = DEVICE_INDICATION_ID,
) -> None:
    """Make a key and a certificate signing request (10.1.4): the key stays where it was made."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from ..certificates.authority import signing_request

    with _said_plainly():
        wanted = _flavour(flavour)
        if wanted is None:
            raise ConfigurationError(f"a signing request is for one of {_FLAVOURS}")
        made, key = signing_request(wanted, identifier, indication_id=indication_id)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write_pair(_suffixed(out, "key"), pem, _suffixed(out, "csr"), made.public_bytes(Encoding.PEM))


@app.command()
def sign(
    csr: Annotated[Path, typer.Argument(help="The certificate signing request, PEM or DER.")],
    flavour: Annotated[str, typer.Argument(help=f"What it is to identify: one of {_FLAVOURS}.")],
    ca: Ca,
    out: File,
    days: Days = 365,
    without_root: WithoutRoot = False,
) -> None:
    """Certify a signing request: its key and its one name of the flavour, nothing else in it."""
    with _said_plainly():
        wanted = _flavour(flavour)
        if wanted is None:
            raise ConfigurationError(f"a signing request is for one of {_FLAVOURS}")
        issued = _authority(ca).issue_for_request(_load_request(csr), wanted, days=days)
        write_new(out, issued.chain_pem if without_root else issued.full_chain_pem, private=False)
        typer.echo(f"wrote {out}")


@app.command()
def crl(
    ca: Ca,
    out: File,
    revoke: Annotated[
        list[Path] | None, typer.Option("--revoke", metavar="FILE", help="A certificate to revoke.")
    ] = None,
    previous: Annotated[Path | None, typer.Option("--previous", help="The CRL before this one.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Days until the next update.")] = 7,
) -> None:
    """Issue a Certificate Revocation List; with --previous it keeps what was revoked before."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from ..certificates.crl import load_crl
    from ..certificates.local import parse_certificates

    with _said_plainly():
        revoked = [parse_certificates(read_public(path))[0] for path in revoke or []]
        before = None if previous is None else load_crl(previous)
        made = _authority(ca).crl(revoked, days=days, previous=before)
        write_new(out, made.public_bytes(Encoding.PEM), private=False)
        typer.echo(f"wrote {out}: {len(made)} revoked")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A certificate or chain, or a public key, PEM or DER.")],
) -> None:
    """Say whether a certificate meets the profile (10.1.1) and which flavour it is; exit code 1 if not.

    Of a raw public key, its public key identifier (10.1.2).
    """
    from ..certificates.local import parse_certificates
    from ..certificates.raw_public_keys import public_key_in

    with _said_plainly():
        octets = read_public(file)
        if (spki := public_key_in(octets)) is not None:
            findings = [_describe_key(spki)]
        else:
            findings = [_describe(certificate) for certificate in parse_certificates(octets)]
    raise typer.Exit(1 if any(findings) else 0)


def _describe_key(spki: bytes) -> list[str]:
    """Print what a raw public key is; gives what is wrong with it."""
    from ..certificates.public_key_id import PublicKeyIdentifier
    from ..certificates.raw_public_keys import is_profiled

    findings = [] if is_profiled(spki) else ["it is not on P-256 (secp256r1), uncompressed: clause 10.1.1.1"]
    typer.echo("a raw public key")
    typer.echo(f"  public key identifier: {PublicKeyIdentifier.of(spki)}")
    for finding in findings:
        typer.echo(f"  NOT by the profile: {finding}")
    return findings


def _describe(certificate: x509.Certificate) -> list[str]:
    """Print what one certificate is; gives what is wrong with it."""
    from ..certificates.names import CertificateNames
    from ..certificates.profile import MALFORMED, is_authority, profile_findings
    from ..certificates.public_key_id import PublicKeyIdentifier, key_hash

    try:
        findings = profile_findings(certificate)
        names = CertificateNames.of(certificate)
        subject = certificate.subject.rfc4514_string()
    except MALFORMED as error:
        raise CredentialError("the certificate holds a malformed name or extension") from error
    typer.echo(f"{subject or '(no subject)'}")
    if is_authority(certificate):
        typer.echo("  flavour: none, a certificate authority")
    else:
        _describe_names(names)
    if certificate.issuer == certificate.subject and not findings:
        hashed = (
            "its key hash is in a name field"
            if key_hash(certificate) in names.key_hashes()
            else ("its key hash is in no name field, as an entity's own would need")
        )
        typer.echo(f"  self-signed: {hashed}")
    if not findings:
        digest = key_hash(certificate)
        typer.echo(f"  key hash: {digest.hex()}")
        typer.echo(f"  public key identifier: {PublicKeyIdentifier('sha-256', digest)}")
    typer.echo(
        f"  valid: {certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
    )
    for finding in findings:
        typer.echo(f"  NOT by the profile: {finding}")
    if not findings:
        typer.echo("  meets the profile of TS-0003 clause 10.1.1")
    return findings


def _describe_names(names: CertificateNames) -> None:
    from ..certificates.flavours import credential_id

    found = [
        (flavour, identifier) for flavour in Flavour for identifier in sorted(names.identifiers(flavour))
    ]
    for flavour, identifier in found:
        credential = credential_id(flavour, identifier)
        known_as = "" if credential is None else f" (Credential-ID {credential})"
        typer.echo(f"  can be {flavour.value}: {identifier}{known_as}")
    if not found:
        typer.echo("  flavour: none of Release 3; a Certificate Name of Release 1 may be in its Subject")


@contextmanager
def _said_plainly() -> Iterator[None]:
    """An error of ours becomes one line on standard error and exit code 2, never a traceback."""
    try:
        yield
    except SecurityFrameworkError as error:
        typer.echo(f"m2msec pki: {error}", err=True)
        raise typer.Exit(2) from error


def _flavour(text: str) -> Flavour | None:
    if text == RELEASE1:
        return None
    try:
        return Flavour(text)
    except ValueError as error:
        raise ConfigurationError(f"there is no flavour {text!r}: use {_FLAVOURS} or {RELEASE1}") from error


def _suffixed(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(f"{prefix.name}.{suffix}")


def _permitted(
    dns: list[str] | None, uri_host: list[str] | None, device: list[str] | None, indication_id: str
) -> list[x509.GeneralName]:
    """Name constraints of one form: with several, GnuTLS and Botan refuse what one of them permits."""
    from ..certificates.issued_names import permitted_names

    if sum(map(bool, (dns, uri_host, device))) > 1:
        raise ConfigurationError(
            "an authority constrains one form of name, or other implementations refuse what it issues: make "
            "one for --dns, another for --uri-host, another for --device"
        )
    return permitted_names(
        dns=dns or (), uri_hosts=uri_host or (), devices=device or (), indication_id=indication_id
    )


def _authority(prefix: Path) -> Authority:
    from ..certificates.authority import Authority
    from ..certificates.local import parse_certificates, parse_private_key

    chain = parse_certificates(read_public(_suffixed(prefix, "crt")))
    return Authority(chain, parse_private_key(read_private(_suffixed(prefix, "key"))))


def _write(prefix: Path, issued: Issued, *, with_root: bool = True) -> None:
    chain = issued.full_chain_pem if with_root else issued.chain_pem
    _write_pair(_suffixed(prefix, "key"), issued.key_pem, _suffixed(prefix, "crt"), chain)


def _write_pair(private: Path, key: bytes, public: Path, octets: bytes) -> None:
    """Write a key and what belongs to it, or neither."""
    write_new(private, key, private=True)
    try:
        write_new(public, octets, private=False)
    except BaseException:
        private.unlink()
        raise
    typer.echo(f"wrote {public} and {private}")


def _load_request(path: Path) -> x509.CertificateSigningRequest:
    from cryptography import x509

    from ..certificates.profile import MALFORMED

    octets = read_public(path)
    try:
        return x509.load_pem_x509_csr(octets) if b"-----BEGIN" in octets else x509.load_der_x509_csr(octets)
    except MALFORMED as error:
        raise CredentialError(f"{path} is no certificate signing request in PEM or DER form") from error
