"""What an authentication algorithm set is: the functions f1 to f5* of TS 33.102 clause 6.3.

AKA (``aka``) works over any set with this shape; MILENAGE and TUAK are the two of 3GPP. This module never
computes anything secret by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ..credentials import Secret
from ..errors import CredentialError

RAND_OCTETS = 16
SQN_OCTETS = 6
AMF_OCTETS = 2
MAC_OCTETS = 8
AK_OCTETS = 6


@dataclass(frozen=True, slots=True)
class AkaOutputs:
    """What f2, f3, f4 and f5 give for one RAND.

    Attributes:
        res: The response RES or XRES, 4 to 16 octets.
        ck: The cipher key CK, 16 octets.
        ik: The integrity key IK, 16 octets.
        ak: The anonymity key AK, 6 octets.
    """

    res: Secret = field(repr=False)
    ck: Secret = field(repr=False)
    ik: Secret = field(repr=False)
    ak: bytes = field(repr=False)


class AuthenticationFunctions(Protocol):
    """One subscriber's algorithm set, with its keys inside (TS 33.102 clause 6.3.2)."""

    def f1(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """MAC-A, 8 octets, over RAND (16), SQN (6) and AMF (2 octets)."""
        ...

    def f1_star(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """MAC-S, 8 octets: the message authentication of a resynchronisation."""
        ...

    def f2345(self, rand: bytes) -> AkaOutputs:
        """RES, CK, IK and AK for a RAND of 16 octets."""
        ...

    def f5_star(self, rand: bytes) -> bytes:
        """AK*, 6 octets: the anonymity key of a resynchronisation."""
        ...


def require_length(name: str, value: bytes | Secret, *allowed: int) -> None:
    """Refuse a parameter of the wrong length; the message names it and shows no octet of it.

    Raises:
        CredentialError: The length, in octets, is none of the allowed ones.
    """
    if len(value) not in allowed:
        lengths = " or ".join(map(str, allowed))
        raise CredentialError(f"{name} has {lengths} octets, not {len(value)}")


def xor(left: bytes, right: bytes) -> bytes:
    """The bitwise sum of two octet strings of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
