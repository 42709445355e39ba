"""More that is fuzzed: Digest AKA, certificates, ClientHellos, message 3 of ESCertKE, Zn, Ub, EST."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from onem2m_security.certificates.est_messages import (
    CsrAttributes,
    challenge_of,
    decode_body,
    decode_certificates,
    decode_request,
    encode_body,
)
from onem2m_security.certificates.path import PresentedCertificate
from onem2m_security.certificates.signing_requests import CertifiedName, make_request, require_within
from onem2m_security.credentials import Secret
from onem2m_security.diameter.messages import DiameterMessage
from onem2m_security.errors import CertificateRejectedError, CredentialError, HandshakeError, MessageError
from onem2m_security.escertke.proof import ClientProof
from onem2m_security.frameworks.saef_gba import split_psk_identity
from onem2m_security.gba.bootstrap_info import BootstrappingInfo
from onem2m_security.gba.digest_headers import AkaNonce, AuthenticationInfo, Challenge, Credentials
from onem2m_security.tls.records import client_hello

CERTIFICATE = bytes.fromhex(
    "308201223081c9a003020102020101300a06082a8648ce3d04030230083106300406035504031300301e170d3234303130313030"
)


def digest_headers(octets: bytes) -> None:
    """The headers of HTTP Digest AKA: what is read is written and read again."""
    for header in (Challenge, Credentials, AuthenticationInfo):
        with contextlib.suppress(MessageError):
            read = header.parse(octets)
            assert header.parse(str(read)) == read
    with contextlib.suppress(MessageError):
        AkaNonce.parse(octets.decode("latin-1"))


def certificate(octets: bytes) -> None:
    """A certificate of a peer: read, or refused with an alert."""
    with contextlib.suppress(CertificateRejectedError):
        assert PresentedCertificate.parse(octets).parsed.serial_number > 0


def hello(octets: bytes) -> None:
    """A ClientHello in a datagram, before anybody has shown a cookie."""
    found = client_hello(octets)
    assert found is None or len(found.random) == 32


def message_3(octets: bytes) -> None:
    """ESCertKE's message 3: read, or refused."""
    with contextlib.suppress(HandshakeError):
        ClientProof.parse(octets)


def gba_identity(octets: bytes) -> None:
    """A psk_identity of GBA: nothing of it is lost."""
    hint, rest = split_psk_identity(octets)
    assert rest == octets if hint is None else octets == hint + b";" + rest


def zn(octets: bytes) -> None:
    """A Diameter message: what is read is written and read again."""
    with contextlib.suppress(MessageError):
        written = DiameterMessage.parse(octets).octets()
        assert DiameterMessage.parse(written).octets() == written


def ub(octets: bytes) -> None:
    """The BSF's last word to the UE: read, or refused."""
    with contextlib.suppress(MessageError):
        BootstrappingInfo.parse(octets)


NAME = CertifiedName.parse("ae-id://sp.example/in-cse/Cae")


def est_request(octets: bytes) -> None:
    """What an EST client sends: what is granted holds one name, and no other."""
    with contextlib.suppress(MessageError):
        assert decode_body(encode_body(octets)) == octets
        decode_body(octets)
    with contextlib.suppress(MessageError, CredentialError):
        request = decode_request(octets)
        challenge_of(request)
        require_within(request, NAME)
        assert NAME.is_all_of(request)


def est_answer(octets: bytes) -> None:
    """What an EST server sends: CSR attributes, which are written and read again, or certificates."""
    with contextlib.suppress(MessageError):
        read = CsrAttributes.decode(octets)
        assert CsrAttributes.decode(read.encode()) == read
    with contextlib.suppress(MessageError):
        assert decode_certificates(octets)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        digest_headers,
        certificate,
        hello,
        message_3,
        gba_identity,
        zn,
        ub,
        est_request,
        est_answer,
    )
}

SEEDS: dict[str, list[bytes]] = {
    "digest_headers": [
        b'Digest realm="bsf.example",nonce="AAAA",qop="auth-int",algorithm=AKAv2-MD5',
        b'Digest username="a@ims.example",realm="bsf.example",nonce="",uri="/",response=""',
        b'qop=auth-int,rspauth="00000000000000000000000000000000",cnonce="AA==",nc=00000001',
    ],
    "certificate": [CERTIFICATE],
    "hello": [bytes.fromhex("16fefd0000000000000000002a0100001e0000000000000012fefd") + bytes(32)],
    "message_3": [bytes.fromhex("1603030007") + bytes((11, 0, 0, 3, 0, 0, 0))],
    "zn": [bytes.fromhex("01000014c000013000000000000000010000000180")],
    "ub": [b"<BootstrappingInfo xmlns='uri:3gpp-gba'><btid>AA==@b.example</btid></BootstrappingInfo>"],
    "est_request": [make_request(NAME, ec.derive_private_key(7, ec.SECP256R1())).public_bytes(Encoding.DER)],
    "est_answer": [CsrAttributes(Secret(b"once"), NAME.extension).encode(), bytes.fromhex("3000")],
    "gba_identity": [b"3GPP-bootstrapping;AAAA", b"3GPP-bootstrapping-uicc;AAAA", b"AAAA"],
}
