"""HTTP Digest AKA headers: WWW-Authenticate, Authorization, Authentication-Info (RFC 2617, 3310, 4169).

Frozen values, each with its reader (``parse``) and writer (``str``). Only messages with a qop are made or
accepted (Ub uses auth-int, TS 24.109 clause 4.2). Nothing here computes or checks a proof: see ``digest``.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from typing import Self

from ..credentials import Secret
from ..errors import MessageError
from ..texts import shown
from .aka import AUTN_OCTETS, AUTS_OCTETS
from .algorithm import RAND_OCTETS, require_length
from .auth_params import parse_directives, write_directives

SCHEME = "Digest"

_AKAV2_PASSWORD = b"http-digest-akav2-password"
_DIGEST = re.compile(r"[0-9a-f]{32}")
_NONCE_COUNT = re.compile(r"[0-9a-f]{8}")


class Qop(enum.Enum):
    """Quality of protection: what the response covers beside method and URI (RFC 2617 clause 3.2.1)."""

    AUTH = "auth"
    AUTH_INT = "auth-int"
    """The entity body too; what TS 24.109 prescribes on Ub."""


class DigestAlgorithm(enum.Enum):
    """The version of Digest AKA: how the one-time password is made of the AKA result."""

    AKAV1_MD5 = "AKAv1-MD5"
    AKAV2_MD5 = "AKAv2-MD5"

    def password(self, *, res: Secret, ck: Secret, ik: Secret) -> Secret:
        """The one-time password from RES (at the server XRES), CK and IK.

        AKAv1: RES itself, as octets (RFC 3310 clause 3.3). AKAv2: base64 of HMAC-MD5 under RES || IK || CK
        (RFC 4169 clause 3), 24 octets, so that a RES stolen in another context is of no use.
        """
        if self is DigestAlgorithm.AKAV1_MD5:
            return res
        key = res.reveal() + ik.reveal() + ck.reveal()
        # RFC 4169 fixes HMAC-MD5 as the PRF of AKAv2-MD5.
        return Secret(base64.b64encode(hmac.new(key, _AKAV2_PASSWORD, hashlib.md5).digest()))


@dataclass(frozen=True, slots=True)
class AkaNonce:
    """What the nonce of a challenge carries: base64(RAND || AUTN || server data) (RFC 3310 clause 3.2).

    Attributes:
        rand: RAND, 16 octets.
        autn: AUTN, 16 octets.
        server_data: What the server adds for itself; may be empty.
    """

    rand: bytes
    autn: bytes
    server_data: bytes = b""

    def __post_init__(self) -> None:
        require_length("RAND", self.rand, RAND_OCTETS)
        require_length("AUTN", self.autn, AUTN_OCTETS)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a nonce apart.

        Raises:
            MessageError: Not base64, or fewer than 32 octets.
        """
        octets = _base64("nonce", text)
        if len(octets) < RAND_OCTETS + AUTN_OCTETS:
            raise MessageError("the nonce of an AKA challenge holds RAND and AUTN: at least 32 octets")
        return cls(
            octets[:RAND_OCTETS], octets[RAND_OCTETS:][:AUTN_OCTETS], octets[RAND_OCTETS + AUTN_OCTETS :]
        )

    def __str__(self) -> str:
        return base64.b64encode(self.rand + self.autn + self.server_data).decode("ascii")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A WWW-Authenticate value (RFC 2617 clause 3.2.1, RFC 3310 clause 3.2).

    Attributes:
        realm: The realm; on Ub the BSF's name.
        nonce: The nonce, as written; ``str(AkaNonce(…))``.
        algorithm: The version of Digest AKA.
        qop: What the server offers, at least one.
        opaque: A string for the client to return, or None.
        stale: Whether the former nonce was too old, the proof being right.
    """

    realm: str
    nonce: str
    algorithm: DigestAlgorithm = DigestAlgorithm.AKAV1_MD5
    qop: tuple[Qop, ...] = (Qop.AUTH_INT,)
    opaque: str | None = None
    stale: bool = False

    @classmethod
    def parse(cls, header: str | bytes) -> Self:
        """Read a challenge; unknown directives and unknown qop values are ignored, as RFC 2617 asks.

        Raises:
            MessageError: Not a well-formed Digest AKA challenge with a qop that is known here.
        """
        given = parse_directives(header, scheme=SCHEME)
        offered = [token.strip().lower() for token in given.get("qop", "").split(",")]
        qop = tuple(known for known in Qop if known.value in offered)
        if not qop:
            raise MessageError("the challenge offers neither qop auth nor auth-int")
        return cls(
            realm=_required(given, "realm"),
            nonce=_required(given, "nonce"),
            algorithm=_algorithm(_required(given, "algorithm")),
            qop=qop,
            opaque=given.get("opaque"),
            stale=given.get("stale", "").lower() == "true",
        )

    @property
    def aka_nonce(self) -> AkaNonce:
        """RAND and AUTN.

        Raises:
            MessageError: The nonce does not hold them.
        """
        return AkaNonce.parse(self.nonce)

    def __str__(self) -> str:
        return write_directives(
            (
                ("realm", self.realm, True),
                ("nonce", self.nonce, True),
                ("algorithm", self.algorithm.value, False),
                ("qop", ",".join(qop.value for qop in self.qop), True),
                ("opaque", self.opaque, True),
                ("stale", "true" if self.stale else None, False),
            ),
            scheme=SCHEME,
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """An Authorization value (RFC 2617 clause 3.2.2, RFC 3310 clauses 3.3 and 3.4).

    Attributes:
        username: The IMPI.
        realm: The realm, as in the challenge.
        nonce: The nonce, as in the challenge; empty in the first request.
        uri: The request URI that the response covers.
        response: 32 hex digits; empty in the first request.
        qop: What was chosen of the challenge; None in the first request only.
        cnonce: The client's nonce; None in the first request only.
        nonce_count: How often this nonce was used, from 1; None in the first request only.
        algorithm: The version of Digest AKA; None when not named (the challenge's then holds).
        opaque: As in the challenge.
        auts: AUTS, 14 octets, when this reports a synchronisation failure; else None.
    """

    username: str
    realm: str
    nonce: str
    uri: str
    response: str = ""
    qop: Qop | None = None
    cnonce: str | None = None
    nonce_count: int | None = None
    algorithm: DigestAlgorithm | None = None
    opaque: str | None = None
    auts: bytes | None = None

    @classmethod
    def parse(cls, header: str | bytes) -> Self:
        """Read credentials: those of a first request (empty nonce and response) or those with a proof.

        Raises:
            MessageError: Not well formed, or something that the two kinds need is missing.
        """
        given = parse_directives(header, scheme=SCHEME)
        algorithm = given.get("algorithm")
        named = cls(
            username=_required(given, "username"),
            realm=_required(given, "realm"),
            nonce=_present(given, "nonce"),
            uri=_required(given, "uri"),
            algorithm=None if algorithm is None else _algorithm(algorithm),
            opaque=given.get("opaque"),
        )
        if not named.nonce and not _present(given, "response"):
            return named
        auts = given.get("auts")
        return replace(
            named,
            response=_matching(given, "response", _DIGEST),
            qop=_qop(_required(given, "qop")),
            cnonce=_required(given, "cnonce"),
            nonce_count=int(_matching(given, "nc", _NONCE_COUNT), 16),
            auts=None if auts is None else _auts(auts),
        )

    @property
    def is_first_request(self) -> bool:
        """Whether this only names the subscriber and asks for a challenge (TS 24.109 clause 4.2)."""
        return not self.response

    def __str__(self) -> str:
        auts = None if self.auts is None else base64.b64encode(self.auts).decode("ascii")
        return write_directives(
            (
                ("username", self.username, True),
                ("realm", self.realm, True),
                ("nonce", self.nonce, True),
                ("uri", self.uri, True),
                ("response", self.response, True),
                ("qop", None if self.qop is None else self.qop.value, False),
                ("nc", None if self.nonce_count is None else f"{self.nonce_count:08x}", False),
                ("cnonce", self.cnonce, True),
                ("algorithm", None if self.algorithm is None else self.algorithm.value, False),
                ("opaque", self.opaque, True),
                ("auts", auts, True),
            ),
            scheme=SCHEME,
        )


@dataclass(frozen=True, slots=True)
class AuthenticationInfo:
    """An Authentication-Info value: the server's own proof (RFC 2617 clause 3.2.3, RFC 3310 clause 3.5).

    Attributes:
        rspauth: 32 hex digits.
        qop: As in the credentials.
        cnonce: As in the credentials.
        nonce_count: As in the credentials.
    """

    rspauth: str
    qop: Qop
    cnonce: str
    nonce_count: int

    @classmethod
    def parse(cls, header: str | bytes) -> Self:
        """Read the server's proof; directives that RFC 2617 does not need here are ignored.

        Raises:
            MessageError: Not well formed, or qop, rspauth, cnonce or nc is missing.
        """
        given = parse_directives(header, scheme=None)
        return cls(
            rspauth=_matching(given, "rspauth", _DIGEST),
            qop=_qop(_required(given, "qop")),
            cnonce=_required(given, "cnonce"),
            nonce_count=int(_matching(given, "nc", _NONCE_COUNT), 16),
        )

    def __str__(self) -> str:
        return write_directives(
            (
                ("qop", self.qop.value, False),
                ("rspauth", self.rspauth, True),
                ("cnonce", self.cnonce, True),
                ("nc", f"{self.nonce_count:08x}", False),
            ),
            scheme=None,
        )


def _present(given: dict[str, str], name: str) -> str:
    if name not in given:
        raise MessageError(f"the directive {name} is missing")
    return given[name]


def _required(given: dict[str, str], name: str) -> str:
    value = _present(given, name)
    if not value:
        raise MessageError(f"the directive {name} is empty")
    return value


def _matching(given: dict[str, str], name: str, form: re.Pattern[str]) -> str:
    value = _present(given, name)
    if not form.fullmatch(value):
        raise MessageError(f"the directive {name} is not of the form {form.pattern}")
    return value


def _algorithm(text: str) -> DigestAlgorithm:
    for algorithm in DigestAlgorithm:
        if algorithm.value.lower() == text.lower():
            return algorithm
    raise MessageError(f"the digest algorithm {shown(text)} is neither AKAv1-MD5 nor AKAv2-MD5")


def _qop(text: str) -> Qop:
    for qop in Qop:
        if qop.value == text.lower():
            return qop
    raise MessageError(f"the quality of protection {shown(text)} is neither auth nor auth-int")


def _base64(name: str, text: str) -> bytes:
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError(f"the directive {name} is not base64") from error
    if base64.b64encode(octets).decode("ascii") != text:
        raise MessageError(f"the directive {name} is not canonical base64")
    return octets


def _auts(text: str) -> bytes:
    octets = _base64("auts", text)
    if len(octets) != AUTS_OCTETS:
        raise MessageError(f"AUTS has {AUTS_OCTETS} octets, not {len(octets)}")
    return octets
