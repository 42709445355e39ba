"""A small public key infrastructure for handshakes, and openssl with files of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs import Authority, Flavour, Issued, constrained, der, key_pem
from onem2m_security.certificates.configuration import AssociationConfiguration
from onem2m_security.certificates.local import LocalCertificate
from onem2m_security.certificates.trust import Trust
from onem2m_security.frameworks import saef_certificate
from onem2m_security.identifiers import EntityId
from onem2m_security.release import Release
from onem2m_security.tls.engine import CertificateType
from programs import PATIENCE, openssl

ROOT = Authority.root()
CA = constrained(ROOT)
OTHER_ROOT = Authority.root("another root")
ID_A = EntityId.parse("/ae-gateway")
ID_B = EntityId.parse("/in-cse")
NAME_A, NAME_B = "a.sp.example", "b.sp.example"
A = CA.issue(None, NAME_A)
B = CA.issue(None, NAME_B)


def named(
    certificate_name: str, peer: EntityId | str, root: Authority = ROOT, **more
) -> AssociationConfiguration:
    """A Release 1 association."""
    return AssociationConfiguration.release1(
        certificate_name=certificate_name, root_of_trust=root.root_of_trust, peer=peer, **more
    )


def flavoured(flavour: Flavour, peer_id: str | None = None, **more) -> AssociationConfiguration:
    """A Release 3 association."""
    return AssociationConfiguration.release3(
        flavour=flavour, peer_id=peer_id, trust_anchors=ROOT.trust_anchor_pem, **more
    )


FOR_A, FOR_B = named(NAME_A, ID_A), named(NAME_B, ID_B)


def initiator_a(certificate: LocalCertificate | None = None, configuration=FOR_B, **more):
    return saef_certificate.initiate(ID_A, certificate or A.local(), Trust((configuration,), **more))


def endpoint_b(
    *configurations: AssociationConfiguration, certificate: LocalCertificate | None = None, **more
):
    trust = Trust(configurations or (FOR_A,), Release.R1, **more)
    return saef_certificate.accept(certificate or B.local(), trust)


@dataclass(frozen=True, slots=True)
class Credential:
    """A chain and a key as wrong as a test needs them; the TLS floor takes it as it is.

    Attributes:
        certificate_chain: DER, in the order sent.
        private_key: The key of the first, whatever it is.
        certificate_type: What the chain is said to be.
    """

    certificate_chain: tuple[bytes, ...]
    private_key: object
    certificate_type: CertificateType = CertificateType.X509

    @classmethod
    def of(cls, issued: Issued) -> Credential:
        return cls(tuple(map(der, issued.chain)), issued.private_key)

    def files(self, directory: Path, name: str) -> list[str]:
        """Options that make openssl present exactly this chain."""
        pems = [
            x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in self.certificate_chain
        ]
        leaf, issuers, key = (directory / f"{name}.{kind}" for kind in ("pem", "issuers", "key"))
        leaf.write_bytes(pems[0])
        issuers.write_bytes(b"".join(pems[1:]))
        key.touch(mode=0o600)
        key.write_bytes(key_pem(self.private_key))
        options = ["-cert", str(leaf), "-key", str(key)]
        return options + (["-cert_chain", str(issuers)] if pems[1:] else [])


def s_client(port: int, *options: object, suite: str | None = None, given: bytes = b"") -> str:
    """``openssl s_client`` with these options; what it printed, until both sides are done."""
    ciphers = [] if suite is None else ["-cipher", f"{suite}@SECLEVEL=0"]
    command = [
        openssl(), "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", *ciphers, *map(str, options)
    ]  # fmt: skip
    done = subprocess.run(
        command, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False
    )
    return done.stdout.decode("utf-8", "replace")
