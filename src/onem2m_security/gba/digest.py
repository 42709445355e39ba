"""The proofs of HTTP Digest AKA: the client's response and the server's rspauth (RFC 2617, 3310, 4169).

The password is made of the AKA result, once per challenge. Pure functions over the values of
``digest_headers``; digests are compared in constant time. Nothing here remembers a nonce: the BSF must
forget a challenge as soon as it has been answered.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from ..credentials import Secret
from ..errors import MessageError
from .aka import AUTS_OCTETS
from .algorithm import require_length
from .digest_headers import AkaNonce, AuthenticationInfo, Challenge, Credentials, DigestAlgorithm, Qop
from .keys import Impi

__all__ = [
    "AkaNonce",
    "AuthenticationInfo",
    "Challenge",
    "Credentials",
    "DigestAlgorithm",
    "Qop",
    "answer",
    "authentication_info",
    "digest",
    "first_request",
    "report_synchronisation_failure",
    "verify",
    "verify_server",
]


def _h(data: bytes) -> bytes:
    """H of RFC 2617 clause 3.2.1: MD5 in hex."""
    return hashlib.md5(data).hexdigest().encode("ascii")  # noqa: S324  (RFC 3310 mandates MD5)


def digest(credentials: Credentials, *, password: Secret | None, method: str, body: bytes) -> str:
    """The request-digest of RFC 2617 clauses 3.2.2.1 to 3.2.2.3: 32 hex digits.

    Args:
        credentials: Gives user name, realm, nonce, uri, qop, cnonce, nonce count; the response is not read.
        password: The password; None for the empty one of RFC 3310 clause 3.4.
        method: The HTTP method; empty for rspauth (RFC 2617 clause 3.2.3).
        body: The entity body, which counts with auth-int only.

    Raises:
        MessageError: The credentials are those of a first request, which proves nothing.
    """
    if credentials.qop is None or credentials.cnonce is None or credentials.nonce_count is None:
        raise MessageError("a first request has no digest: qop, cnonce and nc are missing")
    secret = b"" if password is None else password.reveal()
    a1 = f"{credentials.username}:{credentials.realm}:".encode() + secret
    a2 = f"{method}:{credentials.uri}".encode()
    if credentials.qop is Qop.AUTH_INT:
        a2 += b":" + _h(body)
    middle = f"{credentials.nonce}:{credentials.nonce_count:08x}:{credentials.cnonce}:{credentials.qop.value}"
    return _h(b":".join((_h(a1), middle.encode(), _h(a2)))).decode("ascii")


def first_request(*, impi: Impi, realm: str, uri: str = "/") -> Credentials:
    """The Authorization of the first request on Ub, which names the subscriber (TS 24.109 clause 4.2)."""
    return Credentials(username=str(impi), realm=realm, nonce="", uri=uri)


def answer(
    challenge: Challenge,
    *,
    impi: Impi,
    password: Secret,
    cnonce: str,
    method: str = "GET",
    uri: str = "/",
    body: bytes = b"",
    nonce_count: int = 1,
) -> Credentials:
    """The client's answer to a challenge (RFC 3310 clause 3.3), with auth-int where it is offered.

    Args:
        challenge: What the server sent.
        impi: Who answers.
        password: See ``DigestAlgorithm.password``.
        cnonce: A random text that was never used before, printable ASCII.
        method: The HTTP method of the request.
        uri: The request URI, as in the request line.
        body: The entity body of the request.
        nonce_count: 1 for the first use of this nonce.
    """
    unproven = _unproven(challenge, impi=impi, cnonce=cnonce, uri=uri, nonce_count=nonce_count)
    return replace(unproven, response=digest(unproven, password=password, method=method, body=body))


def report_synchronisation_failure(
    challenge: Challenge,
    *,
    impi: Impi,
    auts: bytes,
    cnonce: str,
    method: str = "GET",
    uri: str = "/",
    body: bytes = b"",
) -> Credentials:
    """The client's answer when the USIM refused the sequence number (RFC 3310 clause 3.4).

    It carries AUTS, and a response under the empty password, which proves nothing; AUTS has its own MAC.

    Raises:
        CredentialError: AUTS is not 14 octets long.
    """
    require_length("AUTS", auts, AUTS_OCTETS)
    unproven = _unproven(challenge, impi=impi, cnonce=cnonce, uri=uri, auts=auts)
    return replace(unproven, response=digest(unproven, password=None, method=method, body=body))


def _unproven(
    challenge: Challenge,
    *,
    impi: Impi,
    cnonce: str,
    uri: str,
    nonce_count: int = 1,
    auts: bytes | None = None,
) -> Credentials:
    return Credentials(
        username=str(impi),
        realm=challenge.realm,
        nonce=challenge.nonce,
        uri=uri,
        qop=Qop.AUTH_INT if Qop.AUTH_INT in challenge.qop else Qop.AUTH,
        cnonce=cnonce,
        nonce_count=nonce_count,
        algorithm=challenge.algorithm,
        opaque=challenge.opaque,
        auts=auts,
    )


def verify(
    challenge: Challenge,
    credentials: Credentials,
    *,
    password: Secret,
    method: str,
    uri: str,
    body: bytes = b"",
) -> bool:
    """Whether these credentials answer this challenge for this request (RFC 2617 clause 3.2.2).

    The user name is covered by the digest, but the caller chose the password for it. Credentials with AUTS,
    or those of a first request, never verify.

    Args:
        challenge: The challenge that was sent.
        credentials: What came back.
        password: See ``DigestAlgorithm.password``, from XRES.
        method: The method of the request as received.
        uri: The URI of the request line as received.
        body: The entity body as received.
    """
    if credentials.is_first_request or credentials.auts is not None:
        return False
    belongs = (
        credentials.realm == challenge.realm
        and credentials.nonce == challenge.nonce
        and credentials.opaque == challenge.opaque
        and credentials.qop in challenge.qop
        and credentials.algorithm in {None, challenge.algorithm}
        and credentials.uri == uri
    )
    expected = digest(credentials, password=password, method=method, body=body)
    return hmac.compare_digest(expected, credentials.response) and belongs


def authentication_info(
    credentials: Credentials, *, password: Secret, body: bytes = b""
) -> AuthenticationInfo:
    """The server's own proof, over the body of its response (RFC 3310 clause 3.5).

    Raises:
        MessageError: The credentials are those of a first request.
    """
    rspauth = digest(credentials, password=password, method="", body=body)
    if credentials.qop is None or credentials.cnonce is None or credentials.nonce_count is None:
        raise MessageError("a first request is not answered with Authentication-Info")
    return AuthenticationInfo(rspauth, credentials.qop, credentials.cnonce, credentials.nonce_count)


def verify_server(
    info: AuthenticationInfo, credentials: Credentials, *, password: Secret, body: bytes = b""
) -> bool:
    """Whether the server proved that it knows the password, for this response body and these credentials.

    Args:
        info: What the server sent.
        credentials: What the client had sent.
        password: The password of the credentials.
        body: The entity body of the response, as received.

    Raises:
        MessageError: The credentials are those of a first request.
    """
    expected = authentication_info(credentials, password=password, body=body)
    belongs = (info.qop, info.cnonce, info.nonce_count) == (
        expected.qop,
        expected.cnonce,
        expected.nonce_count,
    )
    return hmac.compare_digest(expected.rspauth, info.rspauth) and belongs
